"""What the figures of heads show equals numbers that are computed from the cells' files."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer

from headbench import results
from headbench.core.errors import UserError
from headbench.results import store
from headbench.results.answers import Answers
from headbench.results.compared import Comparison
from headbench.results.figures import base, confusion, curves, differences, images, sensitivity
from headbench.results.figures.pooled import pool
from headbench.results.tables import paired
from tests.results import helpers


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("toy")
    helpers.toy(out)
    rows = results.load(out, "toy-grid")
    return Comparison(rows, Answers(out), out, "by hand", "toy")


def predicted(comparison: Comparison, cell_id: str) -> tuple[np.ndarray, np.ndarray]:
    stored = store.read_predictions(store.cell_folder(comparison.out, cell_id))
    return stored["last_test_logits"].argmax(axis=1), stored["test_labels"]


def test_differences_are_those_of_the_rows(toy: Comparison) -> None:
    table = paired.compared(toy)
    assert table is not None
    drawn = differences.differences(table.tidy, toy.rows, "by hand")
    (shown,) = drawn.figure.axes[0].containers
    assert isinstance(shown, ErrorbarContainer)
    top1 = toy.last[(toy.last["feature_dim"] == 5) & (toy.last["seed"] < 2)].groupby("head_label")["top1"].mean()
    assert np.asarray(shown[0].get_xdata()) == pytest.approx([100 * (top1["etf"] - top1["psc"])])
    (segment,) = shown.lines[2][0].get_segments()
    assert segment[:, 0] == pytest.approx(table.tidy[["low", "high"]].iloc[0].tolist())


def test_pairs_are_counted_image_by_image(toy: Comparison) -> None:
    rows = toy.last[toy.last["feature_dim"] == 5]
    (pair,) = images.pairs(rows, toy.answers)
    counts = []
    for seed in (0, 1):
        own = {head: predicted(toy, f"{head}-5-{seed}-toy") for head in ("psc", "etf")}
        right = {head: classes == labels for head, (classes, labels) in own.items()}
        told = pd.crosstab(right["psc"], right["etf"]).reindex(index=[True, False], columns=[True, False], fill_value=0)
        counts.append(told.to_numpy())
    (both, first), (second, neither) = np.mean(counts, axis=0)
    assert (pair.both, pair.only, pair.neither) == (both, (first, second), neither)
    bars = images.images([pair], rows, "by hand").figure.axes[0].patches
    assert sorted(abs(bar.get_width()) for bar in bars) == sorted((first, second))  # type: ignore[attr-defined]


def test_confused_classes_are_those_of_the_predictions(toy: Comparison) -> None:
    found, _ = pool(toy.rows, toy.out)
    expected = np.zeros((4, 4))
    for seed in range(3):
        for guess, label in zip(*predicted(toy, f"psc-5-{seed}-toy"), strict=True):
            expected[label, guess] += 1
    assert found["psc"].confused.tolist() == expected.tolist()
    shares = {"psc": confusion.confused(found["psc"].confused)}
    assert shares["psc"].sum(axis=1) == pytest.approx([100] * 4)
    off = {(i, j): shares["psc"][i, j] for i in range(4) for j in range(4) if i != j and shares["psc"][i, j]}
    assert confusion.most_confused(shares, 99) == sorted(off, key=lambda pair: -off[pair])
    drawn = confusion.pairs(shares, list("abcd"), toy.rows, "by hand").figure.axes[0]
    assert np.asarray(drawn.lines[0].get_xdata()) == pytest.approx(sorted(off.values(), reverse=True))


def test_curves_are_means_over_seeds_that_have_the_epoch() -> None:
    history = pd.DataFrame(
        {
            "head": "psc",
            "head_label": "psc",
            "feature_dim": 5,
            "seed": [0, 0, 1, 1, 1],
            "epoch": [1, 2, 1, 2, 3],
            "train_loss": [2.0, 1.0, 4.0, 2.0, 9.0],
            "val_top1": [np.nan, 0.5, np.nan, 0.7, 0.9],
        }
    )
    loss, accuracy = curves.curves(history, {"psc": "PSC"}, "by hand").figure.axes
    assert np.asarray(loss.lines[0].get_ydata()).tolist() == [3, 1.5]
    assert np.asarray(accuracy.lines[0].get_ydata()) == pytest.approx([60])


def test_places_move_by_what_is_left_out_and_not_by_an_absence(toy: Comparison) -> None:
    """Of a, b and c, b is best by seed 0 and a by seed 1, while c is the worst: that one is absent moves nobody."""
    top1 = {("a", 0): 0.6, ("a", 1): 0.9, ("b", 0): 0.8, ("b", 1): 0.8, ("c", 0): 0.1, ("c", 1): 0.1}
    model = toy.last.iloc[[0] * len(top1)].reset_index(drop=True)
    rows = model.assign(
        head_label=[head for head, _ in top1], seed=[seed for _, seed in top1], top1=list(top1.values())
    )
    found = sensitivity.moves(rows, "last")
    places = {
        (kind, left_out): dict(zip(own["head_label"], own["place"], strict=True))
        for (kind, left_out), own in found.groupby(["kind", "left_out"])
    }
    assert places["", ""] == {"b": 1, "a": 2, "c": 3}
    assert places["seed", "0"] == {"a": 1, "b": 2, "c": 3}
    assert all(places["head_label", head].items() <= places["", ""].items() for head in "abc")
    assert "a from 2 to 1 without seed 0" in sensitivity.sensitivity(found, rows).caption


def test_a_condition_of_one_seed_stays_where_that_is_left_out(toy: Comparison) -> None:
    """At d = 9 there is seed 0 alone, and b ahead; at d = 5 a is ahead with both seeds."""
    top1 = {(5, "a", 0): 0.9, (5, "b", 0): 0.8, (5, "a", 1): 0.9, (5, "b", 1): 0.8, (9, "a", 0): 0.5, (9, "b", 0): 0.6}
    model = toy.last.iloc[[0] * len(top1)].reset_index(drop=True)
    rows = model.assign(
        feature_dim=[dim for dim, _, _ in top1],
        head_label=[head for _, head, _ in top1],
        seed=[seed for _, _, seed in top1],
        top1=list(top1.values()),
    )
    assert set(sensitivity.moves(rows, "last")["place"]) == {1.5}


def test_places_move_by_a_data_set_that_is_left_out(toy: Comparison) -> None:
    """Of a and b each is best on one of two data sets, so that they are tied; without one of these the other says."""
    top1 = {("toy", "a"): 0.9, ("toy", "b"): 0.8, ("other", "a"): 0.6, ("other", "b"): 0.7}
    model = toy.last.iloc[[0] * len(top1)].reset_index(drop=True)
    rows = model.assign(
        dataset=[dataset for dataset, _ in top1], head_label=[head for _, head in top1], top1=list(top1.values())
    )
    places = {
        (kind, left_out): dict(zip(own["head_label"], own["place"], strict=True))
        for (kind, left_out), own in sensitivity.moves(rows, "last").groupby(["kind", "left_out"])
    }
    assert places == {
        ("", ""): {"a": 1.5, "b": 1.5},
        ("dataset", "toy"): {"a": 2, "b": 1},
        ("dataset", "other"): {"a": 1, "b": 2},
    }


def test_a_head_that_is_left_out_brings_no_condition_in_that_it_kept_out(toy: Comparison) -> None:
    """At d = 9, where b is ahead of a, c is marked: that does not count, also without c."""
    top1 = {("a", 5): 0.9, ("b", 5): 0.8, ("c", 5): 0.1, ("a", 9): 0.5, ("b", 9): 0.9, ("c", 9): 0.1}
    model = toy.last.iloc[[0] * len(top1)].reset_index(drop=True)
    rows = model.assign(head_label=[head for head, _ in top1], feature_dim=[dim for _, dim in top1])
    rows = rows.assign(top1=list(top1.values()), health=["ok"] * 5 + ["diverged"])
    found = sensitivity.moves(rows, "last")
    without = found[(found["kind"] == "head_label") & (found["left_out"] == "c")]
    assert dict(zip(without["head_label"], without["place"], strict=True)) == {"a": 1, "b": 2}


def test_what_does_not_apply_is_a_sentence(toy: Comparison) -> None:
    alone = Comparison(toy.rows[toy.rows["head_label"] == "psc"], toy.answers, toy.out, "by hand", "toy")
    assert images.compared(alone) == {"images": "No figure of head against head: no dimension has two heads."}
    assert differences.compared(alone) == {"differences": "No figure of differences: no head was trained beside psc."}


def test_a_figure_is_as_wide_as_asked_and_the_same_bytes_twice() -> None:
    def drawn(**size: float) -> bytes:
        base.set_size(**size)
        with base.canvas(0.5) as figure:
            figure.subplots().plot([1, 2], label="a")
        return base.encode(figure, "pdf")

    try:
        first, second, other = drawn(), drawn(), drawn(width=5.0, font=10)
    finally:
        base.set_size()
    with pytest.raises(UserError, match=r"figures of 1 inches have no room for letters of 8 points"):
        base.set_size(width=1)
    assert first == second
    boxes = [re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", made) for made in (first, other)]
    assert [float(box[1]) / 72 for box in boxes if box] == pytest.approx([3.3, 5.0])
    assert b"/Type3" not in first


def test_names_are_those_of_papers_unless_two_share_one() -> None:
    rows = pd.DataFrame({"head": list("abc"), "head_label": list("abc"), "head_display": ["A", "", "A"]})
    assert base.names_of(rows) == {"a": "a", "b": "b", "c": "c"}
    assert base.names_of(rows.iloc[:2]) == {"a": "A", "b": "b"}


def test_a_head_looks_alike_in_all_figures_of_a_comparison(tmp_path: Path) -> None:
    """Though the first of them was not trained at the largest dimension, and has no history."""
    cells = [
        helpers.write_cell(tmp_path, helpers.facts(head, dim, 0), 20 + place)
        for place, (head, dim) in enumerate([("mine", 2), ("other", 2), ("other", 5), ("third", 2), ("third", 5)])
    ]
    helpers.write_grid(tmp_path, cells)
    comparison = Comparison(results.load(tmp_path, "toy-grid"), Answers(tmp_path), tmp_path, "by hand", "toy")
    looks = base.styles(base.heads_of(comparison.rows))
    drawn = images.compared(comparison)["images"]
    assert isinstance(drawn, base.Drawn)
    shown = [bar.get_facecolor()[:3] for bar in drawn.figure.axes[0].patches]
    assert shown == [to_rgb(looks[head].colour) for head in ("other", "third")]
    history = pd.DataFrame({"head_label": ["third"] * 2, "head": "third", "seed": 0, "epoch": [1, 2], "feature_dim": 5})
    heads = base.heads_of(comparison.rows)
    lines = curves.curves(history.assign(train_loss=1.0), {"third": "third"}, "by hand", heads).figure.axes[0].lines
    assert to_rgb(lines[0].get_color()) == to_rgb(looks["third"].colour)
