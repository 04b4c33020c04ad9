"""SBCL: the loss of two levels, when it is clustered, and what each stage trains."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headbench.core.batch import Targets
from headbench.core.errors import UserError
from headbench.heads import HEADS, Context, Head
from headbench.heads.families.contrastive import supervised_contrastive
from headbench.heads.sbcl import SBCLHead
from headbench.heads.subclasses import dynamic_temperatures
from headbench.runners.grid import recipes
from headbench.runners.training import optimisation
from tests.heads.helpers import batch, info, make, make_for, slow_cosines, unit64

LEARNS = {
    "classifier.weight",
    "projector.first.weight",
    "projector.first.bias",
    "projector.second.weight",
    "projector.second.bias",
}
VECTORS, BIASES = {"classifier.weight"}, {"classifier.margins", "classifier.class_weights"}

CLUSTERED = Context("representation", 10, 100)
WARM_UP = Context("representation", 9, 100)


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The second stage in float64, sample by sample: LDAM with class-balanced weights from its first epoch."""
    counts = [12 + c for c in range(len(head.state_dict()["classifier.weight"]))]
    margins = [0.5 * (n / counts[0]) ** -0.25 for n in counts]
    weights = [(1 - 0.9999) / (1 - 0.9999**n) for n in counts]
    cosines = slow_cosines(head.state_dict()["classifier.weight"], features)
    terms, total = torch.zeros((), dtype=torch.float64), 0.0
    for row, y in zip(cosines, labels.tolist(), strict=True):
        moved = 30 * torch.stack([value - margins[y] * (c == y) for c, value in enumerate(row)])
        terms += weights[y] * (moved.logsumexp(0) - moved[y])
        total += weights[y]
    return 30 * cosines, terms / total


def clustered(head: Head, subclasses: list[int], temperatures: list[float]) -> Head:
    """The head with given subclasses of its first images and temperatures of its classes."""
    state = head.state_dict()
    stored = state["subclasses"].clone()
    stored[: len(subclasses)] = torch.tensor(subclasses)
    head.load_state_dict(state | {"subclasses": stored, "temperatures": torch.tensor(temperatures)})
    return head


def slow_points(head: Head, features: Tensor) -> Tensor:
    """Projected unit vectors (V B, p) in float64, view by view."""
    state = {key: value.double() for key, value in head.state_dict().items()}
    hidden = features.double().flatten(0, 1) @ state["projector.first.weight"].T + state["projector.first.bias"]
    return unit64(hidden.clamp(min=0) @ state["projector.second.weight"].T + state["projector.second.bias"])


def slow_loss(
    points: Tensor,
    labels: list[int],
    subclasses: list[int],
    images: list[int],
    tau: list[float],
    gamma: float,
    first: float = 0.1,
) -> float:
    """The definition in float64, pair by pair, with a first temperature of L1 and those of the classes of L2."""
    rows, size, total = points.tolist(), len(points), 0.0
    for i in range(size):
        cosine = [sum(a * b for a, b in zip(rows[i], row, strict=True)) for row in rows]
        others = [k for k in range(size) if k != i]
        near = [k for k in others if subclasses[k] == subclasses[i]]
        views = [k for k in others if images[k] == images[i]]
        far = [k for k in others if subclasses[k] != subclasses[i]]
        denominator = math.log(sum(math.exp(cosine[k] / first) for k in others))
        l1 = sum(denominator - cosine[p] / first for p in near) / len(near)
        drawn = views + [k for k in far if labels[k] == labels[i]]
        against = math.log(sum(math.exp(cosine[k] / tau[labels[i]]) for k in views + far))
        l2 = sum(against - cosine[p] / tau[labels[i]] for p in drawn) / len(drawn)
        total += first / 0.07 * l1 + gamma * l2
    return total / size


@settings(max_examples=15, deadline=None)
@given(
    labels=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    parts=st.lists(st.integers(0, 1), min_size=6, max_size=6),
    views=st.integers(2, 3),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_double_loop(labels: list[int], parts: list[int], views: int, seed: int) -> None:
    """For any batch: of one class, of one image, with subclasses of one image, whole classes of one subclass."""
    subclasses = [2 * y + part for y, part in zip(labels, parts, strict=False)]
    tau = [0.07, 0.1, 0.16]
    head = clustered(make("sbcl", 3, 4, seed, hidden=5, projection_dim=3), subclasses, tau)
    features, _ = batch(3, 4, len(labels), views, seed)
    loss = head.loss(features, Targets.plain(torch.tensor(labels)), CLUSTERED)
    images = list(range(len(labels)))
    expected = slow_loss(
        slow_points(head, features.detach()), labels * views, subclasses * views, images * views, tau, 0.25
    )
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def example(**options: Any) -> tuple[Head, Tensor, Targets]:
    """A head with subclasses of two, one and three images, and two views of a batch of them."""
    head = make("sbcl", 3, 4, hidden=5, projection_dim=3, **options)
    features, _ = batch(3, 4, 6, 2)
    return (
        clustered(head, [0, 0, 1, 2, 2, 2], [0.1, 0.2, 0.05]),
        features,
        Targets.plain(torch.tensor([0, 0, 0, 1, 1, 1])),
    )


def test_gradients_are_those_of_finite_differences() -> None:
    head, features, targets = example()
    head.double()

    def loss(x: Tensor, *_: Tensor) -> Tensor:
        return head.loss(x, targets, CLUSTERED)

    learned = [parameter for name, parameter in head.named_parameters() if name.startswith("projector")]
    assert torch.autograd.gradcheck(loss, (features.detach().double().requires_grad_(), *learned))


def test_the_order_of_the_batch_and_of_the_views_does_not_matter() -> None:
    head, features, targets = example()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Targets.plain(targets.labels[order], targets.indices[order])
    loss = head.loss(features, targets, CLUSTERED)
    assert torch.allclose(head.loss(features[:, order], shuffled, CLUSTERED), loss, rtol=1e-5)
    assert torch.allclose(head.loss(features.flip(0), targets, CLUSTERED), loss, rtol=1e-5)


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("case", ["equal views", "zero", "huge"])
def test_stays_finite(case: str, views: int) -> None:
    head, features, targets = example()
    shown = {"equal views": features[:1], "zero": 0 * features[:1], "huge": 1e6 * features[:1]}[case]
    shown = shown.detach().expand(views, -1, -1).clone().requires_grad_()
    for context in (WARM_UP, CLUSTERED):
        loss = head.loss(shown, targets, context)
        (gradient,) = torch.autograd.grad(loss, shown)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_the_warm_up_and_a_training_without_clusterings_are_the_plain_contrast_of_classes() -> None:
    head, features, targets = example()
    assert isinstance(head, SBCLHead)
    plain = supervised_contrastive(head.projector(features).flatten(0, 1), targets.labels.repeat(2), 0.1)
    assert torch.equal(head.loss(features, targets, WARM_UP), plain)
    assert torch.equal(example(cluster_period=0)[0].loss(features, targets, CLUSTERED), plain)


def test_without_the_second_term_subclasses_are_contrasted_as_classes() -> None:
    head, features, targets = example(gamma=0.0)
    renamed = Targets.plain(torch.tensor([0, 0, 1, 2, 2, 2]))
    contrast = head.loss(features, renamed, WARM_UP)
    assert torch.allclose(head.loss(features, targets, CLUSTERED), 0.1 / 0.07 * contrast)


def test_with_one_subclass_a_class_the_second_term_draws_views_of_an_image_only() -> None:
    head, features, _ = example()
    clustered(head, [0, 0, 0, 1, 1, 2], [0.1, 0.1, 0.1])
    targets = Targets.plain(torch.tensor([0, 0, 0, 1, 1, 2]))
    points, labels = slow_points(head, features.detach()), [0, 0, 0, 1, 1, 2] * 2
    fine = supervised_contrastive(points, torch.tensor(labels), 0.1).item()
    coarse = 0.0
    for i in range(12):
        score = [float(points[i] @ row) / 0.1 for row in points]
        view = (i + 6) % 12
        coarse -= score[view] - math.log(
            sum(math.exp(score[k]) for k in range(12) if k == view or labels[k] != labels[i])
        )
    loss = head.loss(features, targets, CLUSTERED).item()
    assert loss == pytest.approx(0.1 / 0.07 * fine + 0.25 * coarse / 12, rel=1e-5)


def collected(features: Tensor, labels: Tensor) -> Any:
    """A pass that gives these features of the images in the reverse of their order."""

    def collect(split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
        assert (split, view) == ("train", "supcon")
        return features, labels, torch.arange(len(labels)).flip(0)

    return collect


def test_a_clustering_is_kept_by_index_and_nests_in_the_classes() -> None:
    head = make("sbcl", 5, 4, smallest_subclass=3)
    labels = torch.arange(5).repeat_interleave(torch.arange(5) + 12)
    features = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(0))
    logged = head.on_epoch_start(Context("representation", 10, 100, 0, collected(features, labels)))
    # The smallest class has 12 images: more than the 3 that were asked for.
    assert logged["subclasses"] == 5
    assert torch.equal(head.state_dict()["subclasses"].flip(0), labels)
    assert head.state_dict()["temperatures"].tolist() == pytest.approx([0.1] * 5)


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({}, [10, 20]),
        ({"cluster_period": 5, "warmup_epochs": 7}, [7, 12, 17, 22]),
        ({"warmup_epochs": 0}, [0, 10, 20]),
        ({"cluster_period": 0}, []),
    ],
)
def test_clusterings_are_counted_from_the_end_of_the_warm_up(options: dict[str, int], epochs: list[int]) -> None:
    head = make("sbcl", 5, 4, **options)
    labels = torch.arange(5).repeat_interleave(torch.arange(5) + 12)
    collect = collected(torch.randn(len(labels), 4), labels)
    due = [epoch for epoch in range(25) if head.on_epoch_start(Context("representation", epoch, 100, 0, collect))]
    assert due == epochs
    assert head.on_epoch_start(Context("classifier", 10, 25, 0, collect)) == {}


def test_between_clusterings_a_reloaded_head_has_its_subclasses_and_draws_the_same_next_ones() -> None:
    head, other = (make("sbcl", 2, 4, seed, cluster_period=5) for seed in (0, 9))
    assert isinstance(head, SBCLHead)
    head.subclass_counts.copy_(torch.tensor([3, 4]))
    labels = torch.arange(2).repeat_interleave(torch.tensor([12, 13]))
    features = torch.randn(25, 4, generator=torch.Generator().manual_seed(3))
    collect = collected(features, labels)
    head.on_epoch_start(Context("representation", 10, 100, 0, collect))
    assert head.subclasses.unique().numel() == 7
    other.load_state_dict(head.state_dict())
    shown, targets = features[None].flip(1).repeat(2, 1, 1), Targets.plain(labels.flip(0))
    for epoch in (11, 15):
        a, b = (each.on_epoch_start(Context("representation", epoch, 100, 0, collect)) for each in (head, other))
        assert a == b
        context = Context("representation", epoch, 100)
        assert torch.equal(head.loss(shown, targets, context), other.loss(shown, targets, context))
    assert torch.equal(head.subclasses, other.state_dict()["subclasses"])


def test_the_warm_up_is_no_more_than_a_tenth_of_the_stage() -> None:
    head = make("sbcl", 5, 4)
    labels = torch.arange(5).repeat_interleave(torch.arange(5) + 12)
    collect = collected(torch.randn(len(labels), 4), labels)
    for epochs, expected in ((8, [1]), (12, [2]), (30, [3, 13, 23])):
        contexts = [Context("representation", epoch, epochs, 0, collect) for epoch in range(epochs)]
        assert [context.epoch for context in contexts if head.on_epoch_start(context)] == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_cannot_be_clustered_are_said_in_one_line(value: float) -> None:
    labels = torch.arange(5).repeat_interleave(torch.arange(5) + 12)
    features = torch.randn(len(labels), 4)
    features[[3, 7]] = value
    context = Context("representation", 10, 100, 0, collected(features, labels))
    line = f"head 'sbcl', stage 'representation', before epoch 11: the features of 2 of {len(labels)} training images"
    with pytest.raises(UserError, match=line):
        make("sbcl", 5, 4).on_epoch_start(context)


def test_another_seed_and_another_epoch_draw_other_subclasses() -> None:
    labels = torch.arange(2).repeat_interleave(torch.tensor([12, 13]))
    collect = collected(torch.randn(25, 4, generator=torch.Generator().manual_seed(3)), labels)
    found = []
    for seed, epoch in ((0, 1), (0, 1), (0, 11), (9, 1)):
        head = make("sbcl", 2, 4)
        state = head.state_dict() | {"subclass_counts": torch.tensor([5, 5]), "seed": torch.tensor(seed)}
        head.load_state_dict(state)
        head.on_epoch_start(Context("representation", epoch, 10, 0, collect))
        found.append(head.state_dict()["subclasses"].tolist())
    assert found[0] == found[1]
    assert found[0] not in found[2:]
    assert make("sbcl", seed=0).state_dict()["seed"] != make("sbcl", seed=1).state_dict()["seed"]


def test_classes_are_weighted_from_the_first_epoch_of_the_second_stage() -> None:
    head = make("sbcl")
    features, targets = batch(5, 8)
    _, expected = reference(head, features[0].detach(), targets.labels)
    for epoch in (0, 9):
        assert head.loss(features, targets, Context("classifier", epoch, 10)).item() == pytest.approx(expected.item())


def stages(epochs: int, **options: Any) -> list[Any]:
    recipe = recipes.load("fast", {"epochs": epochs, "mixup": 0.4, "batch_size": 192, "accumulate": 3}, "test")
    resolved = HEADS.get("sbcl").resolve(options, "sbcl")
    return [(stage, recipes.change(recipe, stage.overrides, "test")) for stage in SBCLHead.stages(recipe, resolved)]


def test_the_first_stage_mixes_nothing_and_the_second_trains_the_classifier_alone() -> None:
    (first, contrast), (second, classify) = stages(50)
    assert (first.epochs, second.epochs) == (40, 10)
    assert (first.views, second.views) == (("supcon", "supcon"), ("weak",))
    assert (contrast.mixup, contrast.cutmix, classify.mixup) == (0, 0, 0.4)
    assert (contrast.accumulate, classify.accumulate) == (3, 1), (
        "a linear layer needs no division, and 3 divides no 128"
    )
    assert (classify.lr, classify.weight_decay, classify.batch_size) == (0.1, 0, 128)
    assert [optimisation.multi_step(classify.schedule, epoch, 10) for epoch in (0, 6, 7, 9)] == [1, 1, 0.1, 0.1**2]
    # The released code's 200 epochs, counted from 1: a rate of lr e / 5 up to 5, lower after 140 and 180.
    (_, (_, long)) = stages(1000)
    released = [optimisation.multi_step(long.schedule, e - 1, 200) for e in (1, 5, 140, 141, 180, 181, 200)]
    assert released == pytest.approx([0.2, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert first.trainable == ("backbone", "projection", "head.projector")
    assert second.trainable == ("head.classifier",)
    assert second.sampler == "instance"
    assert contrast.schedule.name == "one_cycle", "not the recipe's own"
    (_, (balanced, retrain)) = stages(50, second_stage="balanced")
    assert (balanced.sampler, retrain.schedule.name) == ("class_balanced", "cosine")
    assert [stage.epochs for stage, _ in stages(50, first_fraction=2)] == [100, 10]
    assert [stage.epochs for stage, _ in stages(1)] == [1, 1]


def test_subclasses_of_no_image_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="smallest_subclass") as refused:
        HEADS.get("sbcl").resolve({"smallest_subclass": 0}, "sbcl")
    assert "\n" not in str(refused.value)


def test_the_balanced_second_stage_is_a_linear_softmax() -> None:
    head = make("sbcl", 5, 8, second_stage="balanced")
    features, targets = batch(5, 8)
    plain = make("psc", 5, 8)
    own = {key.removeprefix("classifier."): value for key, value in head.state_dict().items() if "classifier" in key}
    plain.load_state_dict(own)
    context = Context("classifier")
    assert torch.equal(head.logits(features[0]), plain.logits(features[0]))
    assert torch.equal(head.loss(features, targets, context), plain.loss(features, targets, context))
    assert head.native_scale == 1


def test_raw_scores_are_the_cosines_of_the_classifier() -> None:
    head, (features, _) = make("sbcl"), batch(5, 8)
    cosines = slow_cosines(head.state_dict()["classifier.weight"], features[0].detach())
    assert torch.allclose((head.logits(features[0]) / head.native_scale).double(), cosines, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.3])
def test_the_temperature_is_that_of_the_warm_up_and_of_the_first_term(temperature: float) -> None:
    head, features, targets = example(temperature=temperature)
    assert isinstance(head, SBCLHead)
    plain = supervised_contrastive(head.projector(features).flatten(0, 1), targets.labels.repeat(2), temperature)
    assert torch.equal(head.loss(features, targets, WARM_UP), plain)
    points, images = slow_points(head, features.detach()), [*range(6)] * 2
    labels, subclasses, tau = [0, 0, 0, 1, 1, 1] * 2, [0, 0, 1, 2, 2, 2] * 2, [0.1, 0.2, 0.05]
    expected = slow_loss(points, labels, subclasses, images, tau, 0.25, temperature)
    assert head.loss(features, targets, CLUSTERED).item() == pytest.approx(expected, rel=1e-4)


def test_a_clustering_sets_the_temperatures_that_the_options_ask_for() -> None:
    head = make("sbcl", 2, 4, temperature=0.3, temperature_form="exponential")
    assert isinstance(head, SBCLHead)
    counts, labels = torch.tensor([3, 4]), torch.arange(2).repeat_interleave(torch.tensor([12, 13]))
    head.subclass_counts.copy_(counts)
    features = torch.randn(25, 4, generator=torch.Generator().manual_seed(3))
    head.on_epoch_start(Context("representation", 10, 100, 0, collected(features, labels)))
    expected = dynamic_temperatures(head.projector(features).detach(), labels, counts, 0.3, "exponential")
    assert torch.allclose(head.temperatures, expected)
    assert (expected > 0.6).all()


def test_the_size_of_a_subclass_is_an_option() -> None:
    head = make_for(info(3, class_counts=[60, 20, 5]), "sbcl", smallest_subclass=4)
    assert head.state_dict()["subclass_counts"].tolist() == [12, 4, 1]
