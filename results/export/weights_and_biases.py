"""Runs for Weights & Biases, in its offline mode: nothing is sent anywhere, and ``wandb sync`` does it later."""

import os
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from headbench.results.export.runs import Run


def write(runs: list[Run], folder: Path, grid: str) -> str:
    """Write an offline run per cell, unless it is there; return what sends them."""
    import wandb

    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    # Nothing of the machine and the code of whoever exports is told.
    settings = wandb.Settings(
        mode="offline",
        console="off",
        disable_code=True,
        disable_git=True,
        host="headbench",
        quiet=True,
        silent=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    for run in runs:
        if not [*folder.glob(f"wandb/offline-run-*-{run.cell_id}")]:
            _write(run, folder, grid, settings)
    return f"wandb sync {shlex.quote(str(folder / 'wandb'))}{os.sep}offline-run-*"


def _write(run: Run, folder: Path, grid: str, settings: object) -> None:
    """Write one run beside the folder, and move it there when it is whole."""
    import wandb

    with TemporaryDirectory(dir=folder, prefix=".") as beside:
        begun = wandb.init(
            project=grid, id=run.cell_id, name=run.name, dir=beside, config=run.parameters, settings=settings
        )
        for epoch, _, numbers in run.epochs():
            begun.log({f"epoch/{name}": number for name, number in numbers.items()}, step=epoch)
        for part, own in run.metrics.items():
            begun.summary.update({f"{part}/{name}": number for name, number in own.items()})
        begun.finish()
        (whole,) = Path(beside).glob("wandb/offline-run-*")
        whole.rename(folder / "wandb" / whole.name)
