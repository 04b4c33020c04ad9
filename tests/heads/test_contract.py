"""What every head must hold: the registered ones, and one that uses all of the contract.

A new head brings the test file of its own file's name, ``tests/heads/test_<file>.py``, with ``reference(head, features
(B, d), labels (B,)) -> (logits (B, C), loss)``, an independent slow float64 version of its formulas for one view and
``loss_scale`` 1; and, where anything learns, with the set ``LEARNS`` of its parameters' names. ``SAMPLES`` is the set
of buffers that keep samples in their order; ``AXES`` is True where scores depend on the axes of the features.
"""

import copy
import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from headbench.core.batch import DataInfo, Targets
from headbench.core.errors import UserError
from headbench.core.registry import Entry
from headbench.heads import HEADS, Context, Head, Stage
from headbench.heads.families.fixed_prototypes import FixedPrototypeHead
from headbench.heads.geometry import cache, methods
from headbench.runners.grid import plugins, recipes
from headbench.runners.training.classifier import check_head
from tests.heads import throwaway
from tests.heads.helpers import CONTEXT, batch, info, make, make_for, unsupported
from tests.heads.throwaway import ThrowawayHead
from tests.test_imports import ROOT

# The tests of the runner register the throw-away head too.
REGISTERED = [name for name in HEADS.names() if not issubclass(HEADS.get(name).target, ThrowawayHead)]
NAMES = [*REGISTERED, "throwaway"]
# Options that change what a head does in a step.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("etf", {"batch_norm": True, "batch_weights": True}),
    ("etf", {"loss": "cross-entropy"}),
    ("dl2pa", {"loss": "dot-regression", "batch_norm": True, "batch_weights": True}),
    ("dl2pa", {"queue": "reference"}),
    ("dl2pa", {"assignment_period": "step"}),
    ("dl2pa", {"assignment_period": 0, "loss": "cross-entropy"}),
    ("psc-cosine", {"scale": 16.0, "learnable_scale": True}),
    ("hpn", {"batch_norm": True}),
    ("word2vec", {"batch_norm": True, "whiten": True}),
    ("arcface", {"gradient": "exact", "easy_margin": True}),
    ("logit-adjusted", {"form": "post-hoc", "tau": None}),
    ("dnc", {"centroids": 1, "memory": 5}),
    ("dnc-released", {"period": 2}),
    ("orthonormal", {"vectors": 1}),
]
# Options without which a head's gradient is, on purpose, not that of its loss.
DIFFERENTIABLE: dict[str, dict[str, Any]] = {"arcface": {"gradient": "exact"}}
# Options that leave few enough parameters for finite differences.
NARROW: dict[str, dict[str, Any]] = {
    "bcl": {"hidden": 3, "projection_dim": 2},
    "proco": {"hidden": 3, "projection_dim": 16},
    "sbcl": {"hidden": 3, "projection_dim": 2},
    "tsc": {"hidden": 3, "projection_dim": 4},
}
SIZES = [(5, 8), (6, 3), (2, 1), (3, 2), (7, 4)]


@pytest.fixture(autouse=True, scope="module")
def _short_searches() -> Iterator[None]:
    """Any unit prototypes serve here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "RESTARTS", 1)
        patch.setattr(methods, "UNIFORM_RESTARTS", 1)
        patch.setattr(cache, "VERSION", "contract")
        yield


def entry(name: str) -> Entry[type[Head]]:
    return Entry(name, ThrowawayHead, 1) if name == "throwaway" else HEADS.get(name)


def target(name: str) -> type[Head]:
    return entry(name).target


def test_module(name: str) -> str:
    return target(name).__module__.replace("headbench.heads.", "tests.heads.test_")


test_module.__test__ = False  # type: ignore[attr-defined]


def own_tests(name: str) -> ModuleType:
    """What the head brings for its tests."""
    return throwaway if name == "throwaway" else importlib.import_module(test_module(name))


def reference(name: str) -> Callable[[Head, Tensor, Tensor], tuple[Tensor, Tensor]]:
    found: Callable[[Head, Tensor, Tensor], tuple[Tensor, Tensor]] = own_tests(name).reference
    return found


def applicable(name: str, num_classes: int, dim: int) -> bool:
    return target(name).supports(info(num_classes), dim, entry(name).defaults) is None


def stages(name: str) -> list[Stage]:
    return target(name).stages(recipes.load("fast", {}, "test"), entry(name).defaults)


def views(name: str) -> int:
    """How many views the first stage of a head asks for."""
    return len(stages(name)[0].views)


def seen(name: str, head: Head, num_classes: int, dim: int) -> Head:
    """The head after it has observed a batch, as in training before its first loss."""
    with torch.no_grad():
        head.observe(*batch(num_classes, dim, 3 * num_classes, views(name), seed=7), CONTEXT)
    return head


def build(name: str, num_classes: int, dim: int) -> Head:
    if not applicable(name, num_classes, dim):
        pytest.skip("not applicable")
    return seen(name, make(target(name), num_classes, dim), num_classes, dim)


def width(name: str) -> int:
    """The largest d up to 8 at which a head of 5 classes applies: a few heads have one d only."""
    return max(dim for dim in range(1, 9) if applicable(name, 5, dim))


def small(name: str, **options: Any) -> Head:
    return seen(name, make(target(name), 5, width(name), **options), 5, width(name))


def shown(name: str, size: int = 12) -> tuple[Tensor, Targets]:
    """A batch for ``small(name)``, in as many views as its first stage asks for."""
    return batch(5, width(name), size, views(name))


def state(head: Head) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in head.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


every = pytest.mark.parametrize("name", NAMES)
sizes = pytest.mark.parametrize(("num_classes", "dim"), SIZES)


@every
@sizes
def test_shapes(name: str, num_classes: int, dim: int) -> None:
    head = build(name, num_classes, dim)
    features, targets = batch(num_classes, dim)
    assert head.logits(features[0]).shape == (12, num_classes)
    assert head.loss(features, targets, CONTEXT).shape == ()
    prototypes = head.prototypes()
    assert prototypes is None or prototypes.shape == (num_classes, dim)


@every
@sizes
def test_agrees_with_the_slow_float64_version(name: str, num_classes: int, dim: int) -> None:
    head = build(name, num_classes, dim)
    features, targets = batch(num_classes, dim)
    logits, loss = reference(name)(head, features[0].detach(), targets.labels)
    assert torch.allclose(head.logits(features[0]).double(), logits, atol=1e-4, rtol=1e-5)
    assert torch.allclose(head.loss(features, targets, CONTEXT).double(), loss, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sbcl"])  # it has no subclasses yet
def test_features_of_one_dimension_teach_all_heads_but_the_directional_ones(name: str) -> None:
    head = build(name, 2, 1)
    features, targets = batch(2, 1, views=views(name))
    (gradient,) = torch.autograd.grad(head.loss(features, targets, CONTEXT), features)
    assert (gradient.abs().max().item() < 1e-4) == target(name).directional


@pytest.mark.parametrize(
    ("name", "options", "applies"),
    [
        *((name, {"normed": normed}, not normed) for name in ("bcl", "proco", "tsc") for normed in (True, False)),
        ("sbcl", {"second_stage": "ldam"}, False),
        ("sbcl", {"second_stage": "balanced"}, True),
        *(
            ("ncm", {"normalise": normalise, "distance": distance}, (normalise, distance) == ("none", "euclidean"))
            for normalise in ("none", "unit", "centred")
            for distance in ("euclidean", "cosine")
        ),
    ],
)
def test_a_classifier_of_cosines_needs_two_dimensions(name: str, options: dict[str, Any], applies: bool) -> None:
    assert (unsupported(name, info(), 1, **options) is None) == applies
    assert unsupported(name, info(), 2, **options) is None


@pytest.mark.parametrize("name", REGISTERED)
@settings(max_examples=25, deadline=None)
@given(num_classes=st.integers(2, 10), dim=st.integers(1, 12), size=st.integers(1, 9), seed=st.integers(0, 1000))
def test_agrees_for_any_size(name: str, num_classes: int, dim: int, size: int, seed: int) -> None:
    if not applicable(name, num_classes, dim):
        return
    head = seen(name, make(name, num_classes, dim, seed), num_classes, dim)
    features, targets = batch(num_classes, dim, size, seed=seed)
    logits, loss = reference(name)(head, features[0].detach(), targets.labels)
    assert torch.allclose(head.logits(features[0]).double(), logits, atol=1e-3, rtol=1e-4)
    assert torch.allclose(head.loss(features, targets, CONTEXT).double(), loss, atol=1e-4, rtol=1e-4)


@every
def test_autocast_changes_nothing(name: str) -> None:
    """Features of half precision count as float32 there: what a backbone under autocast hands on."""
    head, (features, targets) = small(name), shown(name)
    halves = features.detach().bfloat16()
    other, wide = copy.deepcopy(head), halves.float()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        head.observe(halves, targets, CONTEXT)
        found = head.logits(halves[0]), head.loss(halves, targets, CONTEXT)
        with torch.autocast("cpu", enabled=False):
            other.observe(wide, targets, CONTEXT)
            expected = other.logits(wide[0]), other.loss(wide, targets, CONTEXT)
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, two)
    assert same(state(head), state(other))


class _Mixed:
    """Computes for a head, and is none."""

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return (features @ features.mT).mean()


class _MixedHead(_Mixed, Head):
    @staticmethod
    def logits(features: Tensor) -> Tensor:
        return features


def test_autocast_changes_nothing_of_a_method_from_elsewhere() -> None:
    features, targets = batch(3, 3)
    head = _MixedHead()
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss(features, targets, CONTEXT)
        assert torch.equal(head.logits(features), features)
    assert torch.equal(loss, (features @ features.mT).mean())
    assert make("psc").to("meta").logits(torch.empty(2, 8, device="meta")).shape == (2, 5)


@every
def test_gradients_reach_features_and_what_learns_in_a_stage_and_nothing_else(name: str) -> None:
    for stage in stages(name):
        head = small(name)
        for key, parameter in head.named_parameters():
            named = any(f"head.{key}.".startswith(f"{prefix}.") for prefix in stage.trainable)
            parameter.requires_grad_(parameter.requires_grad and named)
        features, targets = batch(5, width(name), views=len(stage.views))
        head.loss(features, targets, Context(stage.name)).backward()
        assert features.grad is not None
        assert features.grad.abs().sum() > 0
        for key, parameter in head.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, key
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key
        assert not any(buffer.requires_grad for buffer in head.buffers())


@pytest.mark.parametrize("name", REGISTERED)
def test_what_learns(name: str) -> None:
    head = small(name)
    named = own_tests(name)
    learns: set[str] = getattr(named, "LEARNS", set())
    found = {key for key, parameter in head.named_parameters() if parameter.requires_grad}
    assert found == learns, f"LEARNS of {named.__name__} should be {found}"
    grouped = [
        parameter
        for group in head.parameter_groups(recipes.load("fast", {}, "test"), Stage("train", 1))
        for parameter in group["params"]
    ]
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in head.parameters()}


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, DIFFERENTIABLE.get(name, {}) | NARROW.get(name, {})) for name in REGISTERED), *VARIANTS],
)
def test_gradients_of_the_loss_are_those_of_finite_differences(name: str, options: dict[str, Any]) -> None:
    head = small(name, **options).double()
    features, targets = shown(name, size=4)
    parameters = list(head.parameters())

    def loss(x: Tensor, *_: Tensor) -> Tensor:
        return head.loss(x, targets, CONTEXT)

    assert torch.autograd.gradcheck(loss, (features.detach().double().requires_grad_(), *parameters))


@pytest.mark.parametrize("name", REGISTERED)
def test_classes_can_be_renumbered_and_space_can_be_turned(name: str) -> None:
    """Permuted classes give permuted scores, and a rotation of features and class vectors leaves scores and loss as
    they are.
    """
    head = small(name)
    features, targets = batch(5, width(name))
    logits, loss = head.logits(features[0]), head.loss(features, targets, CONTEXT)
    order = torch.tensor([2, 0, 4, 1, 3])
    turn = torch.linalg.qr(torch.randn(width(name), width(name), generator=torch.Generator().manual_seed(0))).Q
    named = own_tests(name)
    vectors = {"bank", "weight", "linear.weight", "class_means"} | getattr(named, "VECTORS", set())
    per_class = vectors | {"bias", "linear.bias"} | getattr(named, "BIASES", set())
    state = {key: value.clone() for key, value in head.state_dict().items()}
    learned = {key for key, value in head.named_parameters() if value.shape[:1] == (5,)}
    assert learned <= per_class, f"name {learned - per_class} in VECTORS or BIASES of {named.__name__}"
    head.load_state_dict(state | {key: value[order] for key, value in state.items() if key in per_class})
    assert torch.allclose(head.logits(features[0]), logits[:, order], atol=1e-5)
    relabelled = Targets.plain(order.argsort()[targets.labels], targets.indices)
    assert torch.allclose(head.loss(features, relabelled, CONTEXT), loss, atol=1e-5)
    if getattr(named, "AXES", False):
        return
    head.load_state_dict(state | {key: value @ turn for key, value in state.items() if key in vectors})
    assert torch.allclose(head.logits(features[0] @ turn), logits, atol=1e-5)
    assert torch.allclose(head.loss(features @ turn, targets, CONTEXT), loss, atol=1e-5)


@every
@pytest.mark.parametrize("case", ["one class", "one sample", "zero features", "huge features"])
def test_stays_finite(name: str, case: str) -> None:
    head = small(name)
    features, targets = shown(name, size=1 if case == "one sample" else 12)
    if case == "one class":
        targets = Targets.plain(torch.full((12,), 3), targets.indices)
    features = (
        {"zero features": torch.zeros_like(features), "huge features": 1e6 * features}.get(case, features)
        .detach()
        .requires_grad_()
    )
    with torch.no_grad():
        head.observe(features, targets, CONTEXT)
    head.on_epoch_start(Context("train", 1, 2, 1, lambda *_: (features[0].detach(), targets.labels, targets.indices)))
    loss = head.loss(features, targets, CONTEXT)
    loss.backward()
    assert torch.isfinite(loss)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert all(torch.isfinite(value).all() for value in head.state_dict().values() if value.is_floating_point())
    assert torch.isfinite(head.logits(features[0])).all()


@pytest.mark.parametrize("name", REGISTERED)
def test_stays_finite_with_a_class_without_images(name: str) -> None:
    facts = info(5, class_counts=[9, 4, 1, 0, 2])
    if target(name).supports(facts, width(name), entry(name).defaults) is not None:
        pytest.skip("not applicable")
    head = make_for(facts, target(name), width(name))
    features, targets = batch(5, width(name))
    head.loss(features, targets, CONTEXT).backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(head.logits(features[0])).all()
    assert all(torch.isfinite(value).all() for value in head.state_dict().values())


@every
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    first, second = small(name), small(name)
    features, targets = shown(name)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = Targets.plain(targets.labels[order], targets.indices[order])
    a = first.loss(features, targets, CONTEXT)
    b = second.loss(features[:, order], shuffled, CONTEXT)
    assert torch.allclose(a, b, atol=1e-6)
    with torch.no_grad():
        first.observe(features, targets, CONTEXT)
        second.observe(features[:, order], shuffled, CONTEXT)
    ordered: set[str] = getattr(own_tests(name), "SAMPLES", set())
    assert all(
        torch.allclose(first.state_dict()[key], value, atol=1e-6)
        for key, value in second.state_dict().items()
        if key not in ordered
    )


@pytest.mark.parametrize("name", REGISTERED)
def test_the_loss_is_linear_in_the_mixed_pairs(name: str) -> None:
    head = small(name)
    features, targets = batch(5, width(name))
    other = targets.labels.flip(0)
    weight = torch.tensor(0.3)
    mixed = Targets(targets.labels, targets.indices, ((targets.labels, weight), (other, 1 - weight)))
    parts = [head.loss(features, Targets.plain(labels, targets.indices), CONTEXT) for labels in (targets.labels, other)]
    assert torch.allclose(head.loss(features, mixed, CONTEXT), 0.3 * parts[0] + 0.7 * parts[1], atol=1e-6)


@pytest.mark.parametrize("name", REGISTERED)
def test_views_are_averaged(name: str) -> None:
    if len(shown(name)[0]) > 1:
        pytest.skip("has views of its own")
    head = small(name)
    features, targets = batch(5, width(name), views=3)
    parts = torch.stack([head.loss(view[None], targets, CONTEXT) for view in features])
    assert torch.allclose(head.loss(features, targets, CONTEXT), parts.mean(), atol=1e-6)


@pytest.mark.parametrize("name", REGISTERED)
def test_loss_scale_is_a_factor(name: str) -> None:
    if "loss_scale" not in HEADS.get(name).options_model.model_fields:
        pytest.skip("has no loss_scale")
    features, targets = shown(name)
    plain, scaled = (small(name, loss_scale=scale).loss(features, targets, CONTEXT) for scale in (1.0, 3.5))
    assert torch.allclose(3.5 * plain, scaled)


class Trial:
    """An Optuna trial that suggests the least of everything."""

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return low

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[0]


@every
def test_a_search_changes_at_most_three_options_to_valid_values(name: str) -> None:
    suggested = target(name).search_space(Trial(), entry(name).defaults)
    assert len(suggested) <= 3
    assert entry(name).resolve(suggested, name).keys() == entry(name).defaults.keys()


@every
def test_what_is_asked_of_the_class_takes_every_option(name: str) -> None:
    options = entry(name).defaults
    assert stages(name)
    assert all(stage.epochs >= 1 and stage.views and stage.trainable for stage in stages(name))
    assert set(target(name).files(options)) <= set(options)
    assert target(name).loss_name(options)


@every
def test_deterministic(name: str) -> None:
    features, targets = shown(name)
    a, b = small(name), small(name)
    assert same(state(a), state(b))
    assert torch.equal(a.loss(features, targets, CONTEXT), b.loss(features, targets, CONTEXT))


@every
def test_only_observe_and_epoch_hooks_write_state(name: str) -> None:
    head = small(name)
    features, targets = shown(name)
    before = state(head)
    head.loss(features, targets, CONTEXT)
    head.eval()
    head.logits(features[0])
    head.loss(features, targets, CONTEXT)
    assert same(before, state(head))


@pytest.mark.parametrize("name", REGISTERED)
def test_what_best_epochs_and_mixup_mean_is_declared(name: str) -> None:
    """Where a fit follows the choice of an epoch, and where labels that are not mixed move running statistics."""
    declared = f"{entry(name).about['deviations']} {target(name).__doc__}"
    if target(name).finalize is not Head.finalize:
        assert "best_val" in declared
    if views(name) > 1:
        return  # only the first of several views is mixed, and the statistics are those of the others
    heads = [small(name), small(name)]
    features, targets = shown(name)
    labels = targets.labels, (targets.labels + 1) % 5
    for head, seen_labels in zip(heads, labels, strict=True):
        with torch.no_grad():
            head.observe(features, Targets.plain(seen_labels, targets.indices), CONTEXT)
    assert same(*map(state, heads)) or "mixup" in declared


@every
def test_a_built_head_draws_from_seeds_of_its_own(name: str) -> None:
    """Torch's own stream gives other numbers on other devices."""
    head, before = small(name), torch.get_rng_state()
    for stage in stages(name):
        features, targets = batch(5, width(name), views=len(stage.views))
        collected = features[0].detach(), targets.labels, targets.indices
        context = Context(stage.name, 1, 2, 1, lambda *_, found=collected: found)
        head.on_stage_start(context)
        head.on_epoch_start(context)
        with torch.no_grad():
            head.observe(features, targets, context)
        head.loss(features, targets, context)
        head.after_step()
        head.on_epoch_end(context)
        head.finalize(context)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in NAMES), *VARIANTS])
def test_a_reloaded_head_goes_on_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    head, other = small(name, **options), small(name, seed=9, **options)
    features, targets = shown(name)

    def collected(split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
        return torch.randn(12, width(name), generator=torch.Generator().manual_seed(2)), targets.labels, targets.indices

    for step in range(3):
        with torch.no_grad():
            head.observe(features * (step + 1), targets, CONTEXT)
    head.on_epoch_start(Context("train", 0, 2, 3, collected))
    other.load_state_dict(state(head))
    for each in (head, other):
        with torch.no_grad():
            each.observe(features.flip(2), targets, CONTEXT)
        each.on_epoch_start(Context("train", 2, 3, 6, collected))
    assert torch.equal(head.logits(features[0]), other.logits(features[0]))
    assert torch.equal(head.loss(features, targets, CONTEXT), other.loss(features, targets, CONTEXT))
    assert same(state(head), state(other))


@pytest.mark.parametrize(
    "name", [name for name in REGISTERED if issubclass(HEADS.get(name).target, FixedPrototypeHead)]
)
def test_raw_scores_of_fixed_heads_are_cosines(name: str) -> None:
    head = small(name)
    features, _ = batch(5, width(name))
    prototypes = head.prototypes()
    assert prototypes is not None
    assert not list(head.parameters())
    cosines = torch.nn.functional.cosine_similarity(features[0][:, None], prototypes[None], dim=2)
    assert torch.allclose(head.logits(features[0]) / head.native_scale, cosines, atol=1e-6)


class NoHostTensors(TorchDispatchMode):
    """Reject every operation that reads or makes a tensor on the CPU, but for scalars."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            assert not (isinstance(leaf, Tensor) and leaf.device.type == "cpu" and leaf.dim()), (
                f"{func} touches a CPU tensor {tuple(leaf.shape)}"
            )
        return result


class Method(nn.Module):
    """One method of a head as a module, for ``functional_call``."""

    def __init__(self, head: Head, method: str) -> None:
        super().__init__()
        self.head, self.method = head, method

    def forward(self, *arguments: Any) -> Any:
        return getattr(self.head, self.method)(*arguments)


def on_fake_cuda(head: Head, dim: int, context: Context = CONTEXT) -> None:
    """Run ``logits``, ``observe`` and ``loss`` with fake CUDA parameters, buffers and inputs.

    Any wait for the device or host tensor raises.
    """
    layout = [(f"head.{key}", value.shape, value.dtype) for key, value in head.state_dict().items()]
    with FakeTensorMode():
        fake = {key: torch.empty(shape, dtype=dtype, device="cuda") for key, shape, dtype in layout}
        features = torch.empty(2, 6, dim, device="cuda")
        labels = torch.empty(6, dtype=torch.int64, device="cuda")
        targets = Targets(
            labels, labels, ((labels, torch.empty((), device="cuda")), (labels, torch.empty((), device="cuda")))
        )
        with NoHostTensors(), torch.no_grad():
            scores = functional_call(Method(head, "logits"), fake, (features[0],))
            functional_call(Method(head, "observe"), fake, (features, targets, context))
            loss = functional_call(Method(head, "loss"), fake, (features, targets, context))
        assert scores.device.type == loss.device.type == "cuda"


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in NAMES), *VARIANTS])
def test_runs_on_a_fake_cuda_device(name: str, options: dict[str, Any]) -> None:
    for context in (CONTEXT, *(Context(stage.name, 5, 10) for stage in stages(name))):
        on_fake_cuda(small(name, **options), width(name), context)


class WaitsForTheDevice(ThrowawayHead):
    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return features.sum() if targets.labels.max().item() > 2 else features.mean()


class MasksByValue(ThrowawayHead):
    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return features[0][targets.labels == 1].sum()


class MakesHostTensors(ThrowawayHead):
    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return features.mean() * torch.ones(3).sum()


@pytest.mark.parametrize("wrong", [WaitsForTheDevice, MasksByValue, MakesHostTensors])
def test_the_fake_device_finds_what_it_is_there_for(wrong: type[Head]) -> None:
    with pytest.raises(Exception, match=r"CPU tensor|_local_scalar_dense|nonzero"):
        on_fake_cuda(make(wrong, 5, 8), 8)


def test_the_head_of_the_guide_keeps_what_the_guide_says(tmp_path: Path) -> None:
    """The example of CONTRIBUTING.md, which others copy."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (tmp_path / "guide.py").write_text(text.split("```python\n")[1].split("```")[0])
    plugins.load(tmp_path / "guide.py")
    try:
        test_features_of_one_dimension_teach_all_heads_but_the_directional_ones("my-cosine")
        head = build("my-cosine", 5, 8)
        check_head(head, 5, torch.ones(2, 8))
        features, targets = batch(5, 8)
        (weight,) = head.parameters()
        cosines = torch.nn.functional.cosine_similarity(features[0][:, None].double(), weight[None].double(), dim=-1)
        assert torch.allclose(head.logits(features[0]).double(), 16 * cosines, atol=1e-5)
        loss = torch.nn.functional.cross_entropy(16 * cosines, targets.labels)
        assert torch.allclose(head.loss(features, targets, CONTEXT).double(), loss, atol=1e-5)
    finally:
        HEADS.unregister("my-cosine")


@every
def test_every_head_has_what_a_training_relies_on(name: str) -> None:
    check_head(build(name, 5, 8), 5, torch.ones(2, 8))


class Loose(Head):
    """Cross-entropy with its vectors outside the module."""

    def __init__(self, data: DataInfo, feature_dim: int, keep: Callable[[Tensor], Any], classes: int = 1) -> None:
        super().__init__()
        weight = torch.randn(classes * data.num_classes, feature_dim)
        self.kept = keep(weight)
        self.weight = weight

    def logits(self, features: Tensor) -> Tensor:
        return features @ self.weight.T


@pytest.mark.parametrize(
    "keep",
    [
        lambda weight: [torch.nn.Parameter(weight)],
        lambda weight: {"a": (weight, torch.nn.Parameter(weight))},
        lambda weight: weight.clone().requires_grad_(),
    ],
)
def test_a_parameter_that_nothing_would_train_is_refused(keep: Callable[[Tensor], Any]) -> None:
    with pytest.raises(UserError, match="Loose: 'kept' holds a parameter that is none of the module's"):
        check_head(Loose(info(5), 8, keep), 5, torch.ones(2, 8))
    # As buffers, lists of parameters of the module and constants are not.
    check_head(Loose(info(5), 8, torch.nn.Parameter), 5, torch.ones(2, 8))
    check_head(Loose(info(5), 8, lambda weight: [weight]), 5, torch.ones(2, 8))


def test_logits_of_another_width_are_refused_before_the_first_step() -> None:
    head = Loose(info(5), 8, torch.nn.Parameter, classes=2).eval()
    with pytest.raises(UserError, match=r"Loose: logits of features \(2, 8\) are \(2, 10\), and not .* = \(2, 5\)"):
        check_head(head, 5, torch.ones(2, 8))
    assert not head.training


# Options that divide or multiply all scores; a temperature of other views is one of their contrast.
SCALED = [
    (name, option)
    for name in REGISTERED
    for option in ("scale", "temperature")
    if option in entry(name).defaults and views(name) == 1
]


@pytest.mark.parametrize(("name", "option"), SCALED)
def test_a_scale_is_all_of_the_native_one_and_nothing_of_the_raw_scores(name: str, option: str) -> None:
    low, high = (small(name, **{option: value}) for value in (0.25, 4.0))
    expected = (0.25, 4.0) if option == "scale" else (4.0, 0.25)
    assert (low.native_scale, high.native_scale) == pytest.approx(expected)
    features, _ = shown(name)
    raw = [head.logits(features[0]) / head.native_scale for head in (low, high)]
    assert torch.allclose(raw[0], raw[1], atol=1e-5)
    assert raw[0].abs().max() > 0.1


@pytest.mark.parametrize(("name", "options"), [("crt", {}), ("dl2pa", {"queue": "reference"}), ("proco", {})])
def test_what_a_heads_own_generator_draws_is_of_the_cells_seed(name: str, options: dict[str, Any]) -> None:
    """Whatever torch's own stream gives: a second stage's classifier, and means of classes before they are seen."""
    found = []
    for seed in (0, 0, 1):
        head = make_for(info(5, seed), target(name), **options)
        head.on_stage_start(Context("classifier"))
        found.append({key: value for key, value in state(head).items() if key != "seed"})
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bcl", {"temperature": 0.1, "classification_weight": 2.0, "contrastive_weight": 0.6, "normed": False}),
        ("tsc", {"temperature": 0.07, "target_weight": 0.2, "contrastive_weight": 1.0}),
        ("proco", {"temperature": 0.1, "contrastive_weight": 1.0, "normed": False}),
        ("dnc", {"centroids": 4, "temperature": 0.1, "momentum": 0.999}),
    ],
)
def test_the_usual_options_of_the_papers(name: str, expected: dict[str, Any]) -> None:
    """Those of CIFAR, and for TSC those of its released code."""
    assert expected.items() <= entry(name).defaults.items()


@pytest.mark.parametrize("name", [name for name in REGISTERED if "prototype_seed" in entry(name).defaults])
def test_fixed_prototypes_are_of_their_own_seed_and_not_of_the_cells(name: str) -> None:
    first, again, other = (state(small(name, **seeds))["bank"] for seeds in ({}, {"seed": 9}, {"prototype_seed": 1}))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.1)
