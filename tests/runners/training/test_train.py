"""The training loop: paired, reproducible, obedient to a head's stages and hooks."""

import copy
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headbench.backbones.fast_convnet import FastConvNet
from headbench.core.batch import Batch, DataInfo, Targets
from headbench.core.errors import UserError
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.epoch import Epoch
from headbench.heads import HEADS, Context, Head, Options, Stage
from headbench.heads.psc import PSCHead
from headbench.runners.grid import recipes
from headbench.runners.grid.optimisers import MultiStep
from headbench.runners.training import evaluate, optimisation
from headbench.runners.training.classifier import Classifier, build, check_small, unsupported
from headbench.runners.training.loop.state import on_cpu
from headbench.runners.training.stages import stage_plan
from headbench.runners.training.train import NonFiniteLossError, Training
from tests.heads.helpers import make, slow_cross_entropy, slow_squared_cosine
from tests.heads.throwaway import ThrowawayHead
from tests.runners.helpers import CPU, QUICK, cell, digits, train

TRAIN = Stage("train", 1)
FIVE = ["psc", "word2vec", "hpn", "etf", "dl2pa"]


def states(classifier: Classifier) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in classifier.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_same_seed_gives_the_same_numbers_bit_for_bit() -> None:
    first, second = (train(cell("dl2pa"), digits(), CPU, lambda _: None) for _ in range(2))
    assert equal(states(first.classifier), states(second.classifier))
    timing = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in timing} for row in first.history] == [
        {k: v for k, v in row.items() if k not in timing} for row in second.history
    ]
    other = train(cell("dl2pa", axes={"seed": [1]}), digits(), CPU, lambda _: None)
    assert not equal(states(first.classifier), states(other.classifier))


def test_for_one_seed_all_heads_start_from_the_same_backbone_and_projection() -> None:
    built = [build(cell(head, axes={"feature_dim": [9]}), digits().info(0), bf16=False) for head in FIVE]
    for classifier in built[1:]:
        assert equal(built[0].backbone.state_dict(), classifier.backbone.state_dict())
        assert equal(built[0].projection.state_dict(), classifier.projection.state_dict())
    other = build(cell("psc", axes={"seed": [1]}), digits().info(1), bf16=False)
    assert not equal(built[0].backbone.state_dict(), other.backbone.state_dict())


def test_for_one_seed_all_heads_see_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Classifier.forward

    def seen(head: str) -> list[tuple[Tensor, Tensor]]:
        batches: list[tuple[Tensor, Tensor]] = []

        def record(self: Classifier, batch: Batch, context: Context) -> Tensor:
            batches.append((batch.images, batch.targets.indices))
            return forward(self, batch, context)

        monkeypatch.setattr(Classifier, "forward", record)
        train(cell(head, axes={"feature_dim": [9]}), digits(), CPU, lambda _: None)
        return batches

    first = seen("psc")
    assert len(first) == 2 * (len(digits().train) // 128)
    for head in FIVE[1:]:
        assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, seen(head), strict=True))
    # Also a head of two stages and three views: its first view is the others' only one, until its second stage draws by
    # class.
    staged = seen("throwaway")
    for (a, b), (c, d) in list(zip(first, staged, strict=True))[: len(first) // 2]:
        assert torch.equal(a[0], c[0])
        assert torch.equal(b, d)
    assert staged[0][0].shape[0] == 3


@pytest.mark.parametrize(
    ("head", "trained"),
    [
        ("psc", {"head.linear.weight", "head.linear.bias"}),
        ("hpn", set()),
        ("etf", set()),
        ("dl2pa", set()),
        ("word2vec", set()),
    ],
)
def test_exactly_the_documented_parameters_learn(head: str, trained: set[str]) -> None:
    """The frozen baseline of a reference repository would have failed here."""
    start = build(cell(head, axes={"feature_dim": [9]}), digits().info(0), bf16=False)
    ended = train(cell(head, axes={"feature_dim": [9]}), digits(), CPU, lambda _: None).classifier
    before, after = dict(start.named_parameters()), dict(ended.named_parameters())
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key for key in moved if key.startswith("head.")} == trained
    assert {key for key in before if not key.startswith("head.")} <= moved


def test_selections_follow_the_history() -> None:
    run = train(cell("psc", recipe=QUICK | {"epochs": 5}), digits(), CPU, lambda _: None)
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 4, 5]
    assert run.selected["last"].row["epoch"] == 5
    for selection, key in (("best_val", "val_top1"), ("best_test", "test_top1")):
        values = [row[key] for row in run.history]
        assert run.selected[selection].row["epoch"] == values.index(max(values)) + 1
    assert equal(run.selected["last"].state, states(run.classifier))


def test_a_checkpoint_keeps_the_stream_of_the_device_that_trains_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    training = train(cell("psc"), digits(), CPU, lambda _: None)
    for name in ("get_rng_state", "get_rng_state_all", "set_rng_state", "set_rng_state_all"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("a GPU was asked"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    state = training.state_dict()
    assert state["cuda_random"] == []
    # As a machine with two cards has left it after the last epoch.
    left = {"stage": 0, "epochs": len(training.history), "cuda_random": [torch.get_rng_state()] * 2}
    Training(cell("psc"), digits(), CPU).load_state_dict(state | left)


def test_what_an_optimiser_keeps_is_copied() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([weight])
    weight.grad = torch.arange(3.0)
    optimiser.step()
    kept, before = on_cpu(optimiser.state_dict()), copy.deepcopy(optimiser.state_dict())
    optimiser.step()
    assert str(kept) == str(before) != str(optimiser.state_dict())


def test_of_equal_epochs_the_first_is_the_best_one(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.5, 0.5, 0.7, 0.7, 0.7, 0.7, 0.6, 0.6])
    monkeypatch.setattr(evaluate, "measure", lambda *_: {"top1": next(accuracies)})
    run = train(cell("psc", recipe=QUICK | {"epochs": 4, "batch_size": 640}), digits(), CPU, lambda _: None)
    assert {name: own.row["epoch"] for name, own in run.selected.items()} == {"last": 4, "best_val": 2, "best_test": 2}


def test_without_a_validation_part_nothing_is_chosen_on_it() -> None:
    run = train(cell("psc", val_fraction=0), digits(0), CPU, lambda _: None)
    assert set(run.selected) == {"last", "best_test"}
    assert all(math.isnan(row["val_top1"]) for row in run.history)


def test_without_the_test_part_nothing_is_asked_of_it_and_the_same_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    one = cell("psc", recipe=QUICK | {"epochs": 3})
    whole = train(one, digits(), CPU, lambda _: None)
    monkeypatch.setattr(type(digits().test), "plain_batches", refusing(digits().test))
    run = Training(one.model_copy(update={"purpose": "tune"}), digits(), CPU)
    run.run(lambda _: None)
    assert set(run.selected) == {"last", "best_val"}
    assert [row["val_top1"] for row in run.history] == [row["val_top1"] for row in whole.history]
    assert not any("test_top1" in row for row in run.history)
    assert equal(run.selected["best_val"].state, whole.selected["best_val"].state)


def test_trials_are_pruned_by_the_log_likelihood_of_the_scores_as_the_head_gives_them() -> None:
    one = cell("hpn", recipe=QUICK | {"epochs": 1})
    run = train(one.model_copy(update={"purpose": "tune"}), digits(), CPU, lambda _: None)
    prototypes = run.classifier.head.prototypes()
    assert prototypes is not None
    val = digits().val
    logits, _ = slow_squared_cosine(prototypes, evaluate.embed(run.classifier, val), val.labels)
    assert run.history[-1]["val_nll"] == pytest.approx(slow_cross_entropy(logits, val.labels).item())


@pytest.mark.parametrize(
    ("head", "small", "reduced", "selected"),
    [
        ("psc", {"side": 4, "until": 0.5}, [4, 4, 0, 0, 0], [False, False, True, True, True]),
        (
            {"name": "crt", "second_fraction": 0.4},
            {"side": 4, "until": 0.99},
            [4, 4, 0, 0, 0],
            [False] * 3 + [True] * 2,
        ),
        ("psc", {"side": 9, "until": 0.5}, [0] * 5, [True] * 5),
    ],
    ids=["whole", "staged", "larger"],
)
def test_the_first_epochs_of_a_network_that_learns_see_smaller_images_and_are_judged_by_them(
    head: Any, small: Any, reduced: list[int], selected: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stage of ``crt``, whose network is frozen, sees whole ones; no epoch of smaller ones is selected."""
    seen: list[int] = []
    forward = FastConvNet.forward

    def record(self: FastConvNet, images: Tensor) -> Tensor:
        seen.append(images.shape[-1])
        return forward(self, images)

    monkeypatch.setattr(FastConvNet, "forward", record)
    run = Training(cell(head, recipe=QUICK | {"epochs": 5, "small": small}), digits(), CPU)
    sides: list[set[int]] = []
    kept: list[bool] = []

    def epoch(row: dict[str, Any]) -> None:
        sides.append(set(seen))
        kept.append("best_val" in run.selected)
        seen.clear()

    run.run(epoch)
    assert sides == [{side or 8} for side in reduced]
    assert [row.get("side", 0) for row in run.history] == reduced
    assert kept == selected
    assert set(seen) == {8}, "the features of the end are those of whole images"


def test_small_images_that_a_backbone_cannot_take_are_refused_before_training() -> None:
    swin = {"name": "timm", "model": "swin_tiny_patch4_window7_224"}
    large, small = (3, 64, 64), recipes.Small(side=40, until=0.5)
    with pytest.raises(UserError, match=r"there: small: backbone 'timm\(model=swin.*' cannot take 40 x 40 pixels"):
        check_small(cell("psc", axes={"backbone": [swin]}), small, large, "there")
    check_small(cell("psc", axes={"backbone": [swin | {"size": 64}]}), small, large, "there")
    check_small(cell("psc"), recipes.Small(side=2, until=0.5), large, "there")


def refusing(part: Any) -> Any:
    """A ``plain_batches`` that shows every part but one."""
    show = type(part).plain_batches
    return lambda self: pytest.fail("the test part was shown") if self is part else show(self)


def test_training_learns() -> None:
    run = train(
        cell("hpn", axes={"feature_dim": [9]}, recipe=QUICK | {"epochs": 15, "batch_size": 64}),
        digits(),
        CPU,
        lambda _: None,
    )
    assert run.history[-1]["test_top1"] > 0.8


class Recording(ThrowawayHead):
    """Keeps what the runner does: the hooks in order, what it was given, the backbone at the end of each stage."""

    def __init__(self, info: DataInfo, feature_dim: int, *, share: float = 0.5) -> None:
        super().__init__(info, feature_dim)
        self.calls: list[str] = []
        self.batches: list[tuple[str, int, tuple[int, ...], tuple[bool, bool]]] = []
        self.kept: Any = None

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        assert not features.requires_grad
        assert not torch.is_grad_enabled()
        self.calls.append("observe")
        super().observe(features, targets, context)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        self.calls.append("loss")
        self.batches.append((context.stage, context.step, tuple(features.shape), (self.training, self.linear.training)))
        if context.stage == "contrast" and context.epoch % 2 == 0:
            labels = digits().train.labels[targets.indices]
            assert torch.equal(targets.labels, labels)
            assert torch.equal(self.cluster[targets.indices] // 2, labels)
        return super().loss(features, targets, context)

    def after_step(self) -> None:
        self.calls.append("after_step")

    def on_stage_start(self, context: Context) -> None:
        self.calls.append("stage")
        assert (context.epoch, context.step) == (0, 0)
        super().on_stage_start(context)

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        assert self.training
        self.calls.append("start")
        return super().on_epoch_start(context)

    def on_epoch_end(self, context: Context) -> dict[str, float]:
        self.calls.append("end")
        return {"ended_at": float(context.step)}


@pytest.fixture
def recording() -> Any:
    HEADS.register("recording", version=1, paper="-", source="-", deviations="-")(Recording)
    yield cell("recording", recipe=QUICK | {"epochs": 6, "drop_last": False})
    HEADS.unregister("recording")


def test_stages_views_hooks_clusters_and_samplers(recording: Any) -> None:
    backbones = []
    start = states(build(recording, digits().info(0), bf16=False))
    run = Training(recording, digits(), CPU)

    def keep(row: dict[str, Any]) -> None:
        if row["epoch"] in (3, 6):
            backbones.append(states(run.classifier))

    run.run(keep)
    head = run.classifier.head
    assert isinstance(head, Recording)
    steps = math.ceil(len(digits().train) / 128)
    epoch = ["start"] + ["observe", "loss", "after_step"] * steps + ["end"]
    assert head.calls == (["stage"] + epoch * 3) * 2
    contrast, classify = head.batches[: 3 * steps], head.batches[3 * steps :]
    assert {(stage, shape[0], modes) for stage, _, shape, modes in contrast} == {("contrast", 3, (True, True))}
    assert {(stage, shape[0], modes) for stage, _, shape, modes in classify} == {("classify", 1, (True, False))}
    assert [step for _, step, _, _ in contrast] == [step for _, step, _, _ in classify] == list(range(3 * steps))
    assert [row["stage"] for row in run.history] == ["contrast"] * 3 + ["classify"] * 3
    assert ["clusters" in row for row in run.history] == [True, False, True, False, False, False]
    assert ["test_top1" in row for row in run.history] == [False] * 3 + [True] * 3
    assert run.history[0]["ended_at"] == steps
    assert head.log[0] == ("contrast", 0, 3, 0)
    frozen = {key for key in backbones[0] if not key.startswith("head.")}
    assert all(torch.equal(backbones[0][key], backbones[1][key]) for key in frozen), (
        "a frozen part moved, its batch-norm statistics perhaps"
    )
    for before, after in ((start, backbones[0]), *itertools.pairwise(backbones)):
        assert not torch.equal(before["head.scale"], after["head.scale"])
        assert torch.equal(before["head.anchor"], after["head.anchor"]), "what the head froze itself learned"
    assert torch.equal(start["head.linear.bias"] == backbones[0]["head.linear.bias"], torch.zeros(10, dtype=torch.bool))
    assert torch.equal(backbones[0]["head.linear.bias"], backbones[1]["head.linear.bias"])
    labels = digits().train.labels
    means = torch.stack([run.features[labels == number].mean(dim=0) for number in range(10)])
    assert torch.equal(backbones[1]["head.linear.weight"], means), "not those that the second stage began with"
    assert int(head.state_dict()["seen"]) == 6 * len(digits().train)


def test_collect_is_in_order_in_eval_mode_and_never_the_test_part(recording: Any) -> None:
    classifier = build(recording, digits().info(0), bf16=False)
    offered = {"train": digits().train, "val": digits().val}
    classifier.set_trainable(("backbone", "head.scale"))
    modes = [module.training for module in classifier.modules()]
    epoch = Epoch(("plain",), Augmentation(pad=1), 100, True, "instance", 0, 3)
    features, labels, indices = evaluate.collect(classifier, offered, "train", "plain", epoch)
    again, _, _ = evaluate.collect(classifier, offered, "train", "plain", epoch)
    assert torch.equal(features, again)
    assert modes == [module.training for module in classifier.modules()]
    assert set(modes) == {False, True}
    assert torch.equal(labels, digits().train.labels)
    assert indices.tolist() == list(range(len(labels)))
    for split, view in (("test", "plain"), ("train", "plane")):
        with pytest.raises(UserError, match=rf"collect\('{split}', '{view}'\): a head may collect train, val"):
            evaluate.collect(classifier, offered, split, view, epoch)


def test_a_collected_view_is_drawn_anew_each_epoch_for_all_images_in_order(recording: Any) -> None:
    classifier = build(recording, digits().info(0), bf16=False)
    offered, epoch = {"train": digits().train}, Epoch((), Augmentation(pad=1), 100, True, "class_balanced", 0, 3)

    def collected(view: str, number: int) -> Tensor:
        features, labels, _ = evaluate.collect(classifier, offered, "train", view, replace(epoch, number=number))
        assert torch.equal(labels, digits().train.labels)
        return features

    plain, drawn = collected("plain", 3), collected("weak", 3)
    assert torch.equal(drawn, collected("weak", 3))
    assert not torch.equal(drawn, collected("weak", 4))
    # A crop that moves by at most a pixel leaves one image in nine as it is, and the others near.
    unmoved = (drawn - plain).abs().amax(dim=1) < 1e-5
    assert 0.05 < unmoved.double().mean() < 0.2
    without = evaluate.collect(classifier, offered, "train", "weak", replace(epoch, augmentation=Augmentation()))
    assert torch.allclose(without[0], plain, atol=1e-5)


def test_what_a_head_collects_in_an_epoch_does_not_depend_on_where_the_training_was_resumed(recording: Any) -> None:
    training, later = Training(recording, digits(), CPU), Training(recording, digits(), CPU)
    later.history = [{}] * 4
    first, again = (training.context("contrast").collect("train", "weak")[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, later.context("contrast").collect("train", "weak")[0])


class Diverging(PSCHead):
    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return super().loss(features, targets, context) * (math.nan if context.epoch else 1)


def staged(*stages: Stage) -> type[Head]:
    """A head of these stages."""

    class Staged(PSCHead):
        @classmethod
        def stages(cls, recipe: Any, options: Options) -> list[Stage]:
            return list(stages)

    return Staged


def test_each_stage_is_trained_by_its_own_recipe_in_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of five steps by a trapezoid, then two of two by a cosine."""
    first = {"lr": 0.4, "weight_decay": 0.03, "schedule": {"name": "trapezoid", "up": 0.4, "down": 0.6}}
    first |= {"batch_size": 32}
    second = {"lr": 0.02, "weight_decay": 0.07, "schedule": {"name": "cosine", "warmup_epochs": 1, "warmup_start": 0.1}}
    second |= {"batch_size": 64, "mixup": 0.5}
    forward, step = Classifier.forward, torch.optim.SGD.step
    shown: list[tuple[int, int]] = []
    rates: list[float] = []
    decays: list[float] = []

    def seen(self: Classifier, batch: Batch, context: Context) -> Tensor:
        shown.append((len(batch.targets.labels), len(batch.targets.pairs)))
        return forward(self, batch, context)

    def stepped(self: torch.optim.SGD) -> None:
        for taken, name in ((rates, "lr"), (decays, "weight_decay")):
            (value,) = {group[name] for group in self.param_groups}
            taken.append(value)
        step(self)

    monkeypatch.setattr(Classifier, "forward", seen)
    monkeypatch.setattr(torch.optim.SGD, "step", stepped)
    HEADS.register("two-recipes", version=1)(staged(Stage("first", 1), Stage("second", 2, second)))
    try:
        few = replace(digits(), train=digits().train.taken(torch.arange(160)))
        run = train(cell("two-recipes", recipe=QUICK | first), few, CPU, lambda _: None)
    finally:
        HEADS.unregister("two-recipes")
    assert shown == [(32, 1)] * 5 + [(64, 2)] * 4
    assert decays == [0.03] * 5 + [0.07] * 4
    up_and_down = [0.4 * min((k + 1) / 2, 1, (5 - k) / 3) for k in range(5)]
    risen, fallen = [0.02 * 0.1, 0.02 * 0.55], [0.02, 0.01]
    assert rates == pytest.approx(up_and_down + risen + fallen)
    assert [row["lr"] for row in run.history] == pytest.approx([0, 0.02, 0]), "not those of a next step"


def test_a_loss_that_is_not_finite_ends_the_cell_with_the_epoch() -> None:
    HEADS.register("diverging", version=1)(Diverging)
    try:
        with pytest.raises(NonFiniteLossError, match="the training loss is nan in epoch 2"):
            train(cell("diverging"), digits(), CPU, lambda _: None)
    finally:
        HEADS.unregister("diverging")


def test_a_stage_with_an_unknown_override_is_refused_before_training() -> None:
    with pytest.raises(UserError, match="stage 'only': unknown key 'lerning_rate'"):
        stage_plan(cell("psc"), staged(Stage("only", 1, {"lerning_rate": 1})), len(digits().train))


def test_a_stage_without_epochs_is_refused_before_training() -> None:
    with pytest.raises(UserError, match="stage 'second': 0 epochs; a stage has at least 1"):
        stage_plan(cell("psc"), staged(Stage("first", 2), Stage("second", 0)), len(digits().train))


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (
            ("backbone", "head.liner"),
            "stage 'second': trainable: unknown parameter 'head.liner'; did you mean 'head.lin",
        ),
        (("heads",), "trainable: unknown parameter 'heads'; did you mean 'head'"),
        ((), "stage 'second': nothing learns"),
    ],
)
def test_what_is_to_learn_must_be_there(trainable: tuple[str, ...], message: str) -> None:
    HEADS.register("wrong", version=1)(staged(Stage("first", 1), Stage("second", 1, trainable=trainable)))
    rows: list[Any] = []
    try:
        with pytest.raises(UserError, match=message):
            train(cell("wrong"), digits(), CPU, rows.append)
        assert rows == []
    finally:
        HEADS.unregister("wrong")


def test_a_parameter_that_learns_must_be_in_a_group() -> None:
    class Forgetful(PSCHead):
        def parameter_groups(self, recipe: Any, stage: Stage) -> list[dict[str, Any]]:
            return [{"params": [self.linear.weight]}]

    HEADS.register("forgetful", version=1)(Forgetful)
    try:
        with pytest.raises(UserError, match="stage 'train': parameter_groups leaves out head.linear.bias"):
            train(cell("forgetful"), digits(), CPU, lambda _: None)
    finally:
        HEADS.unregister("forgetful")


def test_a_frozen_module_is_in_eval_mode_and_one_without_parameters_goes_with_its_surroundings() -> None:
    backbone: Any = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout()),
        nn.Sequential(nn.Linear(2, 3), nn.Dropout()),
        nn.Dropout(),
    )
    backbone[1].requires_grad_(False)  # by the backbone itself
    classifier = Classifier(backbone, nn.Identity(), make("psc", 4, 3))
    expected: dict[tuple[str, ...], set[str]] = {
        ("backbone", "projection", "head"): {"", "0", "0.0", "0.1", "0.2", "2"},
        ("backbone.0.1",): {"", "0", "0.1", "0.2", "2"},
        ("backbone.1", "head.linear.bias"): set(),
    }
    for prefixes, training in expected.items():
        classifier.set_trainable(prefixes)
        assert {name for name, module in backbone.named_modules() if module.training} == training
        learns = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
        assert learns == {
            name
            for name, _ in classifier.named_parameters()
            if f"{name}.".startswith(tuple(f"{prefix}." for prefix in prefixes)) and "backbone.1" not in name
        }
        assert classifier.head.training == any("head" in prefix for prefix in prefixes)


def test_batches_larger_than_the_data_are_refused_before_training() -> None:
    with pytest.raises(UserError, match="batch_size 1294 is more than the 1293 training images"):
        stage_plan(cell("psc", recipe=QUICK | {"batch_size": 1294}), PSCHead, len(digits().train))


def test_a_one_cycle_of_too_few_steps_is_refused_before_training() -> None:
    with pytest.raises(UserError, match="4 steps are too few for a warm-up of 0.25 of them"):
        stage_plan(cell("psc", recipe=QUICK | {"epochs": 1, "batch_size": 320}), PSCHead, len(digits().train))


def test_an_unknown_view_is_refused_before_training() -> None:
    with pytest.raises(UserError, match="stage 'train': unknown view 'waek'; did you mean 'weak'"):
        stage_plan(cell("psc"), staged(Stage("train", 2, views=("weak", "waek"))), len(digits().train))


def test_an_unknown_sampler_and_a_stage_that_shows_nothing_are_refused_before_training() -> None:
    with pytest.raises(UserError, match="stage 'train': unknown sampler 'balanced'; did you mean 'class_balanced'"):
        stage_plan(cell("psc"), staged(Stage("train", 2, sampler="balanced")), 1000)
    with pytest.raises(
        UserError, match="stage 'train': no views; a stage shows at least one of plain, simclr, supcon, weak"
    ):
        stage_plan(cell("psc"), staged(Stage("train", 2, views=())), 1000)
    with pytest.raises(UserError, match="head 'psc': no stages"):
        stage_plan(cell("psc"), staged(), 1000)


def test_projection_none_needs_the_backbones_width() -> None:
    fits = cell("psc", projection="none", axes={"feature_dim": [8]})
    assert unsupported(fits, digits().info(0)) is None
    assert isinstance(build(fits, digits().info(0), bf16=False).projection, torch.nn.Identity)
    assert (
        unsupported(cell("psc", projection="none"), digits().info(0))
        == "without a projection d must equal the backbone's 8 features"
    )


def rates(recipe: Any, epochs: int, steps: int) -> list[float]:
    """The learning rate at every step."""
    classifier = build(cell("psc"), digits().info(0), bf16=False)
    sgd = optimisation.optimiser(classifier, recipe, TRAIN)
    schedule = optimisation.schedule(sgd, recipe, epochs, steps)
    seen = []
    for _ in range(epochs * steps):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    return seen


def test_one_cycle_peaks_where_it_should_and_ends_near_zero() -> None:
    seen = rates(cell("psc", recipe=QUICK | {"lr": 0.4}).recipe, 10, 20)
    assert max(seen) == pytest.approx(0.4)
    assert seen.index(max(seen)) == pytest.approx(0.25 * 200, abs=1)
    assert seen[0] == pytest.approx(0.4 / 25)
    assert seen[-1] < 1e-4


def test_the_paper_schedule_drops_at_100_and_200_of_250() -> None:
    seen = rates(cell("psc", recipe="paper").recipe, 250, 2)
    assert [round(seen[2 * epoch], 6) for epoch in (0, 99, 100, 199, 200, 249)] == [
        0.01,
        0.01,
        0.001,
        0.001,
        0.0001,
        0.0001,
    ]


def test_the_optimiser_holds_every_trainable_parameter_once() -> None:
    classifier = build(cell("psc"), digits().info(0), bf16=False)
    held = [
        id(p)
        for group in optimisation.optimiser(classifier, cell("psc").recipe, TRAIN).param_groups
        for p in group["params"]
    ]
    assert sorted(held) == sorted(id(p) for p in classifier.parameters())


def test_the_backbone_computes_in_bf16_and_projection_and_head_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, images = build(cell("psc"), digits().info(0), bf16=True), torch.randn(4, 1, 8, 8)
    seen: dict[str, tuple[torch.dtype, torch.dtype]] = {}
    for name in ("backbone", "projection", "head.linear"):
        classifier.get_submodule(name).register_forward_hook(
            lambda _, given, made, name=name: seen.update({name: (given[0].dtype, made.dtype)})
        )
    classifier.head.logits(classifier.features(images))
    assert seen["backbone"][1] == torch.bfloat16
    assert seen["projection"] == seen["head.linear"] == (torch.float32, torch.float32)
    classifier.bf16 = False
    classifier.features(images)
    assert seen["backbone"][1] == torch.float32


def test_the_long_tailed_recipe_warms_up_and_drops_as_the_papers_do() -> None:
    seen = rates(recipes.load("lt", {}, "here"), 200, 2)
    by_epoch = [seen[2 * epoch] for epoch in range(200)]
    assert all(seen[2 * epoch] == seen[2 * epoch + 1] for epoch in range(200))
    expected = [0.1 * (e + 1) / 5 if e < 5 else 0.1 if e < 160 else 0.01 if e < 180 else 0.001 for e in range(200)]
    assert by_epoch == pytest.approx(expected)


def test_a_milestone_is_the_nearest_epoch() -> None:
    """57 % of 100 epochs are 56.99... in floating point."""
    plan = MultiStep(name="multi_step", milestones=(0.57,), gamma=0.1)
    assert [optimisation.multi_step(plan, epoch, 100) for epoch in (56, 57)] == [1, 0.1]


def test_the_imagenet_recipe_warms_up_and_falls_as_a_cosine() -> None:
    seen = rates(recipes.load("imagenet", {}, "here"), 105, 10)
    for step, rate in enumerate(seen):
        expected = 0.01 + 0.99 * step / 50 if step < 50 else (1 + math.cos(math.pi * (step - 50) / 1000)) / 2
        assert rate == pytest.approx(0.5 * expected)


def test_the_trapezoid_rises_stays_and_falls_in_straight_lines() -> None:
    shape = {"name": "trapezoid", "up": 0.1, "down": 0.4}
    seen = rates(cell("psc", recipe=QUICK | {"lr": 0.5, "schedule": shape}).recipe, 5, 20)
    up, flat, down = [step / 10 for step in range(1, 11)], [1.0] * 50, [step / 40 for step in range(40, 0, -1)]
    assert seen == pytest.approx([0.5 * factor for factor in up + flat + down])


def test_adamw_is_torchs() -> None:
    recipe = recipes.load("imagenet-adamw", {}, "here")
    found = optimisation.optimiser(build(cell("psc"), digits().info(0), bf16=False), recipe, TRAIN)
    assert isinstance(found, torch.optim.AdamW)
    assert (found.defaults["lr"], found.defaults["weight_decay"]) == (1e-3, 0.05)
    assert found.defaults["betas"] == torch.optim.AdamW([torch.zeros(1)]).defaults["betas"]


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(
    "plan", ["sgd", {"name": "muon", "lr_factor": 0.1, "momentum": 0.93, "steps": 3}], ids=["sgd", "muon"]
)
def test_sgd_takes_momentum_and_weight_decay_from_the_recipe(plan: Any, nesterov: bool) -> None:
    """Also of what Muon leaves to it."""
    changes = {"optimiser": plan, "lr": 0.2, "momentum": 0.7, "nesterov": nesterov, "weight_decay": 0.03}
    classifier = build(cell("psc"), digits().info(0), bf16=False)
    sgd = optimisation.optimiser(classifier, cell("psc", recipe=QUICK | changes).recipe, TRAIN)
    names = [name for name, own in classifier.named_parameters() if own.dim() == 1 or name.startswith("head.")]
    weights = {name: classifier.get_parameter(name).detach().double() for name in names}
    moving, stream = {name: torch.zeros_like(w) for name, w in weights.items()}, torch.Generator().manual_seed(0)
    for _ in range(3):
        gradients = {name: torch.randn(own.shape, generator=stream) for name, own in classifier.named_parameters()}
        for name, gradient in gradients.items():
            classifier.get_parameter(name).grad = gradient.clone()
        sgd.step()
        for name, w in weights.items():
            g = gradients[name].double() + 0.03 * w
            moving[name] = 0.7 * moving[name] + g
            weights[name] = w - 0.2 * (g + 0.7 * moving[name] if nesterov else moving[name])
    for name, w in weights.items():
        assert torch.allclose(classifier.get_parameter(name).double(), w, atol=1e-6), name


@pytest.mark.parametrize("schedule", [{"name": "one_cycle", "warmup": 0.25}, {"name": "cosine"}])
def test_no_schedule_moves_the_momentum(schedule: dict[str, Any]) -> None:
    recipe = cell("psc", recipe=QUICK | {"momentum": 0.7, "schedule": schedule}).recipe
    sgd = optimisation.optimiser(build(cell("psc"), digits().info(0), bf16=False), recipe, TRAIN)
    moved = optimisation.schedule(sgd, recipe, 2, 10)
    for _ in range(20):
        assert {group["momentum"] for group in sgd.param_groups} == {0.7}
        sgd.step()
        moved.step()


def test_a_stem_that_comes_with_weights_is_not_made_anew(tmp_path: Path) -> None:
    """As trained elsewhere; that of a fresh network is made from the training images."""
    network = {"name": "whitened_convnet", "widths": [4, 6, 8]}
    own = build(cell(axes={"backbone": [network]}), digits().info(0), bf16=False)
    torch.save(own.state_dict(), tmp_path / "own.pt")
    for backbone, stays in ((network | {"weights": str(tmp_path / "own.pt")}, True), (network, False)):
        training = Training(cell(axes={"backbone": [backbone]}, recipe=QUICK | {"epochs": 1}), digits(), CPU)
        before = training.classifier.backbone.state_dict()["filters"].clone()
        training.run(lambda _: None)
        # It does not learn, so that nothing else moves it.
        assert torch.equal(training.classifier.backbone.state_dict()["filters"], before) == stays
