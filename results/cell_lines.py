"""The cells of ``grid.yaml`` as YAML, line by line: those of a large grid have few different lines."""

import re
import textwrap
from functools import lru_cache
from typing import Any

import yaml

# Of a line of YAML.
WIDTH = 160
# libyaml's, ten times as fast, where PyYAML was built with it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Before a cell, and between two entries of a cell, whose texts may go on in lines that are further in.
CELL, ENTRY = re.compile(r"^- ", re.MULTILINE), re.compile(r"\n  (?=\w+:)")


def dumped(cells: list[dict[str, Any]]) -> str:
    """Return a list of cells, each of plain values by name, as PyYAML dumps it."""
    lines = list[str]()
    for cell in cells:
        first, *others = (_dumped(key, value) for key, value in cell.items())
        lines += [f"- {first}", *(f"  {entry}" for entry in others)]
    return "".join(lines)


@lru_cache(maxsize=20_000, typed=True)
def _dumped(key: str, value: Any) -> str:
    """Return a key and its value as lines that are indented by 2 but for the first."""
    return textwrap.indent(yaml.safe_dump({key: value}, sort_keys=False, width=WIDTH - 2), "  ").removeprefix("  ")


def loaded(text: str) -> list[dict[str, Any]]:
    """Return the cells that were dumped.

    Raises:
        ValueError: if the text is not of this form; it may still be YAML.
    """
    before, *cells = CELL.split(text)
    if before:
        raise ValueError("no list of cells")
    return [dict(_loaded(entry) for entry in ENTRY.split(cell.removesuffix("\n"))) for cell in cells]


@lru_cache(maxsize=20_000)
def _loaded(entry: str) -> tuple[str, Any]:
    """Return the key and the value of an entry."""
    try:
        ((key, value),) = yaml.load(entry, LOADER).items()
    except (yaml.YAMLError, AttributeError, RecursionError) as error:
        raise ValueError("no entry of a cell") from error
    if not isinstance(key, str) or isinstance(value, dict | list):
        raise ValueError("no plain value by name")
    return key, value
