"""The files below a folder, through links; their names as text; the lines of a text file."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from headbench.core.errors import UserError


def files_below(folder: Path) -> list[Path]:
    """Return the regular files below a folder, sorted.

    Links are followed, except back to a folder above, and hidden names are left out.

    Raises:
        UserError: if links point nowhere, as where only half of a data set has been fetched.
    """
    found = sorted(_walk(folder, frozenset()))
    dangling = [path for path in found if not path.exists()]
    if dangling:
        raise UserError(
            f"{printable(folder)}: {len(dangling)} of {len(found)} files are links that point nowhere, first "
            f"{printable(dangling[0])}"
        )
    return found


def stamps_below(folder: Path) -> Iterator[bytes]:
    """Yield name, size and modification time of every file below a folder, as :func:`files_below` finds them; of a link
    that points nowhere, its own.
    """
    for path in sorted(_walk(folder, frozenset())):
        facts = path.stat() if path.exists() else path.lstat()
        yield os.fsencode(path.relative_to(folder)) + f" {facts.st_size} {facts.st_mtime_ns}\n".encode()


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Yield regular files and links that point nowhere; other kinds of files, as pipes, are left out."""
    facts = folder.stat()
    identity = (facts.st_dev, facts.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            # Of a link that leads to itself an entry raises, and a path says no.
            asked = path if entry.is_symlink() else entry
            if asked.is_dir():
                yield from _walk(path, above | {identity})
            elif asked.is_file() or points_nowhere(path):
                yield path


def points_nowhere(path: Path) -> bool:
    """Return whether a path is a link to something that is not there; a link in a loop of links is none."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path.is_symlink()
    except OSError:
        return False
    return False


def printable(name: str | Path) -> str:
    """Return a file's name as text; a byte that is not UTF-8 is written by its number, after a backslash and an x."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_lines(file: Path) -> list[str]:
    """Return the lines of a text file in UTF-8, with or without a byte order mark, whatever ends the lines.

    Raises:
        UserError: if it is not there, or naming the line that is not UTF-8.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    contents = file.read_bytes()
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", contents[: error.start])) + 1
        raise UserError(
            f"{file}, line {line}: not UTF-8 text (byte 0x{contents[error.start]:02x}); save it in UTF-8"
        ) from None
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if not lines[-1] else lines
