"""What a run is asked for, and the words of the command line that ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Between two checkpoints in the middle of an epoch, by default.
MINUTES = 10.0
# The most that makes sense of what is asked for a machine.
MOST = {"threads": 1024, "readers": 1024, "checkpoint_minutes": 100_000, "workers": 1024, "devices": 64}
# The words that an option of a run may have.
CHOICES = {"device": ("auto", "cpu", "cuda"), "precision": ("auto", "fp32", "bf16"), "compile": ("off", "on")}
# A plan keeps so many commands, the latest.
KEPT = 20


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked for, as the options of ``bench.py run``.

    Attributes:
        grid: a grid's name, a file, or the contents of one.
        changes: words of ``--set``.
        name: of the derived grid.
        where: words of ``--where``.
        cells: identities of the cells to train, or none for all of them.
        data: the data folder, or None for the default one.
        out: folder of the runs.
        workers: parallel processes, or None for the default.
        threads: of each worker, or None for the default.
        readers: processes that read image files for each worker, or None for as many as threads.
        devices: that each worker trains a cell on.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        compile: ``on`` or ``off``: whether backbones are compiled.
        plugins: files to import first.
        keep_weights: keep each cell's last weights.
        retry_failed: train cells again that failed before.
        checkpoint_minutes: between two checkpoints in the middle of an epoch.
        wait: stay until the cells of other processes have ended too.
        tuned: file of the values that a search has found for the grid.
    """

    grid: str | dict[str, Any]
    changes: Sequence[str] = ()
    name: str | None = None
    where: Sequence[str] = ()
    cells: Sequence[str] = ()
    data: Path | None = None
    out: Path = Path("runs")
    workers: int | None = None
    threads: int | None = None
    readers: int | None = None
    devices: int = 1
    device: str = "auto"
    precision: str = "auto"
    compile: str = "off"
    plugins: Sequence[Path] = ()
    keep_weights: bool = False
    retry_failed: bool = False
    checkpoint_minutes: float = MINUTES
    wait: bool = True
    tuned: Path | None = None


def words(options: RunOptions) -> list[str]:
    """Return the words that ask for the same cells, none where the grid was given as contents.

    How the work is shared, which of the cells one job trains, and where results go is no part of them.
    """
    if not isinstance(options.grid, str):
        return []
    asked = {
        "--grid": [options.grid],
        "--set": options.changes,
        "--name": [options.name],
        "--where": options.where,
        "--tuned": [options.tuned],
        "--data": [options.data],
        "--device": [options.device],
        "--devices": [options.devices if options.devices > 1 else None],
        "--precision": [options.precision],
        "--compile": [options.compile],
    }
    usual = (None, "auto", "off")
    said = {option: [str(value) for value in values if value not in usual] for option, values in asked.items()}
    plugins = [word for plugin in options.plugins for word in ("--plugin", str(plugin))]
    return [*(word for option, values in said.items() if values for word in (option, *values)), *plugins]


def commands(before: dict[str, Any], more: list[list[str]]) -> dict[str, list[list[str]]]:
    """Return what a plan says of its commands after an earlier one: each once, the latest last; nothing for none."""
    earlier = [command for command in before.get("commands", []) if command not in more]
    kept = [*earlier, *filter(None, more)]
    return {"commands": kept[-KEPT:]} if kept else {}
