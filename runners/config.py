"""Grids and cells: reading a grid file, expanding it into cells, and the identity of a cell."""

import hashlib
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from backbones import BACKBONES
from core.errors import UserError, one_line, suggest
from data import DATASETS
from heads import HEADS
from runners import recipes
from runners.recipes import Recipe, Strict

FOLDER = Path(__file__).parent / "grids"


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Choice(BaseModel):
    """A name with options: ``psc``, ``{name: hpn, loss_scale: 4}`` or, for a recipe, ``{base: fast, epochs: 12}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options as the user gave them."""
        return dict(self.model_extra or {})


def _based(value: Any) -> Any:
    if isinstance(value, dict) and "base" in value and "name" not in value:
        return {"name": value["base"]} | {key: field for key, field in value.items() if key != "base"}
    return _named(value)


Named = Annotated[Choice, BeforeValidator(_named)]
Based = Annotated[Choice, BeforeValidator(_based)]
Some = Field(min_length=1)
ImbalanceFactor = Annotated[float, Field(ge=1)]


class Axes(Strict):
    """The axes of a grid: their product is the list of cells."""

    dataset: Annotated[tuple[Named, ...], Some]
    head: Annotated[tuple[Named, ...], Some]
    feature_dim: Annotated[tuple[PositiveInt, ...], Some]
    backbone: Annotated[tuple[Named, ...], Some] = (Choice(name="fast_convnet"),)
    recipe: Annotated[tuple[Based, ...], Some] | None = None
    imbalance_factor: Annotated[tuple[ImbalanceFactor, ...], Some] = (1,)
    seed: Annotated[tuple[NonNegativeInt, ...], Some] = (0,)


class Override(Strict):
    """Cells whose fields equal ``where`` get the values of ``set``; options are dotted (``head.loss_scale``, ``recipe.lr``, ``backbone.model``)."""

    where: dict[str, Any]
    set: dict[str, Any]


class Grid(Strict):
    """A grid file.

    Attributes:
        name: of the grid and of its folder of results.
        description: one sentence.
        recipe: of every cell, unless ``axes.recipe`` lists several.
        projection: ``linear`` from the backbone to d, or ``none``.
        val_fraction: part of the training set held out for every choice, where the data set has no validation set of its own; 0 for no validation.
        split_seed: of that split.
        imbalance_profile: of class counts where ``axes.imbalance_factor`` is above 1: exponential, or a step after half of the classes.
        imbalance_seed: of the images that are drawn.
        axes: what is varied.
        overrides: exceptions.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
    description: str = ""
    recipe: Based = Choice(name="fast")
    projection: Literal["linear", "none"] = "linear"
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    split_seed: NonNegativeInt = 0
    imbalance_profile: Literal["exp", "step"] = "exp"
    imbalance_seed: NonNegativeInt = 0
    axes: Axes
    overrides: tuple[Override, ...] = ()


class Cell(Strict):
    """One training run, fully resolved. Labels name what differs from the defaults, so that variants are never averaged."""

    dataset: str
    dataset_version: int
    dataset_options: dict[str, Any]
    dataset_label: str
    imbalance_factor: ImbalanceFactor
    imbalance_profile: Literal["exp", "step"]
    imbalance_seed: int
    backbone: str
    backbone_version: int
    backbone_options: dict[str, Any]
    backbone_label: str
    projection: Literal["linear", "none"]
    feature_dim: PositiveInt
    head: str
    head_version: int
    head_options: dict[str, Any]
    head_files: dict[str, str]
    head_label: str
    recipe: Recipe
    recipe_label: str
    val_fraction: float
    split_seed: int
    seed: int
    precision: Literal["auto", "fp32", "bf16"]

    def cell_id(self, data: str) -> str:
        """Return 16 hexadecimal digits of SHA-256 over the scientific fields and the identity of the data; labels and the data's path do not count."""
        fields = self.model_dump(mode="json", exclude={"dataset_label", "backbone_label", "head_label", "recipe_label"})
        fields["dataset_options"].pop("path", None)
        fields["head_options"] |= fields["head_files"]
        return digest(fields | {"recipe": self.recipe.identity(), "data": data})


def digest(value: Any, length: int = 16) -> str:
    """Return the first digits of SHA-256 of a value's canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


@cache
def _contents(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def label(name: str, options: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Return the name with the options that differ from the defaults: ``hpn(loss_scale=4.0)``."""
    differing = [f"{key}={_short(value)}" for key, value in sorted(options.items()) if value != defaults.get(key)]
    return f"{name}({', '.join(differing)})" if differing else name


def _short(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def grid_names() -> list[str]:
    """Return the names of the grids that come with the harness."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_grid(name_or_file: str) -> tuple[dict[str, Any], str]:
    """Return a grid file's contents, not yet validated, and its place for messages.

    Raises:
        UserError: if there is no such grid or file, or it is no YAML mapping.
    """
    path = Path(name_or_file)
    if name_or_file in grid_names():
        path = FOLDER / f"{name_or_file}.yaml"
    elif path.suffix not in {".yaml", ".yml"}:
        raise UserError(f"unknown grid '{name_or_file}'; {suggest(name_or_file, grid_names())} (or a .yaml file)")
    elif not path.is_file():
        raise UserError(f"there is no grid file {path}")
    try:
        contents = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(contents, dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return contents, f"grid {path.name}"


def parse_grid(contents: dict[str, Any], place: str) -> Grid:
    """Validate a grid file's contents.

    Raises:
        UserError: naming the wrong key or value.
    """
    try:
        return Grid.model_validate(contents)
    except ValidationError as error:
        raise UserError(one_line(error, Grid, place)) from None


def expand(grid: Grid, precision: str) -> list[Cell]:
    """Return the cells of a grid: the product of its axes, then its overrides; every name and option is resolved.

    Seeds vary slowest, so that a whole table with one seed stands before the next seed begins.

    Raises:
        UserError: for an unknown name, option or field, or two equal cells.
    """
    place = f"grid '{grid.name}'"
    chosen = grid.axes.recipe or (grid.recipe,)
    cells = []
    axes = grid.axes
    for dataset, imbalance, backbone, recipe, seed, dim, head in itertools.product(
        axes.dataset, axes.imbalance_factor, axes.backbone, chosen, axes.seed, axes.feature_dim, axes.head
    ):
        raw: dict[str, Any] = {
            "dataset": {"name": dataset.name, **dataset.options},
            "imbalance_factor": imbalance,
            "backbone": {"name": backbone.name, **backbone.options},
            "recipe": {"name": recipe.name, **recipe.options},
            "head": {"name": head.name, **head.options},
            "feature_dim": dim,
            "seed": seed,
            "projection": grid.projection,
        }
        for override in grid.overrides:
            _apply(override, raw, place)
        cells.append(_resolve(raw, grid, precision, place))
    _refuse_doubles(cells, place)
    return cells


def _refuse_doubles(cells: list[Cell], place: str) -> None:
    seen: set[str] = set()
    for cell in cells:
        identity = cell.cell_id("")
        if identity in seen:
            imbalance = f", imbalance {cell.imbalance_factor:g}" if cell.imbalance_factor > 1 else ""
            facts = f"{cell.dataset_label}{imbalance}, {cell.backbone_label}, {cell.recipe_label}, d = {cell.feature_dim}, {cell.head_label}, seed {cell.seed}"
            raise UserError(f"{place}: the same cell occurs twice ({facts}); an axis lists a value twice")
        seen.add(identity)


def _apply(override: Override, raw: dict[str, Any], place: str) -> None:
    for key, wanted in override.where.items():
        outer, _, inner = key.partition(".")
        if outer not in raw or (inner and not isinstance(raw[outer], dict)):
            raise UserError(f"{place}, overrides.where: unknown key '{key}'; {suggest(str(key), raw)}")
        value = raw[outer]
        value = value.get(inner or "name") if isinstance(value, dict) else value
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return
    for path, value in override.set.items():
        outer, _, inner = path.partition(".")
        if outer not in raw or (inner and not isinstance(raw[outer], dict)):
            raise UserError(f"{place}, overrides.set: unknown key '{path}'; known: head.OPTION, backbone.OPTION, recipe.FIELD, recipe, projection")
        if inner:
            raw[outer] = raw[outer] | {inner: value}
        elif isinstance(raw[outer], dict):
            try:
                choice = Choice.model_validate(_based(value))
            except ValidationError as error:
                raise UserError(one_line(error, Choice, f"{place}, overrides.set: {path}")) from None
            # Another recipe keeps what the grid changed of the first one; another head or backbone has other options.
            kept = raw[outer] if outer == "recipe" else {}
            raw[outer] = kept | {"name": choice.name} | choice.options
        else:
            raw[outer] = value


def _resolve(raw: dict[str, Any], grid: Grid, precision: str, place: str) -> Cell:
    recipe_fields, backbone_options, head_options, dataset_options = (dict(raw[key]) for key in ("recipe", "backbone", "head", "dataset"))
    recipe_name = recipe_fields.pop("name")
    recipe, unchanged = recipes.load(recipe_name, recipe_fields, place), recipes.load(recipe_name, {}, place)
    backbone, head, dataset = BACKBONES.get(backbone_options.pop("name")), HEADS.get(head_options.pop("name")), DATASETS.get(dataset_options.pop("name"))
    losses = {HEADS.get(name).target.loss_name() for name in HEADS.names()}
    for name in recipe.loss_scale.keys() - losses:
        raise UserError(f"{place}, recipe '{recipe_name}': loss_scale: unknown loss '{name}'; {suggest(name, losses)}")
    head_place, backbone_place = f"{place}, head '{head.name}'", f"{place}, backbone '{backbone.name}'"
    loss = head.target.loss_name(**head.resolve(head_options, head_place))
    given = {"loss_scale": recipe.loss_scale[loss]} if loss in recipe.loss_scale and "loss_scale" in head.options_model.model_fields else {}
    head_defaults, backbone_defaults = head.resolve(given, head_place), backbone.resolve({}, backbone_place)
    head_options, backbone_options = head.resolve(given | head_options, head_place), backbone.resolve(backbone_options, backbone_place)
    dataset_place = f"{place}, data set '{dataset.name}'"
    dataset_defaults, dataset_options = dataset.resolve({}, dataset_place), dataset.resolve(dataset_options, dataset_place)
    fields = {
        "dataset": dataset.name,
        "dataset_version": dataset.version,
        "dataset_options": dataset_options,
        "dataset_label": label(dataset.name, dataset_options, dataset_defaults),
        "imbalance_profile": grid.imbalance_profile,
        "imbalance_seed": grid.imbalance_seed,
        "backbone": backbone.name,
        "backbone_version": backbone.version,
        "backbone_options": backbone_options,
        "backbone_label": label(backbone.name, backbone_options, backbone_defaults),
        "head": head.name,
        "head_version": head.version,
        "head_options": head_options,
        "head_files": {option: _contents(path) for option, path in head.target.files(**head_options).items()},
        "head_label": label(head.name, head_options, {key: value for key, value in head_defaults.items() if key not in head.target.named}),
        "recipe": recipe,
        "recipe_label": label(recipe_name, recipe.model_dump(mode="json"), unchanged.model_dump(mode="json")),
        "val_fraction": grid.val_fraction,
        "split_seed": grid.split_seed,
        "precision": precision,
    }
    try:
        return Cell(**fields, **{key: raw[key] for key in ("projection", "feature_dim", "seed", "imbalance_factor")})
    except ValidationError as error:
        raise UserError(one_line(error, Cell, place)) from None
