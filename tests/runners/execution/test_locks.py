"""Locks: one process per cell, whoever dies and whatever the clock says."""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from headbench.runners.execution import locks, owner
from headbench.runners.execution.locks import Watch, locked
from headbench.runners.execution.owner import Owner, this_process

ROOT = Path(__file__).parents[2]


def test_a_lock_is_held_once_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    with locked(folder, Watch()) as first:
        assert first is not None
        assert Watch().is_held(folder)
        with locked(folder, Watch()) as second:
            assert second is None
        holder = locks.owner_of(folder)
        assert holder == first
        assert (first.place.host, first.pid) == (socket.gethostname(), os.getpid())
    assert not (folder / locks.NAME).exists()
    with locked(folder, Watch()) as again:
        assert again


def dead_owner(team: str = "") -> Owner:
    """The owner of a lock whose process has ended."""
    shown = f"print(this_process({team!r}).model_dump_json())"
    code = f"from headbench.runners.execution.owner import this_process; {shown}"
    return Owner.model_validate_json(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout
    )


def elsewhere(**changes: str) -> Owner:
    """This process, as if it ran at another place."""
    mine = this_process()
    return mine.model_copy(update={"place": mine.place.model_copy(update=changes)})


def leave(folder: Path, content: Owner | str, age: float = 0.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / locks.NAME
    path.write_text(content if isinstance(content, str) else content.model_dump_json())
    os.utime(path, (time.time() - age,) * 2)


def taken(folder: Path, watch: Watch | None = None) -> bool:
    """Whether the lock of a cell is to be had."""
    with locked(folder, watch or Watch()) as mine:
        return mine is not None


@pytest.mark.parametrize("flock", [True, False])
def test_the_lock_of_a_dead_process_is_taken_over(flock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a file system that has no locks of its own."""

    def absent(*_: Any, **__: Any) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    if not flock:
        monkeypatch.setattr("filelock.FileLock.acquire", absent)
    leave(tmp_path / "cell", dead_owner())
    assert taken(tmp_path / "cell")


def test_the_lock_of_a_dead_worker_is_its_parents_before_it_is_another_workers(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    leave(folder, dead_owner("blue"))
    sibling = Watch("blue")
    assert sibling.is_held(folder)
    assert sibling.is_still_held(folder)
    assert not taken(folder, sibling)
    assert taken(folder)  # as the parent, who leaves none
    assert taken(folder, sibling)
    leave(folder, dead_owner("blue"))
    assert taken(folder, Watch("red"))
    leave(folder, dead_owner("blue"), locks.STALE + 5)
    assert taken(folder, Watch("blue"))


def test_a_process_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    mine = this_process()
    leave(tmp_path / "cell", mine.model_copy(update={"ticks": mine.ticks - 1}))
    assert not Watch().is_held(tmp_path / "cell")


def test_a_living_process_of_this_place_holds_its_lock_whatever_the_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for age in (0, 1e4, -1e9, 1.7e9):
        leave(tmp_path / "cell", this_process(), age)
        assert Watch().is_held(tmp_path / "cell")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", [{"host": "another"}, {"boot": "before"}, {"namespace": "pid:[1]"}])
def test_another_place_is_believed_as_long_as_its_heart_beats(place: dict[str, str], tmp_path: Path) -> None:
    """Also where its process number is that of a process here, or of none."""
    for holder in (elsewhere(**place), elsewhere(**place).model_copy(update={"pid": 2**31 - 1})):
        leave(tmp_path / "cell", holder, locks.STALE - 20)
        assert not taken(tmp_path / "cell")
        leave(tmp_path / "cell", holder, locks.STALE + 5)
        assert taken(tmp_path / "cell")


@pytest.fixture
def apart() -> list[str]:
    """The words that run a command in a process namespace of its own, as a container does."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces may be made here")
    return words


def test_a_lock_is_respected_from_another_process_namespace(tmp_path: Path, apart: list[str]) -> None:
    take = (
        "import sys; from pathlib import Path; from headbench.runners.execution.locks import *\nwith "
        "locked(Path(sys.argv[1]), Watch()) as mine: print(mine)"
    )
    with locked(tmp_path / "cell", Watch()) as mine:
        assert mine
        printed = subprocess.run(
            [*apart, sys.executable, "-c", take, str(tmp_path / "cell")],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    assert printed == "None\n"


def test_processes_of_two_namespaces_do_not_judge_each_other(apart: list[str]) -> None:
    hold = (
        "from headbench.runners.execution.owner import *\nprint(this_process().model_dump_json(), flush=True); input()"
    )
    judge = (
        "import sys; from headbench.runners.execution.owner import "
        "*\nprint(Owner.model_validate_json(sys.argv[1]).lives())"
    )
    with subprocess.Popen(
        [*apart, sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        line = holder.stdout.readline()
        assert Owner.model_validate_json(line).lives() is None
        other = subprocess.run(
            [*apart, sys.executable, "-c", judge, line], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
        assert other == "None\n"
        holder.communicate("\n")


def test_numbers_of_another_proc_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a namespace of its own without a ``/proc`` of its own, a number in ``/proc`` is that of another process."""
    mine = this_process()
    monkeypatch.setattr(owner, "_own_number", lambda: 1)
    assert mine.lives() is None


def test_without_proc_a_missing_process_is_dead_and_the_heart_decides_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = dead_owner()
    monkeypatch.setattr(owner, "PROC", tmp_path / "none")
    mine = this_process()
    assert mine.lives() is None
    assert mine.model_copy(update={"pid": ended.pid}).lives() is False
    leave(tmp_path / "cell", mine)
    assert not taken(tmp_path / "cell")


def test_a_name_with_blanks_and_brackets_hides_no_start_time(tmp_path: Path) -> None:
    program = tmp_path / "a ) R 1 (b"
    shutil.copy(sys.executable, program)
    environment = os.environ | {"PYTHONHOME": sys.base_prefix}
    with subprocess.Popen([program, "-S", "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        time.sleep(0.2)
        state, ticks = owner._state(process.pid)
        assert state in "RSD"
        assert owner._state("self")[1] <= ticks <= owner._state("self")[1] + 100 * 3600
        process.communicate(b"\n")


def forged(**changes: Any) -> str:
    content = json.loads(this_process().model_dump_json())
    place = content["place"] | {key: value for key, value in changes.items() if key in content["place"]}
    return json.dumps(content | changes | {"place": changes.get("place", place)})


BAD = {
    "empty": "",
    "cut off": "{",
    "missing keys": '{"pid": 3}',
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "deep": "[" * 4000 + "]" * 4000,
    "deep object": '{"place":' * 3000,
    "long": forged(token="x" * 10_000_000),
    "not UTF-8": '{"pid": "\udcff"}',
    "pid a list": forged(pid=[1]),
    "pid negative": forged(pid=-1),
    "pid huge": forged(pid=10**400),
    "pid NaN": forged(pid=float("nan")),
    "pid infinite": forged(pid=float("inf")),
    "pid true": forged(pid=True),
    "ticks text": forged(ticks="now"),
    "ticks null": forged(ticks=None),
    "host a number": forged(host=3),
    "place a list": forged(place=[]),
    "token an object": forged(token={}),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_lock_that_cannot_be_read_is_soon_stale(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    leave(folder, "")
    (folder / locks.NAME).write_bytes(BAD[kind].encode(errors="surrogateescape"))
    assert not taken(folder)
    os.utime(folder / locks.NAME, (time.time() - locks.UNREADABLE - 1,) * 2)
    assert taken(folder)
    assert not (folder / locks.NAME).exists()


@pytest.mark.parametrize("kind", ["folder", "full folder", "dangling link", "loop", "pipe"])
def test_what_is_no_file_is_no_lock_and_is_kept_aside(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cell" / locks.NAME
    path.parent.mkdir()
    if "folder" in kind:
        path.mkdir()
        if "full" in kind:
            (path / "file").touch()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else "nowhere")
    assert not Watch().is_held(path.parent)
    assert taken(path.parent)
    assert [file.name for file in path.parent.iterdir()] == ["lock.json.damaged-1"]
    assert capsys.readouterr().err.count("\n") == 1


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = staticmethod(time.time)


@pytest.mark.parametrize("age", [-3600.0, -1e11, 1.7e9])
@pytest.mark.parametrize("content", [elsewhere(host="another"), "unreadable"])
def test_an_impossible_date_is_said_and_blocks_for_two_minutes(
    age: float,
    content: Owner | str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    monkeypatch.setattr(locks, "time", clock)
    leave(tmp_path / "cell", content, age)
    watch = Watch()
    for _ in range(4):
        assert not taken(tmp_path / "cell", watch)
        assert watch.is_deciding()
        clock.now += 1
    assert capsys.readouterr().err.count("\n") == 1
    clock.now += locks.STALE
    assert taken(tmp_path / "cell", watch)
    assert not watch.is_deciding()


def test_a_heart_that_beats_by_a_wrong_clock_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(locks, "time", clock)
    watch = Watch()
    for beat in range(40):
        leave(tmp_path / "cell", elsewhere(host="another"), -1e6 - 10 * beat)
        assert not taken(tmp_path / "cell", watch)
        clock.now += 10
    assert not watch.is_deciding()
    clock.now += locks.STALE
    assert taken(tmp_path / "cell", watch)


def test_many_locks_cost_one_question_for_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes: list[Path] = []
    probe = locks._probe

    def counted(folder: Path) -> float:
        probes.append(folder)
        return probe(folder)

    monkeypatch.setattr(locks, "_probe", counted)
    folders = [tmp_path / f"cell-{number}" for number in range(50)]
    for folder in folders:
        leave(folder, elsewhere(host="another"))
    watch = Watch()
    assert not any(taken(folder, watch) for folder in folders)
    assert len(probes) == 1


def test_who_waits_asks_the_file_system_once_for_each_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / f"cell-{number}" for number in range(50)]
    watch = Watch()
    for folder in folders:
        leave(folder, elsewhere(host="another"))
        assert not watch.is_still_held(folder), "it was not looked at"
        assert not taken(folder, watch)
    looks: list[Path] = []
    lstat = Path.lstat

    def counted(path: Path) -> os.stat_result:
        looks.append(path)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", counted)
    monkeypatch.setattr(locks, "owner_of", lambda _: pytest.fail("a lock was read"))
    monkeypatch.setattr(locks, "_probe", lambda _: pytest.fail("the clock was asked"))
    assert all(watch.is_still_held(folder) for folder in folders)
    assert looks == [folder / locks.NAME for folder in folders]


def test_a_look_at_the_date_alone_never_calls_a_lock_free_that_is_held_nor_held_that_is_free(tmp_path: Path) -> None:
    watch, folder = Watch(), tmp_path / "cell"
    leave(folder, this_process())
    assert watch.is_held(folder)
    assert watch.is_still_held(folder)
    leave(folder, this_process(), locks.STALE + 5)
    assert not watch.is_still_held(folder)
    assert watch.is_held(folder), "its process was asked"
    (folder / locks.NAME).unlink()
    assert not watch.is_still_held(folder)
    leave(folder, dead_owner())
    assert not watch.is_held(folder)
    assert not watch.is_still_held(folder)


def test_the_claim_of_an_older_harness_is_heeded_as_long_as_its_heart_beats(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / "claim.json").write_text("{}")
    assert not taken(folder)
    os.utime(folder / "claim.json", (time.time() - locks.STALE - 5,) * 2)
    assert taken(folder)


def test_the_heart_beats_for_its_own_lock_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT", 0.05)
    path = tmp_path / "cell" / locks.NAME
    with locked(path.parent, Watch()) as mine:
        assert mine is not None
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 1
        locks.check(path.parent, mine)
        leave(path.parent, elsewhere(host="another"), 1000)
        time.sleep(0.3)
        assert path.stat().st_mtime < time.time() - 900
        with pytest.raises(locks.LostError, match="was taken by another process"):
            locks.check(path.parent, mine)
    assert path.exists()


def _contend(folder: str, together: "Barrier", won: "multiprocessing.Queue[int]") -> None:
    together.wait()
    with locked(Path(folder), Watch()) as mine:
        if mine:
            won.put(os.getpid())
        together.wait()


@pytest.mark.parametrize("stale", [False, True])
def test_of_several_processes_one_gets_the_cell(tmp_path: Path, stale: bool) -> None:
    context = multiprocessing.get_context("fork")
    ended = dead_owner()
    for attempt in range(5):
        folder = tmp_path / f"cell-{attempt}"
        if stale:
            leave(folder, ended)
        won: multiprocessing.Queue[int] = context.Queue()
        together = context.Barrier(4)
        team = [context.Process(target=_contend, args=(str(folder), together, won)) for _ in range(4)]
        for process in team:
            process.start()
        for process in team:
            process.join()
        assert won.qsize() == 1
