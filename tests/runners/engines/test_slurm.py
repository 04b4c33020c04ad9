"""What is submitted to Slurm, with an ``sbatch`` that keeps what it is given; ``test_slurm_real.py`` has a real one."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from headbench.core.errors import UserError
from headbench.results import store
from headbench.runners.commands import arguments, grammar, submit
from headbench.runners.commands.main import main
from headbench.runners.commands.screen import Screen
from headbench.runners.engines import slurm
from headbench.runners.execution import options
from tests.runners.helpers import grid

# Numbers its jobs from 7, as sbatch --parsable does on several clusters.
SBATCH = """#!/bin/bash
echo "$@" >> "$CALLS"
echo "$((6 + $(wc -l < "$CALLS")));far"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of what the commands of Slurm were called with, a line each; they are the only ones on the path."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sbatch", "scontrol"):
        (programs / name).write_text(SBATCH)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def words(tmp_path: Path, *more: str) -> list[str]:
    """Ask for a grid of three cells."""
    file = tmp_path / "my grid.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"seed": [0, 1, 2]})))
    return ["submit", "slurm", "--grid", str(file), "--out", str(tmp_path / "my runs"), "--data", str(tmp_path), *more]


def asked(script: str) -> dict[str, str]:
    """The options of a script, as Slurm reads them."""
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    return {key: "".join(shlex.split(value)) for key, _, value in (line.partition("=") for line in lines)}


def started(script: str) -> list[str]:
    """The words that a script starts bench.py with."""
    command = script.partition("\nexec ")[2].partition("\n\n")[0].replace("\\\n", " ")
    program, *rest = shlex.split(command)
    assert Path(program).is_file()
    assert Path(rest[0]).name == "bench.py"
    return rest[1:]


def test_drainers_and_a_report_after_them_are_submitted(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "--tasks 9 --max-running 2 --cpus 6 --gpus 2 --time 1-0 --partition fast,slow --readers 0 --where seed=1,2"
    assert main(words(tmp_path, *more.split(), "--sbatch-option", "comment=a b", "exclusive")) == 0
    folder = tmp_path / "my runs" / "tiny+bf16" / "slurm"
    assert calls.read_text() == (
        f"--parsable {folder / 'drain.sh'}\n--parsable --dependency=afterany:7 {folder / 'report.sh'}\n"
    )
    printed = capsys.readouterr().out
    assert "--tasks: 1 in place of 9, since 2 cells are left to train" in printed, "two workers each"
    assert "squeue --array --jobs 7,8" in printed
    drain, report = ((folder / name).read_text() for name in ("drain.sh", "report.sh"))
    both = {"time": "1-0", "partition": "fast,slow", "chdir": str(Path.cwd()), "open-mode": "append", "exclusive": ""}
    both["comment"] = shlex.split("'a b'")[0]
    found = asked(drain)
    assert found == found | both | {"array": "0-0%2", "cpus-per-task": "6", "gres": "gpu:2", "requeue": ""}
    assert (found["signal"], found["output"]) == ("B:USR1@120", f"{folder}/drain-%A_%a.txt")
    assert asked(report) == asked(report) | both
    assert not {"array", "gres", "signal"} & asked(report).keys()
    run = grammar.parse(started(drain))
    assert (run.command, run.precision, run.device, run.no_wait, run.no_report) == ("run", "bf16", "cuda", True, True)
    assert (run.workers, run.threads, run.readers, run.where, run.out) == (2, 3, 0, ["seed=1,2"], tmp_path / "my runs")
    plan = store.read_plan(tmp_path / "my runs" / "tiny+bf16")
    assert plan["commands"] == [options.words(arguments.run_options(run))], "no drainer has to write it again"
    assert not run.retry_failed, "every drainer would try the failures of the others again"
    assert grammar.parse(started(report)).grid == "tiny+bf16"
    for script in folder.iterdir():
        subprocess.run(["bash", "-n", script], check=True)
    assert main(["status", "--grid", "tiny+bf16", "--out", str(tmp_path / "my runs")]) == 0
    assert "2 waiting" in capsys.readouterr().out, "before any task has begun"


def test_a_dry_run_shows_the_scripts_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(words(tmp_path, "--dry-run", "--tasks", "2", "--cpus", "3")) == 0
    printed = capsys.readouterr().out
    assert "#SBATCH --array=0-1\n" in printed
    assert "--precision fp32 \\\n" in printed
    assert "--threads 3 \\\n" in printed
    assert "gres" not in printed
    assert not (tmp_path / "my runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--tasks 0", "--tasks: 0 is not at least 1"),
        ("--gpus -1", "--gpus: -1 is below 0"),
        ("--time 4h", "--time: '4h' is no time limit; write 04:00:00"),
        ("--time 1-2:3:4:5", "is no time limit"),
        ("--time 04:00", "--time: '04:00' is 0:04:00 (hours:minutes:seconds); give at least 0:05:00"),
        ("--partition a;b", "--partition: 'a;b' is no name of a partition"),
        ("--sbatch-option mem", None),
        ("--sbatch-option signal=USR2", "'signal' is set by submit itself"),
        ("--sbatch-option time=3", "'time' is set by submit itself; use --time"),
        ("--sbatch-option MEM=3", "'MEM=3' is not of the form key=value"),
        ("--where seed=7", "no cell has seed '7'"),
        ("--grid tinny", "unknown grid 'tinny'"),
        ("--trials 3 --objective foo", "--objective: unknown 'foo'"),
        ("--trials 3 --storage junk", "--storage junk: neither a URL nor the name of a journal file"),
        ("--trials 3 --storage=", "--storage is empty; give a"),
        ("--trials 3 --devices 2", "--devices 2 goes with no search (--trials): each trial has one device"),
        ("--trials 0", "--trials: 0 is not at least 1"),
        ("--seed 5", "--seed is of a search, which --trials asks for"),
        ("--gpus 2 --devices 4", "--devices 4: a task has no more than its --gpus 2"),
        ("--precision auto", "invalid choice: 'auto'"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(
    more: str, message: str | None, tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path, *more.split(), *(["--dry-run"] if message is None else []))) == (2 if message else 0)
    printed = capsys.readouterr().err
    assert (message or "") in printed
    assert printed.count("\n") == (1 if message else 0)
    assert not calls.exists()
    assert not (tmp_path / "my runs").exists()


def test_without_slurm_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(words(tmp_path)) == 2
    assert capsys.readouterr().err.startswith("bench.py: there is no sbatch on this machine; ")
    assert not (tmp_path / "my runs").exists()


def test_what_slurm_refuses_is_said_in_its_words(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "programs" / "sbatch").write_text('#!/bin/bash\necho "sbatch: error: no account\nat all" >&2; exit 1\n')
    assert main(words(tmp_path)) == 2
    assert capsys.readouterr().err == "bench.py: sbatch: error: no account at all\n"
    (tmp_path / "programs" / "sbatch").write_text('#!/bin/bash\n[[ "$*" == *afterany* ]] && exit 1; echo 5\n')
    assert main(words(tmp_path)) == 2
    assert "array 5 is submitted, but not the job that builds its report" in capsys.readouterr().err


def test_failures_are_tried_again_once_by_all_drainers_together(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path)) == 0
    plan = store.read_plan(tmp_path / "my runs" / "tiny+fp32")["cells"]
    folders = [store.cell_folder(tmp_path / "my runs", cell["cell_id"]) for cell in plan]
    for folder in folders:
        store.write_ending(folder, "failed", "no luck")
    capsys.readouterr()
    assert main(words(tmp_path)) == 0
    assert capsys.readouterr().out == (
        "tiny+fp32: no cell is left to train; this builds its report: python bench.py report --grid tiny+fp32 "
        f"--out '{tmp_path}/my runs'\n"
    )
    assert main(words(tmp_path, "--retry-failed")) == 0
    assert len(calls.read_text().splitlines()) == 4
    assert not any(map(store.read_ending, folders))


def test_what_a_run_can_be_asked_for_a_drainer_can_too() -> None:
    run, submit = vars(grammar.parse(["run"])), vars(grammar.parse(["submit", "slurm"]))
    assert run.keys() - submit.keys() == {"cell", "device", "no_wait", "no_report", "quiet", "json"}


def test_a_cell_has_several_devices_of_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "--dry-run --gpus 8 --cpus 32 --devices 4 --precision fp32"
    assert main(words(tmp_path, *more.split())) == 0
    run = grammar.parse(started(capsys.readouterr().out))
    assert (run.devices, run.workers, run.threads) == (4, 2, 4)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("90", 1.5), ("90:30", 1.5 + 30 / 3600), ("4:00:00", 4), ("2-0", 48), ("2-12", 60), ("1-1:30", 25.5)],
)
def test_times_are_read_as_slurm_reads_them(text: str, hours: float) -> None:
    assert slurm._seconds(text) == pytest.approx(hours * 3600)


def test_a_job_is_queued_again_by_its_own_number(
    calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One task of an array has the array's own number as its job's; by that, all tasks would be queued again."""
    for name in list(os.environ):
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    slurm.requeue()
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    slurm.requeue()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    slurm.requeue()
    assert calls.read_text() == "requeue 41\nrequeue 41_0\n"
    (calls.parent / "programs" / "scontrol").write_text("#!/bin/bash\nkill -TERM $$\n")  # as the job ends
    slurm.requeue()
    monkeypatch.setenv("PATH", "/nowhere")
    slurm.requeue()
    said = capsys.readouterr().err.splitlines()
    assert said[:-1] == [f"note: Slurm job {job} is queued again" for job in ("41", "41_0", "41_0")]
    assert said[-1].startswith("note: Slurm job 41_0 is not queued again: ")


def test_a_partition_may_be_a_list() -> None:
    usual = slurm.Array(1, None, 1, 0, None, "a,b-2", ())
    slurm.check(usual, dry_run=True)
    with pytest.raises(UserError, match="is no name"):
        slurm.check(slurm.Array(1, None, 1, 0, None, "", ()), dry_run=True)


def test_a_search_is_an_array_of_drivers(tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "--trials 4 --objective val_nll --seed 3 --tasks 9 --cpus 2 --retry-failed"
    assert main(words(tmp_path, *more.split())) == 0
    folder = tmp_path / "my runs" / "tiny+fp32" / "slurm-search"
    assert "4 trials for array 7 of 4 tasks, then report 8" in capsys.readouterr().out
    command = started((folder / "drain.sh").read_text())
    assert command[0] == "tune"
    given = grammar.parse(command)
    assert (given.trials, given.objective, given.seed, given.retry_failed, given.no_report) == (
        4,
        "val_nll",
        3,
        True,
        True,
    )
    assert (given.workers, given.threads, given.precision) == (1, 2, "fp32")
    assert started((folder / "report.sh").read_text())[:3] == ["report", "--grid", "tiny+fp32"]
    assert not (tmp_path / "my runs" / "tiny+fp32" / "grid.yaml").exists()
    assert calls.read_text().count("\n") == 2


def test_the_page_of_a_search_is_made_from_its_storage(
    tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose URL may hold a password, which nobody else reads; status has no plan of a search to read."""
    storage = f"sqlite:///{tmp_path}/search.db"
    assert main(words(tmp_path, "--trials", "2", "--storage", storage, "--set", "axes.feature_dim=2")) == 0
    printed = capsys.readouterr().out
    assert "watch: squeue --array --jobs 7,8\n" in printed
    (folder,) = (tmp_path / "my runs").glob("*/slurm-search")
    for name in ("drain.sh", "report.sh"):
        command = started((folder / name).read_text())
        assert command[command.index("--storage") + 1] == storage
        assert (folder / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("more", ["--tuned tuned.yaml", "--keep-weights"])
@pytest.mark.parametrize("engine", ["slurm", "ray"])
def test_what_goes_with_no_search_is_refused(engine: str, more: str, tmp_path: Path, calls: Path) -> None:
    asked = grammar.parse(["submit", engine, *words(tmp_path)[2:], "--trials", "2", *more.split()])
    with pytest.raises(UserError, match=f"{more.split()[0]} goes with no search"):
        submit.run(asked, Screen(quiet=True))
    assert not calls.exists()
