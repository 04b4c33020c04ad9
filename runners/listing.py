"""What can be named in a grid file, as ``bench.py list`` prints it."""

from collections.abc import Callable
from typing import Any

from backbones import BACKBONES
from core.registry import Registry
from data import DATASETS
from heads import HEADS
from runners import config, recipes

REGISTRIES: dict[str, Registry[Any]] = {"heads": HEADS, "backbones": BACKBONES, "datasets": DATASETS}
NAMES: dict[str, Callable[[], list[str]]] = {"recipes": recipes.names, "grids": config.grid_names}


def lines(what: str) -> list[tuple[str, str]]:
    """Return each name of one kind (``heads``, ``backbones``, ``datasets``, ``recipes``, ``grids``), and what is known of it."""
    if what in NAMES:
        return [(name, "") for name in NAMES[what]()]
    found = []
    for name in REGISTRIES[what].names():
        entry = REGISTRIES[what].get(name)
        known = [f"version: {entry.version}", *(f"{key}: {text}" for key, text in entry.about.items())]
        found.append((name, "\n".join(f"  {line}" for line in known)))
    return found
