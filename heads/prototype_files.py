"""A user's own prototypes, from a file."""

import pickle
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from core.errors import UserError
from heads.codes import Array

FORMATS = (".npy", ".npz", ".pt")
# What numpy, zipfile and torch raise for files that are not what their names say.
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, EOFError, RuntimeError, BadZipFile, zlib.error, pickle.UnpicklingError)


def read(path: Path) -> Array:
    """Return a user's prototypes as unit rows (C, d) float64.

    A ``.npy`` array or ``.npz`` file with one array (C, d); a ``.pt`` tensor (C, d), or a mapping whose one tensor is (d, C), as the DL2PA authors publish.

    Raises:
        UserError: if it cannot be read, is no matrix of finite numbers, or has a row of zeros.
    """
    try:
        points = np.array(_contents(path))
        if points.dtype.kind not in "fiu":
            raise ValueError(f"numbers of type {points.dtype}")
    except _UNREADABLE as error:
        raise UserError(f"{path}: not a {path.suffix} file of one matrix of prototypes ({' '.join(str(error).split())[:100]})") from None
    points = points.astype(np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise UserError(f"{path}: prototypes are a matrix of finite numbers, not of shape {points.shape}")
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    if not lengths.all():
        raise UserError(f"{path}: prototype {int(np.flatnonzero(lengths == 0)[0])} is a row of zeros")
    points /= lengths
    return points


def _contents(path: Path) -> Any:
    if path.suffix == ".pt":
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        tensor = _only(loaded).T if isinstance(loaded, dict) else loaded
        return tensor.detach().double().numpy()
    loaded = np.load(path, allow_pickle=False)
    return _only(loaded) if path.suffix == ".npz" else loaded


def _only(mapping: Any) -> Any:
    (value,) = mapping.values()
    return value
