"""The schedule of a grid's cells: what is finished is skipped, what fails is recorded, the rest goes on."""

import traceback
from functools import partial
from pathlib import Path

from results import store
from runners import cell
from runners.display import Display
from runners.hardware import Hardware
from runners.plan import Planned


def pending(plan: list[Planned], out: Path, *, retry_failed: bool) -> list[Planned]:
    """Return the applicable cells that have no result yet; those that failed before only if they are to be tried again."""

    def waits(planned: Planned) -> bool:
        folder = store.cell_folder(out, planned.cell_id)
        return store.read_result(folder) is None and (retry_failed or store.read_error(folder) is None)

    return [planned for planned in plan if planned.not_applicable is None and waits(planned)]


def run(cells: list[Planned], out: Path, hardware: Hardware, display: Display, *, keep_weights: bool) -> None:
    """Train the cells one after the other; an exception ends its cell with ``error.txt``, not the grid."""
    for planned in cells:
        folder = store.cell_folder(out, planned.cell_id)
        display.started(planned.cell)
        try:
            result = cell.run(planned, folder, hardware, partial(display.epoch, planned.cell), keep_weights=keep_weights)
        except Exception as error:
            store.write_text(folder / "error.txt", traceback.format_exc())
            display.failed(planned.cell, error)
        else:
            display.finished(planned.cell, result)
