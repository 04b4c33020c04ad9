"""Attempts at a cell, counted in its folder, so that a cell that kills its process is known to all processes and fails
in the end.
"""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headbench.results import store
from headbench.runners.execution import owner
from headbench.runners.training.checkpoint import NAME as CHECKPOINT

NAME = "attempts.json"
# Attempts that may end without a word before a cell counts as failed, where another process saw the last of them end.
DEATHS = 2
# The same where nobody did: who kills a whole run, or cuts the machine's power, does not blame a cell.
UNSEEN = 5


class Attempts(BaseModel):
    """What is kept of a cell's attempts.

    Attributes:
        count: attempts begun since the last that finished a new epoch or wrote a checkpoint, without those that ended
            in order.
        epochs: that were finished before them.
        place: of the newest.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    count: Annotated[int, Field(ge=1, le=1000)]
    epochs: Annotated[int, Field(ge=0)]
    place: owner.Place


def deaths(folder: Path) -> int:
    """Return how many attempts at a cell have ended without a word, a new epoch or a checkpoint.

    To be asked while nobody else has the cell.

    An attempt whose machine was started again since then is not held against the cell.
    """
    before = _read(folder)
    if before is None or epochs(folder) > before.epochs or _has_gone_on(folder):
        return 0
    now = owner.here()
    return before.count - (before.place.host == now.host and before.place.boot != now.boot)


def begin(folder: Path) -> None:
    """Count an attempt, until :func:`end` says that it ended in order."""
    before = _read(folder)
    done = max(epochs(folder), before.epochs if before else 0)
    content = Attempts(count=deaths(folder) + 1, epochs=done, place=owner.here())
    store.write_text(folder / NAME, content.model_dump_json())


def end(folder: Path) -> None:
    """Forget the attempts at a cell: the last one was done, failed or was stopped, and nothing was wrong with its
    process.
    """
    with suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def _read(folder: Path) -> Attempts | None:
    try:
        return Attempts.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def _has_gone_on(folder: Path) -> bool:
    """Say whether a checkpoint was written since the newest attempt began."""
    try:
        return (folder / CHECKPOINT).stat().st_mtime_ns > (folder / NAME).stat().st_mtime_ns
    except OSError:
        return False


def epochs(folder: Path) -> int:
    """Return how many epochs the history of a cell has."""
    try:
        return max((folder / "history.csv").read_bytes().count(b"\n") - 1, 0)
    except OSError:
        return 0
