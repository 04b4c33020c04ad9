"""Axes and cells: what a grid varies, one point of it, and the identity of that."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from headbench.core.errors import UserError
from headbench.core.numbers import Count, Number, Seed
from headbench.core.registry import Registry
from headbench.core.validation import Strict
from headbench.data.loading.samplers import SAMPLERS
from headbench.data.loading.views import FILE_VIEWS, VIEWS
from headbench.heads import HEADS, Stage
from headbench.runners.grid.asking import ask
from headbench.runners.grid.choices import Based, Choice, Named
from headbench.runners.grid.recipes import Recipe

# Options of data sets that are no part of a cell's identity.
TOLD_BY_THE_DATA = ("path", "exif")
Some = Field(min_length=1)
ImbalanceFactor = Annotated[Number, Field(ge=1)]
ValFraction = Annotated[Number, Field(ge=0, lt=1)]


class Axes(Strict):
    """The axes of a grid: their product is the list of cells; the first varies slowest.

    Seeds stand before dimension and head, so that a whole table with one seed is there before the next seed begins.
    """

    dataset: Annotated[tuple[Named, ...], Some]
    imbalance_factor: Annotated[tuple[ImbalanceFactor, ...], Some] = (1,)
    backbone: Annotated[tuple[Named, ...], Some] = (Choice(name="fast_convnet"),)
    recipe: Annotated[tuple[Based, ...], Some] | None = None
    seed: Annotated[tuple[Seed, ...], Some] = (0,)
    feature_dim: Annotated[tuple[Count, ...], Some]
    head: Annotated[tuple[Named, ...], Some]


class Cell(Strict):
    """One training run, fully resolved.

    Labels name what differs from the defaults, so that variants are never averaged. What has a default is not in the
    files of cells that were trained before there was such a field. A cell of the purpose ``tune`` is one trial of a
    search, and nothing of it is evaluated on test; ``tuned`` is the number of trials that chose a cell's values.
    ``devices`` is the number of devices that share each batch where that changes numbers, as each normalises its own
    portion.
    """

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
    backbone_files: dict[str, str] = Field({})
    backbone_label: str
    projection: Literal["linear", "none"]
    freeze: Literal["none", "backbone"] = "none"
    feature_dim: Count
    head: str
    head_version: int
    head_options: dict[str, Any]
    head_files: dict[str, str]
    head_label: str
    recipe: Recipe
    recipe_name: str = ""
    recipe_label: str
    val_fraction: float
    split_seed: int
    seed: Seed
    precision: Literal["auto", "fp32", "bf16"]
    purpose: Literal["final", "tune"] = "final"
    tuned: Annotated[int, Field(ge=0)] = 0
    devices: Annotated[int, Field(ge=1)] = 1

    def options(self, choice: str) -> dict[str, Any]:
        """Return the options of a choice, or the fields of the recipe, by name."""
        options: dict[str, Any] = (
            self.recipe.model_dump(mode="json") if choice == "recipe" else getattr(self, f"{choice}_options")
        )
        return options

    def names(self, choice: str) -> list[str]:
        """Return what a choice is called: its name, and its label."""
        return [self.recipe_name if choice == "recipe" else getattr(self, choice), getattr(self, f"{choice}_label")]

    def facts(self) -> dict[str, Any]:
        """Return the columns of ``results.csv`` that the cell itself tells: its fields, and what its choices are."""
        facts = self._fields()
        for choice in CHOICES:
            facts[f"{choice}_name"], facts[choice] = self.names(choice)
        texts = {name: json.dumps(facts[name], sort_keys=True) for name in facts if name.endswith("_options")}
        return facts | texts | {"head": self.head, "recipe_hash": digest(self.recipe.identity(), 8)}

    def cell_id(self, data: str) -> str:
        """Return 16 hexadecimal digits of SHA-256 over the scientific fields and the identity of the data, which tells
        of some options; names of recipes, labels and how values were chosen do not count.

        A field at its default, an option of a backbone that is off and a head's later options at their default are left
        out, so that a new one does not change what an old cell is.
        """
        unsaid = {"recipe_name", "tuned", *(f"{choice}_label" for choice in CHOICES)}
        fields = {
            name: value
            for name, value in self._fields().items()
            if name not in unsaid and value != type(self).model_fields[name].default
        }
        fields["dataset_options"] = {
            name: value for name, value in self.dataset_options.items() if name not in TOLD_BY_THE_DATA
        }
        fields["head_options"] = HEADS.get(self.head).identity(self.head_options) | self.head_files
        options = self.backbone_options | fields.pop("backbone_files", {})
        fields["backbone_options"] = {
            name: value for name, value in options.items() if not (value is None or value is False)
        }
        return digest(fields | self.drawn() | {"recipe": self.recipe.identity(), "data": data})

    def drawn(self) -> dict[str, Any]:
        """Return the versions of the samplers and views of the head's stages, of those that have had several: so cells
        that are older than a version, or not of it, are what they were.
        """
        try:
            head = HEADS.get(self.head).target
            stages: list[Stage] = ask(self.head, head, "stages", self.recipe, self.head_options)
        except UserError:  # which the plan refuses
            return {}
        named: list[tuple[Registry[Any], str]] = [(SAMPLERS, stage.sampler) for stage in stages]
        named += [(FILE_VIEWS if view in FILE_VIEWS else VIEWS, view) for stage in stages for view in stage.views]
        # A name that is unknown is refused where the stages are checked.
        versions = {name: registry[name].version for registry, name in named if name in registry}
        later = {name: version for name, version in versions.items() if version > 1}
        return {"drawn": later} if later else {}

    @property
    def point(self) -> str:
        """16 digits that no other cell of a grid has, whatever the data hold."""
        return self.cell_id(json.dumps(self.dataset_options))

    @property
    def kind(self) -> str:
        """A text that is equal for cells that differ in their seed only."""
        return json.dumps(self._fields() | {"recipe": self.recipe.identity(), "seed": None})

    def with_seed(self, seed: int) -> "Cell":
        """Return the same cell with another seed, which is not checked; the two share what they have in common."""
        return Cell.model_construct(self.model_fields_set, **self._fields() | {"seed": seed})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}


# The axes whose values have a label, and options or fields of their own.
CHOICES = tuple(axis for axis in Axes.model_fields if f"{axis}_label" in Cell.model_fields)
# The others, and what a grid sets for all of its cells and an override for some.
PLAIN = (*(axis for axis in Axes.model_fields if axis not in CHOICES), "projection", "freeze")


def digest(value: Any, length: int = 16) -> str:
    """Return the first digits of SHA-256 of a value's canonical JSON."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
