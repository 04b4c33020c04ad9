"""A head for a training loop of one's own."""

from typing import Any

import numpy as np
import pytest
import torch

import headbench
from headbench.core.errors import UserError
from headbench.runners.training.classifier import build
from tests.runners.helpers import cell, digits


@pytest.mark.parametrize("name", ["psc", "dl2pa"])
def test_it_starts_as_in_a_cell_of_that_seed(name: str) -> None:
    one = cell(name, axes={"feature_dim": [5], "seed": [3]})
    theirs = build(one, digits().info(3), bf16=False).head.state_dict()
    alone = headbench.head(name, num_classes=10, feature_dim=5, seed=3, **one.head_options).state_dict()
    assert theirs.keys() == alone.keys()
    assert all(torch.equal(theirs[key], alone[key]) for key in theirs)


def test_the_numbers_of_its_caller_go_on_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("GPUs are seeded"))
    headbench.head("psc", num_classes=3, feature_dim=2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("etff", {}, "unknown head 'etff'; did you mean 'etf'"),
        ("etf", {}, "head 'etf' does not apply to C = 10 and d = 5"),
        ("hpn", {"num_classes": 2, "feature_dim": 1}, "'hpn' does not apply to C = 2 and d = 1: .* only its sign; it"),
        ("hpn", {"loss_scael": 2}, "head 'hpn': unknown key 'loss_scael'; did you mean 'loss_scale'"),
        ("psc", {"class_counts": [1, 2]}, "class_counts are 10 whole numbers"),
        ("psc", {"class_names": ["one"]}, "there are 1 class_names of 10 classes"),
        ("psc", {"num_classes": 1}, "num_classes is 1; at least 2"),
        ("psc", {"feature_dim": 0}, "feature_dim is 0; at least 1"),
        ("psc", {"feature_dim": "3"}, "feature_dim is '3', no whole number"),
        ("psc", {"num_classes": 10.0}, r"num_classes is 10\.0, no whole number"),
        ("psc", {"seed": "a"}, "seed is 'a', no whole number"),
        ("psc", {"seed": -1}, "seed is -1; at least 0"),
        ("psc", {"class_counts": "abc"}, "class_counts are 10 whole numbers"),
        ("psc", {"class_names": 5}, "class_names as many texts"),
        (["psc"], {}, "a list is no name of a head"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name: Any, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        headbench.head(name, **({"num_classes": 10, "feature_dim": 5} | asked))


def test_it_takes_the_numbers_of_numpy() -> None:
    given: dict[str, Any] = {"num_classes": 10, "feature_dim": 5, "seed": 1, "prototype_seed": 2}
    theirs: dict[str, Any] = {key: np.int64(value) for key, value in given.items()}
    one = headbench.head("hpn", **given, loss_scale=2.0).state_dict()
    other = headbench.head("hpn", **theirs, loss_scale=np.float32(2)).state_dict()
    assert all(torch.equal(one[name], value) for name, value in other.items())
