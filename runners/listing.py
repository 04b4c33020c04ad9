"""What can be named in a grid file, as ``bench.py list`` prints it."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from backbones import BACKBONES
from core.registry import Entry, Registry
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
        known = [f"version: {entry.version}", *(f"{key}: {text}" for key, text in entry.about.items()), *_options(entry)]
        found.append((name, "\n".join(f"  {line}" for line in known)))
    return found


def _options(entry: Entry[Any]) -> list[str]:
    """Return an option per line: its name, its default, and what the docstring says of it."""
    described = dict(re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", inspect.getdoc(entry.target) or "", re.MULTILINE))
    fields = entry.options_model.model_fields.items()
    return [f"option {name}{'' if field.is_required() else f' = {field.default}'}: {' '.join(described.get(name, '').split())}" for name, field in fields]
