"""BCL against slow float64 loops, and what its balanced contrast must and must not depend on."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from headbench.heads.bcl import balanced_contrastive
from headbench.heads.normalisation import unit
from tests.heads.helpers import CONTEXT, batch, info, make, slow_cross_entropy, slow_linear, slow_log_prior, unit64

PROJECTOR = ("first.weight", "first.bias", "norm.weight", "norm.bias", "second.weight", "second.bias")
BIASES = {"log_prior"}
LEARNS = {
    "linear.weight",
    "linear.bias",
    *(f"{part}.{name}" for part in ("projector", "centers") for name in PROJECTOR),
}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """W h + b, and twice its cross-entropy with the logarithm of the class frequencies added."""
    logits = slow_linear(head, features)
    return logits, 2 * slow_cross_entropy(logits + slow_log_prior(info(logits.shape[1]).class_counts), labels)


def slow_losses(features: Tensor, labels: list[int], centers: Tensor, temperature: float) -> list[float]:
    """The balanced contrastive loss of each anchor in float64, pair by pair, from the numbers of its definition."""
    rows = [*features.double(), *centers.double()]
    classes = [*labels, *range(len(centers))]
    losses = []
    for i, own in enumerate(labels):
        positives = [k for k in range(len(rows)) if k != i and classes[k] == own]
        denominator = 0.0
        for k in range(len(rows)):
            if k != i:
                size = classes.count(classes[k]) - (k in positives)
                denominator += math.exp(float(rows[i] @ rows[k]) / temperature) / size
        terms = [float(rows[i] @ rows[p]) / temperature - math.log(denominator) for p in positives]
        losses.append(-sum(terms) / len(terms))
    return losses


def points(size: int, seed: int = 0, dim: int = 4) -> Tensor:
    return unit(torch.randn(size, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def slow_projection(state: dict[str, Tensor], part: str, rows: Tensor) -> Tensor:
    """Linear, normalisation by the mean and variance of these rows, ReLU, linear, unit length, in float64."""
    weights = {name: state[f"{part}.{name}"].double() for name in PROJECTOR}
    hidden = rows.double() @ weights["first.weight"].T + weights["first.bias"]
    centred = hidden - hidden.mean(dim=0)
    hidden = centred / (centred.square().mean(dim=0) + 1e-5).sqrt() * weights["norm.weight"] + weights["norm.bias"]
    return unit64(hidden.clamp(min=0) @ weights["second.weight"].T + weights["second.bias"])


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    temperature=st.sampled_from([0.05, 0.1, 1.0]),
    seed=st.integers(0, 100),
)
def test_the_balanced_contrast_agrees_with_the_double_loop(labels: list[int], temperature: float, seed: int) -> None:
    """Two views of each image; classes may be absent, and the batch may be one image or one class."""
    labels, features, centers = labels * 2, points(2 * len(labels), seed), points(4, seed + 1)
    expected = slow_losses(features, labels, centers, temperature)
    loss = balanced_contrastive(features.float(), torch.tensor(labels), centers.float(), temperature)
    assert loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-4, abs=1e-5)


def test_the_whole_loss_is_that_of_the_first_view_and_of_the_projections_of_the_others() -> None:
    """alpha x logit-adjusted cross-entropy + beta x contrast with the projected weight rows as centers."""
    head = make("bcl", classification_weight=1.5, contrastive_weight=0.25, temperature=0.2)
    features, targets = batch(5, 8, views=3)
    state = head.state_dict()
    z = slow_projection(state, "projector", features.detach().flatten(0, 1))[12:]
    centers = slow_projection(state, "centers", state["linear.weight"])
    contrast = slow_losses(z, targets.labels.repeat(2).tolist(), centers, 0.2)
    classified = reference(head, features[0].detach(), targets.labels)[1] / 2
    expected = 1.5 * classified.item() + 0.25 * sum(contrast) / len(contrast)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    labels = torch.tensor([0, 1, 0, 0, 1, 0])
    raw, centers = points(6).requires_grad_(), points(3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, c: balanced_contrastive(unit(a), labels, unit(c), 0.2), (raw, centers))


def test_repeating_a_class_changes_nothing_for_the_others() -> None:
    """Class averaging, without centers: anchors of class 0 lose the same whether class 1 is there once or thrice."""
    features = points(6)
    none = torch.zeros(0, 4, dtype=torch.float64)

    def of_class_0(repeats: int) -> float:
        rows, classes = torch.cat([features[:4], features[4:].repeat(repeats, 1)]), [0] * 4 + [1] * 2 * repeats
        total = balanced_contrastive(rows, torch.tensor(classes), none, 0.2).item() * len(classes)
        return total - sum(slow_losses(rows, classes, none, 0.2)[4:])

    assert of_class_0(1) == pytest.approx(of_class_0(3), rel=1e-6)


def test_equal_classes_divide_others_by_n_and_positives_by_one_less() -> None:
    """With n members of each class the denominator is sum over negatives / n + sum over positives / (n - 1)."""
    features, centers, labels = points(8), points(2, seed=1), [0, 0, 1, 1, 0, 0, 1, 1]
    rows, classes = torch.cat([features, centers]), torch.tensor([*labels, 0, 1])
    scores = (rows @ rows.T / 0.3)[:8]
    expected = []
    for i in range(8):
        others = torch.arange(10) != i
        own = (classes == labels[i]) & others
        denominator = scores[i, ~own & others].exp().sum() / 5 + scores[i, own].exp().sum() / 4
        expected.append((denominator.log() - scores[i, own].mean()).item())
    loss = balanced_contrastive(features, torch.tensor(labels), centers, 0.3)
    assert loss.item() == pytest.approx(sum(expected) / 8, rel=1e-6)


def test_centers_stand_for_classes_that_are_absent() -> None:
    """An image of class 0 alone is still pushed away from the centers of classes 1 and 2, and drawn to its own."""
    features, centers = points(2).requires_grad_(), points(3, seed=1).requires_grad_()
    balanced_contrastive(features, torch.tensor([0, 0]), centers, 0.5).backward()
    assert centers.grad is not None
    # Downhill is against the gradient: towards the images for the own center, away for the others.
    assert (centers.grad @ features.detach().mean(dim=0)).sign().tolist() == [-1, 1, 1]


@pytest.mark.parametrize("case", ["one image", "one class", "equal views"])
def test_small_batches_are_finite(case: str) -> None:
    head = make("bcl")
    features, targets = batch(5, 8, size=1 if case == "one image" else 12, views=3)
    if case == "one class":
        targets = Targets.plain(torch.full((12,), 4))
    shown = (features[[0, 1, 1]] if case == "equal views" else features).detach().requires_grad_()
    loss = head.loss(shown, targets, CONTEXT)
    loss.backward()
    gradients = [shown.grad, *(parameter.grad for parameter in head.parameters())]
    assert torch.isfinite(loss)
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_equal_views_are_each_others_nearest() -> None:
    """Where the two views of each image are the same, the loss is that of the double loop with cosines of 1."""
    features, centers = points(3).repeat(2, 1), points(3, seed=1)
    expected = slow_losses(features, [0, 1, 2] * 2, centers, 0.1)
    assert balanced_contrastive(features, torch.tensor([0, 1, 2] * 2), centers, 0.1).item() == pytest.approx(
        sum(expected) / 6, rel=1e-6
    )


def test_the_two_contrastive_views_can_change_places() -> None:
    head = make("bcl")
    features, targets = batch(5, 8, views=3)
    loss = head.loss(features, targets, CONTEXT)
    assert torch.allclose(head.loss(features[[0, 2, 1]], targets, CONTEXT), loss, atol=1e-6)
    assert not torch.allclose(head.loss(features[[1, 0, 2]], targets, CONTEXT), loss, atol=1e-3)


def test_the_prior_is_in_the_loss_and_not_in_the_scores() -> None:
    head = make("bcl")
    features, _ = batch(5, 8)
    assert torch.equal(head.logits(features[0]), head.get_submodule("linear")(features[0]))


def test_the_normed_classifier_scales_cosines_by_30() -> None:
    head = make("bcl", normed=True)
    features, _ = batch(5, 8)
    cosines = unit64(features[0].detach()) @ unit64(head.state_dict()["linear.weight"]).T
    assert head.native_scale == 30
    assert torch.allclose(head.logits(features[0]).double(), 30 * cosines, atol=1e-5)


def test_both_projectors_have_their_own_running_statistics() -> None:
    """Those of the features move by all views, those of the centers by the weight rows; a tenth of the way."""
    head = make("bcl")
    features, targets = batch(5, 8, views=3)
    state = {key: value.clone() for key, value in head.state_dict().items()}
    with torch.no_grad():
        head.observe(features, targets, CONTEXT)
    for part, rows in (("projector", features.detach().flatten(0, 1)), ("centers", state["linear.weight"])):
        hidden = rows @ state[f"{part}.first.weight"].T + state[f"{part}.first.bias"]
        assert torch.allclose(head.state_dict()[f"{part}.norm.mean"], 0.1 * hidden.mean(dim=0), atol=1e-6)
        variance = 0.9 + 0.1 * hidden.var(dim=0)
        assert torch.allclose(head.state_dict()[f"{part}.norm.variance"], variance, atol=1e-6)
