"""The registry of heads and its decorator."""

import inspect
import multiprocessing
from collections.abc import Callable, Iterator
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any, TypeVar

from headbench.core.errors import near, note
from headbench.core.registry import Registry
from headbench.heads.base import Head

# Of the entry points by which other installed packages add their heads.
GROUP = "headbench.heads"
# Where what stands for a function in a class keeps it.
WRAPPED = {property: "fget", cached_property: "func", classmethod: "__func__", staticmethod: "__func__"}
H = TypeVar("H", bound=type[Head])
HEADS: Registry[type[Head]] = Registry("head", "headbench.heads", GROUP)


def register(
    name: str,
    *,
    version: int,
    paper: str,
    source: str,
    deviations: str = "none known",
    display: str = "",
    later: tuple[str, ...] = (),
) -> Callable[[H], H]:
    """Return a class decorator that registers a head.

    Args:
        name: as written in a grid file.
        version: raised whenever the head's numbers change; part of every ``cell_id``.
        paper: authors, venue, year.
        source: what the code follows: equation, reference code, or our reading.
        deviations: known differences from the source.
        display: the name in figures and in tables for papers, where it is not that of a grid file.
        later: options that came when cells had been trained without them; at their default no part of a ``cell_id``.

    Raises:
        TypeError: by the decorator, for a class that is no head.
    """
    about = {"paper": paper, "source": source, "deviations": deviations} | ({"display": display} if display else {})

    def decorate(target: H) -> H:
        if wrong := _wrong(target):
            raise TypeError(f"head '{name}': {target.__name__} {wrong}")
        HEADS.register(name, version=version, later=later, **about)(target)
        if multiprocessing.parent_process() is None:  # which has said so
            for method, meant in _misspelt(target):
                note(f"head '{name}': nothing in it calls its method '{method}'; did you mean '{meant}'?")
        return target

    return decorate


def _wrong(target: type[Head]) -> str:
    """Return what a class lacks to be a head, nothing where it is one."""
    if not (isinstance(target, type) and issubclass(target, Head)):
        return "is no class below headbench.heads.Head"
    for method in ("supports", "files", "loss_name", "stages", "search_space"):
        if not isinstance(inspect.getattr_static(target, method), classmethod | staticmethod):
            return f"has a method '{method}' without @classmethod: it is asked of the class, before a head is built"
    missing = [method for method in ("logits", "loss") if getattr(target, method) is getattr(Head, method)]
    if missing:
        return f"has no method {missing[0]}"
    taken = list(inspect.signature(target).parameters.values())
    if sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in taken) != 2:
        return "does not take (info, feature_dim, *, options...): its options stand behind the *"
    untyped = [one.name for one in taken if one.kind is one.KEYWORD_ONLY and one.annotation is one.empty]
    return f"has an option without a type, '{untyped[0]}'" if untyped else ""


def _misspelt(target: type[Head]) -> Iterator[tuple[str, str]]:
    """Yield the methods of a class that are called nearly as those of a head are, and that it does not call itself."""
    classes = target.__mro__[: target.__mro__.index(Head)]
    called = {name for cls in classes for code in _functions(cls).values() for name in _named(code.__code__)}
    hooks = [name for name in _functions(Head) if not name.startswith("_")]
    for name in _functions(target).keys() - called:
        if not hasattr(Head, name) and not name.startswith("_"):
            meant = near(name, hooks, cutoff=0.6 if name.startswith("on_") else 0.8)
            if meant is not None:
                yield name, meant


def _functions(cls: type) -> dict[str, FunctionType]:
    """Return what a class itself defines by name: its methods, those of the class, and its properties."""
    found = {}
    for name, value in vars(cls).items():
        inner: Any = getattr(value, WRAPPED.get(type(value), ""), value)
        if isinstance(inner, FunctionType):
            found[name] = inspect.unwrap(inner)
    return found


def _named(code: CodeType) -> Iterator[str]:
    """Yield the names in a function, and in those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant)
