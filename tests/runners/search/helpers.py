"""What the tests of a search share: a small grid, and cells that are trained by a formula."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from headbench.core.errors import PrunedError
from headbench.results import store
from headbench.results.tuning import searches
from headbench.runners.execution.options import RunOptions
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Events
from headbench.runners.search import search
from headbench.runners.search.search import Searched, TuneOptions
from tests.runners.helpers import QUICK, grid

EPOCHS = 8
# Of what two runs of one search may differ in.
TIMES = ["seconds"]


def options(out: Path, trials: int, contents: dict[str, Any] | None = None, **changes: Any) -> TuneOptions:
    """A search over two heads, one of them with options of its own."""
    recipe = QUICK | {"epochs": EPOCHS}
    contents = contents or grid(axes={"head": ["psc", "ldam"]}, recipe=recipe)
    return TuneOptions(
        RunOptions(contents, out=out, data=Path(), device="cpu", threads=1, workers=1), trials, **changes
    )


def run(out: Path, trials: int, contents: dict[str, Any] | None = None, **changes: Any) -> Searched:
    """Search."""
    return search.run(options(out, trials, contents, **changes), Console(quiet=True))


def trials(out: Path, storage: str | None = None, name: str = "tiny") -> pd.DataFrame:
    """All trials of a search that has ended or was stopped."""
    return searches.trials(searches.studies(out, name, storage))


def accuracy(planned: Planned, epoch: int) -> float:
    """What a cell is after an epoch by the formula: best at a rate of 0.1, and rising."""
    part: float = epoch / planned.facts["epochs"]
    return max(0.0, 0.9 - abs(planned.cell.recipe.lr - 0.1)) * part


class Formula:
    """An executor that takes a cell's numbers from a formula, with its files as the real one writes them.

    Attributes:
        out: folder of the runs.
        before: called before each epoch of a cell, which it may fail or stop by an exception.
        trained: the epochs of cells that were made.
        marks: of the health of every cell.
    """

    def __init__(self, out: Path, before: Callable[[Planned, int], None] = lambda planned, epoch: None) -> None:
        self.out, self.before = out, before
        self.trained: list[tuple[str, int]] = []
        self.marks: list[str] = []

    def run(self, cells: list[Planned], events: Events) -> None:
        """Train the cells."""
        for planned in cells:
            events.started(planned)
            try:
                self._train(planned, events)
            except PrunedError as error:
                events.pruned(planned, str(error))
            except ValueError as error:
                events.failed(planned, f"ValueError: {error}")

    def _train(self, planned: Planned, events: Events) -> None:
        path = store.cell_folder(self.out, planned.cell_id) / "history.csv"
        rows: list[dict[str, Any]] = pd.read_csv(path).to_dict("records") if path.is_file() else []  # type: ignore[assignment]
        for epoch in range(len(rows) + 1, planned.facts["epochs"] + 1):
            self.before(planned, epoch)
            self.trained.append((planned.cell_id, epoch))
            row = {"epoch": epoch, "val_top1": accuracy(planned, epoch), "val_nll": 1 - accuracy(planned, epoch)}
            rows.append(row | {"train_loss": 1.0, "images": 10, "seconds": 1.0})
            store.write_text(path, pd.DataFrame(rows).to_csv(index=False))
            events.epoch(planned, rows[-1])
        last = {"val_top1": rows[-1]["val_top1"], "val_nll": rows[-1]["val_nll"], "val_ece": 0.1}
        told = {"selections": {"last": last}, "health": {"marks": self.marks}}
        events.finished(planned, told | {"train_seconds": 1.0, "images_per_second": 1.0})
