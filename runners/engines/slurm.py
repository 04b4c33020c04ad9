"""Slurm: an array of identical drainers of a grid, and the job that builds its report after them."""

import datetime
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headbench.core.errors import UserError, note
from headbench.core.version import ROOT, in_checkout
from headbench.runners.execution.owner import slurm_job

# Before the end of its time a task is told to write its checkpoint, up to a minute earlier than that.
LEAD = 120
# A task that has less time would be told at its start.
LEAST = 300
# Of sbatch or scontrol, in seconds.
PATIENCE = 60
TIME = re.compile(r"(?:(?P<days>[0-9]+)-(?P<parts>[0-9]+(?::[0-9]+){0,2})|(?P<alone>[0-9]+(?::[0-9]+){0,2}))")
OPTION = re.compile(r"(?:--)?(?P<key>[a-z][a-z0-9-]*)(?:=(?P<value>.*))?")
# Options of sbatch that a drainer depends on.
OWN = {
    "array": "--tasks and --max-running",
    "cpus-per-task": "--cpus",
    "gres": "--gpus",
    "gpus": "--gpus",
    "time": "--time",
    "partition": "--partition",
    **dict.fromkeys(("chdir", "dependency", "ntasks", "no-requeue", "open-mode", "output", "parsable", "requeue"), ""),
    **dict.fromkeys(("signal", "wait", "wrap"), ""),
}
DRAIN, REPORT = "drain.sh", "report.sh"


@dataclass(frozen=True)
class Array:
    """What is asked of Slurm.

    Attributes:
        tasks: drainers in all.
        running: of them at once, or None for as many as there is room for.
        cpus: cores of each.
        gpus: of each.
        time: limit of each, as Slurm writes it, or None for that of the cluster.
        partition: or None for the usual one.
        options: more of sbatch, ``key=value`` or ``key``, for the drainers and the report.
    """

    tasks: int
    running: int | None
    cpus: int
    gpus: int
    time: str | None
    partition: str | None
    options: Sequence[str]


def check(array: Array, *, dry_run: bool) -> None:
    """Raise UserError for what Slurm would not take or a drainer cannot do with, and where there is no Slurm."""
    if not dry_run and shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch on this machine; submit on one that has Slurm, or see the scripts by --dry-run"
        )
    if array.time is not None:
        limit = _seconds(array.time)
        if limit < LEAST:
            raise UserError(
                f"--time: '{array.time}' is {datetime.timedelta(seconds=limit)} (hours:minutes:seconds); give at least "
                f"{datetime.timedelta(seconds=LEAST)}, since a drainer is told to stop two minutes before the end"
            )
    if array.partition is not None and not re.fullmatch(r"[\w.,+-]+", array.partition):
        raise UserError(f"--partition: '{array.partition}' is no name of a partition")
    for option in array.options:
        match = OPTION.fullmatch(option)
        if match is None or not option.isprintable():
            raise UserError(f"--sbatch-option: '{option}' is not of the form key=value, as in account=lab or mem=8G")
        if match["key"] in OWN:
            instead = f"use {OWN[match['key']]}" if OWN[match["key"]] else "a drainer depends on what is written there"
            raise UserError(f"--sbatch-option: '{match['key']}' is set by submit itself; {instead}")


def _seconds(time: str) -> int:
    """Return the length of a time as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, or days-hours
    and so on.
    """
    match = TIME.fullmatch(time)
    if match is None:
        raise UserError(
            f"--time: '{time}' is no time limit; write 04:00:00 (hours:minutes:seconds) or 2-12 (days-hours)"
        )
    numbers = [int(part) for part in (match["parts"] or match["alone"]).split(":")]
    if match["days"] is None:
        numbers = [0] * (len(numbers) < 3) + numbers
    hours, minutes, seconds = [*numbers, 0, 0][:3]
    return ((int(match["days"] or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def scripts(array: Array, grid: str, drain: Sequence[str], report: Sequence[str], folder: Path) -> dict[str, str]:
    """Return the array's script and the report's by file name.

    Args:
        array: what is asked of Slurm.
        grid: name of the grid.
        drain: words of ``bench.py`` for a drainer.
        report: words of ``bench.py`` for the report.
        folder: of the scripts and of what the jobs print.
    """
    most = "" if array.running is None else f"%{array.running}"
    printed = str(folder.absolute()).replace("%", "%%")
    shared = {
        "time": array.time,
        "partition": array.partition,
        "chdir": str(Path.cwd()),
        "open-mode": "append",
    }
    drainers: dict[str, str | None] = {
        "job-name": f"headbench-{grid}",
        "array": f"0-{array.tasks - 1}{most}",
        "ntasks": "1",
        "cpus-per-task": str(array.cpus),
        "gres": f"gpu:{array.gpus}" if array.gpus else None,
        "output": f"{printed}/drain-%A_%a.txt",
    }
    reporter: dict[str, str | None] = {
        "job-name": f"headbench-{grid}-report",
        "ntasks": "1",
        "output": f"{printed}/report-%j.txt",
    }
    stops = [
        "# Two minutes before its time is up, a task writes its checkpoint and is queued again, as after a preemption.",
        "#SBATCH --requeue",
        f"#SBATCH --signal=B:USR1@{LEAD}",
    ]
    about = f"# Trains the grid {grid}: each task takes cells that no other process has, until none is free."
    after = f"# Builds the report of the grid {grid} when all tasks of the array have ended."
    return {
        DRAIN: _script(about, [*_lines(drainers | shared), *stops, *_more(array.options)], drain),
        REPORT: _script(after, [*_lines(reporter | shared), *_more(array.options)], report),
    }


def _lines(options: dict[str, str | None]) -> list[str]:
    return [f"#SBATCH --{key}={shlex.quote(value)}" for key, value in options.items() if value is not None]


def _more(options: Sequence[str]) -> list[str]:
    """Return the lines of options that the user gave."""
    found = filter(None, map(OPTION.fullmatch, options))
    return [f"#SBATCH --{m['key']}" + ("" if m["value"] is None else f"={shlex.quote(m['value'])}") for m in found]


def _script(about: str, lines: list[str], words: Sequence[str]) -> str:
    """Return a script that ends as one command, so that the signals of a job reach it."""
    installed = str(Path(sysconfig.get_path("scripts"), "headbench"))
    program = [sys.executable, str(ROOT / "bench.py")] if in_checkout() else [installed]
    command = shlex.join([*program, words[0]])
    for word in words[1:]:
        command += f" \\\n    {word}" if word.startswith("--") else f" {shlex.quote(word)}"
    return "\n".join(["#!/bin/bash", about, *lines, "", f"exec {command}", ""])


def submit(folder: Path) -> tuple[str, str]:
    """Submit the scripts of a folder; return the numbers of the array and of the report's job.

    Raises:
        UserError: if Slurm does not take them, with its words.
    """
    array = _sbatch([str(folder / DRAIN)])
    try:
        return array, _sbatch([f"--dependency=afterany:{array}", str(folder / REPORT)])
    except UserError as error:
        raise UserError(f"array {array} is submitted, but not the job that builds its report: {error}") from None


def _sbatch(words: list[str]) -> str:
    status, printed = _called(["sbatch", "--parsable", *words])
    if status:
        raise UserError(f"sbatch: {printed.removeprefix('sbatch: ')}")
    return printed.partition(";")[0]


def requeue() -> None:
    """Queue the Slurm job of this process again, which has written its checkpoint, and say so; outside of a job do
    nothing.
    """
    job = slurm_job()
    if job:
        status, printed = _called(["scontrol", "requeue", job])
        # As soon as Slurm has heard, it ends the processes of this job, which scontrol is one of.
        heard = status in (0, -signal.SIGTERM)
        note(f"Slurm job {job} is queued again" if heard else f"Slurm job {job} is not queued again: {printed}")


def _called(words: list[str]) -> tuple[int, str]:
    """Return the exit status of a command of Slurm, and in one line what it printed."""
    try:
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    printed = ended.stderr if ended.returncode else ended.stdout
    return ended.returncode, " ".join(printed.split())
