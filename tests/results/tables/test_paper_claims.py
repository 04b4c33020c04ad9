"""Claims: verdicts on answers made by hand, and the rows they are drawn from."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from headbench.heads import HEADS
from headbench.results.columns import COMPARISON
from headbench.results.numbers import inference
from headbench.results.numbers.statistics import Bools, holm
from headbench.results.tables import paper_claims
from headbench.runners.grid.config import expand, parse_grid, read_grid
from tests.results import known


def verdicts(heads: dict[tuple[str, int], Bools], **changes: object) -> dict[str, str]:
    """Each claim's verdict at the dimension it is tested at."""
    rows, answers = known.answered(heads, **changes)
    found = paper_claims.check(rows, answers)
    return dict(zip(found["id"], found["verdict"], strict=True))


@pytest.mark.parametrize(
    ("mean", "rule", "bound", "favours"),
    [
        (0.02, "above", 0.01, "supported"),
        (0.005, "above", 0.01, "contradicted"),
        (-0.02, "below", 0.0, "supported"),
        (0.02, "below", 0.0, "contradicted"),
        (0.001, "within", 0.005, "supported"),
        (0.012, "within", 0.005, "contradicted"),
        (-0.012, "within", 0.005, "contradicted"),
        (0.01, "reaches", 0.0, "supported"),
        (-0.01, "reaches", 0.0, "contradicted"),
    ],
)
def test_the_p_of_a_claim_is_that_of_its_nearest_bound(mean: float, rule: str, bound: float, favours: str) -> None:
    """With standard error 0.001 each lies several errors from its bound; with 1 none does."""
    sharp, blunt = (inference.Difference(mean, error, 1e6, 0, 0, 3, 9) for error in (0.001, 1.0))
    assert paper_claims.p_value(sharp, rule, bound)[1] == favours
    assert paper_claims.p_value(sharp, rule, bound)[0] < 1e-3
    assert paper_claims.p_value(blunt, rule, bound)[0] > 0.9


@pytest.mark.parametrize("rule", ["above", "below", "reaches"])
def test_a_difference_of_exactly_the_bound_speaks_for_nothing(rule: str) -> None:
    same = np.random.default_rng(0).random((3, 5000)) < 0.5
    found = inference.compare(same, same)
    assert paper_claims.p_value(found, rule, 0)[0] == 1


def test_equal_heads_are_named_and_neither_above_nor_below() -> None:
    """The claim "DL2PA is below HPN at d = C" where both are equal bit for bit."""
    same = known.random(0.6, 1)
    assert verdicts({("dl2pa", 100): same, ("hpn", 100): same})["dl2pa-below-hpn"] == "identical predictions"


def test_equal_heads_are_within_a_margin_if_there_are_images_enough() -> None:
    for images, verdict in ((300, "unresolved"), (5000, "supported")):
        same = known.random(0.6, 1, images=images)
        assert verdicts({("dl2pa", 50): same, ("etf", 100): same})["dl2pa-half-as-etf"] == verdict


def test_claims_are_paired_by_seed_and_dimension() -> None:
    heads = {
        ("dl2pa", 50): known.random(0.67, 1),
        ("psc", 50): known.random(0.60, 2),
        ("hpn", 100): known.random(0.66, 3),
        ("psc", 10): known.random(0.5, 4),
    }
    found = paper_claims.check(*known.answered(heads)).set_index("id")
    assert set(found.index) == {"dl2pa-above-psc", "dl2pa-half-dimension"}
    own, other = heads["dl2pa", 50], heads["psc", 50]
    expected = inference.compare(own, other)
    row = found.loc["dl2pa-above-psc"].to_dict()
    assert [row["mean"], row["low"], row["high"]] == pytest.approx(
        [100 * expected.mean, 100 * expected.low, 100 * expected.high]
    )
    assert [row["head"], row["against"], row["n"]] == ["dl2pa d=50", "psc d=50", 3]
    first, second = inference.together([expected, inference.compare(own, heads["hpn", 100])])
    p_values = [first.p(0.01), second.p(0.0122)]
    assert found["holm"].tolist() == pytest.approx(holm(np.array(p_values)).tolist())
    assert row["verdict"] == ("supported" if row["holm"] < 0.05 else "unresolved")
    assert found.loc["dl2pa-half-dimension", "against"] == "hpn d=100"


def test_fewer_than_three_seeds_decide_nothing() -> None:
    for n in (1, 2):
        found = paper_claims.check(
            *known.answered({("dl2pa", 50): known.random(0.9, 1, n), ("psc", 50): known.random(0.1, 2, n)})
        )
        assert found["verdict"].tolist() == ["unresolved"]
        assert found["reason"].tolist() == [f"no verdict from {n} seed{'s' if n > 1 else ''}"]


def test_an_unhealthy_cell_decides_nothing() -> None:
    rows, answers = known.answered({("dl2pa", 50): known.random(0.9, 1), ("psc", 50): known.random(0.1, 2)})
    rows.loc[(rows["head_label"] == "psc") & (rows["seed"] == 2), "health"] = "diverged"
    (row,) = paper_claims.check(rows, answers).to_dict("records")
    assert (row["verdict"], row["reason"]) == ("unresolved", "no verdict on the heads (psc, seed 2: diverged)")
    assert math.isnan(row["p"])


def test_a_threshold_is_for_one_head_alone() -> None:
    heads = {("dl2pa", 128): known.random(0.56, 1, images=10_000)}
    rows, answers = known.answered(heads, imbalance_factor=50.0)
    (row,) = paper_claims.check(rows, answers).to_dict("records")
    assert (row["id"], row["verdict"]) == ("dl2pa-lt-fifty", "supported")
    assert row["mean"] == pytest.approx(100 * heads["dl2pa", 128].mean())
    assert row["low"] < row["mean"] < row["high"]
    rows.loc[rows["seed"] == 1, "health"] = "diverged"
    (row,) = paper_claims.check(rows, answers).to_dict("records")
    assert (row["verdict"], row["reason"]) == ("unresolved", "no verdict on the heads (dl2pa, seed 1: diverged)")


def test_claims_of_other_data_are_left_out() -> None:
    heads = {
        ("dl2pa", 128): known.random(0.51, 1),
        ("etf", 128): known.random(0.50, 2),
        ("psc", 128): known.random(0.48, 3),
    }
    assert set(verdicts(heads, imbalance_factor=50.0)) == {"dl2pa-lt-fifty", "dl2pa-lt-above-etf", "dl2pa-lt-above-psc"}
    assert verdicts(heads, imbalance_factor=100.0) == {}
    assert verdicts(heads, dataset="digits") == {}
    rows, answers = known.answered(heads)
    assert paper_claims.check(rows.iloc[:0], answers).empty


def ece(own: list[float], other: list[float], floor: float) -> pd.DataFrame:
    """The claims on the ECE of the temperature view."""
    rows, answers = known.answered(
        {("dl2pa", 2): known.random(0.5, 1), ("psc", 2): known.random(0.5, 2)}, dataset="digits"
    )
    values = np.array([*own, *other])
    rows = rows.assign(
        ece_temperature=values, ece_temperature_low=values - 0.004, ece_temperature_high=values + 0.004, ece_floor=floor
    )
    return paper_claims.check(rows.assign(ece_raw=math.nan, ece_native=math.nan), answers)


def test_calibration_is_compared_by_seeds_and_intervals_and_never_below_the_floor() -> None:
    assert ece([0.10, 0.11, 0.10], [0.20, 0.21, 0.20], 0.01)[["id", "verdict"]].to_numpy().tolist() == [
        ["dl2pa-ece-temperature", "supported"]
    ]
    assert ece([0.20, 0.21, 0.20], [0.20, 0.21, 0.205], 0.01)["verdict"].tolist() == ["unresolved"]
    noise = ece([0.10, 0.11, 0.10], [0.20, 0.21, 0.20], 0.3)
    assert noise["verdict"].tolist() == ["unresolved"]
    assert "perfectly calibrated" in noise["reason"].iloc[0]


def test_a_claim_on_temperatures_of_few_images_says_so() -> None:
    rows, answers = known.answered({(head, 2): known.random(0.5, 1) for head in ("dl2pa", "psc")}, dataset="digits")
    values = np.array([0.10, 0.11, 0.10, 0.20, 0.21, 0.20])
    ends = {"ece_temperature": values, "ece_temperature_low": values - 0.004, "ece_temperature_high": values + 0.004}
    for n_val, said in ((999, "temperatures of 999 validation images"), (1000, "")):
        found = paper_claims.check(rows.assign(**ends, ece_floor=0.01, n_val=n_val), answers)
        (own,) = found[found["metric"] == "ece_temperature"].to_dict("records")
        assert (own["verdict"], own["reason"]) == ("supported", said)
    (open_one,) = paper_claims.check(
        rows.assign(**ends, ece_floor=0.01, n_val=144).assign(ece_temperature=[0.1, 0.2, 0.1, 0.2, 0.1, 0.2]), answers
    ).query("metric == 'ece_temperature'")["reason"]
    assert open_one.endswith("images; temperatures of 144 validation images")


def test_the_tables_have_a_row_per_claim_and_keep_what_no_paper_claims_apart() -> None:
    heads = {(head, dim): known.random(0.5, dim, images=500) for head in ("dl2pa", "psc") for dim in (10, 50)}
    rows, answers = known.answered(heads)
    values = dict.fromkeys(("ece_raw", "ece_native", "ece_temperature"), 0.1)
    papers, expected = paper_claims.as_tables(paper_claims.check(rows.assign(**values), answers))
    assert papers.cells.columns.tolist() == ["d = 10", "d = 50"]
    assert papers.cells.index.tolist() == [("DL2PA is more than 1 point above the linear softmax.", "cifar100")]
    assert len(expected.cells) == 3
    assert "no paper claims" in expected.caption
    assert not set(papers.tidy["id"]) & set(expected.tidy["id"])


def test_two_comparisons_of_one_data_set_are_told_apart_by_what_they_differ_in() -> None:
    """In whatever that is: a claim may be supported by one and contradicted by the other."""
    made = []
    for number, right in enumerate((0.8, 0.6)):
        heads = {("psc", 50): known.random(0.7, 0), ("dl2pa", 50): known.random(right, 1)}
        made.append(known.answered(heads, backbone=f"net-{number}"))
    answers = known.Given({})
    for rows, own in made:
        names = {cell_id: f"{rows['backbone'].iloc[0]} {cell_id}" for cell_id in own._cells}
        answers._cells |= {names[cell_id]: answer for cell_id, answer in own._cells.items()}
        rows["cell_id"] = rows["cell_id"].map(names)
    found = paper_claims.check(pd.concat([rows for rows, _ in made], ignore_index=True), answers)
    papers = paper_claims.as_tables(found)[0].cells["d = 50"]
    claim = "DL2PA is more than 1 point above the linear softmax."
    assert papers[claim, "cifar100, net-0"].startswith("supported")
    assert papers[claim, "cifar100, net-1"].startswith("contradicted")


def test_the_file_of_claims_is_sound() -> None:
    loaded = paper_claims.load()
    assert len({claim.id for claim in loaded}) == len(loaded)
    for claim in loaded:
        assert (claim.against is None) == (claim.rule == "reaches")
        assert claim.published != ("no paper" in claim.source)
        for side in (claim.head, claim.against):
            if side is not None:
                name, _, form = side.head.partition("(")
                options = {part.partition("=")[0] for part in form.removesuffix(")").split(", ") if part}
                assert options <= set(HEADS.get(name).defaults)


def claimed(monkeypatch: pytest.MonkeyPatch, head: str, against: str, **keys: object) -> None:
    """Let this be the only claim."""
    sides = {"head": {"head": head}, "against": {"head": against}, "rule": "above", "bound": 0}
    claim = {"id": "one", "text": "One is above another.", "source": "a paper", "imbalance_factor": 100} | sides | keys
    monkeypatch.setattr(paper_claims, "load", lambda: (paper_claims.Claim.model_validate(claim),))


def test_a_claim_of_some_epochs_is_tested_on_cells_of_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the table says by which recipe, where there are several."""
    claimed(monkeypatch, "proco", "bcl", epochs=200)
    heads = {("proco", 64): known.random(0.6, 1), ("bcl", 64): known.random(0.5, 2)}
    long, answers = known.answered(heads, imbalance_factor=100.0, epochs=200, recipe="long")
    short = long.assign(epochs=50, recipe="short")
    assert paper_claims.check(long, answers)[["dataset", "verdict"]].to_numpy().tolist() == [
        ["cifar100, IF 100", "supported"]
    ]
    assert paper_claims.check(short, answers).empty
    both = paper_claims.check(pd.concat([long, short]), answers)
    assert both["dataset"].tolist() == ["cifar100, IF 100, long"]


def test_a_claim_of_named_data_is_not_tested_on_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {("proco", 64): known.random(0.6, 1), ("bcl", 64): known.random(0.5, 2)}
    rows, answers = known.answered(heads, imbalance_factor=100.0, protocol="lt-val step")
    claimed(monkeypatch, "proco", "bcl", dataset=["cifar100"])
    assert paper_claims.check(rows, answers).empty
    assert len(paper_claims.check(rows.assign(protocol="lt-val"), answers)) == 1
    claimed(monkeypatch, "proco", "bcl")
    assert len(paper_claims.check(rows, answers)) == 1


@pytest.mark.parametrize(("long", "verdicts"), [(100, 1), (110, 0)])
def test_two_forms_of_one_head_are_compared_after_as_many_epochs(
    monkeypatch: pytest.MonkeyPatch, long: int, verdicts: int
) -> None:
    claimed(monkeypatch, "sbcl(cluster_period=5)", "sbcl(cluster_period=0)")
    heads = {
        ("sbcl(cluster_period=5)", 64): known.random(0.6, 1),
        ("sbcl(cluster_period=0)", 64): known.random(0.5, 2),
    }
    rows, answers = known.answered(heads, imbalance_factor=100.0, epochs=100)
    rows.loc[rows["head_label"] == "sbcl(cluster_period=5)", "epochs"] = long
    assert len(paper_claims.check(rows, answers)) == verdicts


def test_a_claim_may_mean_a_head_by_one_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed(monkeypatch, "sbcl(subclasses=True)", "sbcl(subclasses=False)")
    heads = {
        ("sbcl(period=5)", 64): known.random(0.6, 1),
        ("sbcl(period=5, subclasses=False)", 64): known.random(0.5, 2),
    }
    rows, answers = known.answered(heads, imbalance_factor=100.0)
    forms = {label: json.dumps({"period": 5, "subclasses": "False" not in label}) for label, _ in heads}
    rows = rows.assign(head_options=rows["head_label"].map(forms))
    (row,) = paper_claims.check(rows, answers).to_dict("records")
    assert (row["verdict"], row["mean"] > 5) == ("supported", True)


def variants(heads: dict[tuple[str, int], Bools], **changes: object) -> tuple[pd.DataFrame, known.Given]:
    """Rows of heads with the options that their labels name."""
    rows, answers = known.answered(heads, **changes)
    return rows.assign(head_options=rows["head_label"].map(lambda label: json.dumps(options(label)))), answers


def options(label: str) -> dict[str, str]:
    return dict(part.split("=") for part in label.partition("(")[2].removesuffix(")").split(", ") if part)


def test_a_bare_name_means_the_only_variant_of_a_head() -> None:
    labels = {"dl2pa(batch_norm=True)": 0.56, "etf(batch_norm=True)": 0.5}
    heads = {
        (label, 128): known.random(accuracy, seed, images=9000) for seed, (label, accuracy) in enumerate(labels.items())
    }
    found = paper_claims.check(*variants(heads, imbalance_factor=50.0)).set_index("id")
    assert found["verdict"].to_dict() == {"dl2pa-lt-fifty": "supported", "dl2pa-lt-above-etf": "supported"}
    assert found.loc["dl2pa-lt-above-etf", "head"] == "dl2pa(batch_norm=True) d=128"
    assert found.loc["dl2pa-lt-above-etf", "variant"] == "dl2pa(batch_norm=True) against etf(batch_norm=True)"


def test_each_of_several_variants_is_judged_and_named() -> None:
    """But the plain head alone where there is one, at whatever dimension, and by options only those that have them."""
    above, below = (known.random(accuracy, seed, images=9000) for accuracy, seed in ((0.56, 1), (0.44, 2)))
    both = {("dl2pa(a=1)", 128): above, ("dl2pa(a=2)", 128): below}
    found = paper_claims.check(*variants(both, imbalance_factor=50.0))
    assert found[["head", "verdict"]].to_numpy().tolist() == [
        ["dl2pa(a=1) d=128", "supported"],
        ["dl2pa(a=2) d=128", "contradicted"],
    ]
    (table,) = paper_claims.as_tables(found)
    text = "DL2PA reaches 50 % on CIFAR-100-LT at imbalance factor 50 with d = 128."
    assert [claim for claim, _ in table.cells.index] == [f"{text} Here: dl2pa(a={value})." for value in (1, 2)]
    assert paper_claims.check(*variants(both | {("dl2pa", 10): above}, imbalance_factor=50.0)).empty
    (row,) = paper_claims.check(*variants(both | {("dl2pa", 128): above}, imbalance_factor=50.0)).to_dict("records")
    assert (row["head"], row["variant"], row["verdict"]) == ("dl2pa d=128", "", "supported")


def test_a_form_that_several_variants_have_is_judged_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed(monkeypatch, "sbcl(period=5)", "sbcl(period=0)")
    labels = ("sbcl(period=5)", "sbcl(period=5, gamma=2)", "sbcl(gamma=2, period=0)")
    heads = {(label, 64): known.random(0.6 - place / 10, place, images=500) for place, label in enumerate(labels)}
    found = paper_claims.check(*variants(heads, imbalance_factor=100.0))
    assert found["head"].tolist() == ["sbcl(period=5) d=64"]  # its very label
    claimed(monkeypatch, "sbcl(gamma=2)", "sbcl(period=5)")
    found = paper_claims.check(*variants(heads, imbalance_factor=100.0))
    assert found["head"].tolist() == ["sbcl(period=5, gamma=2) d=64", "sbcl(gamma=2, period=0) d=64"]


def of_grid(name: str, accuracies: dict[str, float]) -> dict[tuple[str, str], dict[str, str]]:
    """The verdicts by data set and recipe on cells of a grid, three seeds of the heads with these accuracies by the
    beginning of their labels.
    """
    made, cells, answers = list[dict[str, object]](), dict[str, Bools](), dict[str, Bools]()
    for cell in expand(parse_grid(*read_grid(name)), "fp32"):
        starts = [start for start in accuracies if cell.head_label.startswith(start) or cell.head == start]
        if starts and cell.imbalance_factor in (1, 100):
            start = max(starts, key=len)
            if start not in answers:
                answers[start] = known.random(accuracies[start], len(answers), images=8000)
            cell_id = f"{len(made)}"
            cells[cell_id] = answers[start][cell.seed]
            facts = {"cell_id": cell_id, "epochs": cell.recipe.epochs, "top1": cells[cell_id].mean()}
            made.append(known.FACTS | cell.facts() | {"protocol": "p"} | facts)
    frame = pd.DataFrame(made)
    found = paper_claims.check(frame, known.Given(cells))
    parts = list(frame.groupby(COMPARISON, sort=False, dropna=False))
    told = dict[tuple[str, str], dict[str, str]]()
    for row in found.to_dict("records"):
        first = parts[row["comparison"]][1].iloc[0]
        told.setdefault((first["dataset"], first["recipe"]), {})[row["id"]] = row["verdict"]
    return told


LT_SHORT = {
    "psc": 0.40,
    "ldam": 0.50,
    "logit-adjusted": 0.30,
    "logit-adjusted(form=post-hoc": 0.405,
    "crt": 0.45,
    "bcl": 0.45,
    "proco": 0.52,
    "sbcl(cluster_period=5": 0.30,
    "sbcl(cluster_period=0": 0.36,
}


def test_claims_on_long_tails_are_decided_by_the_rows_of_the_short_grid() -> None:
    """Some hold here, some do not, one is too near to tell."""
    long = {
        "ldam-above-ce": "supported",
        "la-loss-above-ce": "contradicted",
        "la-post-hoc-above-ce": "unresolved",
        "crt-above-ce-cifar": "supported",
    }
    short = long | {"proco-above-bcl-50": "supported", "sbcl-above-supcon-short": "contradicted"}
    assert of_grid("lt-short", LT_SHORT) == {
        (dataset, recipe): claims
        for dataset in ("cifar100", "cifar10")
        for recipe, claims in (("lt-short", short), ("lt-short(epochs=150)", long))
    }


def test_claims_without_rows_say_nothing() -> None:
    told = of_grid("lt-short", {head: LT_SHORT[head] for head in ("psc", "ldam", "proco", "sbcl(cluster_period=5")})
    assert {tuple(claims) for claims in told.values()} == {("ldam-above-ce",)}


def test_claims_of_the_papers_own_recipes_are_decided_by_their_grids() -> None:
    heads = {"bcl": 0.45, "proco": 0.52, "sbcl": 0.5, "sbcl(cluster_period=0": 0.4}
    told = of_grid("cifar100-lt-contrastive", heads)
    assert {claim: verdict for claims in told.values() for claim, verdict in claims.items()} == dict.fromkeys(
        ("proco-above-bcl-200", "proco-above-bcl-400", "sbcl-above-supcon"), "supported"
    )


@pytest.mark.parametrize("dataset", ["imagenet-lt", "inaturalist2018"])
def test_crt_is_judged_where_its_paper_has_it(dataset: str) -> None:
    heads = {("crt(second_fraction=0.1)", 2048): known.random(0.5, 1), ("psc", 2048): known.random(0.4, 2)}
    found = paper_claims.check(*variants(heads, dataset=dataset))
    assert found[["id", "verdict"]].to_numpy().tolist() == [["crt-above-ce", "supported"]]
