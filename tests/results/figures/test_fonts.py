"""Fonts that are cut once look and read like those that matplotlib cuts for each file."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import matplotlib as mpl
import numpy as np
import pypdfium2 as pdfium
import pytest
from matplotlib.backends import _backend_pdf_ps as backend
from matplotlib.figure import Figure

from headbench.results.figures import fonts


def read(text: str, way: Callable[[], AbstractContextManager[None]]) -> tuple[str, np.ndarray, int]:
    """The letters, the picture and the size of a PDF that shows a text."""
    figure, buffer = Figure((4, 1)), io.BytesIO()
    figure.text(0.1, 0.4, text)
    with mpl.rc_context({"pdf.fonttype": 42}), way():
        figure.savefig(buffer, format="pdf")
    with pdfium.PdfDocument(buffer.getvalue()) as document:
        page = document[0]
        return page.get_textpage().get_text_range(), page.render(scale=2).to_numpy().copy(), len(buffer.getvalue())


@pytest.mark.parametrize("text", ["HPN, d = 50", "~!@#|", "−0.5 ± 2 → é…", "only ∑ beside ASCII", "ASCII again"])
def test_a_font_that_is_cut_once_shows_what_one_cut_for_the_file_shows(text: str) -> None:
    letters, picture, size = read(text, nullcontext)
    shown, drawn, own = read(text, fonts.cut_once)
    assert shown == letters == text
    assert (drawn == picture).all()
    assert own < size + 25_000  # and not the whole font, of 700 kB


@pytest.mark.skipif(not hasattr(backend, "SubsetResults"), reason="this matplotlib cuts fonts in another way")
def test_a_font_is_cut_once_for_all_figures_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, asked = fonts.CUT, list[set[int]]()

    def counted(file: Any, glyphs: set[int]) -> Any:
        asked.append(glyphs)
        return cut(file, glyphs)

    monkeypatch.setattr(fonts, "CUT", counted)
    fonts._cut.cache_clear()
    for text in ("one", "two", "three"):
        read(text, fonts.cut_once)
    assert len(asked) == 1
    assert backend.get_glyphs_subset is cut
