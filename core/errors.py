"""The user's mistakes, said in one line."""

import difflib
import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from headbench.core import escape


class UserError(Exception):
    """A mistake in what the user asked for.

    Its message is one line that names the value, the place and a valid choice.
    """


@contextmanager
def at(place: str) -> Iterator[None]:
    """Say in a UserError, first, what it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


class StoppedError(Exception):
    """A run could not go on, by no mistake of the user; its message is one line that says why, and where it stopped."""


class PrunedError(Exception):
    """A cell is not worth going on with; who is told of its epochs ends it so. It is neither done nor failed."""


class DamagedError(Exception):
    """A file of the store is not what was written; the message names it."""


class NewerError(UserError):
    """A file of the store was written by a newer harness; the message says what can be done."""


def reason(error: BaseException, most: int | None = 200) -> str:
    """Return what an error says, in one line of at most so many characters; its type where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def typed_reason(error: BaseException, most: int | None = 300) -> str:
    """Return the type of an error and what it says, in one line."""
    told = " ".join(str(error).split())[:most]
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def is_full(error: BaseException) -> bool:
    """Say whether an error is that of a file system that is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def note(message: str) -> None:
    """Tell the user, in one line on stderr, of something that does not stop the run."""
    print(f"note: {escape.plain(message)}", file=sys.stderr)


def near(value: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the choice that is most like a value (difflib's ratio, without case), None where none reaches a cutoff."""
    folded = {choice.casefold(): choice for choice in sorted(choices, reverse=True)}
    found = difflib.get_close_matches(value.casefold(), sorted(folded), n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"`` with the nearest of many choices, or nothing without any."""
    found = near(value, choices, cutoff=0.0)
    return f"did you mean '{found}'?" if found is not None else ""


def suggest(value: str, choices: Iterable[str]) -> str:
    """Return ``"did you mean 'x'? known: x, y, z"`` for a misspelt name, nearest choice first."""
    known = sorted(choices)
    found = near(str(value), known, cutoff=0.5)
    hint = f"did you mean '{found}'? " if found is not None else ""
    return f"{hint}known: {', '.join(known) or 'none'}"
