"""What can be named in a grid file, as ``bench.py list`` prints it."""

import importlib
import inspect
import re
from typing import Any

from headbench.core.registry import Entry, Registry

# Where each kind is registered; a kind is imported when it is asked for.
REGISTRIES = {
    "heads": ("headbench.heads", "HEADS"),
    "backbones": ("headbench.backbones", "BACKBONES"),
    "datasets": ("headbench.data", "DATASETS"),
}


def registry(what: str) -> Registry[Any]:
    """Return the registry of one kind, ``heads``, ``backbones`` or ``datasets``."""
    module, name = REGISTRIES[what]
    found: Registry[Any] = getattr(importlib.import_module(module), name)
    return found


def lines(what: str) -> list[tuple[str, str]]:
    """Return each name of one kind and what is known of it.

    Args:
        what: ``heads``, ``backbones``, ``datasets``, ``recipes`` or ``grids``.
    """
    if what not in REGISTRIES:
        from headbench.runners.grid import config, recipes

        return [(name, "") for name in (config.grid_names() if what == "grids" else recipes.names())]
    found, kind = [], registry(what)
    for name in kind.names():
        entry = kind.get(name)
        known = [
            f"version: {entry.version}",
            *(f"{key}: {text}" for key, text in entry.about.items()),
            *_options(entry),
        ]
        found.append((name, "\n".join(f"  {line}" for line in known)))
    return found


def _options(entry: Entry[Any]) -> list[str]:
    """Return an option per line: its name, its default, and what the docstring says of it."""
    described = dict(re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", inspect.getdoc(entry.target) or "", re.MULTILINE))
    fields = entry.options_model.model_fields.items()
    return [
        f"option {name}{'' if field.is_required() else f' = {field.default}'}: "
        f"{' '.join(described.get(name, '').split())}"
        for name, field in fields
    ]
