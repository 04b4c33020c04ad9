"""Files of scores of a classifier that was trained elsewhere: ``.npz``, ``.csv`` and ``.parquet``.

Their format is described in ``docs/ways-in.md``.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headbench.core import arrays
from headbench.core.arrays import BadArrayError
from headbench.core.errors import UserError, near, note
from headbench.results.numbers import scores
from headbench.results.numbers.calibration import Floats, Ints
from headbench.runners.exchange import score_tables
from headbench.runners.exchange.score_tables import Table

Kind = Literal["logits", "probabilities"]
KINDS: tuple[Kind, ...] = ("logits", "probabilities")
# What an array or column of scores may be called; the last one does not tell its kind.
WORDS = (*KINDS, "scores")
# Training images of a class, as results may hold them.
MOST = 10**12
# Arrays of a file that tell of the training.
TRAINING = ("native_scale", "class_counts")
# Before the names of arrays in a .npz file; the last is what the harness itself stores.
TEST, VAL = ("", "test_", "last_test_"), ("val_",)
# What scores that are in no file are called in messages.
MEMORY = Path("import_scores")
Arrays = tuple[Any, Any]


@dataclass(frozen=True)
class Part:
    """Scores of some images.

    Attributes:
        logits: (N, C), finite; of probabilities their logarithms.
        labels: (N,) from 0 to C - 1.
        stored: (N, C) in the type of the file where they are logits there.
        class_names: C names, where the file has some.
    """

    logits: Floats
    labels: Ints
    stored: Floats
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Given:
    """What a file says of a classifier.

    Attributes:
        test: scores of the test images.
        val: of held-out images, or None.
        native_scale: the scale inside the logits; 1 where the file does not tell.
        class_counts: (C,) training images of each class, or None.
    """

    test: Part
    val: Part | None
    native_scale: float
    class_counts: Ints | None


def read(file: Path, kind: Kind | None = None, val_file: Path | None = None) -> Given:
    """Return the scores of a classifier.

    Args:
        file: of the test images; a ``.npz`` may hold those of held-out images too.
        kind: of the scores, where file and numbers do not tell it.
        val_file: of held-out images.

    Raises:
        UserError: for a file of another kind, or what are no scores and labels of the same images.
    """
    test = _part(_table(file, TEST), file, kind)
    val_table = _table(file, VAL, required=False) if file.suffix == ".npz" else None
    if val_file is not None:
        if val_table is not None:
            raise UserError(f"--val: {file} has scores of held-out images itself; leave --val out")
        val_table = _table(val_file, ("", *VAL))
    place = val_file or file
    val = None if val_table is None else _part(val_table, place, kind)
    return _whole(file, test, val, place, _about_training(file, test.logits.shape[1]))


def _whole(file: Path, test: Part, val: Part | None, place: Path, training: tuple[float, Ints | None]) -> Given:
    """Return both parts of a classifier's scores, which are of the same classes."""
    if val is not None and val.logits.shape[1] != test.logits.shape[1]:
        raise UserError(
            f"{place}: the held-out images have scores of {val.logits.shape[1]} classes, the test images of "
            f"{test.logits.shape[1]}"
        )
    if val is not None and val.class_names != test.class_names:
        raise UserError(f"{place}: the columns of the held-out images are not those of the test images in {file}")
    if val is not None and _same(test, val):
        raise UserError(f"{place}: the held-out images are the test images, which may not fit the temperature")
    return Given(test, val, *training)


def _same(test: Part, val: Part) -> bool:
    """Say whether two parts have the same labels and probabilities."""
    if not np.array_equal(test.labels, val.labels):
        return False
    one, other = (part.logits - part.logits.max(axis=1, keepdims=True) for part in (test, val))
    return np.allclose(one, other, atol=1e-4)


def of_arrays(
    test: Arrays, val: Arrays | None, kind: Kind | None, native_scale: float, class_counts: Any
) -> tuple[Given, str]:
    """Return the scores of a classifier in memory, and what a cell tells of them.

    Args:
        test: scores and labels of the test images: numpy, torch or lists.
        val: of held-out images.
        kind: of the scores, where their numbers do not tell it.
        native_scale: the scale inside the logits.
        class_counts: (C,) training images of each class, or None.

    Raises as :func:`read` does.
    """
    shown = _in_memory("scores", test, kind)
    held_out = None if val is None else _in_memory("val_scores", val, kind)
    counts = None if class_counts is None else scores.array(class_counts, str(MEMORY), "class_counts")
    scale = np.asarray(native_scale)
    training = _checked_training(MEMORY, shown.logits.shape[1], scale, counts)
    given = _whole(MEMORY, shown, held_out, MEMORY, training)
    return given, f"arrays sha256 {hashlib.sha256(np.ascontiguousarray(shown.stored).tobytes()).hexdigest()[:16]}"


def _in_memory(name: str, part: Arrays, kind: Kind | None) -> Part:
    values, labels = (scores.array(given, str(MEMORY), name) for given in part)
    return _part(Table(name, values, labels), MEMORY, kind)


def told(file: Path) -> str:
    """Return what a cell tells of the file of its scores."""
    return f"{file.name} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


def _table(file: Path, prefixes: tuple[str, ...], required: bool = True) -> Table | None:
    """Return the scores of a file under one of the prefixes, None where there are none and none are required."""
    readers: dict[str, Callable[[], Table | None]] = {
        ".npz": lambda: _of_npz(file, prefixes, required),
        ".csv": lambda: score_tables.of_csv(file),
        ".parquet": lambda: score_tables.of_parquet(file),
    }
    if file.is_dir():
        raise UserError(
            f"{file} is a folder, and scores are a file; own images are a data set of a grid, "
            f"dataset: [{{name: folder, path: {file}, size: 32}}] (docs/data.md)"
        )
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    if file.suffix not in readers:
        raise UserError(f"{file}: a file of scores ends in {', '.join(readers)} (docs/ways-in.md)")
    return readers[file.suffix]()


@contextmanager
def _sound(file: Path) -> Iterator[None]:
    """Name the file in the error of arrays that cannot be read."""
    try:
        yield
    except BadArrayError as error:
        raise UserError(f"{file} is no sound .npz file ({error})") from None


def _of_npz(file: Path, prefixes: tuple[str, ...], required: bool) -> Table | None:
    with _sound(file):
        known = arrays.headers(file)
        found = [f"{prefix}{word}" for prefix in prefixes for word in WORDS if f"{prefix}{word}" in known]
        labelled = [name for prefix in prefixes if (name := f"{prefix}labels") in known]
        _check_names(file, list(known))
        if not (found or labelled or required):
            return None
        if len(found) != 1 or len(labelled) != 1:
            wanted = f"one of '{prefixes[0]}logits' and '{prefixes[0]}probabilities', and '{prefixes[0]}labels'"
            raise UserError(f"{file}: {wanted} are needed; its arrays are {', '.join(known) or 'none'}")
        read = arrays.read_npz(file, (found[0], labelled[0]))
    return Table(found[0], read[found[0]], read[labelled[0]])


def _check_names(file: Path, names: list[str]) -> None:
    """Raise UserError for an array whose name is nearly one that may be left out, and that is not there."""
    read = {f"{prefix}{word}" for prefix in VAL for word in (*WORDS, "labels")} | set(TRAINING)
    for name in sorted(set(names) - read):
        meant = near(name, read, cutoff=0.85)
        if meant is not None and meant not in names and meant[:3] == name[:3].casefold():
            raise UserError(f"{file}: array '{name}' is none that is read; did you mean '{meant}'?")


def _part(table: Table | None, file: Path, kind: Kind | None) -> Part:
    """Return checked scores as logits."""
    assert table is not None
    values, labels = scores.checked(table.scores, table.labels, str(file), table.name, "labels")
    named = next((word for word in KINDS if table.name.endswith(word)), None)
    if kind is not None and named not in (None, kind):
        raise UserError(f"{file}: they are called '{table.name}' there; leave --kind {kind} out, or rename them")
    if (kind or named or _told_by(values, file)) == "probabilities":
        logits = _logarithms(values, table, file)
        return Part(logits, labels, logits, table.class_names)
    if kind is None and scores.like_probabilities(values):
        raise UserError(
            f"{file}: {table.name} look like probabilities, since none is below 0 and every row sums to 1; call them "
            f"'{table.name.replace('logit', 'probabilitie')}', or give --kind logits if they are logits all the same"
        )
    stored = table.scores if table.scores.dtype.kind == "f" else values
    return Part(values, labels, stored, table.class_names)


def _told_by(values: Floats, file: Path) -> Kind:
    """Return the kind of scores by their numbers."""
    if scores.like_probabilities(values):
        return "probabilities"
    if values.min() < 0:
        return "logits"
    raise UserError(
        f"{file}: whether these are logits or probabilities cannot be told, since none is below 0 and row 0 sums to "
        f"{values[0].sum():.4g}; give --kind logits or --kind probabilities"
    )


def _logarithms(values: Floats, table: Table, file: Path) -> Floats:
    """Return the logarithms of probabilities; of 0 that of the smallest number of their type."""
    sums = values.sum(axis=1)
    if values.min() < 0 or not scores.like_probabilities(values):
        row = int(np.argmax(np.where(values.min(axis=1) < 0, np.inf, np.abs(sums - 1))))
        raise UserError(
            f"{file}: {table.name} are no probabilities, since row {row} has a smallest number of "
            f"{values[row].min():.4g} and sums to {sums[row]:.4g}; if they are logits, call them so or give --kind "
            f"logits"
        )
    kind = table.scores.dtype if table.scores.dtype.kind == "f" else np.dtype(np.float64)
    least = float(np.finfo(kind).tiny)
    zeros = int((values < least).sum())
    if zeros:
        note(f"{file}: {zeros} of the probabilities are 0, and taken as {least:.2g}")
    logs: Floats = np.log(np.maximum(values, least))
    return logs


def _about_training(file: Path, classes: int) -> tuple[float, Ints | None]:
    """Return ``native_scale`` and ``class_counts`` of a ``.npz`` file."""
    if file.suffix != ".npz":
        return 1.0, None
    with _sound(file):
        known = arrays.headers(file)
        names = [name for name in TRAINING if name in known]
        read = arrays.read_npz(file, names) if names else {}
    return _checked_training(file, classes, np.asarray(read.get("native_scale", 1.0)), read.get("class_counts"))


def _checked_training(
    file: Path, classes: int, scale: np.ndarray, counts: np.ndarray | None
) -> tuple[float, Ints | None]:
    """Return the scale inside the logits and the training images of each class, as they should be."""
    if scale.size != 1 or scale.dtype.kind not in "fiu" or not 0 < float(scale.reshape(())) < np.inf:
        raise UserError(f"{file}: native_scale is one number above 0")
    if counts is not None and (
        counts.shape != (classes,) or counts.dtype.kind not in "iu" or not 0 <= counts.min() <= counts.max() <= MOST
    ):
        raise UserError(f"{file}: class_counts are {classes} whole numbers, the training images of each class")
    return float(scale.reshape(())), None if counts is None else counts.astype(np.int64)
