"""Claims: the verdicts by hand, and the rows they are drawn from."""

import math

import numpy as np
import pandas as pd
import pytest

from results import claims


@pytest.mark.parametrize(
    ("values", "rule", "bound", "verdict"),
    [
        ([2.0, 2.1, 1.9], "above", 1, "supported"),
        ([0.2, 0.1, 0.3], "above", 1, "contradicted"),
        ([0.5, 2.5, 1.0], "above", 1, "undecided"),
        ([-2.0, -2.1, -1.9], "below", 0, "supported"),
        ([2.0, 2.1, 1.9], "below", 0, "contradicted"),
        ([0.1, -0.1, 0.0], "within", 0.5, "supported"),
        ([1.1, 0.9, 1.0], "within", 0.5, "contradicted"),
        ([-1.1, -0.9, -1.0], "within", 0.5, "contradicted"),
        ([0.9, -0.5, 0.2], "within", 0.5, "undecided"),
        ([50.7, 50.8, 50.9], "reaches", 50, "supported"),
        ([49.1, 49.2, 49.0], "reaches", 50, "contradicted"),
        ([50.7], "reaches", 50, "undecided"),
    ],
)
def test_verdicts(values: list[float], rule: str, bound: float, verdict: str) -> None:
    found, reason = claims.decide(np.array(values), rule, bound)
    assert found == verdict
    assert bool(reason) == (verdict == "undecided")


def test_the_number_of_seeds_that_would_decide() -> None:
    """Mean 1.3, standard deviation 0.3, margin 1: the half width t s / sqrt(n) is 0.315 at n = 6 and 0.277 at n = 7."""
    values = np.array([1.0, 1.3, 1.6])
    assert claims.decide(values, "above", 1) == ("undecided", "about 7 seeds would decide it")
    assert claims.decide(np.array([1.0, 1.0002, 0.9999]), "above", 1)[1].startswith(("about", "more"))
    assert "at least 2" in claims.decide(np.array([3.0]), "above", 1)[1]


def rows(values: dict[tuple[str, int], list[float]], dataset: str = "cifar100", imbalance: float = 1.0, metric: str = "top1") -> pd.DataFrame:
    facts = {"dataset": dataset, "backbone": "b", "recipe": "fast", "projection": "linear", "protocol": "p", "imbalance_factor": imbalance}
    found = [
        facts | {"status": "done", "selection": "last", "head_label": head, "feature_dim": dim, "seed": seed, "top1": 0.5, metric: value}
        for (head, dim), own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(found).assign(**{name: math.nan for name in ("ece_raw", "ece_native", "ece_temperature") if name != metric})


def test_claims_are_paired_by_seed_and_dimension() -> None:
    found = claims.check(rows({("dl2pa", 50): [0.66, 0.67, 0.68], ("psc", 50): [0.60, 0.61, 0.62], ("hpn", 100): [0.65, 0.66, 0.70], ("psc", 10): [0.5]}))
    by_id = found.set_index("id")
    assert set(by_id.index) == {"dl2pa-above-psc", "dl2pa-half-dimension"}
    assert by_id.loc["dl2pa-above-psc", "verdict"] == "supported"
    assert by_id.loc["dl2pa-above-psc", "mean"] == pytest.approx(6)
    assert list(by_id.loc["dl2pa-above-psc", ["head", "against", "n", "smallest_p"]]) == ["dl2pa d=50", "psc d=50", 3, 0.25]
    assert by_id.loc["dl2pa-half-dimension", "mean"] == pytest.approx((1 + 1 - 2) / 3)
    assert by_id.loc["dl2pa-half-dimension", "against"] == "hpn d=100"


def test_claims_of_other_data_are_left_out() -> None:
    values = {("dl2pa", 128): [0.51, 0.52], ("etf", 128): [0.50, 0.51], ("psc", 128): [0.48, 0.48]}
    assert set(claims.check(rows(values, imbalance=50))["id"]) == {"dl2pa-lt-fifty", "dl2pa-lt-above-etf", "dl2pa-lt-above-psc"}
    assert claims.check(rows(values, imbalance=100)).empty
    assert claims.check(rows(values, dataset="digits")).empty
    ece = claims.check(rows({("dl2pa", 2): [0.1, 0.11], ("psc", 2): [0.2, 0.21]}, dataset="digits", metric="ece_temperature"))
    assert ece[["id", "verdict"]].to_numpy().tolist() == [["dl2pa-ece-temperature", "supported"]]
    assert claims.check(rows(values).iloc[:0]).empty


def test_the_file_of_claims_is_sound() -> None:
    ids = [claim["id"] for claim in claims.load()]
    assert len(set(ids)) == len(ids)
    for claim in claims.load():
        assert claim["rule"] in {"above", "below", "within", "reaches"}
        assert ("threshold" in claim) == (claim["rule"] == "reaches") != ("margin" in claim)
        assert {"text", "source", "head"} <= claim.keys()
