"""What a cell is in full: each name, option, file and value of its axes, resolved and checked."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from headbench.backbones import BACKBONES
from headbench.core.errors import at
from headbench.core.folders import stamp
from headbench.core.registry import Entry
from headbench.core.validation import fitting
from headbench.data import DATASETS
from headbench.data.cache import sha256
from headbench.heads import HEADS
from headbench.runners.grid import recipes
from headbench.runners.grid.asking import ask
from headbench.runners.grid.cells import CHOICES, PLAIN, Cell
from headbench.runners.grid.choices import Choice, label


class Resolver:
    """Makes cells; names, options and values are checked once for all cells that differ in their seed only.

    Args:
        alike: fields that every cell has alike.
        seeds: of the grid, which are checked.
        place: of the grid, for messages.
    """

    def __init__(self, alike: dict[str, Any], seeds: frozenset[int], place: str) -> None:
        self.alike, self.seeds, self.place = alike, seeds, place
        self.choices: dict[tuple[str, ...], dict[str, Any]] = {}
        self.checked: dict[tuple[Any, ...], Cell] = {}

    def cell(self, raw: dict[str, Any]) -> Cell:
        """Return the cell of some values of the axes.

        Raises:
            UserError: for an unknown name or option, a value that none can have, or a file that cannot be had.
        """
        choices = tuple(f"{raw[axis].name} {raw[axis].options}" for axis in CHOICES)
        kind = (*choices, *(repr(raw[axis]) for axis in PLAIN if axis != "seed"))
        known = self.checked.get(kind)
        if known is not None and type(raw["seed"]) is int and raw["seed"] in self.seeds:
            return known.with_seed(raw["seed"])
        if choices not in self.choices:
            self.choices[choices] = self.alike | _resolved(raw, self.place)
        with fitting(Cell, self.place):
            cell = Cell(**self.choices[choices], **{axis: raw[axis] for axis in PLAIN})
        self.checked.setdefault(kind, cell)
        return cell


def _resolved(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the fields of a cell that follow from its data set, backbone, recipe and head."""
    chosen: Choice = raw["recipe"]
    with chosen.placed():
        recipe_name, budget = recipes.budgeted(chosen.name, place)
        recipe = recipes.load(recipe_name, budget | chosen.options, place)
        unchanged = recipes.load(recipe_name, {}, place)
    registries = {"dataset": DATASETS, "backbone": BACKBONES, "head": HEADS}
    dataset, backbone, head = (raw[field].entry(registry, place) for field, registry in registries.items())
    backbone_place = f"{place}, backbone '{backbone.name}'"
    backbone_options, backbone_label = raw["backbone"].resolve(backbone, backbone_place)
    head_place = f"{place}, head '{head.name}'"
    loss = ask(head.name, head.target, "loss_name", raw["head"].resolve(head, head_place)[0])
    given = (
        {"loss_scale": recipe.loss_scale[loss]}
        if loss in recipe.loss_scale and "loss_scale" in head.options_model.model_fields
        else {}
    )
    head_options, head_label = raw["head"].resolve(head, head_place, given, named=head.target.named)
    fields = _chosen("dataset", dataset, raw["dataset"].resolve(dataset, f"{place}, data set '{dataset.name}'"))
    fields |= _chosen("backbone", backbone, (backbone_options, backbone_label))
    fields |= _chosen("head", head, (head_options, head_label))
    return fields | {
        "backbone_files": _hashed(partial(backbone.target.files, backbone_options), backbone_place),
        "head_files": _hashed(partial(ask, head.name, head.target, "files", head_options), head_place),
        "recipe": recipe,
        "recipe_name": recipe_name,
        "recipe_label": label(recipe_name, recipe.model_dump(mode="json"), unchanged.model_dump(mode="json")),
    }


def _chosen(choice: str, entry: Entry[Any], resolved: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """Return the fields of a cell that a choice has: name, version, options and label."""
    options, named = resolved
    return {
        choice: entry.name,
        f"{choice}_version": entry.version,
        f"{choice}_options": options,
        f"{choice}_label": named,
    }


def _hashed(files: Callable[[], Mapping[str, Path]], place: str) -> dict[str, str]:
    """Return SHA-256 of the files that a plug-in's options name, by option.

    Raises:
        UserError: if one cannot be had.
    """
    with at(place):
        return {option: sha256_of(path) for option, path in files().items()}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read again where the file has changed."""
    return _sha256(path, *stamp(path))


@cache
def _sha256(path: Path, *_: int) -> str:
    return sha256(path)
