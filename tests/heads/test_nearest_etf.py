"""Nearest ETF: the frame is always a simplex, and the nearest one; its means and its loss against their formulas."""

import math

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from headbench.heads.geometry.codes import simplex
from headbench.heads.nearest_etf import PROXIMITY, nearest_simplex, polar
from tests.heads.helpers import (
    CONTEXT,
    batch,
    info,
    make,
    observe_on_two_devices,
    slow_cross_entropy,
    unit64,
    unsupported,
)


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """5 w_c (z - m), with m the mean of the running means of the classes that were seen."""
    state = {key: value.double() for key, value in head.state_dict().items()}
    seen = [row for row, visits in zip(state["class_means"], state["visits"], strict=True) if visits > 0]
    centre = torch.stack(seen).mean(dim=0) if seen else torch.zeros(features.shape[1], dtype=torch.float64)
    logits = torch.stack(
        [torch.stack([5 * (w * (z - centre)).sum() for w in state["weight"]]) for z in unit64(features)]
    )
    return logits, slow_cross_entropy(logits, labels)


def random_simplex(num_classes: int, dim: int, seed: int) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    frame: Tensor = torch.linalg.qr(torch.randn(dim, num_classes - 1, generator=stream, dtype=torch.float64)).Q
    return torch.from_numpy(simplex(num_classes, num_classes - 1)) @ frame.T


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 1), (3, 2), (5, 8), (7, 6), (20, 40)])
def test_the_polar_factor_is_that_of_the_singular_value_decomposition(num_classes: int, dim: int) -> None:
    x = torch.randn(num_classes, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x - x.mean(dim=0)
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    rank = num_classes - 1
    assert torch.allclose(polar(x), u[:, :rank] @ vh[:rank], atol=1e-9)
    assert torch.allclose(polar(x.float()).double(), polar(x), atol=1e-4)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3])
def test_the_frame_is_a_simplex_after_every_step(spread: float) -> None:
    """Gram matrix 1 and -1/(C-1), also for classes that never occur and means that lie close together."""
    head = make("nearest-etf", 7, 6)
    expected = (7 * torch.eye(7) - 1) / 6
    for step in range(4):
        features, targets = batch(7 - step, 6, seed=step)
        head.observe(1 + spread * features.detach(), targets, CONTEXT)
        weight = head.state_dict()["weight"]
        assert torch.allclose(weight @ weight.T, expected, atol=1e-5)


def test_no_simplex_is_nearer() -> None:
    """Against a search over the orthogonal group: 4 classes in 3 dimensions, from both sides of it."""
    stream = torch.Generator().manual_seed(1)
    means = torch.randn(4, 3, generator=stream, dtype=torch.float64)
    means = means - means.mean(dim=0)
    before = random_simplex(4, 3, seed=2)
    height = math.sqrt(4 / 3)

    def cost(weight: Tensor) -> float:
        isometry = weight / height
        near = (means / means.norm() - isometry / math.sqrt(3)).square().sum()
        return float(near + PROXIMITY / 2 * (isometry - before / height).square().sum())

    def turned(angles: object, side: float) -> Tensor:
        a, b, c = torch.as_tensor(angles, dtype=torch.float64)
        zero = torch.zeros(())
        skew = torch.stack([zero, a, b, -a, zero, c, -b, -c, zero]).reshape(3, 3)
        return before @ torch.diag(torch.tensor([side, 1.0, 1.0], dtype=torch.float64)) @ torch.matrix_exp(skew)

    best = min(
        minimize(lambda angles, side=side: cost(turned(angles, side)), start, method="BFGS").fun
        for side in (1.0, -1.0)
        for start in torch.randn(4, 3, generator=stream).tolist()
    )
    found = nearest_simplex(means, before)
    assert cost(found) == pytest.approx(best, abs=1e-6)
    assert cost(found) < cost(before) - 0.1


def test_means_at_a_simplex_give_that_simplex() -> None:
    vertices = random_simplex(6, 8, seed=3)
    found = nearest_simplex(0.3 * vertices, random_simplex(6, 8, seed=4))
    assert torch.allclose(found, vertices, atol=0.02)
    assert not torch.allclose(found, random_simplex(6, 8, seed=4), atol=0.5)


def test_a_running_mean_follows_its_rate_and_an_absent_class_stays() -> None:
    """Rates 1, 2/3, 2/4 of the batches that have the class, by hand."""
    head = make("nearest-etf", 3, 4)
    mean, other = torch.zeros(4, dtype=torch.float64), None
    for step, rate in enumerate((1.0, 2 / 3, 0.5)):
        features, _ = batch(3, 4, size=2, seed=step)
        labels = torch.tensor([0, 0]) if step else torch.tensor([0, 1])
        head.observe(features.detach(), Targets.plain(labels), CONTEXT)
        z = unit64(features[0].detach())
        mean = mean + rate * (z[labels == 0].mean(dim=0) - mean)
        other = z[1] if other is None else other
    means = head.state_dict()["class_means"].double()
    assert other is not None
    assert torch.allclose(means, torch.stack([mean, other, torch.zeros(4, dtype=torch.float64)]), atol=1e-6)


def test_the_rate_of_a_running_mean_ends_at_a_ten_thousandth() -> None:
    head = make("nearest-etf", 3, 4)
    start = unit64(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    head.load_state_dict(head.state_dict() | {"visits": torch.full((3, 1), 10**6), "class_means": start.float()})
    features, targets = batch(3, 4)
    head.observe(features.detach(), targets, CONTEXT)
    z = unit64(features[0].detach())
    means = torch.stack([z[targets.labels == label].mean(dim=0) for label in range(3)])
    moved = head.state_dict()["class_means"].double() - start
    assert torch.allclose(moved, 1e-4 * (means - start), atol=1e-6, rtol=0.05)


def test_one_step_turns_the_frame_to_the_means() -> None:
    """Features at another simplex: after the first batch the frame is there, and their loss is the least of all."""
    head = make("nearest-etf", 5, 8)
    vertices, labels = random_simplex(5, 8, seed=5).float(), torch.arange(5)
    far = head.loss(vertices[None], Targets.plain(labels), CONTEXT)
    head.observe(vertices[None], Targets.plain(labels), CONTEXT)
    near = head.loss(vertices[None], Targets.plain(labels), CONTEXT)
    assert near < far
    assert near.item() == pytest.approx(math.log1p(4 * math.exp(-5 * 5 / 4)), abs=1e-3)


def test_two_devices_know_the_same_frame_as_one() -> None:
    one, two = make("nearest-etf"), make("nearest-etf")
    features, targets = batch(5, 8)
    one.observe(features, targets, CONTEXT)
    observe_on_two_devices(two, features, targets)
    assert all(torch.allclose(one.state_dict()[key], value, atol=1e-5) for key, value in two.state_dict().items())


def test_it_needs_room_for_a_simplex() -> None:
    assert unsupported("nearest-etf", info(6), 5) is None
    assert unsupported("nearest-etf", info(6), 4) == "a simplex ETF of 6 classes needs d >= 5"
