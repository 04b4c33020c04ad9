"""Numbers that papers and their repositories publish, as data: one row per number, with its source and what is wrong
with it.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core import augmentations

FOLDER = Path(__file__).parents[1] / "published"
# How a number was obtained: read in its source, quoted by another paper, recalled without the source at hand, or
# inferred from other numbers.
EVIDENCE = ("read", "quoted", "recalled", "inferred")
# Flags of numbers that say nothing about the head, and are passed over where there is another.
UNUSABLE = ("duplicated", "corrupted data", "frozen baseline", "reproduction")
# Flags of those that stand beside a measured one without a difference: they are of other images.
UNCOMPARED = ("validation part", "duplicated")
# Columns whose numbers may be missing.
NUMBERS = ("d", "imbalance_factor", "std", "n", "epochs")
# The published names of timm's models, and of ResNet-32 by its width.
TIMM = {
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnext50_32x4d": "ResNeXt-50",
    "swin_tiny_patch4_window7_224": "Swin-T",
}
WIDTHS = {16: "ResNet-32", 32: "ResNet-32, double width"}


@dataclass(frozen=True)
class Form:
    """A head or backbone: its name, and its options where it is meant in this form only."""

    name: str
    options: dict[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True)
class Training:
    """What a measured number is of, beside its head.

    Attributes:
        dataset: label of the data set: one with options of its own, as other classes are, is of no paper.
        imbalance_factor: n_max / n_min.
        feature_dim: d.
        backbone: with its options.
        epochs: of all stages, NaN where they are not known.
        augmentation: of the view to classify, a label of :mod:`headbench.core.augmentations`, empty where it is not
            known.
        step: whether the class counts of a long tail are a step; those of all published numbers are exponential.
    """

    dataset: str
    imbalance_factor: float
    feature_dim: int
    backbone: Form
    epochs: float = math.nan
    augmentation: str = ""
    step: bool = False

    @property
    def network(self) -> str:
        """What papers call the backbone, empty where none has it."""
        options = self.backbone.options or {}
        if self.backbone.name == "resnet32":
            width = int(options.get("width", 16))
            return WIDTHS.get(width, f"ResNet-32, width {width}")
        return TIMM.get(options.get("model", ""), "") if self.backbone.name == "timm" else ""


@cache
def load() -> pd.DataFrame:
    """Return all published numbers, one per row.

    Returns:
        Columns ``dataset, imbalance_factor, backbone, d, head, metric, value, std, n, epochs, selection, source,
            evidence, flag, note, augmentation, table``: values in percent;
        ``head`` is a head's name, or ``name(option=value, ...)`` where a number is of one form of it; ``d``,
        ``imbalance_factor``, ``std``, ``n`` and ``epochs``, of all stages, are missing where they are not told, and
        a file may have no ``epochs``; ``augmentation``, of the view to classify, is empty where it is not known;
        ``table`` is the file, named after the paper's head or the study.

    Raises:
        UserError: for an augmentation that is no label.
    """
    rows = pd.concat([_read(path) for path in sorted(FOLDER.glob("*.csv"))], ignore_index=True)
    return rows.astype({"value": float} | dict.fromkeys(NUMBERS, float))


def _read(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in NUMBERS})
    for line, written in enumerate(rows["augmentation"], start=2):
        if written:
            augmentations.check(written, f"{path.name}, line {line}")
    return rows.assign(table=path.stem)


@cache
def _values(dataset: str, imbalance_factor: float, metric: str) -> pd.DataFrame:
    rows = load()
    # Data with a long tail of their own have no factor.
    meant = (rows["imbalance_factor"] == imbalance_factor) | rows["imbalance_factor"].isna()
    return rows[(rows["dataset"] == dataset) & (rows["metric"] == metric) & meant]


def exist(dataset: str, metric: str) -> bool:
    """Return whether any number of a data set's label is published in a metric."""
    rows = load()
    return bool(((rows["dataset"] == dataset) & (rows["metric"] == metric)).any())


@cache
def find(own: Training, head: Form, metric: str = "top1") -> pd.Series | None:
    """Return the published number that a measured one stands beside, or None.

    Of several, one without a flag that makes it unusable, of the same augmentation, of this dimension, of the nearest
    length, of the same network, and from the head's own paper is preferred, in this order.

    Args:
        own: what the measured one is of; a number without a dimension stands for any.
        head: with the options of the measured one for numbers that are of this form of it only; without them, for
            numbers of the head as such.
        metric: a column, of fractions.
    """
    rows = _values(own.dataset, own.imbalance_factor, metric)
    rows = rows[
        rows["head"].map(lambda written: stands_for(written, head)).astype(bool)
        & ((rows["d"] == own.feature_dim) | rows["d"].isna())
    ]
    if own.backbone.name == "timm":
        rows = rows[rows["backbone"] == own.network]
    if rows.empty:
        return None
    ranked = rows.assign(
        unusable=rows["flag"].map(lambda flag: any(bad in flag for bad in UNUSABLE)),
        augmented=rows["augmentation"].map(lambda theirs: _alike(theirs, own.augmentation)),
        length=(rows["epochs"] / own.epochs).map(lambda ratio: 0.0 if math.isnan(ratio) else abs(math.log(ratio))),
        of_any_dimension=rows["d"].isna(),
        other_network=bool(own.network) & (rows["backbone"] != own.network),
        foreign=rows["table"] != head.name,
    )
    order = ["unusable", "augmented", "of_any_dimension", "length", "other_network", "foreign"]
    return ranked.sort_values(order, kind="stable").iloc[0]


def _alike(theirs: str, own: str) -> int:
    """Return 0 for the same augmentation, 1 where one is not known, 2 for another."""
    return 1 if not (theirs and own) else 2 * (theirs != own)


def unlike(number: pd.Series, own: Training) -> list[str]:
    """Return why a published number is not compared with a measured one: ``of 200 epochs, not 50``."""
    pairs = (
        ("of {:g} epochs, not {:g}", number["epochs"], own.epochs),
        ("with {}, not {}", number["augmentation"], own.augmentation),
        ("on {}, not {}", number["backbone"], own.network),
        ("of {} class counts, not a {}", "exponential", own.step and "step"),
    )
    return [
        words.format(theirs, ours)
        for words, theirs, ours in pairs
        # What is not known, empty or NaN, differs from nothing.
        if theirs and ours and theirs != ours and theirs == theirs and ours == ours
    ]


def is_step(protocol: str) -> bool:
    """Return whether the class counts of a protocol of this name are a step."""
    return "step" in protocol.split()


def reruns(number: pd.Series) -> list[str]:
    """Return what others got who ran a published number's own experiment again: ``51.50 (source)``."""
    rows = _values(number["dataset"], number["imbalance_factor"], number["metric"])
    rows = rows[rows["flag"].str.contains("reproduction") & (rows.index != number.name)]
    if rows.empty:
        return []
    same = ["head", "backbone", "d", "epochs"]
    alike = ((rows[same] == number[same]) | (rows[same].isna() & number[same].isna())).all(axis=1)
    alike &= rows["augmentation"].map(lambda theirs: _alike(theirs, number["augmentation"]) < 2)
    return [f"{row['value']:.2f} ({row['source']})" for _, row in rows[alike].iterrows()]


def stands_for(written: str, head: Form) -> bool:
    """Return whether a published number's head, written ``name`` or ``name(option=value, ...)``, is this head, or with
    options this form of it.
    """
    if head.options is None:
        return written == head.name
    name, form, values = written.partition("(")
    given = dict(part.split("=") for part in values.removesuffix(")").split(", ")) if form else {}
    return name == head.name and bool(given) and all(str(head.options.get(key)) == given[key] for key in given)
