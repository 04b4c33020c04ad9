"""PSC with cosine scores against its formula."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import HEADS, Head, Stage
from headbench.heads.geometry.codes import simplex
from headbench.runners.grid import recipes
from tests.heads.helpers import CONTEXT, batch, make, slow_cosines, slow_cross_entropy

LEARNS = {"weight"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled cosines and mean cross-entropy in float64, entry by entry; also of NormFace."""
    logits = head.state_dict()["scale"].double() * slow_cosines(head.state_dict()["weight"], features)
    return logits, slow_cross_entropy(logits, labels)


@pytest.mark.parametrize("scale", [1.0, 16.0])
@pytest.mark.parametrize("num_classes", [2, 10])
def test_the_loss_has_a_floor_that_a_simplex_reaches(num_classes: int, scale: float) -> None:
    """log(1 + (C-1) exp(-s C/(C-1))) with features and weights at the vertices of a simplex."""
    head = make("psc-cosine", num_classes, num_classes, scale=scale)
    vertices = torch.from_numpy(simplex(num_classes, num_classes)).float()
    head.load_state_dict(head.state_dict() | {"weight": vertices})
    labels = torch.arange(num_classes)
    floor = math.log1p((num_classes - 1) * math.exp(-scale * num_classes / (num_classes - 1)))
    assert head.loss(vertices[None], Targets.plain(labels, labels), CONTEXT).item() == pytest.approx(
        floor, rel=1e-4, abs=1e-6
    )
    features, targets = batch(num_classes, num_classes, size=40)
    assert head.loss(features, targets, CONTEXT).item() > floor


def test_lengths_do_not_matter() -> None:
    head = make("psc-cosine", scale=16.0)
    features, _ = batch(5, 8)
    before = head.logits(features[0])
    head.load_state_dict(head.state_dict() | {"weight": 7 * head.state_dict()["weight"]})
    assert torch.allclose(head.logits(0.1 * features[0]), before, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("psc-cosine", {"learnable_scale": True}), ("normface", {})])
def test_a_learnable_scale_stays_positive(name: str, options: dict[str, Any]) -> None:
    """Labels of the farthest classes pull the scale below zero."""
    head = make(name, scale=0.01, **options)
    optimiser = torch.optim.SGD([parameter for parameter in head.parameters() if parameter.dim() == 0], lr=1.0)
    features, _ = batch(5, 8)
    head.loss(features, Targets.plain(head.logits(features[0]).argmin(dim=1)), CONTEXT).backward()
    optimiser.step()
    assert head.native_scale < 0
    head.after_step()
    assert 0 < head.native_scale < 0.01
    other = make(name, scale=16.0, **options)
    other.after_step()
    assert other.native_scale == 16


@pytest.mark.parametrize(
    ("options", "learned"), [({}, {"weight"}), ({"learnable_scale": True, "scale": 16.0}, {"weight", "scale"})]
)
def test_what_learns(options: dict[str, Any], learned: set[str]) -> None:
    head = make("psc-cosine", **options)
    assert {name for name, parameter in head.named_parameters() if parameter.requires_grad} == learned
    groups = list(head.parameter_groups(recipes.load("fast", {}, "test"), Stage("train", 1)))
    assert sum(len(group["params"]) for group in groups) == len(learned)
    assert all(
        group["weight_decay"] == 0 for group in groups if any(parameter.dim() == 0 for parameter in group["params"])
    )
    assert head.native_scale == options.get("scale", 1.0)
    assert HEADS.get("psc-cosine").options_model().model_dump() == {
        "scale": 1.0,
        "learnable_scale": False,
        "loss_scale": 1.0,
    }
