"""``bench.py prototypes``: certificates of prototypes, their file, and the table that comes with the harness."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from headbench.core.errors import UserError, note
from headbench.heads.geometry import methods as geometry
from headbench.heads.geometry.certificate import Certificate, certify, lower_bound, nearest_pairs
from headbench.heads.geometry.codes import Array
from headbench.heads.geometry.methods import METHODS
from headbench.results import store

__all__ = ["METHODS", "TITLES", "bound", "certified", "nearest", "rebuild_table", "row", "save"]

TITLES = ("method", "max cos", "mean max cos", "max |cos|", "U", "above bound")
# From this cosine on two prototypes are printed as one.
ONE = 0.999995
# Pairs whose cosine is within this of the largest are the nearest ones.
NEAR = 1e-3


def certified(methods: list[str], num_classes: int, dim: int, seed: int) -> Iterator[tuple[str, Array, Certificate]]:
    """Yield each method's prototypes (C, d) and their certificate.

    Note on stderr which of several methods do not apply, and which prototypes coincide.

    Raises:
        UserError: for fewer than two classes, no dimension, or a single method that is unknown or does not apply.
    """
    if num_classes < 2 or dim < 1:
        raise UserError(
            f"prototypes: {num_classes} classes in {dim} dimensions; at least 2 classes and 1 dimension are needed"
        )
    for method in methods:
        reason = geometry.unsupported(method, num_classes, dim)
        if reason and len(methods) > 1:
            note(reason)
            continue
        points = geometry.make(method, num_classes, dim, seed).numpy()
        found = certify(points)
        if found.max_cosine > ONE:
            pairs = ", ".join(f"{first} and {second}" for first, second in nearest_pairs(points, ONE)[:3])
            note(f"{method}: prototypes coincide ({pairs}), so that no head can tell these classes apart")
        yield method, points, found


def nearest(points: Array, found: Certificate) -> list[tuple[int, int]]:
    """Return the numbers of the nearest prototypes, pair by pair."""
    return nearest_pairs(points, found.max_cosine - NEAR)


def row(method: str, found: Certificate) -> list[str]:
    """Return a certificate as the printed cells under :data:`TITLES`."""
    numbers = (found.max_cosine, found.mean_max_cosine, found.max_abs_cosine, found.uniformity, found.gap)
    return [method, *(f"{value:.5f}".replace("-0.00000", "0.00000") for value in numbers)]


def bound(num_classes: int, dim: int) -> str:
    """Return the line below the table: the lower bound that the last column is above, and what U is."""
    cosine, name = lower_bound(num_classes, dim)
    return f"lower bound of the largest cosine: {cosine:.5f} ({name}); U: uniformity, log mean exp(-2 |p_i - p_j|^2)"


def save(file: Path, method: str, seed: int, points: Array, found: Certificate) -> None:
    """Write prototypes (C, d) to a ``.npz`` file under ``prototypes``; beside it ``method``, ``seed`` and every field
    of the certificate.
    """
    kept = {"prototypes": points, "method": method, "seed": seed} | asdict(found)
    store.write_arrays(file, {name: np.asarray(value) for name, value in kept.items()})


def rebuild_table(file: Path = geometry.TABLE) -> Iterator[tuple[tuple[int, int], float]]:
    """Search the prototypes of the shipped table again, a few minutes.

    Yield C and d with the largest cosine of each, then write the file.
    """
    found = {}
    for num_classes, dim in geometry.TABLE_SIZES:
        points = geometry.search(num_classes, dim, 0)
        found[f"{num_classes}x{dim}"] = points
        yield (num_classes, dim), certify(points).max_cosine
    np.savez_compressed(file, **found)  # type: ignore[arg-type]
