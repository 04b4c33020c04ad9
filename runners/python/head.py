"""A head alone, for the reader's own training loop: :func:`headbench.head`."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import torch

from headbench.core.batch import DataInfo
from headbench.core.errors import UserError
from headbench.core.streams import derive, generator, seed_global, undisturbed
from headbench.heads import HEADS, Head
from headbench.runners.grid.asking import ask
from headbench.runners.python import given
from headbench.runners.python.surroundings import usual

# Of a head's images nothing is known here, and no head needs more than that there are some, also to validate.
IMAGE_SHAPE, VAL_SIZE = (3, 32, 32), 1


def head(name: str, info: DataInfo, feature_dim: int, seed: int, options: dict[str, Any]) -> Head:
    """Return a registered head on the CPU, with the same initial numbers as in a cell of that seed.

    Raises:
        UserError: for an unknown name or option, or where the head does not apply.
    """
    feature_dim, seed = _whole("feature_dim", feature_dim, 1), _whole("seed", seed, 0)
    if not isinstance(name, str):
        raise UserError(f"head: {given.said(name)} is no name of a head")
    entry = HEADS[name]
    resolved = entry.resolve(given.plain(options), f"head '{name}'")
    reason = ask(name, entry.target, "supports", info, feature_dim, resolved)
    if reason is not None:
        raise UserError(f"head '{name}' does not apply to C = {info.num_classes} and d = {feature_dim}: {reason}")
    with usual("head"), undisturbed():
        seed_global(derive(seed, "head"))
        return entry.target(info, feature_dim, **resolved)


def info(
    num_classes: int, class_counts: Sequence[int] | None, class_names: Sequence[str] | None, seed: int
) -> DataInfo:
    """Return what a head may know of the data: by default one image of each class, and numbers for names.

    Raises:
        UserError: for fewer than two classes, or as many counts or names as there are not classes.
    """
    num_classes, seed = _whole("num_classes", num_classes, 2), _whole("seed", seed, 0)
    if isinstance(class_names, Set | Mapping):
        raise UserError("head: class_names are a list, in the order of the classes, and not a set or mapping")
    counted = given.by_class("head: class_counts", class_counts)
    try:
        with usual("head"):
            counts = torch.ones(num_classes, dtype=torch.int64) if counted is None else torch.as_tensor(counted)
        names = tuple(map(str, range(num_classes) if class_names is None else class_names))
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"head: class_counts are {num_classes} whole numbers, class_names as many texts") from None
    if counts.shape != (num_classes,) or counts.is_floating_point() or counts.min() < 1:
        raise UserError(f"head: class_counts are {num_classes} whole numbers of at least 1, not {counts.tolist()}")
    if len(names) != num_classes:
        raise UserError(f"head: there are {len(names)} class_names of {num_classes} classes")
    stream = generator(seed, "head generator")
    return DataInfo(num_classes, counts.long(), names, int(counts.sum()), IMAGE_SHAPE, stream, VAL_SIZE)


def _whole(name: str, value: Any, least: int) -> int:
    """Return a whole number, of Python or numpy.

    Raises:
        UserError: if it is none, or below the least.
    """
    number = given.plain(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise UserError(f"head: {name} is {given.said(number)}, no whole number")
    if number < least:
        raise UserError(f"head: {name} is {number}; at least {least} {'is' if least == 1 else 'are'} needed")
    return number
