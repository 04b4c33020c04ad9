"""Cells that no grid can list beside each other, since its tables would count them as seeds of one head."""

from collections.abc import Iterable, Mapping
from typing import Any

from headbench.results import columns

# Cells that agree in these are rows of one head, and in all of them one training of it.
HEAD = (*columns.COMPARISON, "data_fingerprint", "head_label")
TRAINING = ("feature_dim", "seed")


def head_of(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what cells have in common that tables take for one head."""
    return tuple(cell[name] for name in HEAD)


def clash(listed: Iterable[dict[str, Any]], cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the first listed cell that another one cannot stand beside, or None: of the same head another training
    of its dimension and seed, or one that was imported where the other was trained.
    """
    for other in listed:
        again = other["cell_id"] != cell["cell_id"] and all(other[name] == cell[name] for name in TRAINING)
        if (again or ("imported" in other) != ("imported" in cell)) and head_of(other) == head_of(cell):
            return other
    return None
