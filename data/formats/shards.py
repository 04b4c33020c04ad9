"""Which parquet files make up one part of a data set, in every naming of the Hugging Face layout.

What is not one complete set is refused.
"""

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from headbench.core.errors import UserError
from headbench.data.formats.torchvision_sets import md5
from headbench.data.formats.walking import points_nowhere, printable

# train-00000-of-00002, of older files with a hash of each shard behind it.
COUNTED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)(?P<of>[-_.]of[-_.])(?P<total>\d+)(?P<hash>[-_.][0-9a-zA-Z]+)?")
# train/0000 and train_1, but not train_v1: of two versions each is a set of its own.
NUMBERED = re.compile(r"(?P<stem>.*?)(?<![-_.]v)(?<!\d)(?P<number>\d+)")


@dataclass(frozen=True)
class _Shard:
    """A file's name taken apart: what all files of its set share, and its place among them."""

    path: Path
    set: tuple[str, ...]
    number: int
    total: int | None


def part_files(folder: Path, part: str) -> list[Path]:
    """Return the files of a part, in order; none if it has none.

    They are ``<part>*.parquet`` or ``<part>*/*.parquet`` in ``folder`` or ``folder/data``: one file, or files that are
    counted (``train-00000-of-00002.parquet``, also with a hash) or numbered (``train/0000.parquet``).

    Raises:
        UserError: naming a file that is missing, or files that are not of one set, or twice the same.
    """
    patterns = [f"{place}{part}*{below}.parquet" for place in ("", "data/") for below in ("", "/*")]
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if not path.is_dir()]
    return _one_set(folder, files) if files else []


def _one_set(folder: Path, files: list[Path]) -> list[Path]:
    for file in files:
        if points_nowhere(file):
            raise UserError(f"{printable(file)} is a link that points nowhere")
    shards = sorted((_taken_apart(folder, file) for file in files), key=lambda shard: shard.number)
    by_place: dict[tuple[tuple[str, ...], int], Path] = {}
    for shard in shards:
        other = next((other for other in shards if other.set != shard.set), None)
        twin = by_place.setdefault((shard.set, shard.number), shard.path)
        if other is not None or twin != shard.path:
            raise _refusal(
                folder, shard.path, other.path if other is not None else twin, "do not belong to one set of files"
            )
    _check_complete(shards)
    sizes: dict[int, list[Path]] = {}
    for shard in shards:
        for other_path in sizes.setdefault(shard.path.stat().st_size, []):
            if md5(other_path) == md5(shard.path):
                raise _refusal(folder, shard.path, other_path, "have the same contents")
        sizes[shard.path.stat().st_size].append(shard.path)
    return [shard.path for shard in shards]


def _refusal(folder: Path, file: Path, other: Path, what: str) -> UserError:
    names = sorted(printable(path.relative_to(folder)) for path in (file, other))
    return UserError(f"{folder}: {names[0]} and {names[1]} {what}; leave only the files of one set there")


def _taken_apart(folder: Path, file: Path) -> _Shard:
    place, stem = str(file.parent.relative_to(folder)), file.name.removesuffix(".parquet")
    counted, numbered = COUNTED.fullmatch(stem), NUMBERED.fullmatch(stem)
    if counted is not None:
        return _Shard(
            file,
            (place, counted["stem"], counted["of"], counted["total"]),
            int(counted["number"]),
            int(counted["total"]),
        )
    if numbered is not None:
        return _Shard(file, (place, numbered["stem"]), int(numbered["number"]), None)
    return _Shard(file, (place, stem, "one file"), 0, 1)


def _check_complete(shards: list[_Shard]) -> None:
    """Raise UserError for a gap: counted files run from 0 (or from 1) to their total, numbered ones have no total."""
    numbers, total = [shard.number for shard in shards], shards[0].total
    first = 1 if numbers[0] == 1 and (total is None or numbers[-1] == total) else 0
    last = numbers[-1] if total is None else total - 1 + first
    if numbers[-1] > last:
        raise UserError(f"{printable(shards[-1].path)}: its number is beyond the {total} files that it counts")
    missing = next(number for number in count(first) if number not in set(numbers))
    if missing <= last and not (total is None and len(shards) == 1):
        present = shards[0].path
        match = (COUNTED if total is not None else NUMBERED).fullmatch(present.name.removesuffix(".parquet"))
        assert match is not None  # a single file has no gap
        name = f"{match['stem']}{missing:0{len(match['number'])}d}{present.name[match.end('number') :]}"
        if total is not None and match["hash"]:
            name = name.replace(match["hash"], "-*")
        belonging = f"one of {total} that belong together" if total is not None else f"but {shards[-1].path.name} is"
        raise UserError(f"there is no file {printable(present.with_name(name))}, {belonging}")
