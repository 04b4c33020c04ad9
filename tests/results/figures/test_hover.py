"""What the points of a figure say, read from its SVG."""

import math
from xml.etree import ElementTree

from matplotlib.figure import Figure

from headbench.core import escape
from headbench.results.figures import base, differences
from headbench.results.figures.hover import POINT, TITLE, name_points
from headbench.results.tables import paired
from tests.results.known import answered, random

HOSTILE = "<script>\"'&\u202e\ud800\n$x_{"


def said(texts: list[str], heights: list[float]) -> tuple[list[tuple[float, str]], bytes]:
    """Place and text of each point that says something, in a figure of one line."""
    figure = Figure()
    (line,) = figure.subplots().plot(range(len(heights)), heights, marker="o")
    name_points(line, texts)
    svg = base.encode(figure, "svg")
    points = ElementTree.fromstring(svg).iter(POINT)
    titled = [(float(point.attrib["x"]), point.findtext(TITLE)) for point in points if point.find(TITLE) is not None]
    return [(place, text or "") for place, text in titled], svg


def test_each_point_says_its_own_text() -> None:
    found, svg = said(["a", HOSTILE, "c"], [1, 2, 3])
    assert [text for _, text in found] == ["a", escape.figure(HOSTILE), "c"]
    assert [place for place, _ in found] == sorted(place for place, _ in found)
    assert b"says " not in svg


def test_a_point_that_is_not_drawn_takes_no_text_from_another() -> None:
    assert [text for _, text in said(["a", "c"], [1, math.nan, 3])[0]] == ["a", "c"]
    assert said(["a", "b", "c"], [1, math.nan, 3])[0] == []


def test_a_difference_says_what_its_table_prints() -> None:
    rows, answers = answered({("psc", 5): random(0.9, 0), ("hpn", 5): random(0.7, 1), ("hpn", 2): random(0.6, 2)})
    table = paired.table(rows, answers, "last", "here", "toy")
    assert table is not None
    svg = base.encode(differences.differences(table.tidy, rows, "here").figure, "svg")
    titles = [title.text for title in ElementTree.fromstring(svg).iter(TITLE)]
    assert titles == [f"hpn, d = 5: {table.cells.iloc[0, 0]!s} points"]
