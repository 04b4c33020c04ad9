"""Claims: one process per cell, whoever dies."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from runners import claims


def test_a_claim_is_held_once_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    with claims.claimed(folder) as first:
        assert first
        assert not claims.is_stale(folder)
        with claims.claimed(folder) as second:
            assert not second
        owner = claims.owner_of(folder)
        assert owner is not None
        assert (owner.host, owner.pid) == (socket.gethostname(), os.getpid())
    assert not (folder / claims.NAME).exists()
    with claims.claimed(folder) as again:
        assert again


def dead_owner() -> claims.Owner:
    """The owner of a claim whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    started = psutil.Process(process.pid).create_time()
    process.wait()
    return claims.Owner(socket.gethostname(), process.pid, started, "token")


def leave(folder: Path, owner: claims.Owner) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / claims.NAME).write_text(json.dumps(asdict(owner)))


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    leave(tmp_path / "cell", dead_owner())
    with claims.claimed(tmp_path / "cell") as got:
        assert got


def test_a_process_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    leave(tmp_path / "cell", claims.Owner(socket.gethostname(), os.getpid(), psutil.Process().create_time() - 100, "token"))
    assert claims.is_stale(tmp_path / "cell")


def test_another_machine_is_believed_as_long_as_its_heart_beats(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    leave(folder, claims.Owner("another-host", 1, 0.0, "token"))
    with claims.claimed(folder) as got:
        assert not got
    old = time.time() - claims.STALE - 5
    os.utime(folder / claims.NAME, (old, old))
    with claims.claimed(folder) as got:
        assert got


@pytest.mark.parametrize("content", ["", "{", '{"host": 3}'])
def test_a_claim_that_was_cut_off_is_soon_stale(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / claims.NAME).write_text(content)
    with claims.claimed(folder) as got:
        assert not got
    old = time.time() - claims.UNREADABLE - 1
    os.utime(folder / claims.NAME, (old, old))
    with claims.claimed(folder) as got:
        assert got


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT", 0.05)
    folder = tmp_path / "cell"
    with claims.claimed(folder):
        os.utime(folder / claims.NAME, (0, 0))
        deadline = time.monotonic() + 5
        while (folder / claims.NAME).stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (folder / claims.NAME).stat().st_mtime > 1


def _contend(folder: str, start: float, won: "multiprocessing.Queue[int]") -> None:
    while time.time() < start:
        pass
    with claims.claimed(Path(folder)) as got:
        if got:
            won.put(os.getpid())
            time.sleep(0.5)


@pytest.mark.parametrize("stale", [False, True])
def test_of_several_processes_one_gets_the_cell(tmp_path: Path, stale: bool) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(5):
        folder = tmp_path / f"cell-{attempt}"
        if stale:
            leave(folder, dead_owner())
        won: multiprocessing.Queue[int] = context.Queue()
        start = time.time() + 0.2
        team = [context.Process(target=_contend, args=(str(folder), start, won)) for _ in range(4)]
        for process in team:
            process.start()
        for process in team:
            process.join()
        assert won.qsize() == 1
