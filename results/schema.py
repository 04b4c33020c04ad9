"""What ``result.json`` and ``grid.yaml`` hold: types, ranges and sizes.

A file that does not fit is a damaged one, whoever wrote it.
"""

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

# Bins of a calibration error; 15 is usual.
MOST_BINS = 1000
# Of a name, a label or a message.
LONGEST = 10_000

Text = Annotated[str, StringConstraints(max_length=LONGEST)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=10**12)]
Positive = Annotated[int, Field(ge=1, le=10**12)]
Classes = Annotated[int, Field(ge=1, le=10**6)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# Numbers beyond 1e100 are not measured by anybody, and overflow in whatever is computed from them.
Number = Annotated[float, Field(ge=-1e100, le=1e100, allow_inf_nan=False)]
Amount = Annotated[Number, Field(ge=0)]
Scale = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Score = Share | None


def _stays_inside(name: str) -> str:
    if "\\" in name or "\0" in name or PurePosixPath(name).is_absolute() or not {".", ".."}.isdisjoint(name.split("/")):
        raise ValueError("climbs out of its folder")
    return name


def _holds_options(text: str) -> str:
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise ValueError("no options")
    return text


Options = Annotated[Text, AfterValidator(_holds_options)]
# A folder or file inside another one.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_stays_inside)]


class _Checked(BaseModel):
    """A model that takes no value of another type, and keeps keys that it does not know."""

    model_config = ConfigDict(strict=True, extra="allow")


class Facts(_Checked):
    """A cell's own columns of ``results.csv``; those with a default are of later harnesses."""

    dataset: Text
    dataset_name: Text = ""
    dataset_options: Options = "{}"
    data_fingerprint: Text
    protocol: Text
    backbone: Text
    backbone_name: Text = ""
    backbone_options: Options = "{}"
    projection: Text
    freeze: Text = "none"
    head: Text
    head_label: Text
    head_options: Options
    feature_dim: Positive
    num_classes: Classes
    imbalance_factor: Annotated[Number, Field(ge=1)]
    recipe: Text
    tuned: Count = 0
    recipe_hash: Text
    augmentation: Text = ""
    seed: Seed
    epochs: Count
    n_train: Count
    n_val: Count
    n_test: Count


class PlannedCell(Facts):
    """A cell in ``grid.yaml``."""

    cell_id: Name
    not_applicable: Text | None
    head_display: Text | None = None


class OodSet(_Checked):
    """A data set that is out of distribution for a grid: its label, and the key of the files about it."""

    label: Text
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class Plan(_Checked):
    """``grid.yaml`` of a grid that was started; what has a default is of later harnesses."""

    name: Text
    commands: list[list[Text]] = []
    cells: list[PlannedCell]
    ood_sets: list[OodSet] = []


class Selection(_Checked):
    """One recorded selection. Metrics that are not named here are finite numbers, flags or unknown."""

    __pydantic_extra__: dict[str, StrictBool | Number | None] = Field(init=False)
    epoch: Annotated[int, Field(ge=0, le=10**9)]
    train_loss: Number | None
    top1: Share
    top5: Score = None
    val_top1: Score = None
    val_nll: Amount | None = None
    macro_accuracy: Score = None
    many_accuracy: Score = None
    medium_accuracy: Score = None
    few_accuracy: Score = None
    many_range_accuracy: Score = None
    medium_range_accuracy: Score = None
    few_range_accuracy: Score = None
    nll: Amount | None = None
    brier: Annotated[Number, Field(ge=0, le=2)] | None = None
    ece_raw: Score = None
    ece_native: Score = None
    ece_temperature: Score = None
    ece_floor: Score = None
    ece_raw_plugin: Score = None
    ece_native_plugin: Score = None
    ece_temperature_plugin: Score = None
    smooth_ece: Score = None
    adaptive_ece: Score = None
    classwise_ece: Score = None
    mce: Score = None
    temperature: Scale | None = None
    calibration_view: Literal["temperature", "native"] | None = None
    calibration_bins: Annotated[int, Field(ge=1, le=MOST_BINS)]
    native_scale: Scale | None = None
    per_class_accuracy: list[Score] | None = None
    correct: Annotated[str, StringConstraints(max_length=10**7)] | None = None
    predictions_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None


class Description(_Checked):
    """``cell.yaml``: what versions a cell was trained with."""

    dataset_version: Count
    backbone_version: Count
    head_version: Count


class Provenance(_Checked):
    """Code and machine; those with a default are of later harnesses."""

    device: Text
    processor: Text | None = None
    processor_flags: Text | None = None
    threads: Positive | None
    precision: Text
    compile: Text = "off"
    git_commit: Text
    torch_version: Text
    cells_per_device: Positive | None = None
    devices: Positive | None = None
    head_source: Text | None = None
    imported: Text | None = None


class Health(_Checked):
    """How the training went; the numbers behind the marks are in :mod:`headbench.results.numbers.health`."""

    __pydantic_extra__: dict[str, Number | None] = Field(init=False)
    marks: list[Text]


class Inputs(_Checked):
    """What a network with kept weights takes: its images' shape, mean and standard deviation by channel, of pixels in
    [0, 1], and the training images of each class.
    """

    image_shape: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    class_counts: list[Count]
    mean: list[Number]
    std: list[Scale]


class Validated(_Checked):
    """One recorded selection of a trial of a search: what is measured on validation, and nothing on test."""

    __pydantic_extra__: dict[str, StrictBool | Number | None] = Field(init=False)
    epoch: Annotated[int, Field(ge=0, le=10**9)]
    train_loss: Number | None
    val_top1: Share
    val_macro_accuracy: Score = None
    val_nll: Amount | None = None
    val_brier: Annotated[Number, Field(ge=0, le=2)] | None = None
    val_ece: Score = None

    @model_validator(mode="after")
    def _nothing_of_test(self) -> Self:
        of_test = Selection.model_fields.keys() - type(self).model_fields.keys()
        if found := sorted(of_test.intersection(self.__pydantic_extra__)):
            raise ValueError(f"{found[0]} of a trial, which is not evaluated on test")
        return self


class _Result(_Checked):
    cell_id: Name
    facts: Facts
    class_names: list[Text]
    native_scale: Scale
    train_seconds: Amount | None
    images_per_second: Amount | None
    peak_memory_mb: Amount | None
    image_views: Count | None = None
    train_flops: Amount | None = None
    provenance: Provenance
    health: Health | None = None
    inputs: Inputs | None = None
    absent: dict[Literal["last", "best_val", "best_test"], Text] = {}
    started_at: Text
    finished_at: Text
    sha256: dict[Name, Digest]

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        classes = self.facts.num_classes
        if len(self.class_names) != classes:
            raise ValueError(f"{len(self.class_names)} class names of {classes} classes")
        return self


class Result(_Result):
    """``result.json`` of a finished cell."""

    selections: Annotated[dict[Literal["last", "best_val", "best_test"], Selection], Field(min_length=1)]

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        classes, images = self.facts.num_classes, self.facts.n_test
        for name, selection in self.selections.items():
            accuracies = selection.per_class_accuracy
            if (accuracies is None and name == "last") or (accuracies is not None and len(accuracies) != classes):
                raise ValueError(f"selections.{name}: {len(accuracies or [])} accuracies of {classes} classes")
            if selection.correct is not None and _length(selection.correct) != -(-images // 8):
                raise ValueError(f"selections.{name}: the answers are not those of {images} images")
        return self


class TrialResult(_Result):
    """``result.json`` of a finished trial of a search."""

    purpose: Literal["tune"]
    selections: Annotated[dict[Literal["last", "best_val"], Validated], Field(min_length=1)]


def of_result(content: Any) -> type[BaseModel]:
    """Return the model of a ``result.json``."""
    return TrialResult if isinstance(content, dict) and "purpose" in content else Result


def apart(one: Any, other: Any, left_out: Collection[str] = ()) -> bool:
    """Return whether options, each a mapping or its JSON text, differ in what both have; later harnesses have more."""
    try:
        first, second = (value if isinstance(value, dict) else json.loads(value) for value in (one, other))
        common = (first.keys() & second.keys()) - {*left_out}
    except (ValueError, TypeError, AttributeError):
        return True
    return any(first[name] != second[name] for name in common)


def of_other_values(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> list[str]:
    """Return the facts of the values that two cells of one label, dimension and recipe were trained with, as those of
    two searches are, which differ.
    """
    hashes = [cell.get("recipe_hash") or "" for cell in (one, other)]
    return [
        *(["recipe_hash"] if all(hashes) and hashes[0] != hashes[1] else []),
        *(["head_options"] if apart(one["head_options"], other["head_options"]) else []),
    ]


def _length(text: str) -> int:
    """Return the number of bytes of a base64 text, -1 where it is none."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return -1


def problem(model: type[BaseModel], content: Any) -> str | None:
    """Return in one line what is wrong with a file's content, or None where it fits."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return " ".join(f"{place}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ").split())[:300]
    except (RecursionError, OverflowError) as error:
        return type(error).__name__
    return None
