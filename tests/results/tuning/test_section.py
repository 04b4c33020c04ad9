"""A search on the page: with trials of every kind, beside the final cells and without any."""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
import pytest
from matplotlib.axes import Axes

from headbench.core.errors import UserError
from headbench.results import report
from headbench.results.figures import base
from headbench.results.tuning import figures, searches
from headbench.results.tuning.section import section
from tests.results import helpers
from tests.results.tuning import known

RNG = np.random.default_rng(0)
MANY = [known.trial(0.8 + 0.01 * float(RNG.standard_normal()), 0.01 * (1 + place)) for place in range(8)]
PAIRS = [known.trial([float(x), float(y)], 0.01 * (1 + place)) for place, (x, y) in enumerate(RNG.random((8, 2)))]


def given(patch: pytest.MonkeyPatch, *studies: optuna.Study, grid: str = "toy-grid", **kept: Any) -> None:
    """Let a grid have these studies."""
    found = {"not_applicable": []} | kept
    patch.setattr(searches, "read", lambda out, name: found if name == grid else None)
    patch.setattr(searches, "studies", lambda out, name, storage=None: list(studies))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("no_pictures")
def test_a_search_adds_a_section_and_changes_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helpers.toy(tmp_path)
    before = report.build(tmp_path, "toy-grid").page.read_text()
    assert ">Tuning</h2>" not in before
    old = files(tmp_path / "toy-grid")
    given(monkeypatch, known.study("psc", MANY))
    built = report.build(tmp_path, "toy-grid")
    page, new = built.page.read_text(), files(tmp_path / "toy-grid")
    assert built.damaged == []
    same = old.keys() - {"report.html", "files.json"}
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    of_search = {Path(name).stem for name in new.keys() - old.keys()}
    drawn = {f"digits-search-{name}-d9" for name in ("history", "budgets", "importance-psc", "parallel-psc")}
    assert of_search == drawn | {f"digits-search{name}" for name in ("", "-budgets", "-trials")}
    start, end = page.index('<h2 id="tuning">'), page.index('<h2 id="failed">')
    assert page.index('<h2 id="classes">') < start < end
    assert (page[:start] + page[end:]).replace('<a href="#tuning">Tuning</a>', "") == before
    assert f"train them by bench.py run --tuned {tmp_path}/toy-grid/tuned.yaml, with --grid" in page


def test_a_page_of_a_search_alone_needs_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        known.study("psc", MANY),
        not_applicable=[{"head_label": "etf", "feature_dim": 2, "not_applicable": "a simplex needs d >= 3"}],
    )
    (tmp_path / "toy-grid").mkdir()
    built = report.build(tmp_path, "toy-grid")
    page = built.page.read_text()
    assert built.damaged == []
    assert "0 cells done" in page
    assert "not searched: etf, d = 2: a simplex needs d &gt;= 3" in page
    assert page.count("<svg") + page.count("<img") == 4
    assert not re.search(r"src=[\"'](?!data:)", page)
    assert report.build(tmp_path, "toy-grid").page.read_text() == page
    # Optuna sets a style of its own, which no other figure is to have.
    assert mpl.rcParams["axes.facecolor"] == "white"


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([], "0 finished trials"),
        (MANY[:1], "1 finished trial"),
        ([known.trial(None, 0.1, "FAIL")], "0 finished trials"),
        ([known.trial(0.5, 0.1, "PRUNED"), known.trial(None, 0.2, "PRUNED")], "0 finished trials"),
        ([known.trial(0.5, 0.1), known.trial(0.5, 0.2)], "all finished trials have the same value"),
        ([known.trial(0.5, 0.1), known.trial(0.6, 0.1)], "all finished trials have the same parameters"),
        ([known.trial(float("inf"), 0.1), known.trial(0.6, 0.1)], "1 finished trial"),
    ],
    ids=["none", "one", "failed", "pruned", "one value", "one setting", "infinite"],
)
def test_few_trials_are_a_sentence_in_place_of_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: list[Any], why: str
) -> None:
    for objectives in (["val_top1"], ["val_nll"]):
        given(monkeypatch, known.study("psc", trials, objectives))
        damaged = list[str]()
        part = section(tmp_path, "toy-grid", damaged)
        assert damaged == []
        assert part is not None
        assert any(note.endswith(why) for note in part[2])
        assert not any("importance" in name for name in part[1])


@pytest.mark.usefixtures("no_pictures")
def test_one_parameter_of_two_has_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = optuna.distributions.FloatDistribution(1.0, 1.0)
    trials = [
        optuna.trial.create_trial(
            value=0.1 * place,
            params={"recipe.lr": 0.01 + place, "head.scale": 1.0},
            distributions={"recipe.lr": known.SPACE["recipe.lr"], "head.scale": fixed},
        )
        for place in range(4)
    ]
    given(monkeypatch, known.study("psc", trials))
    damaged = list[str]()
    part = section(tmp_path, "toy-grid", damaged)
    assert part is not None
    assert damaged == []
    assert {"digits-search-importance-psc-d9", "digits-search-parallel-psc-d9"} <= part[1].keys()


@pytest.mark.usefixtures("no_pictures")
def test_two_objectives_have_a_front_and_three_say_that_they_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = list[str]()
    given(monkeypatch, *(known.study(head, PAIRS, ["val_top1", "val_ece"]) for head in ("psc", "etf")))
    part = section(tmp_path, "toy-grid", damaged)
    assert part is not None
    names = {"front-d9", *(f"{kind}-{head}-d9" for kind in ("importance", "parallel") for head in ("psc", "etf"))}
    assert part[1].keys() == {f"digits-search-{name}" for name in names}
    three = [known.trial([*trial.values, 0.5], 0.01 * place) for place, trial in enumerate(PAIRS, start=1)]
    given(monkeypatch, known.study("psc", three, ["val_top1", "val_ece", "val_nll"]))
    part = section(tmp_path, "toy-grid", damaged)
    assert part is not None
    assert any("no front is drawn of 3 objectives" in note for note in part[2])
    assert damaged == []


def _axes(drawn: base.Drawn) -> Axes:
    return drawn.figure.axes[0]


def test_a_drawn_front_holds_the_front() -> None:
    search = known.search("psc", PAIRS, ["val_top1", "val_ece"])
    front = _axes(figures.fronts([search], "")).lines[1].get_xydata()
    assert sorted(map(list, np.asarray(front))) == sorted(trial.values for trial in search.front)


def test_importance_is_for_the_best_whatever_is_better_and_however_many() -> None:
    """Only rates near 1 reach the best tenth, and any scale does; the worst tenth has other rates."""
    rng = np.random.default_rng(0)
    space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in ("rate", "scale")}
    tried = rng.random((60, 2))
    goods = np.where(tried[:, 0] > 0.9, 1 + tried[:, 0], tried[:, 1])

    def importances(objectives: list[str], values: list[list[float]]) -> list[float]:
        trials = [
            optuna.trial.create_trial(
                values=own, params=dict(zip(space, map(float, pair), strict=True)), distributions=dict(space)
            )
            for own, pair in zip(values, tried, strict=True)
        ]
        bars = _axes(figures.importance(known.search("psc", trials, objectives), "")).patches
        return [bar.get_width() for bar in bars]  # type: ignore[attr-defined]

    more = importances(["val_top1"], [[good] for good in goods.tolist()])
    less = importances(["val_nll"], [[-good] for good in goods.tolist()])
    both = importances(["val_top1", "val_ece"], [[good, -good] for good in goods.tolist()])
    assert more[1] > 0.9
    assert more == pytest.approx(less)
    assert both == pytest.approx(more * 2)


def test_the_history_has_the_colours_of_the_heads() -> None:
    ended = [known.trial(None, 0.1, "FAIL"), *MANY, known.trial(0.7, 0.1, "PRUNED"), known.trial(None, 0.1, "RUNNING")]
    heads = [known.search(head, ended) for head in ("psc", "dl2pa", "etf", "hpn", "word2vec", "mine")]
    axes = _axes(figures.history(heads, ""))
    looks = base.styles({search.label: search.label for search in heads})
    shown = {str(line.get_label()): line.get_color() for line in axes.lines}
    assert shown == {head: look.colour for head, look in looks.items()}
    best = np.maximum.accumulate([trial.values[0] for trial in MANY])
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata())[1:9], best)
    assert np.asarray(axes.collections[0].get_offsets())[:, 0].tolist() == list(range(1, 9))


@pytest.mark.usefixtures("no_pictures")
def test_a_storage_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise UserError("--storage postgresql://me:***@host/db: connection refused")

    helpers.toy(tmp_path)
    given(monkeypatch)
    monkeypatch.setattr(searches, "studies", fails)
    built = report.build(tmp_path, "toy-grid")
    assert [line for line in built.damaged if "connection refused" in line] == built.damaged
    assert "connection refused" in built.page.read_text()
    assert "55.00 ± 5.00" in built.page.read_text()


def test_both_pages_show_tuned_cells_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cells(rights: dict[str, int], prefix: str, **facts: Any) -> list[dict[str, Any]]:
        return [
            helpers.write_cell(
                tmp_path, helpers.facts(head, 5, seed, **facts), right + seed, cell_id=f"{prefix}-{head}-{seed}"
            )
            for head, right in rights.items()
            for seed in range(3)
        ]

    helpers.write_grid(tmp_path, cells({"psc": 12, "etf": 20}, "own"))
    helpers.write_grid(tmp_path, cells({"psc": 37, "etf": 20}, "new", tuned=8), "toy-grid+tuned")
    given(monkeypatch)
    for grid in ("toy-grid", "toy-grid+tuned"):
        damaged = list[str]()
        part = section(tmp_path, grid, damaged)
        assert damaged == []
        assert part is not None
        (made,), _, notes = part
        assert notes == []
        assert made.tidy["head"].tolist() == ["psc", "etf"]
        assert made.tidy["verdict"].tolist() == ["better", "identical predictions"]
        assert made.tidy["mean"].tolist() == pytest.approx([100 * 25 / 40, 0])


def test_optunas_figures_have_no_title_and_their_parts_do_not_lie_on_each_other() -> None:
    heads = [known.search(head, MANY) for head in ("psc", "dl2pa", "etf", "hpn", "word2vec", "mine")]
    for drawn in (figures.history(heads, ""), figures.importance(heads[0], ""), figures.parallel(heads[0], "")):
        figure = drawn.figure
        figure.draw_without_rendering()
        assert {axes.get_title(loc=place) for axes in figure.axes for place in figures.TITLES} == {""}
        parts = [box for axes in figure.axes[:1] if (box := axes.get_tightbbox()) is not None]
        parts += [shown.get_window_extent() for shown in figure.legends]
        for part in parts:
            assert part.x0 >= -1
            assert part.y0 >= -1
            assert part.x1 <= figure.bbox.x1 + 1
            assert part.y1 <= figure.bbox.y1 + 1
        assert not any(part.overlaps(other) for at, part in enumerate(parts) for other in parts[:at])
