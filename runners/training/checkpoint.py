"""Checkpoints of a running cell: its newest state, kept in memory and written to disk every now and then."""

import hashlib
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headbench.core import arrays
from headbench.core.errors import note
from headbench.results import store
from headbench.runners.training.hardware import out_of_memory

FORMAT = 1
# Between two writes, so that cells of short epochs do not spend their time on the disk.
SECONDS = 30.0
NAME = "checkpoint.pt"


class Checkpoints:
    """The checkpoints of one cell. The file is a SHA-256 and what ``torch.save`` wrote, so that a damaged one is known.

    Args:
        folder: of the cell.
        cell_id: a checkpoint of another cell is not used.
        seconds: between two writes at the end of an epoch.
        within: seconds after a write until one in the middle of an epoch is due.
        check: called before each write, and raises an error where the cell is no longer this process's to write.
    """

    def __init__(
        self,
        folder: Path,
        cell_id: str,
        seconds: float = SECONDS,
        within: float = math.inf,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self.cell_id, self.check = folder / NAME, cell_id, check
        self.seconds, self.within = seconds, within
        self.newest: dict[str, Any] | None = None
        self.last_write = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that was written last, or None.

        A file that is damaged, or not of this cell, is set aside with a note.
        """
        if not self.path.is_file():
            return None
        content = self.path.read_bytes()
        state = _read(content[32:]) if hashlib.sha256(content[32:]).digest() == content[:32] else None
        if state is None or (state.get("format"), state.get("cell_id")) != (FORMAT, self.cell_id):
            self.set_aside()
            return None
        return state

    def set_aside(self) -> None:
        """Keep a file that cannot be used under another name, with a note."""
        aside = store.set_aside(self.path)
        note(
            f"{self.path} is damaged, or of another configuration, precision or source of the head; it is kept as "
            f"{aside.name}, and the cell starts again"
        )

    def offer(self, state: dict[str, Any]) -> None:
        """Keep a state, which nobody changes any more; write it if the last write is long enough ago."""
        self.newest = state | {"format": FORMAT, "cell_id": self.cell_id}
        if time.monotonic() - self.last_write >= self.seconds:
            self.write()

    def is_due(self) -> bool:
        """Say whether the state in the middle of an epoch is to be offered and written."""
        return time.monotonic() - self.last_write >= self.within

    def write(self) -> None:
        """Write the newest state, if there is one that is not on disk."""
        if self.newest is None:
            return
        self.check()
        content = saved(self.newest)
        store.write_bytes(self.path, hashlib.sha256(content).digest() + content)
        self.newest, self.last_write = None, time.monotonic()

    def remove(self) -> None:
        """Remove the file of a cell that is done."""
        self.newest = None
        self.path.unlink(missing_ok=True)


def saved(value: Any) -> bytes:
    """Return what ``torch.save`` writes of a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _read(content: bytes) -> dict[str, Any] | None:
    """Return what ``torch.save`` wrote, or None where it is something else."""
    try:
        arrays.check_archive(io.BytesIO(content))
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file leads to
        if out_of_memory(error):
            raise
        return None
    return state if isinstance(state, dict) else None


def same_structure(value: Any, like: Any) -> bool:
    """Say whether a value has the keys, lengths, shapes and types of another one."""
    if isinstance(like, Tensor):
        return isinstance(value, Tensor) and value.shape == like.shape and value.dtype == like.dtype
    if isinstance(like, dict):
        return (
            isinstance(value, dict)
            and value.keys() == like.keys()
            and all(same_structure(value[key], like[key]) for key in like)
        )
    if isinstance(like, list | tuple):
        return isinstance(value, list | tuple) and len(value) == len(like) and all(map(same_structure, value, like))
    return type(value) is type(like)
