"""What a page holds of a grid of many figures."""

import io

import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from headbench.results.figures import base
from headbench.results.figures.inline import inline
from headbench.results.page import kinds, sections
from headbench.results.page.sections import Layout
from tests.results.known import answered, random


def test_a_page_holds_no_more_figures_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of several heads come first; the others are folded, and stand in their files."""
    rows, _ = answered({("psc", 5): random(0.9, 0), ("hpn", 5): random(0.7, 1)})
    figure = Figure()
    figure.subplots().plot([1, 2])
    noise = io.BytesIO()
    Image.effect_noise((400, 400), 100).save(noise, "png")
    svg = base.encode(figure, "svg")
    drawing = base.Picture({"svg": svg, "png": noise.getvalue()}, "A figure.", element=inline(svg))
    name = rows["dataset"].iloc[0]
    pictures = {f"{name}-reliability-psc": drawing, f"{name}-reliability-hpn": drawing, f"{name}-ece": drawing}

    def laid(room: int) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(sections, "BUDGET", room)
        ((block,),) = ([*part["blocks"]] for part in Layout({name: ("", rows)}, []).sections([], pictures))
        return [str(own["html"])[:4] for own in block.figures], [str(own["html"]) for own in block.folded]

    assert all(html.startswith("<svg") for html in laid(10**6)[1])
    size = len(laid(10**6)[1][0])
    figures, folded = laid(int(2.5 * size))
    assert figures == ["<svg"]
    assert [html[:4] for html in folded] == ["<svg", "<img"]
    assert f'a panel per head, hpn." loading="lazy" src="figures/{name}-reliability-hpn.svg"' in folded[1]
    assert laid(1)[0] == []
    assert len(laid(1)[1]) == 3


@pytest.mark.parametrize("what", ["history", "budgets", "front", "importance-psc", "parallel-psc"])
def test_a_figure_of_a_search_says_what_it_shows(what: str) -> None:
    kind = kinds.kind_of(f"digits-2-search-{what}-d3", ["digits-2", "digits"])
    assert kind == what.partition("-")[0]
    assert len(kinds.SHOWN[kind].split()) > 5
    assert kinds.kind_of(f"digits-2-search-{what}-search-net-d3", ["digits-2", "digits"]) == kind
    # Before any cell is trained there is no comparison.
    assert kinds.kind_of(f"digits-2-search-{what}-d3", []) == kind


def test_a_head_may_be_called_as_a_kind_of_figures() -> None:
    rows, _ = answered({("images", 5): random(0.9, 0), ("ece", 5): random(0.7, 1)})
    name = rows["dataset"].iloc[0]
    drawing = base.Picture({"svg": b"<svg/>", "png": b"-"}, "A figure.", element=Markup("<svg/>"))
    pictures = {f"{name}-images": drawing, f"{name}-ece": drawing, f"{name}-reliability-ece": drawing}
    (shown,) = [
        (len(block.figures), len(block.folded))
        for part in Layout({name: ("", rows)}, []).sections([], {f"{name}-images": drawing})
        for block in part["blocks"]
    ]
    assert shown == (1, 0)
    counts = [
        (len(block.figures), len(block.folded))
        for part in Layout({name: ("", rows)}, []).sections([], pictures)
        for block in part["blocks"]
    ]
    assert tuple(map(sum, zip(*counts, strict=True))) == (2, 1)
