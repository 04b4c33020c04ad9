"""A folder that keeps prototypes that took long to find."""

import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import numpy as np

from core.folders import DEFAULT, expanded, from_environment
from heads.codes import Array

Maker = Callable[[int, int, int], Array]
# Part of the file names: raised whenever a search finds other points than before.
VERSION = 4


def cache_folder() -> Path:
    """Return the folder of computed prototypes: ``$HEADBENCH_CACHE``, else ``~/.cache/headbench``, then ``prototypes``.

    Raises:
        UserError: if neither is there.
    """
    return (from_environment("HEADBENCH_CACHE") or expanded(DEFAULT)) / "prototypes"


def kept_on_disk(name: str) -> Callable[[Maker], Maker]:
    """Return a decorator that keeps what a search found in the cache folder, where a damaged file counts as none."""

    def decorate(search: Maker) -> Maker:
        @wraps(search)
        def kept(num_classes: int, dim: int, seed: int) -> Array:
            path = cache_folder() / f"{name}-{num_classes}x{dim}-seed{seed}-v{VERSION}.npy"
            points = _read(path, (num_classes, dim))
            if points is None:
                points = search(num_classes, dim, seed)
                _write(path, points)
            return points

        return kept

    return decorate


def _read(path: Path, shape: tuple[int, int]) -> Array | None:
    """Return the cached rows, or None where there are none or the file is damaged."""
    try:
        points = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = points.shape == shape and points.dtype == np.float64 and np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    return points if sound else None


def _write(path: Path, points: Array) -> None:
    """Write the cache file atomically; a folder that cannot be written only costs the computation next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            file = Path(folder) / path.name
            np.save(file, points)
            file.replace(path)
    except OSError:
        return
