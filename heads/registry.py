"""The registry of heads and its decorator."""

from collections.abc import Callable
from typing import Any

from headbench.core.registry import Registry
from headbench.heads.base import Head

# Of the entry points by which other installed packages add their heads.
GROUP = "headbench.heads"
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
) -> Callable[[Any], Any]:
    """Return a class decorator that registers a head.

    Args:
        name: as written in a grid file.
        version: raised whenever the head's numbers change; part of every ``cell_id``.
        paper: authors, venue, year.
        source: what the code follows: equation, reference code, or our reading.
        deviations: known differences from the source.
        display: the name in figures and in tables for papers, where it is not that of a grid file.
        later: options that came when cells had been trained without them; at their default no part of a ``cell_id``.
    """
    about = {"paper": paper, "source": source, "deviations": deviations} | ({"display": display} if display else {})
    return HEADS.register(name, version=version, later=later, **about)
