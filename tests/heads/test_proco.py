"""ProCo: statistics that are exact means over two epochs, and the loss that they make."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from headbench.core.batch import Targets
from headbench.heads import HEADS, Context
from headbench.heads.proco import ProCoHead
from headbench.runners.grid import recipes
from tests.heads.helpers import (
    CONTEXT,
    batch,
    info,
    make,
    make_for,
    slow_cosines,
    slow_cross_entropy,
    slow_log_moment,
    unit64,
)

LEARNS = {"linear.weight", "linear.bias"} | {
    f"projector.{name}"
    for name in ("first.weight", "first.bias", "norm.weight", "norm.bias", "second.weight", "second.bias")
}
BIASES = {"log_prior"}


def reference(head: ProCoHead, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The classifier's branch: logits W h + b, and their cross-entropy with the log prior added."""
    state = head.state_dict()
    weight, bias = state["linear.weight"].double(), state["linear.bias"].double()
    logits = torch.stack([weight @ row + bias for row in features.double()])
    # The invented data set of the tests has 12, 13, 14, ... images.
    counts = [12 + c for c in range(len(weight))]
    prior = torch.tensor([math.log(count / sum(counts)) for count in counts], dtype=torch.float64)
    return logits, slow_cross_entropy(logits + prior, labels)


def proco(num_classes: int = 5, dim: int = 8, **options: Any) -> ProCoHead:
    head = make("proco", num_classes, dim, **({"hidden": 6, "projection_dim": 16} | options))
    assert isinstance(head, ProCoHead)
    return head


def slow_directions(head: ProCoHead, features: Tensor) -> Tensor:
    """Unit vectors (V - 1, B, p): linear, batch normalisation over all views, ReLU, linear, in float64."""
    state = {key: value.double() for key, value in head.state_dict().items()}
    rows = features.detach().double().flatten(0, 1)
    hidden = rows @ state["projector.first.weight"].T + state["projector.first.bias"]
    variance = sum((row - hidden.mean(dim=0)) ** 2 for row in hidden) / len(hidden)
    scaled = (hidden - hidden.mean(dim=0)) / (variance + 1e-5) ** 0.5
    active = (scaled * state["projector.norm.weight"] + state["projector.norm.bias"]).clamp(min=0)
    z = unit64(active @ state["projector.second.weight"].T + state["projector.second.bias"])
    return z.reshape(*features.shape[:2], -1)[1:]


def slow_loss(head: ProCoHead, features: Tensor, labels: Tensor, temperature: float, weight: float) -> Tensor:
    """Both branches, entry by entry."""
    z = slow_directions(head, features).flatten(0, 1)
    means = head.means().double()
    moments = [[slow_log_moment(row, mean, temperature) for mean in means] for row in z]
    prior = head.state_dict()["log_prior"].double()
    contrast = slow_cross_entropy(torch.tensor(moments, dtype=torch.float64) + prior, labels.repeat(len(features) - 1))
    return reference(head, features[0].detach(), labels)[1] + weight * contrast


def observe(head: ProCoHead, features: Tensor, targets: Targets) -> None:
    with torch.no_grad():
        head.observe(features.detach(), targets, CONTEXT)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5, "contrastive_weight": 0.3}])
@pytest.mark.parametrize("views", [2, 3])
def test_agrees_with_the_slow_loop(views: int, options: dict[str, Any]) -> None:
    head = proco(projection_dim=64, **options)
    features, targets = batch(5, 8, views=views)
    observe(head, *batch(5, 8, views=3, seed=1))
    expected = slow_loss(
        head, features, targets.labels, options.get("temperature", 0.1), options.get("contrastive_weight", 1.0)
    )
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_statistics_are_the_plain_mean_of_two_epochs(data: st.DataObject) -> None:
    """Whatever the batches and their order: all projections of the previous epoch and of this one so far."""
    head = proco()
    epochs: list[list[tuple[Tensor, Tensor]]] = []
    for epoch in range(data.draw(st.integers(1, 4))):
        head.on_epoch_start(Context("train", epoch, 4, 0))
        epochs.append([])
        for step in range(data.draw(st.integers(0, 3))):
            size, seed = data.draw(st.integers(1, 4)), 10 * epoch + step
            features, targets = batch(5, 8, size, views=3, seed=seed)
            epochs[-1].append((slow_directions(head, features).flatten(0, 1), targets.labels.repeat(2)))
            observe(head, features, targets)
    window = [part for epoch in epochs[-2:] for part in epoch]
    found, unseen = head.means().double(), head.state_dict()["unseen"].double()
    for label in range(5):
        rows = [row for z, labels in window for row, y in zip(z, labels, strict=True) if y == label]
        expected = torch.stack(rows).mean(dim=0) if rows else unseen[label]
        assert torch.allclose(found[label], expected, atol=1e-6), label


def test_a_class_that_was_never_seen_has_a_random_mean_of_length_0_9() -> None:
    """So kappa is p 0.9 / 0.19; of all classes in epoch 0, before its first batch."""
    head = proco()
    head.on_epoch_start(CONTEXT)
    start = head.means()
    assert torch.allclose(start.norm(dim=1), torch.full((5,), 0.9))
    assert torch.linalg.matrix_rank(start) == 5
    features, _ = batch(5, 8, 4, views=3)
    observe(head, features, Targets.plain(torch.tensor([0, 1, 1, 3])))
    assert torch.equal(head.means()[[2, 4]], start[[2, 4]])
    assert not torch.isclose(head.means()[[0, 1, 3]], start[[0, 1, 3]]).any()


def test_the_batch_itself_is_in_the_statistics_that_the_loss_uses() -> None:
    """A class with the two views of one image: its mean is theirs."""
    head = proco()
    features, _ = batch(5, 8, 3, views=3)
    observe(head, features, Targets.plain(torch.tensor([4, 0, 1])))
    expected = slow_directions(head, features)[:, 0].mean(dim=0)
    assert torch.allclose(head.means()[4].double(), expected, atol=1e-6)


def test_what_was_seen_two_epochs_ago_is_forgotten() -> None:
    head, fresh = proco(), proco()
    observe(head, *batch(5, 8, views=3))
    for epoch in (1, 2):
        head.on_epoch_start(Context("train", epoch, 3, 0))
    assert torch.equal(head.means(), fresh.means())


def test_the_statistics_do_not_depend_on_the_classifiers_view_alone() -> None:
    """One view moves nothing, since it is none of those to contrast."""
    head, before = proco(), proco().means()
    observe(head, *batch(5, 8, views=1))
    assert torch.equal(head.means(), before)


def test_classes_can_be_renumbered() -> None:
    head, other = proco(), proco()
    features, targets = batch(5, 8, views=3)
    order = torch.tensor([2, 0, 4, 1, 3])
    observe(head, features, targets)
    state = head.state_dict()
    per_class = ("linear.weight", "linear.bias", "log_prior", "unseen")
    other.load_state_dict(
        state
        | {key: state[key][order] for key in per_class}
        | {key: state[key][:, order] for key in ("sums", "counts")}
    )
    relabelled = Targets.plain(order.argsort()[targets.labels])
    assert torch.allclose(other.loss(features, relabelled, CONTEXT), head.loss(features, targets, CONTEXT), atol=1e-5)
    observe(head, features, targets)
    observe(other, features, relabelled)
    assert torch.allclose(other.means(), head.means()[order], atol=1e-6)


def test_the_contrastive_views_can_be_exchanged() -> None:
    head, other = proco(), proco()
    features, targets = batch(5, 8, views=3)
    exchanged = features[[0, 2, 1]]
    observe(head, features, targets)
    observe(other, exchanged, targets)
    assert torch.allclose(head.means(), other.means(), atol=1e-6)
    assert torch.allclose(head.loss(features, targets, CONTEXT), other.loss(exchanged, targets, CONTEXT), atol=1e-6)


def test_equal_views_count_as_one_beside_the_first() -> None:
    """Two equal views to contrast give the loss of either, in eval mode, where their number normalises nothing."""
    head = proco().eval()
    features, targets = batch(5, 8, views=2)
    observe(head, features, targets)
    twice = features[[0, 1, 1]]
    assert torch.allclose(head.loss(twice, targets, CONTEXT), head.loss(features, targets, CONTEXT), atol=1e-6)


@pytest.mark.parametrize("labels", [[2], [2, 2, 2, 2], [0, 0, 4, 4]])
def test_batches_of_one_image_of_one_class_and_without_some(labels: list[int]) -> None:
    """Finite from the first step of training, and right."""
    head = proco(projection_dim=64)
    features, _ = batch(5, 8, len(labels), views=3)
    targets = Targets.plain(torch.tensor(labels))
    observe(head, features, targets)
    loss = head.loss(features, targets, CONTEXT)
    loss.backward()
    assert loss.item() == pytest.approx(slow_loss(head, features, targets.labels, 0.1, 1.0).item(), rel=1e-5)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_with_equal_counts_the_prior_changes_nothing() -> None:
    head = make_for(info(class_counts=[7] * 5), "proco", 8, hidden=6, projection_dim=16)
    assert isinstance(head, ProCoHead)
    features, targets = batch(5, 8, views=3)
    observe(head, features, targets)
    loss = head.loss(features, targets, CONTEXT)
    head.load_state_dict(head.state_dict() | {"log_prior": torch.zeros(5)})
    assert torch.allclose(head.loss(features, targets, CONTEXT), loss, atol=1e-5)


def test_only_the_first_view_is_classified_and_only_it_is_mixed() -> None:
    head = proco(contrastive_weight=0.0)
    features, targets = batch(5, 8, views=3)
    assert head.loss(features, targets, CONTEXT) == head.loss(features[:1], targets, CONTEXT)
    whole, other = proco(), targets.labels.flip(0)
    mixed = Targets(targets.labels, targets.indices, ((other, torch.tensor(1.0)),))
    contrast = whole.loss(features, targets, CONTEXT) - whole.loss(features[:1], targets, CONTEXT)
    found = whole.loss(features, mixed, CONTEXT) - whole.loss(features[:1], mixed, CONTEXT)
    assert found.item() == pytest.approx(contrast.item(), abs=1e-5)


def test_a_normed_classifier_scores_thirty_times_the_cosine() -> None:
    head = proco(normed=True)
    features, _ = batch(5, 8)
    expected = 30 * slow_cosines(head.state_dict()["linear.weight"], features[0].detach())
    assert torch.allclose(head.logits(features[0]).double(), expected, atol=1e-4)
    assert head.native_scale == 30
    assert "linear.bias" not in head.state_dict()
    assert torch.allclose(head.prototypes().norm(dim=1), torch.ones(5))


def test_statistics_get_no_gradient_and_projections_do() -> None:
    head = proco()
    features, targets = batch(5, 8, views=3)
    observe(head, features, targets)
    head.loss(features, targets, CONTEXT).backward()
    assert features.grad is not None
    assert (features.grad.abs().sum(dim=(1, 2)) > 0).all()
    assert not head.means().requires_grad


def test_an_epoch_logs_how_concentrated_the_classes_are() -> None:
    head = proco()
    observe(head, *batch(5, 8, views=3))
    lengths = [row.double().norm().item() for row in head.means()]
    kappas = sorted(16 * length / (1 - length**2) for length in lengths)
    logged = head.on_epoch_end(CONTEXT)
    assert logged == pytest.approx({"mean_length": sum(lengths) / 5, "concentration": kappas[2]}, rel=1e-4)


class Largest(TorchFunctionMode):
    """Remembers the bytes of the largest tensor that a call of torch returned."""

    bytes = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, leaf.numel() * leaf.element_size())
        return result


def test_nothing_of_the_size_of_batch_times_classes_times_width_is_made() -> None:
    """The largest tensors are those of B x C scores in float64, and of two sets of C x p sums."""
    size, classes, width = 24, 40, 32
    head = proco(classes, projection_dim=width)
    features, targets = batch(classes, 8, size, views=3)
    with Largest() as largest:
        observe(head, features, targets)
        head.loss(features, targets, CONTEXT).backward()
    assert largest.bytes <= max(2 * size * classes * 8, 2 * classes * width * 8)


@pytest.mark.parametrize("name", ["bcl", "proco"])
def test_one_view_is_classified_and_two_are_contrasted(name: str) -> None:
    (stage,) = HEADS.get(name).target.stages(recipes.load("fast", {"epochs": 7}, "test"), {})
    assert stage.views == ("weak", "simclr", "simclr")
    assert (stage.epochs, stage.overrides, stage.sampler) == (7, {}, "instance")
