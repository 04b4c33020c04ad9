"""Muon against the singular value decomposition, against torch's own, and in a cell."""

from typing import Any

import pytest
import torch

from headbench.core.errors import UserError
from headbench.heads import Stage
from headbench.runners.grid import recipes
from headbench.runners.training import optimisation
from headbench.runners.training.classifier import build
from headbench.runners.training.muon import COEFFICIENTS, Muon, orthogonalised
from tests.runners.helpers import QUICK, cell, digits

MUON = {"name": "muon", "lr_factor": 0.1, "momentum": 0.93, "steps": 3}


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (7, 7), (1, 9)])
def test_a_direction_has_the_gradients_singular_vectors_and_equalised_singular_values(shape: tuple[int, int]) -> None:
    """In float64 by the decomposition: the polynomial acts on each singular value alone."""
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    mapped, (a, b, c) = values / values.norm(), COEFFICIENTS
    for _ in range(3):
        mapped = a * mapped + b * mapped**3 + c * mapped**5
    assert torch.allclose(orthogonalised(matrix, 3), left @ torch.diag(mapped) @ right, atol=1e-10)
    settled = torch.linalg.svdvals(orthogonalised(matrix, 8))
    assert settled.min() > 0.65
    assert settled.max() < 1.25


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
def test_steps_are_those_of_torchs_muon_on_weights_of_that_norm() -> None:
    """Torch's computes in bfloat16 and lets the norm grow, so it is put right before each of its steps."""
    stream = torch.Generator().manual_seed(0)
    own, other = (torch.nn.Parameter(torch.ones(6, 2, 3, 3)) for _ in range(2))
    flat = torch.nn.Parameter(other.detach().flatten(1))
    ours = Muon([{"params": [own], "lr": 0.1, "momentum": 0.9, "orthogonal_steps": 5}], lr=7.0)
    torchs = torch.optim.Muon([flat], lr=0.1, momentum=0.9, weight_decay=0.0, ns_steps=5)
    for _ in range(6):
        gradient = torch.randn(own.shape, generator=stream)
        own.grad, flat.grad = gradient.clone(), gradient.flatten(1)
        with torch.no_grad():
            flat.mul_(6**0.5 / flat.norm())
        ours.step()
        torchs.step()
    assert torch.allclose(own.flatten(1), flat, atol=0.02)
    assert not torch.allclose(own.flatten(1), torch.ones_like(flat) / 18**0.5, atol=0.2)


def test_the_heads_and_all_vectors_are_sgds_at_the_recipes_rate() -> None:
    recipe = cell("psc", recipe=QUICK | {"optimiser": MUON, "lr": 0.3}).recipe
    classifier = build(cell("psc"), digits().info(0), bf16=False)
    groups = optimisation.optimiser(classifier, recipe, Stage("train", 1)).param_groups
    names = {id(parameter): name for name, parameter in classifier.named_parameters()}
    held = {names[id(p)]: (group["lr"], group["orthogonal_steps"]) for group in groups for p in group["params"]}
    assert set(held) == set(names.values())
    for name, parameter in classifier.named_parameters():
        of_muon = parameter.dim() > 1 and not name.startswith("head.")
        assert held[name] == (pytest.approx((0.03, 3)) if of_muon else (0.3, 0)), name
    assert held["projection.weight"] == pytest.approx((0.03, 3))
    assert held["head.linear.weight"] == (0.3, 0)


def test_the_rest_takes_torchs_sgd_steps() -> None:
    start = torch.randn(4, generator=torch.Generator().manual_seed(1))
    vectors, weight = [torch.nn.Parameter(start.clone()) for _ in range(2)], torch.nn.Parameter(torch.eye(3))
    settings: Any = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    matrix = {"params": [weight], "lr": 0.1, "momentum": 0.9, "orthogonal_steps": 3}
    ours, sgd = Muon([{"params": vectors[:1]}, matrix], **settings), torch.optim.SGD(vectors[1:], **settings)
    for number in range(3):
        for parameter in (*vectors, weight):
            parameter.grad = torch.sin(parameter.detach() + number)
        ours.step()
        sgd.step()
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(weight, torch.eye(3))


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        ("moun", r"optimiser: unknown 'moun'; did you mean 'muon'\? known: adamw, muon, sgd \(got 'moun'\)"),
        ("muon", r"optimiser.muon.lr_factor: required, but missing"),
        (MUON | {"steps": 0}, r"optimiser.muon.steps: .*greater than 0 \(got 0\)"),
        (MUON | {"speed": 1}, r"unknown key 'optimiser.muon.speed'"),
        ({"name": "muon", "lr_factor": 0.1}, r"optimiser.muon.momentum: required, but missing"),
    ],
)
def test_a_mistake_in_it_is_one_line(optimiser: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipes.load("fast", {"optimiser": optimiser}, "here")


def test_the_identity_of_recipes_without_it_does_not_know_it() -> None:
    assert "optimiser" not in recipes.load("fast", {}, "here").identity()
    assert recipes.load("fast", {"optimiser": MUON}, "here").identity()["optimiser"] == MUON
