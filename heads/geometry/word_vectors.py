"""Word vectors of class names: the tables that come with the harness, and the user's own."""

import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headbench.core import arrays
from headbench.core.errors import UserError, suggest
from headbench.core.folders import expanded, stamp

FOLDER = Path(__file__).parents[1] / "word_vectors"
SHIPPED = {"glove": FOLDER / "glove50.npz", "minilm": FOLDER / "minilm384.npz"}
FORMATS = (".npz", ".txt", ".vec")
# Beyond this, sums of squares would overflow.
LARGEST = 1e100
# A class that is nearer to the mean of all, in parts of the farthest one's distance, has no direction from there.
NEAREST = 1e-9
# So many missing names are listed.
LISTED = 200
INSTEAD = "leave the head out, or give a file of vectors, {name: word2vec, vectors: my.txt} (docs/heads.md)"

Table = dict[str, np.ndarray]


def file_of(source: str) -> Path:
    """Return the file of a shipped table's name, or the user's own file.

    Raises:
        UserError: if it is neither.
    """
    path = SHIPPED.get(source, expanded(source))
    if path.suffix not in FORMATS:
        raise UserError(
            f"vectors: unknown table '{source}'; {suggest(source, SHIPPED)} (or a file of type {', '.join(FORMATS)})"
        )
    if not path.is_file():
        raise UserError(f"vectors: there is no file {path}")
    return path


def class_vectors(class_names: tuple[str, ...], source: str) -> Tensor:
    """Return the vectors (C, n) float64 of class names; case and underscores do not matter.

    A name that the table does not have as a whole is the mean of its words' vectors.

    Args:
        class_names: C names.
        source: ``glove`` (GloVe 6B, n = 50), ``minilm`` (all-MiniLM-L6-v2, n = 384), or a file: ``.npz`` with ``names``
            and ``vectors``, or text in the GloVe or word2vec format.

    Raises:
        UserError: listing the names that have no vector, or naming a file that cannot be read.
    """
    return _class_vectors(class_names, source, *stamp(file_of(source)))


@cache
def _class_vectors(class_names: tuple[str, ...], source: str, *_: int) -> Tensor:
    keys = [_key(name) for name in class_names]
    words = {word for key in keys for word in (key, *key.split())}
    table = _read(file_of(source), words)
    parts = [[key] if key in table else key.split() for key in keys]
    missing = [
        name for name, own in zip(class_names, parts, strict=True) if not own or any(word not in table for word in own)
    ]
    if missing:
        listed = ", ".join(missing[:LISTED]) + (", ..." if len(missing) > LISTED else "")
        raise UserError(
            f"word2vec: no word vector for {len(missing)} of {len(class_names)} class names: {listed}; {INSTEAD}"
        )
    vectors = torch.from_numpy(
        np.stack([np.mean([table[word] for word in own], axis=0, dtype=np.float64) for own in parts])
    )
    sound = (vectors.abs() <= LARGEST).all(dim=1)
    if not sound.all():
        raise UserError(
            f"{source}: the vector of '{class_names[int((~sound).nonzero()[0])]}' is not finite, or beyond {LARGEST:g}"
        )
    return vectors


def check_apart(class_names: tuple[str, ...], source: str) -> None:
    """Raise UserError where two classes have one vector, or one has no direction from the mean of all: no head could
    tell them apart by their vectors. Arguments as for :func:`class_vectors`.
    """
    _check_apart(class_names, source, *stamp(file_of(source)))


@cache
def _check_apart(class_names: tuple[str, ...], source: str, *_: int) -> None:
    vectors, first = class_vectors(class_names, source), dict[bytes, int]()
    for number, vector in enumerate(vectors.numpy()):
        other = first.setdefault(vector.tobytes(), number)
        if other != number:
            raise UserError(
                f"word2vec: '{class_names[other]}' and '{class_names[number]}' have the same word vector; {INSTEAD}"
            )
    lengths = (vectors - vectors.mean(dim=0)).norm(dim=1)
    near = lengths <= NEAREST * lengths.max()
    if near.any():
        name = class_names[int(near.nonzero()[0])]
        raise UserError(f"word2vec: the word vector of '{name}' is the mean of all classes; {INSTEAD}")


def _key(name: str) -> str:
    return _spelt(name).lower()


def _spelt(name: str) -> str:
    """Return a name with spaces, and umlauts in one letter, as files and file systems have them otherwise too."""
    return unicodedata.normalize("NFC", str(name)).replace("_", " ")


class _Chosen:
    """The vectors of wanted words: of the entry that is spelt in small letters, as the words are, else of the first."""

    def __init__(self, words: set[str]) -> None:
        self.table: Table = {}
        self._words, self._exact = words, set[str]()

    def wants(self, entry: str) -> bool:
        """Say whether the vector of an entry is to be put into the table."""
        word = _key(entry)
        better = word not in self.table or (_spelt(entry) == word and word not in self._exact)
        return word in self._words and better

    def put(self, entry: str, vector: np.ndarray) -> None:
        """Put the vector of an entry into the table."""
        word = _key(entry)
        self.table[word] = vector
        if _spelt(entry) == word:
            self._exact.add(word)


def _read(path: Path, words: set[str]) -> Table:
    """Return the vectors of those ``words`` that a file has."""
    if path.suffix == ".npz":
        try:
            names, vectors = arrays.read_npz(path, ["names", "vectors"]).values()
        except arrays.BadArrayError as error:
            raise UserError(f"{path}: not an .npz file with the keys names and vectors ({error})") from None
        if names.dtype.kind != "U" or vectors.dtype.kind not in "fiu":
            raise UserError(f"{path}: not words and numbers, but arrays of type {names.dtype} and {vectors.dtype}")
        if names.ndim != 1 or vectors.ndim != 2 or len(names) != len(vectors):
            raise UserError(f"{path}: {names.size} names, but vectors of shape {vectors.shape}")
        chosen = _Chosen(words)
        for name, vector in zip(names.tolist(), vectors, strict=True):
            if chosen.wants(name):
                chosen.put(name, vector)
        return chosen.table
    return _read_text(path, words)


def _read_text(path: Path, words: set[str]) -> Table:
    """Read lines of a word and its numbers, apart by spaces or tabs; the word2vec format has a first line of two
    counts.
    """
    chosen, size = _Chosen(words), None
    # With the mark of byte order that some editors write.
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip().split("\t" if "\t" in line else " ")
            if (number == 1 and len(values) == 1) or not chosen.wants(word):
                continue
            try:
                vector = np.array(values, dtype=np.float64)
            except ValueError:
                raise UserError(f"{path}, line {number}: not a word and numbers") from None
            size = size or len(vector)
            if len(vector) != size:
                raise UserError(f"{path}, line {number}: {len(vector)} numbers, not {size} as before")
            chosen.put(word, vector)
    return chosen.table
