"""What is measured of a cell on another data set: ``ood-<key>.json`` in its folder.

It is a file of its own, since a grid may ask for another data set when the cell is long finished.
"""

from pathlib import Path
from typing import Any

from headbench.core.errors import DamagedError
from headbench.results import schema, store


class Measured(schema._Checked):
    """The content of such a file: metrics of :mod:`headbench.results.numbers.ood`, of the selection ``last``."""

    dataset: schema.Text
    images: schema.Positive
    metrics: dict[str, schema.Score]


def name_of(key: str) -> str:
    """Return the name of the file for a data set's key."""
    return f"ood-{key}.json"


def write(folder: Path, key: str, measured: dict[str, Any]) -> None:
    """Write what was measured of a cell on another data set, see :class:`Measured`.

    Args:
        folder: of the cell.
        key: of the other data set.
        measured: the content.
    """
    store.write_checked(folder / name_of(key), measured)


def read(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the content of such a file, see :class:`Measured`, or None where there is none.

    Raises:
        DamagedError: if it is not what was written.
    """
    path = folder / name_of(key)
    if not path.is_file():
        return None
    content = store.read_checked(path)
    store.check(path, Measured, content)
    return content


def paths(folder: Path) -> list[Path]:
    """Return such files of a cell, sorted."""
    return sorted(folder.glob(name_of("*")))


def key_of(path: Path) -> str:
    """Return the key of such a file."""
    return path.stem.removeprefix("ood-")


def has(folder: Path, key: str) -> bool:
    """Say whether a cell has such a file that can be used."""
    try:
        return read(folder, key) is not None
    except DamagedError:
        return False
