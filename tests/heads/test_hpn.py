"""HPN against its formula."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.core.errors import UserError
from headbench.heads import HEADS, Head
from headbench.heads.geometry import methods
from tests.heads.helpers import (
    CONTEXT,
    batch,
    info,
    make,
    slow_cosines,
    slow_cross_entropy,
    slow_squared_cosine,
    unit64,
    unsupported,
)


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The float64 formula."""
    return slow_squared_cosine(head.state_dict()["bank"], features, labels)


def test_the_papers_sum_is_loss_scale_times_batch_size() -> None:
    features, targets = batch(5, 8, size=16)
    head = make("hpn", loss_scale=16.0)
    cosines = torch.nn.functional.normalize(features[0], dim=1) @ head.state_dict()["bank"].T
    summed = sum((1 - cosines[i, y]) ** 2 for i, y in enumerate(targets.labels))
    assert torch.as_tensor(summed).item() == pytest.approx(head.loss(features, targets, CONTEXT).item(), rel=1e-5)


def test_the_loss_is_zero_at_the_prototypes_and_four_opposite() -> None:
    head = make("hpn")
    bank, labels = head.state_dict()["bank"], torch.arange(5)
    assert head.loss(3 * bank[None], Targets.plain(labels, labels), CONTEXT).item() == pytest.approx(0, abs=1e-10)
    assert head.loss(-2 * bank[None], Targets.plain(labels, labels), CONTEXT).item() == pytest.approx(4, abs=1e-5)


def test_predictions_are_the_nearest_prototypes() -> None:
    head = make("hpn", num_classes=7, dim=3)
    features, _ = batch(7, 3, size=50)
    bank = head.state_dict()["bank"]
    z = torch.nn.functional.normalize(features[0], dim=1)
    nearest = torch.cdist(z, bank).argmin(dim=1)
    assert torch.equal(head.logits(features[0]).argmax(dim=1), nearest)


@pytest.mark.parametrize("method", sorted({*methods.METHODS} - {"simplex"}))
def test_the_prototypes_are_those_asked_for(method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(methods, "RESTARTS", 1)
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    head = make("hpn", num_classes=8, dim=5, prototypes=method, prototype_seed=3)
    assert torch.equal(head.state_dict()["bank"], methods.make(method, 8, 5, 3).float())


def test_prototypes_that_do_not_exist_are_not_applicable() -> None:
    assert unsupported("hpn", info(8), 5, prototypes="simplex") == "simplex prototypes of 8 classes need d >= 7"
    assert unsupported("hpn", info(8), 3, prototypes="orthoplex") == "orthoplex prototypes of 8 classes need d >= 4"
    assert unsupported("hpn", info(3), 1) == "separated prototypes of 3 classes need d >= 2"
    assert unsupported("dl2pa", info(3), 1) == "uniform prototypes of 3 classes need d >= 2"


@pytest.mark.parametrize("name", ["hpn", "word2vec"])
def test_with_batch_normalisation_features_are_normalised_before_they_are_compared(name: str) -> None:
    """Against torch's own layer in both modes; without the option nothing is added to the head."""
    head, layer = make(name, batch_norm=True), torch.nn.BatchNorm1d(8)
    features, targets = batch(5, 8)
    for _ in range(3):
        with torch.no_grad():
            head.observe(features, targets, CONTEXT)
        normalised = layer(features[0])
    bank = head.state_dict()["bank"]
    cosines = torch.nn.functional.normalize(normalised, dim=1) @ bank.T
    expected = (1 - cosines.gather(1, targets.labels[:, None])).square().mean()
    assert torch.allclose(head.loss(features, targets, CONTEXT), expected, atol=1e-6)
    head.eval()
    layer.eval()
    assert torch.allclose(
        head.logits(features[0]),
        head.native_scale * torch.nn.functional.normalize(layer(features[0]), dim=1) @ bank.T,
        atol=1e-5,
    )
    assert {key for key, _ in head.named_parameters()} == {"norm.weight", "norm.bias"}
    assert list(make(name).state_dict()) == ["bank"]


def test_prototypes_from_a_file(tmp_path: Path) -> None:
    rows = 3 * torch.randn(5, 4, dtype=torch.float64)
    path = tmp_path / "own.npy"
    np.save(path, rows.numpy())
    files = HEADS.get("hpn").target.files
    assert torch.allclose(
        make("hpn", 5, 4, prototypes=str(path)).state_dict()["bank"].double(), unit64(rows), atol=1e-6
    )
    assert (
        unsupported("hpn", info(6), 4, prototypes=str(path)) == "own.npy has 5 prototypes in 4 dimensions, not 6 in 4"
    )
    assert files({"prototypes": str(path)}) == {"prototypes": path}
    assert files({"prototypes": "random"}) == {}
    with pytest.raises(UserError, match="did you mean 'uniform'"):
        unsupported("hpn", info(5), 4, prototypes="unifrom")


@pytest.mark.parametrize(("name", "options"), [("hpn", {}), ("dl2pa", {"assignment_period": 0})])
def test_cross_entropy_at_the_scale_of_adacos(name: str, options: dict[str, Any]) -> None:
    """Entry by entry in float64 at sqrt(2) ln(C-1); for two classes, where that is zero, at 1."""
    head = make(name, loss="cross-entropy", scale="adacos", **options)
    features, targets = batch(5, 8)
    logits = math.sqrt(2) * math.log(4) * slow_cosines(head.state_dict()["bank"], features[0].detach())
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(
        slow_cross_entropy(logits, targets.labels).item(), rel=1e-5
    )
    assert head.native_scale == pytest.approx(math.sqrt(2) * math.log(4))
    assert make(name, num_classes=2, scale="adacos", **options).native_scale == 1
    assert make("psc-cosine", scale="adacos").native_scale == pytest.approx(math.sqrt(2) * math.log(4))
