"""Tables of scores, ``.csv`` and ``.parquet``: a column ``label``, and one for each class."""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from headbench.core import arrays
from headbench.core.errors import UserError, reason

# Columns of numbers that tables of scores have, and that are no classes.
NO_CLASSES = {"id", "idx", "image_id", "pred", "prediction", "predicted", "y_true"}
# A column of one class: its kind and the class's number.
NUMBERED = re.compile(r"(logit|probabilit(?:y|ie)|score)s?_(\d+)")


@dataclass(frozen=True)
class Table:
    """Scores as a file holds them, under their name there; ``class_names`` where it names its columns."""

    name: str
    scores: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] | None = None


def of_csv(file: Path) -> Table:
    """Return the scores of a ``.csv`` file; raises UserError for one that holds no scores and labels."""
    return _of_frame(file, _read_csv)


def of_parquet(file: Path) -> Table:
    """Return the scores of a ``.parquet`` file; raises UserError for one that holds no scores and labels."""
    return _of_frame(file, _read_parquet)


def _read_parquet(file: Path) -> pd.DataFrame:
    """Return a table, unless it is far larger in memory than its file, as no scores are."""
    about = pq.read_metadata(file)
    unfolded = 8 * about.num_rows * about.num_columns
    if unfolded > max(arrays.HARMLESS, arrays.RATIO * file.stat().st_size):
        raise UserError(f"{file}: {about.num_rows:,} rows of {about.num_columns} columns are no scores of this size")
    return pd.read_parquet(file)


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a table whose columns differ in name and whose rows are no longer than the header: pandas would rename the
    one and take the first column of the other for names of rows.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = Counter(next(csv.reader(file, skipinitialspace=True), []))
    # A number that stands twice is refused with the numbers that are missing.
    twice = [name for name, count in names.items() if count > 1 and not NUMBERED.fullmatch(name)]
    if twice:
        raise ValueError(f"column '{twice[0]}' is there twice")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, skipinitialspace=True, index_col=False)
        except pd.errors.ParserWarning:
            raise ValueError("its rows have more fields than its header") from None


def _of_frame(file: Path, reader: Callable[[Path], pd.DataFrame]) -> Table:
    try:
        frame = reader(file)
    except (ValueError, OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{file} is no sound {file.suffix} file ({reason(error)})") from None
    if "label" not in frame:
        raise UserError(f"{file}: it has no column 'label'; {_unlike_label([str(name) for name in frame])}")
    if frame.empty:
        raise UserError(f"{file}: it has no rows")
    names = [str(name) for name in frame if name != "label"]
    for name in names:
        if frame[name].dtype.kind not in "fiu":
            raise UserError(
                f"{file}: column '{name}' holds other things than numbers{_first_text(frame[name])}; the columns are "
                f"'label' and one for each class"
            )
        if name.strip().casefold() in NO_CLASSES:
            raise UserError(
                f"{file}: column '{name}' would be a class; leave it out, or, if it is one, call the columns logit_0, "
                f"logit_1 and so on"
            )
        if name.startswith("Unnamed:") or not name.strip():
            raise UserError(f"{file}: column '{name}' has no name; pandas writes no index with index=False")
    labels = frame["label"].to_numpy()
    # A column of whole numbers that once had a gap is one of floating-point numbers.
    if labels.dtype.kind == "f" and (labels == labels.round()).all() and np.abs(labels).max(initial=0) < 2**53:
        labels = labels.astype(np.int64)
    numbered = [NUMBERED.fullmatch(name) for name in names]
    words = {match[1] for match in numbered if match is not None}
    if not words:
        return Table("scores", frame[names].to_numpy(dtype=np.float64), labels, tuple(names))
    numbers = [int(match[2]) for match in numbered if match is not None]
    if len(words) > 1 or sorted(numbers) != list(range(len(names))):
        word = min(words).replace("probabilitie", "probability")
        wanted = [f"{word}_{number}" for number in range(len(names))]
        odd = next((name for name in names if name not in wanted), names[-1])
        raise UserError(
            f"{file}: the columns of classes are {wanted[0]} to {wanted[-1]}, or all have names; '{odd}' is neither"
        )
    ordered = [names[place] for place in np.argsort(numbers)]
    word = {"logit": "logits", "score": "scores"}.get(words.pop(), "probabilities")
    return Table(word, frame[ordered].to_numpy(dtype=np.float64), labels)


def _unlike_label(names: list[str]) -> str:
    """Return what a table without a column 'label' has in its place."""
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        return f"columns are separated by commas, and its first line is {names[0][:60]!r}"
    alike = [name for name in names if name.strip().lower() in {"label", "labels"}]
    return f"rename '{alike[0]}'" if alike else f"its columns are {', '.join(names)[:200]}"


def _first_text(column: pd.Series) -> str:
    """Return the first value of a column that is no number, nothing where all are."""
    odd = column[pd.to_numeric(column.astype(str), errors="coerce").isna() & column.notna()]
    return f", '{str(odd.iloc[0])[:40]}' in row {odd.index[0]}" if len(odd) else ""
