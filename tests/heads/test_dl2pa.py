"""DL2PA: the momentum recursion, the assignment, and the loss after it."""

import itertools

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Context, Head
from tests.heads.helpers import CONTEXT, batch, info, make, slow_cross_entropy, slow_squared_cosine, unit64, unsupported


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The float64 formula with each class's assigned prototype."""
    state = head.state_dict()
    return slow_squared_cosine(torch.stack([state["bank"][k] for k in state["assignment"]]), features, labels)


def test_momentum_takes_the_mean_of_a_class_in_the_batch() -> None:
    """q <- normalise(0.9 q + 0.1 mean), by hand in float64; class 1 has two samples, class 2 none."""
    head = make("dl2pa", num_classes=3, dim=2)
    start = unit64(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]))
    head.load_state_dict(head.state_dict() | {"class_means": start.float()})
    features = torch.tensor([[[0.0, 5.0], [3.0, 0.0], [1.0, 1.0]]])
    labels = torch.tensor([0, 1, 1])
    head.observe(features, Targets.plain(labels, labels), CONTEXT)
    z = unit64(features[0])
    expected = torch.stack([0.9 * start[0] + 0.1 * z[0], 0.9 * start[1] + 0.1 * (z[1] + z[2]) / 2, start[2]])
    assert torch.allclose(head.state_dict()["class_means"].double(), unit64(expected), atol=1e-6)


def test_the_first_batch_sets_the_mean() -> None:
    head = make("dl2pa", num_classes=3, dim=2)
    label = torch.tensor([1])
    head.observe(torch.tensor([[[3.0, 4.0]]]), Targets.plain(label, label), CONTEXT)
    assert torch.allclose(head.state_dict()["class_means"], torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.0, 0.0]]))


def test_reassignment_recovers_a_permutation() -> None:
    head = make("dl2pa", num_classes=6, dim=3)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    bank = head.state_dict()["bank"]
    head.load_state_dict(head.state_dict() | {"class_means": bank[order]})
    logged = head.on_epoch_start(CONTEXT)
    assert torch.equal(head.state_dict()["assignment"], order)
    assert logged["assignment_changes"] == 6
    assert logged["assignment_similarity"] == pytest.approx(6, abs=1e-5)
    assert torch.equal(head.logits(bank[order]).argmax(dim=1), torch.arange(6))
    assert head.on_epoch_start(CONTEXT)["assignment_changes"] == 0


def test_nothing_is_reassigned_before_anything_was_seen() -> None:
    head = make("dl2pa", num_classes=6, dim=3)
    assert head.on_epoch_start(CONTEXT)["assignment_changes"] == 0
    assert torch.equal(head.state_dict()["assignment"], torch.arange(6))


def test_the_reference_queue_keeps_more_and_takes_the_last_sample() -> None:
    """q <- normalise(1.9 q + 0.1 z) with the last sample of a class, and every row brought to unit length."""
    head = make("dl2pa", num_classes=3, dim=2, queue="reference")
    start = head.state_dict()["class_means"].double()
    assert not torch.allclose(start.norm(dim=1), torch.ones(3, dtype=torch.float64), atol=0.01)
    features = torch.tensor([[[0.0, 5.0], [3.0, 0.0], [1.0, 1.0]]])
    labels = torch.tensor([0, 1, 1])
    head.observe(features, Targets.plain(labels, labels), CONTEXT)
    z = unit64(features[0])
    expected = torch.stack([1.9 * start[0] + 0.1 * z[0], 1.9 * start[1] + 0.1 * z[2], start[2]])
    assert torch.allclose(head.state_dict()["class_means"].double(), unit64(expected), atol=1e-6)


def test_the_reference_queue_starts_with_a_random_permutation() -> None:
    head = make("dl2pa", num_classes=20, dim=5, queue="reference", seed=3)
    assert head.on_epoch_start(CONTEXT)["assignment_changes"] > 10
    assert sorted(head.state_dict()["assignment"].tolist()) == list(range(20))


@pytest.mark.parametrize(
    ("options", "epochs"),
    [({"assignment_period": 2}, [0, 2, 4]), ({"freeze_epoch": 3}, [0, 1, 2]), ({"assignment_period": 0}, [])],
)
def test_assignment_happens_when_it_is_due(options: dict[str, int], epochs: list[int]) -> None:
    head = make("dl2pa", num_classes=6, dim=3, **options)
    stream = torch.Generator().manual_seed(0)
    moved = []
    for epoch in range(6):
        head.load_state_dict(head.state_dict() | {"class_means": torch.randn(6, 3, generator=stream)})
        before = head.state_dict()["assignment"].clone()
        logged = head.on_epoch_start(Context("train", epoch, 6, 0))
        changes = int((head.state_dict()["assignment"] != before).sum())
        assert logged.get("assignment_changes", 0) == changes
        if changes:
            moved.append(epoch)
            similarity = (head.state_dict()["class_means"] * head.prototypes()).sum().item()
            assert logged["assignment_similarity"] == pytest.approx(similarity, abs=1e-5)
    assert moved == epochs


def best_permutation(similarity: Tensor) -> tuple[int, ...]:
    """The permutation of largest total similarity (C, C), by trying all."""
    orders = itertools.permutations(range(len(similarity)))
    return max(orders, key=lambda order: sum(float(similarity[c, k]) for c, k in enumerate(order)))


def test_every_step_can_assign() -> None:
    """After a step the assignment is the best of all 120 permutations for the means so far; before it, as it was."""
    head, other = (make("dl2pa", num_classes=5, dim=3, assignment_period=period) for period in ("step", 1))
    assert head.on_epoch_start(CONTEXT) == {}
    other.on_epoch_start(CONTEXT)
    moves = 0
    for step in range(6):
        features, targets = batch(5, 3, size=9, seed=step)
        before = head.state_dict()["assignment"].clone()
        for each in (head, other):
            each.observe(features.detach(), targets, CONTEXT)
        assert torch.equal(head.state_dict()["assignment"], before)
        for each in (head, other):
            each.after_step()
        state = head.state_dict()
        best = best_permutation(state["class_means"].double() @ state["bank"].double().T)
        assert state["assignment"].tolist() == list(best)
        moves += int((state["assignment"] != before).sum())
    logged = head.on_epoch_end(CONTEXT)
    assert logged["assignment_changes"] == moves > 0
    similarity = (head.state_dict()["class_means"] * head.prototypes()).sum().item()
    assert logged["assignment_similarity"] == pytest.approx(similarity, abs=1e-5)
    assert torch.equal(other.state_dict()["assignment"], torch.arange(5))
    assert other.on_epoch_end(CONTEXT) == {}


def test_an_assignment_in_every_step_can_freeze() -> None:
    head = make("dl2pa", num_classes=6, dim=3, assignment_period="step", freeze_epoch=1)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    features, targets = batch(6, 3)
    for epoch, expected in ((0, order), (1, order), (2, order)):
        head.on_epoch_start(Context("train", epoch, 3, 0))
        with torch.no_grad():
            head.observe(features, targets, Context("train", epoch, 3, 0))
        means = head.state_dict()["bank"][order if epoch == 0 else order.flip(0)]
        head.load_state_dict(head.state_dict() | {"class_means": means})
        head.after_step()
        assert torch.equal(head.state_dict()["assignment"], expected)
        assert head.on_epoch_end(Context("train", epoch, 3, 0))["assignment_changes"] == (6 if epoch == 0 else 0)


def test_weights_from_before_moves_were_counted_fit() -> None:
    head = make("dl2pa", num_classes=6, dim=3, assignment_period="step")
    former = {name: value for name, value in head.state_dict().items() if name != "changes"}
    head.load_state_dict(former)
    assert "changes" not in make("dl2pa", num_classes=6, dim=3).state_dict()


LOSSES = ["squared-cosine", "dot-regression", "cross-entropy"]


def slow_loss(loss: str, prototypes: Tensor, features: Tensor, labels: Tensor) -> float:
    """Each loss of prototypes in class order (C, d), in float64."""
    logits, squared = slow_squared_cosine(prototypes, features, labels)
    cross_entropy = slow_cross_entropy(logits, labels)
    return {"squared-cosine": squared, "dot-regression": squared / 2, "cross-entropy": cross_entropy}[loss].item()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_static_head_is_the_head_of_the_same_prototypes_and_loss(loss: str) -> None:
    """Without assignment: HPN's with the squared cosine, half of it with dot regression, softmax of scaled cosines with
    cross-entropy.
    """
    head = make("dl2pa", 6, 3, assignment_period=0, prototypes="separated", loss=loss)
    features, targets = batch(6, 3)
    expected = slow_loss(loss, head.state_dict()["bank"], features[0].detach(), targets.labels)
    assert torch.equal(head.state_dict()["bank"], make("hpn", 6, 3).state_dict()["bank"])
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_takes_the_prototypes_that_are_assigned(loss: str) -> None:
    head, order = make("dl2pa", 6, 3, prototypes="separated", loss=loss), torch.tensor([3, 0, 5, 1, 2, 4])
    head.load_state_dict(head.state_dict() | {"assignment": order})
    features, targets = batch(6, 3)
    expected = slow_loss(loss, head.state_dict()["bank"][order], features[0].detach(), targets.labels)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected, rel=1e-5)


def test_with_a_simplex_any_assignment_is_a_rotation() -> None:
    """Permuting the vertices of a simplex is an orthogonal map of its span, so an assignment changes nothing but the
    features' frame.
    """
    head = make("dl2pa", 6, 5)
    bank = head.state_dict()["bank"].double()
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    turn = torch.linalg.lstsq(bank, bank[order]).solution
    assert torch.allclose(turn @ turn.T, torch.eye(5, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(bank @ turn, bank[order], atol=1e-6)
    features, targets = batch(6, 5)
    before = head.loss(features, targets, CONTEXT)
    head.load_state_dict(head.state_dict() | {"assignment": order})
    assert torch.allclose(head.loss(features @ turn.float(), targets, CONTEXT), before, atol=1e-5)


def test_options_without_use_are_not_applicable() -> None:
    assert unsupported("dl2pa", info(6), 3, batch_weights=True, loss="dot-regression") is None
    assert unsupported("dl2pa", info(6), 3, batch_weights=True) == "batch_weights belong to the dot-regression loss"
    for options in ({"queue": "reference"}, {"freeze_epoch": 3}):
        assert unsupported("dl2pa", info(6), 3, **options) is None
        assert "belong to the assignment" in str(unsupported("dl2pa", info(6), 3, assignment_period=0, **options))
    assert (
        unsupported("etf", info(3), 2, batch_weights=True, loss="cross-entropy")
        == "batch_weights belong to the dot-regression loss"
    )


def test_batch_normalisation_comes_before_the_loss_and_the_class_means() -> None:
    """As on long tails, against torch's own layer."""
    head, layer = make("dl2pa", 6, 3, loss="dot-regression", batch_norm=True), torch.nn.BatchNorm1d(3)
    features, targets = batch(6, 3)
    shown = 3 * features.detach() + 1
    normalised = layer(shown[0]).detach()
    expected = slow_loss("dot-regression", head.state_dict()["bank"], normalised, targets.labels)
    assert head.loss(shown, targets, CONTEXT).item() == pytest.approx(expected, rel=1e-4)
    head.observe(shown, targets, CONTEXT)
    z = unit64(normalised)
    for label in targets.labels.unique():
        mean = unit64(z[targets.labels == label].mean(dim=0)[None])[0]
        assert torch.allclose(head.state_dict()["class_means"][label].double(), mean, atol=1e-5)
