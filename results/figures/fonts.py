"""The fonts within PDF files, which hold the letters alone that a figure has."""

import io
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

from matplotlib.backends import _backend_pdf_ps as backend
from matplotlib.font_manager import get_font

CUT: Any = backend.get_glyphs_subset
WRITE: Any = backend.font_as_file


class Cut(NamedTuple):
    """A font that was cut, with the names by which matplotlib asks for it.

    Attributes:
        font: its file.
        glyph_index_map: the numbers within it of glyphs of the whole font.
    """

    font: bytes
    glyph_index_map: dict[int, int]


@contextmanager
def cut_once() -> Iterator[None]:
    """Let matplotlib cut a font once to the letters of ASCII for all PDF files that need no others, and not once for
    each file, which is a fifth of the time that one takes.

    Matplotlib before 3.11 cuts fonts in another way, and goes on with that.
    """
    if not hasattr(backend, "SubsetResults"):
        yield
        return
    with mock.patch.multiple(backend, get_glyphs_subset=_kept, font_as_file=io.BytesIO):
        yield


def _kept(file: Any, glyphs: Collection[int]) -> AbstractContextManager[Cut]:
    own = frozenset(glyphs)
    return nullcontext(_cut(file, _ascii(file) if own <= _ascii(file) else own))


@cache
def _ascii(file: Any) -> frozenset[int]:
    return frozenset(glyph for letter, glyph in get_font(file).get_charmap().items() if letter < 128)


@cache
def _cut(file: Any, glyphs: frozenset[int]) -> Cut:
    with CUT(file, set(glyphs)) as found:
        font: io.BytesIO = WRITE(found.font)
        return Cut(font.getvalue(), found.glyph_index_map)
