"""TSC: the targeted contrast against slow float64 loops, the centroids, and the matching."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import HEADS, Context, Head
from headbench.heads.families.contrastive import supervised_contrastive
from headbench.heads.normalisation import unit
from headbench.heads.tsc import targeted_contrastive
from headbench.runners.grid import recipes
from tests.heads.helpers import (
    CONTEXT,
    batch,
    info,
    make,
    slow_cross_entropy,
    slow_linear,
    slow_log_prior,
    unit64,
    unsupported,
)

BIASES = {"log_prior"}
LEARNS = {
    "linear.weight",
    "linear.bias",
    *(f"projector.{part}.{name}" for part in ("first", "norm", "second") for name in ("weight", "bias")),
}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """W h + b, and its cross-entropy with the logarithm of the class frequencies added."""
    logits = slow_linear(head, features)
    return logits, slow_cross_entropy(logits + slow_log_prior(info(logits.shape[1]).class_counts), labels)


def points(size: int, seed: int = 0, dim: int = 4) -> Tensor:
    return unit(torch.randn(size, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def slow_loss(features: Tensor, labels: list[int], targets: Tensor, temperature: float, weight: float) -> float:
    """The mean over anchors of (k x mean over the batch's positives of -log p + weight x -log p of the own target) /
    (k + 1), k the number of these positives but at most 7.
    """
    rows, losses = [*features.double(), *targets.double()], []
    for i, own in enumerate(labels):
        scores = [float(rows[i] @ row) / temperature for row in rows]
        total = math.log(sum(math.exp(scores[k]) for k in range(len(rows)) if k != i))
        mates = [total - scores[k] for k in range(len(labels)) if k != i and labels[k] == own]
        k = min(len(mates), 7)
        pull = k * sum(mates) / max(len(mates), 1) + weight * (total - scores[len(labels) + own])
        losses.append(pull / (k + 1))
    return sum(losses) / len(losses)


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=7),
    weight=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 100),
)
def test_the_targeted_contrast_agrees_with_the_double_loop(labels: list[int], weight: float, seed: int) -> None:
    """Two views of each image; classes may be absent, and the batch may be one image or one class."""
    labels, features, targets = labels * 2, points(2 * len(labels), seed), points(4, seed + 1)
    loss = targeted_contrastive(features.float(), torch.tensor(labels), targets.float(), 0.1, weight)
    assert loss.item() == pytest.approx(slow_loss(features, labels, targets, 0.1, weight), rel=1e-4, abs=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    raw, labels = points(5).requires_grad_(), torch.tensor([0, 1, 0, 0, 1])
    assert torch.autograd.gradcheck(lambda x: targeted_contrastive(unit(x), labels, points(3, 1), 0.2, 0.5), (raw,))


def test_the_loss_is_the_mean_over_draws_of_seven_positives() -> None:
    """Ten features of one class: each draw of seven of the nine others, by enumeration."""
    features, targets = points(10), points(2, seed=1)
    scores, expected = features @ torch.cat([features, targets]).T / 0.2, []
    for i in range(10):
        total = scores[i, torch.arange(12) != i].logsumexp(dim=0)
        draws = itertools.combinations([k for k in range(10) if k != i], 7)
        target = 0.5 * (total - scores[i, 10])
        expected += [((total - scores[i, list(drawn)]).sum() + target) / 8 for drawn in draws]
    loss = targeted_contrastive(features, torch.zeros(10, dtype=torch.int64), targets, 0.2, 0.5)
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-6)


def test_targets_far_from_everything_leave_the_supervised_contrast() -> None:
    """Without weight, targets at a right angle only add exp(0) each to denominators that are very large."""
    features, labels = torch.zeros(6, 8, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0, 1])
    features[:, :3] = unit(points(6, dim=3).abs())
    loss = targeted_contrastive(features, labels, torch.eye(8, dtype=torch.float64)[3:5], 0.01, 0.0)
    # Each anchor has two positives and its target: two thirds of the loss are left.
    assert loss.item() == pytest.approx(2 / 3 * supervised_contrastive(features, labels, 0.01).item(), rel=1e-4)


def test_the_whole_loss_takes_each_classs_assigned_target() -> None:
    head = make("tsc", temperature=0.2, contrastive_weight=0.5, target_weight=0.7, hidden=6, projection_dim=4)
    features, targets = batch(5, 8, views=3)
    order = torch.tensor([3, 0, 4, 1, 2])
    head.load_state_dict(head.state_dict() | {"assignment": order})
    z = head.get_submodule("projector")(features.detach())[1:].flatten(0, 1).detach()
    bank = head.state_dict()["uniform"][order]
    contrast = slow_loss(z, targets.labels.repeat(2).tolist(), bank, 0.2, 0.7)
    expected = reference(head, features[0].detach(), targets.labels)[1].item() + 0.5 * contrast
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected, rel=1e-5)


def test_centroids_take_a_tenth_of_the_direction_of_the_batchs_mean() -> None:
    """c <- unit(0.9 c + 0.1 unit(mean)) over both contrastive views, class by class; an absent class stays."""
    head = make("tsc", num_classes=3, hidden=6, projection_dim=4)
    start = points(3)
    head.load_state_dict(head.state_dict() | {"centroids": start.float()})
    features, _ = batch(3, 8, size=3, views=3)
    labels = [0, 2, 2]
    z = head.get_submodule("projector")(features.detach())[1:].detach().double()
    with torch.no_grad():
        head.observe(features, Targets.plain(torch.tensor(labels)), CONTEXT)
    means = unit64(torch.stack([z[:, 0].mean(dim=0), z[:, 1:].flatten(0, 1).mean(dim=0)]))
    moved = unit64(0.9 * start[[0, 2]] + 0.1 * means)
    expected = torch.stack([moved[0], start[1], moved[1]])
    assert torch.allclose(head.state_dict()["centroids"].double(), expected, atol=1e-6)


def test_after_a_step_the_matching_has_the_largest_total_similarity() -> None:
    head = make("tsc", num_classes=5, hidden=6, projection_dim=3)
    centroids, bank = points(5, dim=3), head.state_dict()["uniform"].double()
    head.load_state_dict(head.state_dict() | {"centroids": centroids.float()})
    head.after_step()
    best = max(
        itertools.permutations(range(5)), key=lambda order: sum(float(centroids[c] @ bank[order[c]]) for c in range(5))
    )
    total = sum(float(centroids[c] @ bank[best[c]]) for c in range(5))
    assert head.state_dict()["assignment"].tolist() == list(best)
    assert head.on_epoch_end(CONTEXT)["assignment_similarity"] == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(("epochs", "lengths"), [(1, (1,)), (2, (1, 1)), (5, (2, 3)), (50, (25, 25))])
def test_targets_come_in_the_second_half_with_a_new_optimiser(epochs: int, lengths: tuple[int, ...]) -> None:
    """Stages have an optimiser each, and the recipe's schedule anew."""
    stages = HEADS.get("tsc").target.stages(recipes.load("fast", {"epochs": epochs}, "test"), {})
    assert tuple(stage.epochs for stage in stages) == lengths
    assert [stage.name for stage in stages] == ["supervised", "targeted"][-len(lengths) :]
    assert all(stage.views == ("weak", "simclr", "simclr") and not stage.overrides for stage in stages)


def test_the_first_half_is_the_supervised_contrast_and_moves_no_centroid() -> None:
    head = make("tsc", temperature=0.2, contrastive_weight=0.5, hidden=6, projection_dim=4)
    context = Context("supervised", 0, 2)
    head.load_state_dict(head.state_dict() | {"centroids": points(5).float()})
    before = {key: value.clone() for key, value in head.state_dict().items()}
    features, targets = batch(5, 8, views=3)
    head.on_epoch_start(context)
    with torch.no_grad():
        head.observe(features, targets, context)
    head.after_step()
    moved = {key for key, value in head.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"projector.norm.mean", "projector.norm.variance"}
    assert head.on_epoch_end(context) == {}
    z = head.get_submodule("projector")(features.detach())[1:].flatten(0, 1).detach()
    contrast = supervised_contrastive(z.double(), targets.labels.repeat(2), 0.2)
    expected = reference(head, features[0].detach(), targets.labels)[1].item() + 0.5 * contrast.item()
    assert head.loss(features, targets, context).item() == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        head.observe(features, targets, Context("targeted", 0, 2))
    head.after_step()
    assert not torch.equal(head.state_dict()["assignment"], before["assignment"])


def test_targets_of_too_few_dimensions_are_not_applicable() -> None:
    assert unsupported("tsc", info(10), 64, projection_dim=2) is None
    assert unsupported("tsc", info(10), 64, projection_dim=1) == (
        "projection_dim: uniform prototypes of 10 classes need d >= 2"
    )
