"""A user's own prototypes, from a file that may be of somebody else."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from headbench.core import arrays
from headbench.core.errors import UserError, reason
from headbench.heads.geometry.codes import Array

FORMATS = (".npy", ".npz", ".pt")
# Of the array of a file with several.
NAME = "prototypes"


def shape(path: Path) -> tuple[int, int]:
    """Return C and d of a user's prototypes; of a ``.npy`` or ``.npz`` file only the header is read.

    Raises:
        UserError: if it cannot be read, or is no matrix.
    """
    if path.suffix == ".pt":
        found: tuple[int, ...] = read(path).shape
    else:
        try:
            found, kind = _only(arrays.headers(path))
            _check_numbers(kind)
        except ValueError as error:
            raise _unreadable(path, error) from None
    return _matrix(path, found)


def read(path: Path) -> Array:
    """Return a user's prototypes as unit rows (C, d) float64.

    A ``.npy`` array (C, d); a ``.npz`` file with one array (C, d), or with one of several named ``prototypes``; a
    ``.pt`` tensor (C, d), also one of a mapping named ``prototypes``, or a mapping whose one tensor of another name is
    (d, C), as the DL2PA authors publish.

    Raises:
        UserError: if it cannot be read, is no matrix of finite numbers, or has a row of zeros.
    """
    try:
        found = np.array(_contents(path))
        _check_numbers(found.dtype)
    except Exception as error:  # torch raises whatever a foreign pickle leads to
        raise _unreadable(path, error) from None
    with np.errstate(over="ignore"):
        points = found.astype(np.float64)
    _matrix(path, points.shape)
    if not np.isfinite(points).all():
        raise UserError(f"{path}: prototypes are a matrix of finite numbers")
    largest = np.abs(points).max(axis=1, keepdims=True)
    if not largest.all():
        raise UserError(f"{path}: prototype {int(np.flatnonzero(largest == 0)[0])} is a row of zeros")
    # By a power of two, which changes no digit, so that no square overflows or vanishes.
    scaled: Array = np.ldexp(points, -np.frexp(largest)[1])
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled


def _matrix(path: Path, found: tuple[int, ...]) -> tuple[int, int]:
    if len(found) != 2 or 0 in found:
        raise UserError(f"{path}: prototypes are a matrix of finite numbers, not of shape {found}")
    return found[0], found[1]


def _check_numbers(kind: np.dtype) -> None:
    if kind.kind not in "fiu":
        raise ValueError(f"numbers of type {kind}")


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a {path.suffix} file of one matrix of prototypes ({reason(error, 100)})")


def _contents(path: Path) -> Any:
    if path.suffix == ".npy":
        return arrays.read_npy(path)
    if path.suffix == ".npz":
        return _only(arrays.read_npz(path))
    arrays.check_archive(path)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    tensor = loaded if torch.is_tensor(loaded) else _only(loaded) if NAME in loaded else _only(loaded).T
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"numbers of type {tensor.dtype}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)}, but {tensor.untyped_storage().nbytes()} bytes")
    return tensor.detach().double().numpy()


def _only(mapping: Any) -> Any:
    if NAME in mapping:
        return mapping[NAME]
    if len(mapping) != 1:
        raise ValueError(f"{len(mapping)} arrays, none of them '{NAME}'")
    (value,) = mapping.values()
    return value
