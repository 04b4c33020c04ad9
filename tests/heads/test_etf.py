"""ETF: the frame, and dot regression against its formula."""

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from headbench.heads.losses import batch_class_weights
from tests.heads.helpers import CONTEXT, batch, info, make, slow_cross_entropy, slow_squared_cosine, unit64, unsupported


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """On unit features dot regression is half the squared cosine loss."""
    logits, loss = slow_squared_cosine(head.state_dict()["bank"], features, labels)
    return logits, loss / 2


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 1), (3, 2), (10, 9), (10, 10), (10, 64)])
def test_the_frame_is_equiangular(num_classes: int, dim: int) -> None:
    bank = make("etf", num_classes, dim).state_dict()["bank"].double()
    gram = torch.full((num_classes, num_classes), -1 / (num_classes - 1), dtype=torch.float64).fill_diagonal_(1)
    assert torch.allclose(bank @ bank.T, gram, atol=1e-6)


def test_too_few_dimensions_are_not_applicable() -> None:
    assert unsupported("etf", info(10), 9) is None
    assert unsupported("etf", info(10), 8) == "a simplex ETF of 10 classes needs d >= 9"


def slow_weights(labels: Tensor, num_classes: int) -> Tensor:
    """E_c = sqrt((B/K)/n_c), class by class; 1 where a class does not occur."""
    present = set(labels.tolist())
    counts = [sum(y == c for y in labels.tolist()) for c in range(num_classes)]
    return torch.tensor([(len(labels) / len(present) / n) ** 0.5 if n else 1.0 for n in counts], dtype=torch.float64)


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 0, 0], [3] * 8, [0, 1, 2, 3, 0, 1, 2, 3]])
def test_dot_regression_is_the_codes_formula(labels: list[int]) -> None:
    """1/2 mean (h . m_y - |m_y| l)^2 / l with m_c = E_c M_c and l = |h| = 1, term by term."""
    y = torch.tensor(labels)
    features, _ = batch(4, 6, size=8)
    head = make("etf", 4, 6, batch_weights=True)
    scaled = slow_weights(y, 4)[:, None] * head.state_dict()["bank"].double()
    terms = [
        ((h * scaled[c]).sum() - scaled[c].norm()) ** 2
        for h, c in zip(unit64(features[0].detach()), labels, strict=True)
    ]
    assert head.loss(features, Targets.plain(y, y), CONTEXT).item() == pytest.approx(
        0.5 * float(torch.stack(terms).mean()), rel=1e-5
    )
    assert torch.allclose(batch_class_weights(y, 4).double(), slow_weights(y, 4) ** 2)


def test_dot_regression_is_zero_on_the_own_vectors_alone_and_a_class_shown_twice_counts_once() -> None:
    head, labels = make("etf", 4, 6, batch_weights=True), torch.tensor([0, 0, 1, 3, 3, 3])
    own = head.state_dict()["bank"][labels]
    assert head.loss(own[None], Targets.plain(labels, labels), CONTEXT).item() == pytest.approx(0, abs=1e-12)
    features = batch(4, 6, size=6)[0].detach()
    assert head.loss(own[None] + 0.1 * features, Targets.plain(labels, labels), CONTEXT) > 1e-4
    twice = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1])
    once = head.loss(features, Targets.plain(labels, labels), CONTEXT)
    assert head.loss(features[:, twice], Targets.plain(labels[twice], twice), CONTEXT) == pytest.approx(once.item())


def test_weights_come_from_the_unmixed_labels_and_mixing_is_linear() -> None:
    head = make("etf", 4, 6, batch_weights=True)
    features, targets = batch(4, 6, size=8)
    other, weight = targets.labels.flip(0), torch.tensor(0.3)
    mixed = Targets(targets.labels, targets.indices, ((targets.labels, weight), (other, 1 - weight)))
    weights = slow_weights(targets.labels, 4)
    z, bank = unit64(features[0].detach()), head.state_dict()["bank"].double()
    terms = [
        [0.5 * weights[c] ** 2 * ((h * bank[c]).sum() - 1) ** 2 for h, c in zip(z, labels.tolist(), strict=True)]
        for labels in (targets.labels, other)
    ]
    expected = 0.3 * torch.stack(terms[0]).mean() + 0.7 * torch.stack(terms[1]).mean()
    assert head.loss(features, mixed, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)


def test_cross_entropy_variant() -> None:
    head = make("etf", loss="cross-entropy")
    features, targets = batch(5, 8)
    logits, _ = reference(head, features[0].detach(), targets.labels)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(
        slow_cross_entropy(logits, targets.labels).item(), rel=1e-5
    )


def test_batch_norm_is_torchs() -> None:
    """In training the batch's statistics, in evaluation the running ones.

    The loss moves nothing, ``observe`` as much as torch does.
    """
    head = make("etf", batch_norm=True)
    other = torch.nn.BatchNorm1d(8)
    for seed in range(3):
        features, targets = batch(5, 8, seed=seed)
        h = 3 * features.detach() + 1
        before = {key: value.clone() for key, value in head.state_dict().items()}
        expected = unit64(other(h[0]).detach()) @ head.state_dict()["bank"].double().T
        assert torch.allclose(head.logits(h[0]).double() / head.native_scale, expected, atol=1e-5)
        head.loss(h, targets, CONTEXT)
        assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())
        head.observe(h, targets, CONTEXT)
    head.eval(), other.eval()
    expected = unit64(other(h[0]).detach()) @ head.state_dict()["bank"].double().T
    assert torch.allclose(head.logits(h[0]).double() / head.native_scale, expected, atol=1e-5)
    assert {name for name, _ in head.named_parameters()} == {"norm.weight", "norm.bias"}


def test_batch_norm_stays_finite_on_one_sample() -> None:
    head = make("etf", batch_norm=True)
    features, targets = batch(5, 8, size=1)
    head.observe(features.detach(), targets, CONTEXT)
    head.loss(features, targets, CONTEXT).backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert all(torch.isfinite(value).all() for value in head.state_dict().values())


def test_the_gradient_only_pulls() -> None:
    """At unit z the gradient is -(1 - cos) w_y made tangent to the sphere: no other class pushes."""
    head = make("etf")
    z = torch.nn.functional.normalize(torch.randn(1, 8, dtype=torch.float32), dim=1).requires_grad_()
    label = torch.tensor([2])
    head.loss(z[None], Targets.plain(label, label), CONTEXT).backward()
    prototype = head.state_dict()["bank"][2]
    cosine = (z[0] * prototype).sum()
    expected = -(1 - cosine) * (prototype - cosine * z[0])
    assert z.grad is not None
    assert torch.allclose(z.grad[0], expected, atol=1e-6)


def test_the_prototype_seed_rotates_the_frame_and_the_run_seed_does_not() -> None:
    first, second, other = make("etf", seed=0), make("etf", seed=1), make("etf", prototype_seed=1)
    assert torch.equal(first.state_dict()["bank"], second.state_dict()["bank"])
    assert not torch.allclose(first.state_dict()["bank"], other.state_dict()["bank"])
