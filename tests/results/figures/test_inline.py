"""Figures as parts of one page."""

import re

from matplotlib.figure import Figure

from headbench.results.figures import base
from headbench.results.figures.inline import inline, labelled

NAME = re.compile(r' id="([^"]*)"')
REFERENCE = re.compile(r"""(?:href="#|url\(#)([^")]*)""")


def drawn(height: int = 4) -> bytes:
    figure = Figure()
    axis = figure.subplots()
    axis.plot([1, 2], [3, height], marker="o", label="</svg><script>")
    axis.set_title("a < b & c")
    axis.legend()
    return base.encode(figure, "svg")


def test_figures_of_one_page_share_no_name_and_find_their_own() -> None:
    first, second = inline(drawn(4)), inline(drawn(5))
    names = [set(NAME.findall(svg)) for svg in (first, second)]
    assert all(names)
    assert not names[0] & names[1]
    for svg, own in zip((first, second), names, strict=True):
        assert set(REFERENCE.findall(svg)) == own


def test_a_figure_keeps_its_texts_and_is_small() -> None:
    svg = drawn()
    small = labelled(inline(svg), 'what "it" <shows>', "wide")
    assert ">a &lt; b &amp; c</text>" in small
    assert "&lt;/svg&gt;&lt;script&gt;</text>" in small
    assert small.startswith('<svg class="wide" aria-label="what &#34;it&#34; &lt;shows&gt;" viewBox="0 0 ')
    assert ' role="img">' in small
    assert small.count("<path") == svg.decode().count("<path")
    assert not re.search(r"\.\d{3}|font-family|<metadata|<style|xmlns", small)
    assert len(small) < 0.6 * len(svg)
