"""The columns of a grid's rows, each declared once: lists of columns, titles, formats and types elsewhere follow from
here.

They stand in the order of ``results.csv``. A new axis of a grid is one entry here, of the role ``comparison``, and one
field of the cell (:mod:`headbench.runners.grid.cells`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

# comparison: rows that differ in it are not compared. axis: what varies within a comparison. fact: what else a plan
# says of a cell. selection and metric: fields of a selection. run and provenance: fields of a result. interval: an end
# of a metric's. ood: of other data sets, from files of their own. bookkeeping: what else tells of a row.
Role = Literal[
    "bookkeeping", "comparison", "axis", "fact", "selection", "metric", "interval", "ood", "run", "provenance"
]


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: in ``results.csv``, in frames and in stored files.
        role: what it tells, see ``Role``.
        kind: of its values.
        title: above its values; by default its name.
        format: of a value; of a percentage, in percent.
        phrase: a value in a sentence; by default the title before it.
        header: a value above numbers of its own; by default the phrase.
        long: the title in full.
        place: among the axes, wherever they are named; 0 for what is none.
        quiet: whether lists of cells name it only where cells differ in it.
        usual: the value that no sentence names, and that of cells that were planned before there was such a column.
        percent: whether it is a fraction that is shown in percent.
        unit: what a value is divided by when it is shown.
    """

    name: str
    role: Role
    kind: Literal["text", "integer", "number"] = "text"
    title: str = ""
    format: str = "{}"
    phrase: str = ""
    header: str = ""
    long: str = ""
    place: int = 0
    quiet: bool = False
    usual: Any = None
    percent: bool = False
    unit: float = 1.0

    @property
    def heading(self) -> str:
        """The title above its values: ``IF``, or for a percentage ``top-1 %``."""
        return (self.title or self.name) + (" %" if self.percent else "")

    def shown(self, value: Any) -> str:
        """Return a value as it is printed: ``100``."""
        return self.format.format(100 * value if self.percent else value if self.unit == 1 else value / self.unit)

    def said(self, value: Any) -> str:
        """Return a value as a sentence says it: ``imbalance factor 100``."""
        return (self.phrase or f"{self.heading} {{}}").format(self.shown(value))

    def above(self, value: Any) -> str:
        """Return a value as it stands above numbers of its own: ``IF 100``."""
        return self.header.format(self.shown(value)) if self.header else self.said(value)


def _score(name: str, title: str = "", *, long: str = "", percent: bool = True) -> Column:
    """Return a metric; most are fractions."""
    return Column(name, "metric", "number", title, "{:.2f}" if percent else "{:.3f}", long=long, percent=percent)


# Metrics that have an interval over test images.
INTERVALS = ("ece_raw", "ece_native", "ece_temperature", "nll", "brier")
COLUMNS = (
    Column("cell_id", "bookkeeping", title="cell"),
    Column("grid", "bookkeeping"),
    Column("status", "bookkeeping"),
    Column("health", "bookkeeping"),
    Column("error", "bookkeeping"),
    Column("dataset", "comparison", title="data set", phrase="{}", place=1),
    Column("dataset_name", "fact"),
    Column("dataset_options", "fact"),
    Column("data_fingerprint", "fact"),
    Column("protocol", "comparison", place=6, quiet=True),
    Column("backbone", "comparison", phrase="{}", place=3),
    Column("backbone_name", "fact"),
    Column("backbone_options", "fact"),
    Column("projection", "comparison", place=5, quiet=True),
    Column("freeze", "comparison", phrase="{} frozen", place=3, quiet=True, usual="none"),
    Column("head", "fact"),
    Column("head_label", "axis", title="head", place=7),
    # Of figures and of tables for papers; plans of earlier harnesses, and other sources, do not tell it.
    Column("head_display", "bookkeeping"),
    Column("head_options", "fact"),
    Column("feature_dim", "axis", "integer", "d", phrase="d = {}", long="feature dimension d", place=8),
    Column("num_classes", "fact", "integer"),
    Column(
        "imbalance_factor",
        "comparison",
        "number",
        "IF",
        "{:g}",
        phrase="imbalance factor {}",
        header="IF {}",
        long="imbalance factor",
        place=2,
        usual=1.0,
    ),
    Column("recipe", "comparison", place=4),
    # Trials of the search that chose a cell's values; the file of a search says which values those are.
    Column("tuned", "comparison", "integer", "trials", phrase="tuned, {} trials each", place=4, quiet=True, usual=0),
    Column("recipe_hash", "fact"),
    # Of the view to classify; plans of earlier harnesses do not tell it.
    Column("augmentation", "fact"),
    Column("seed", "axis", "integer", place=9),
    Column("epochs", "fact", "integer"),
    Column("selection", "selection"),
    Column("epoch", "selection", "integer"),
    Column("n_train", "fact", "integer", "train"),
    Column("n_val", "fact", "integer", "val"),
    Column("n_test", "fact", "integer", "test"),
    _score("top1", "top-1", long="top-1 test accuracy"),
    _score("top5"),
    # What the choice of a recipe, or of an epoch, may rest on; results of earlier harnesses do not tell it.
    _score("val_top1", "validation top-1"),
    _score("val_nll", "validation NLL", percent=False),
    _score("macro_accuracy"),
    # The convention of each group's bounds stands in its title.
    _score("many_accuracy", "many (> 100)"),
    _score("medium_accuracy", "medium (20-100)"),
    _score("few_accuracy", "few (< 20)"),
    _score("many_range_accuracy", "many (range)"),
    _score("medium_range_accuracy", "medium (range)"),
    _score("few_range_accuracy", "few (range)"),
    _score("nll", "NLL", percent=False),
    _score("brier", "Brier", percent=False),
    _score("ece_raw", "ECE raw"),
    _score("ece_native", "ECE native"),
    _score("ece_temperature", "ECE temperature"),
    _score("ece_floor", "floor"),
    _score("ece_raw_plugin"),
    _score("ece_native_plugin"),
    _score("ece_temperature_plugin"),
    _score("smooth_ece", "smooth ECE"),
    _score("adaptive_ece"),
    _score("classwise_ece"),
    _score("mce"),
    _score("temperature", "T", percent=False),
    _score("native_scale", percent=False),
    Column("calibration_view", "metric"),
    Column("calibration_bins", "metric", "integer"),
    *(Column(f"{metric}_{end}", "interval", "number") for metric in INTERVALS for end in ("low", "high")),
    _score("nc1", "NC1 within/between", percent=False),
    _score("nc2_angle", "NC2 angle", percent=False),
    _score("nc2_length", "NC2 length", percent=False),
    _score("nc3", "NC3 alignment", percent=False),
    _score("nc4", "NC4 nearest mean", percent=False),
    # The data sets that a grid calls out of distribution, and the means over them.
    Column("ood", "ood", title="out of distribution"),
    *(
        Column(
            f"ood_{name}_{score}", "ood", "number", f"{title} {score}", "{:.2f}", long=f"{title} by {by}", percent=True
        )
        for name, title in {"auroc": "AUROC", "fpr95": "FPR95"}.items()
        for score, by in {"probability": "largest probability", "energy": "energy", "score": "largest score"}.items()
    ),
    Column("train_loss", "selection", "number"),
    Column("train_seconds", "run", "number", "train s", "{:.1f}", long="seconds of training"),
    Column("images_per_second", "run", "number", "images/s", "{:.0f}"),
    Column("peak_memory_mb", "run", "number"),
    # What a training shows and computes; results of earlier harnesses do not tell it.
    Column("image_views", "run", "integer", "views in millions", "{:.4g}", unit=1e6),
    Column("train_flops", "run", "number", "PFLOP", "{:.4g}", long="PFLOP of training", unit=1e15),
    Column("device", "provenance"),
    # The host's, with the flags of its faster instructions; results of earlier harnesses do not tell them.
    Column("processor", "provenance"),
    Column("processor_flags", "provenance"),
    Column("cells_per_device", "provenance", "integer"),
    Column("threads", "provenance", "integer"),
    Column("precision", "provenance"),
    # Whether backbones were compiled; there was no such choice before there was this column.
    Column("compile", "provenance", usual="off"),
    Column("git_commit", "provenance", title="commit"),
    Column("torch_version", "provenance"),
    # The file of scores behind a cell that was trained elsewhere; empty for all others.
    Column("imported", "provenance"),
    Column("started_at", "run", title="started"),
    Column("finished_at", "run"),
)
NAMED = {column.name: column for column in COLUMNS}
# What cells differ in, in the order in which it is told.
AXES = sorted((column for column in COLUMNS if column.place), key=lambda column: column.place)
# What distinguishes one comparison from another: within one, only head, feature dimension and seed vary.
COMPARISON = [column.name for column in AXES if column.role == "comparison"]
# What rows must agree in to be of one comparison: an imported cell may be of other images than the cells whose
# description it has, and a folder of images may have grown between two runs.
TOGETHER = [*COMPARISON, "data_fingerprint"]
# What rows must agree in for their seconds to be compared.
MACHINE = ["device", "processor", "threads", "cells_per_device", "compile"]
# pandas' types of columns that would otherwise change with the fields of cells without a result, which are empty.
TYPES = {
    column.name: {"integer": "Int64", "number": "float64"}[column.kind] for column in COLUMNS if column.kind != "text"
}
_TOLD = [column for column in COLUMNS if column.usual is not None]
# What plans, and what results, did not tell before there was such a column.
USUAL = {column.name: column.usual for column in _TOLD if column.role != "provenance"}
USUAL_OF_RESULTS = {column.name: column.usual for column in _TOLD if column.role == "provenance"}


def names(*roles: Role) -> list[str]:
    """Return the names of the columns of these roles, of all columns without any, in the order of ``results.csv``."""
    return [column.name for column in COLUMNS if column.role in roles or not roles]


def narrow(rows: "pd.DataFrame", wanted: Iterable[str]) -> "pd.DataFrame":
    """Return rows with the wanted columns alone, those that they have: pandas chooses and copies rows column by column,
    so that all hundred of them take ten times as long.
    """
    kept = [name for name in wanted if name in rows]
    return rows if len(kept) == rows.shape[1] else rows[kept]


def finished(rows: "pd.DataFrame", selection: str = "last") -> "pd.DataFrame":
    """Return the rows of finished cells of one selection."""
    return rows[(rows["selection"] == selection) & (rows["status"] == "done")]


def titles(shown: Iterable[str]) -> dict[str, str]:
    """Return the titles of columns of a table by their names, in the order given."""
    return {name: NAMED[name].title for name in shown}


def differing(rows: "pd.DataFrame") -> list[str]:
    """Return what the comparisons of rows differ in beside the data set; their images only where those of one data set
    differ, since those of two always do.
    """
    found = [column for column in COMPARISON[1:] if rows[column].nunique(dropna=False) > 1]
    images = rows.groupby("dataset")["data_fingerprint"].nunique()
    return [*found, "data_fingerprint"] if (images > 1).any() else found


def varied(cells: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the axes in which cells differ, by their facts."""
    return [column for column in AXES if len({cell[column.name] for cell in cells}) > 1]
