"""What can be named in a grid file, as ``bench.py list`` prints it."""

import importlib
import inspect
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headbench.core import yaml_files
from headbench.core.errors import UserError, suggest
from headbench.core.registry import Entry, Registry

# Where each kind is registered; a kind is imported when it is asked for.
REGISTRIES = {
    "heads": ("headbench.heads", "HEADS"),
    "backbones": ("headbench.backbones", "BACKBONES"),
    "datasets": ("headbench.data", "DATASETS"),
}
# The kinds that are files, in folders of their names: nothing is imported for them.
FILES = Path(__file__).parents[1]
# Bounds of a number in a JSON schema, as they are printed.
BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


@dataclass(frozen=True)
class Option:
    """An option of a head, a backbone or a data set.

    Attributes:
        name: as a grid file writes it.
        type: in words, with its bounds.
        required: it has no default.
        default: as JSON has it, None where it is required.
        description: what the docstring says of it.
    """

    name: str
    type: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class Listed:
    """What is known of one name.

    Attributes:
        name: as a grid file writes it.
        description: a sentence or two.
        about: more of it, by field (``version``, ``paper``, ``source``, ``deviations``, ``search``).
        options: that a grid file may set.
    """

    name: str
    description: str
    about: dict[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()


class RecordingTrial:
    """A trial of a search that remembers in words what is asked of it, and suggests the least of everything.

    Attributes:
        words: by the name of what is searched.
    """

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        """Remember an interval."""
        self.words[name] = f"from {low:g} to {high:g}" + (f" by {step:g}" if step else "") + (" (log)" if log else "")
        return low

    suggest_int = suggest_float

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Remember choices."""
        self.words[name] = f"of {', '.join(map(str, choices))}"
        return choices[0]


def registry(what: str) -> Registry[Any]:
    """Return the registry of one kind, ``heads``, ``backbones`` or ``datasets``."""
    module, name = REGISTRIES[what]
    found: Registry[Any] = getattr(importlib.import_module(module), name)
    return found


def listed(what: str) -> list[Listed]:
    """Return what is known of every name of one kind.

    Args:
        what: ``heads``, ``backbones``, ``datasets``, ``recipes`` or ``grids``.
    """
    if what in REGISTRIES:
        kind = registry(what)
        return [_registered(kind[name]) for name in kind.names()]
    describe = _grid if what == "grids" else _recipe
    files = sorted((FILES / what).glob("*.yaml"), key=lambda path: path.stem)
    return [Listed(path.stem, describe(path)) for path in files]


def one(what: str, found: list[Listed], name: str) -> Listed:
    """Return what is known of one name, of a grid or a recipe with what its file says.

    Args:
        what: as for :func:`listed`.
        found: what is listed of the kind.
        name: that is looked for.

    Raises:
        UserError: if there is none; the message names the nearest.
    """
    by_name = {known.name: known for known in found}
    if name not in by_name:
        kind = what.removesuffix("s").replace("dataset", "data set")
        raise UserError(f"unknown {kind} '{name}'; {suggest(name, by_name)}")
    if what in REGISTRIES:
        return by_name[name]
    content = yaml_files.read(FILES / what / f"{name}.yaml", name)
    told = {key: value for key, value in content.items() if key not in ("name", "description")}
    return replace(by_name[name], about={key: json.dumps(value, ensure_ascii=False) for key, value in told.items()})


def _grid(path: Path) -> str:
    description: str = yaml_files.read(path, path.name).get("description", "")
    return description


def _recipe(path: Path) -> str:
    """Return the comment that a recipe's file begins with."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return " ".join(line.strip("# ") for line in comment)


def _registered(entry: Entry[Any]) -> Listed:
    # Its own, and not that of a class that it is derived from.
    docstring = inspect.cleandoc(entry.target.__doc__ or "")
    described = dict(re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", docstring, re.MULTILINE))
    properties = entry.options_model.model_json_schema()["properties"]
    options = (
        Option(
            name,
            _words(properties[name]),
            known.is_required(),
            entry.defaults.get(name),
            _plain(described.get(name, "")),
        )
        for name, known in entry.options_model.model_fields.items()
    )
    about = {"version": str(entry.version), **entry.about}
    if hasattr(entry.target, "search_space"):
        about |= {"search": _searched(entry)}
    return Listed(entry.name, _plain(docstring.partition("\n\n")[0]), about, tuple(options))


def _searched(entry: Entry[Any]) -> str:
    """Return what a head lets a search change, or why that cannot be told."""
    from headbench.runners.grid.asking import ask  # with torch, which lists of grids and recipes do without

    if entry.required:
        return f"by its options, of which {entry.required[0]} has no default"
    asked = RecordingTrial()
    try:
        ask(entry.name, entry.target, "search_space", asked, entry.defaults)
    except UserError as error:  # one head is no reason not to list the others
        return f"unknown, as {error}"
    return ", ".join(f"{name} {words}" for name, words in asked.words.items()) or "of the recipe alone"


def _plain(text: str) -> str:
    """Return a part of a docstring on one line."""
    return " ".join(text.split()).replace("``", "'")


def _words(schema: dict[str, Any]) -> str:
    """Return the type that a JSON schema describes: ``number > 0``, ``one of mean, reference``, ``integer or null``."""
    if "anyOf" in schema:
        return " or ".join(map(_words, schema["anyOf"]))
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return str(schema["const"])
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}, each {_words(schema['prefixItems'][0])}"
    kind = "path" if schema.get("format", "").endswith("path") else str(schema.get("type", "any"))
    bounds = (f"{sign} {schema[bound]:.4g}" for bound, sign in BOUNDS.items() if bound in schema)
    return " ".join([kind, ", ".join(bounds)]).strip()
