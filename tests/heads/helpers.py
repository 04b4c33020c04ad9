"""What the tests of heads share."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy.special import ive
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.core.streams import generator
from headbench.heads import HEADS, Context, Head

CONTEXT = Context("train", 0, 1, 0)
# Images per class of a long tail.
RARE = [500, 90, 40, 6, 1]


def info(num_classes: int = 5, seed: int = 0, class_counts: list[int] | None = None) -> DataInfo:
    """Facts of an invented data set whose classes are digits."""
    counts = torch.arange(num_classes) + 12 if class_counts is None else torch.tensor(class_counts)
    return DataInfo(
        num_classes,
        counts,
        tuple(str(c % 10) for c in range(num_classes)),
        int(counts.sum()),
        (1, 8, 8),
        generator(seed, "test"),
        20,
    )


def make(head: str | type[Head], num_classes: int = 5, dim: int = 8, seed: int = 0, **options: Any) -> Head:
    """Build a head with its default options but those given."""
    return make_for(info(num_classes, seed), head, dim, seed, **options)


def make_for(facts: DataInfo, head: str | type[Head], dim: int = 8, seed: int = 0, **options: Any) -> Head:
    """Build a head for the facts of some data, with its default options but those given."""
    target = HEADS.get(head).target if isinstance(head, str) else head
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return target(facts, dim, **options)


def unsupported(head: str, facts: DataInfo, dim: int, **options: Any) -> str | None:
    """Why a head does not apply, with its default options but those given."""
    entry = HEADS.get(head)
    return entry.target.supports(facts, dim, entry.resolve(options, head))


def batch(num_classes: int, dim: int, size: int = 12, views: int = 1, seed: int = 0) -> tuple[Tensor, Targets]:
    """Random features (V, B, d) that want a gradient, and targets."""
    stream = generator(seed, "batch")
    features = torch.randn(views, size, dim, generator=stream).requires_grad_()
    return features, Targets.plain(torch.randint(0, num_classes, (size,), generator=stream), torch.arange(size))


def unit64(x: Tensor) -> Tensor:
    """Unit rows in float64, one by one."""
    rows = [row / sum(float(value) ** 2 for value in row) ** 0.5 for row in x.double().reshape(-1, x.shape[-1])]
    return torch.stack(rows).reshape(x.shape)


def slow_log_moment(z: Tensor, mean: Tensor, temperature: float) -> float:
    """log E exp(z . x / temperature) of the von Mises-Fisher distribution that ProCo gives to a mean, by scipy."""
    p, length = len(z), math.sqrt(sum(float(value) ** 2 for value in mean))
    kappa = 1e5 if length >= 1 else min(p * length / (1 - length**2), 1e5)
    axis = [float(value) / length if length else 0.0 for value in mean]
    total = [kappa * a + float(b) / temperature for a, b in zip(axis, z, strict=True)]
    moved = math.sqrt(sum(value**2 for value in total))

    def normaliser(k: float) -> float:
        """log(I_nu(k) / k^nu)."""
        order = p / 2 - 1
        if k < 1e-3:
            return -order * math.log(2) - math.lgamma(order + 1) + k**2 / (2 * p)
        return float(math.log(ive(order, k))) + k - order * math.log(k)

    return normaliser(moved) - normaliser(kappa)


def slow_scale(num_classes: int) -> float:
    """The scale s at which a perfectly aligned sample of a simplex has confidence 0.99, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(200):
        s = (low + high) / 2
        other = torch.tensor(-s / (num_classes - 1), dtype=torch.float64).exp()
        own = torch.tensor(s, dtype=torch.float64).exp()
        low, high = (s, high) if own / (own + (num_classes - 1) * other) < 0.99 else (low, s)
    return (low + high) / 2


def slow_cosines(weight: Tensor, features: Tensor) -> Tensor:
    """Cosines (B, C) of features (B, d) and rows (C, d) in float64, one by one."""
    z, w = unit64(features), unit64(weight)
    return torch.stack([torch.stack([(row * other).sum() for other in w]) for row in z])


def slow_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean of -sum_c q_c log p_c with q = (1 - smoothing) one-hot + smoothing / C, in float64, entry by entry."""
    terms = []
    for row, y in zip(logits.double(), labels.tolist(), strict=True):
        log_total = row.max() + torch.log(
            sum((torch.exp(value - row.max()) for value in row), torch.zeros((), dtype=torch.float64))
        )
        terms += [
            ((1 - smoothing) * (c == y) + smoothing / len(row)) * (log_total - value) for c, value in enumerate(row)
        ]
    return torch.stack(terms).sum() / len(labels)


def slow_squared_cosine(prototypes: Tensor, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled cosines and the mean of (1 - cos)^2, in float64, sample by sample.

    Args:
        prototypes: (C, d).
        features: (B, d).
        labels: (B,).
    """
    cosines = slow_cosines(prototypes, features)
    loss = sum((1 - cosines[i, int(labels[i])]) ** 2 for i in range(len(labels))) / len(labels)
    return slow_scale(len(prototypes)) * cosines, torch.as_tensor(loss)


def slow_linear(head: Head, features: Tensor) -> Tensor:
    """Scores W h + b (B, C) of features (B, d) in float64, entry by entry."""
    weight, bias = (value.double() for value in (head.state_dict()["linear.weight"], head.state_dict()["linear.bias"]))
    return torch.stack(
        [torch.stack([(weight[c] * h).sum() + bias[c] for c in range(len(bias))]) for h in features.double()]
    )


def slow_log_prior(class_counts: Tensor) -> Tensor:
    """log(n_c / sum of n) (C,) in float64, class by class; none is taken as one."""
    counts = [max(1, int(count)) for count in class_counts]
    return torch.tensor([math.log(count / sum(counts)) for count in counts], dtype=torch.float64)


def slow_effective_weights(class_counts: Tensor, beta: float) -> list[float]:
    """(1 - beta) / (1 - beta^n_c), scaled to the sum C, class by class."""
    raw = [(1 - beta) / (1 - beta**count) for count in class_counts.tolist()]
    return [len(raw) * value / sum(raw) for value in raw]


def slow_mean(logits: Tensor, labels: Tensor, weights: list[float]) -> Tensor:
    """The mean of -log p_y in float64, weighted by those of the labels, sample by sample."""
    own = torch.tensor([weights[y] for y in labels.tolist()], dtype=torch.float64)
    terms = [slow_cross_entropy(row[None], y[None]) for row, y in zip(logits, labels, strict=True)]
    return (own * torch.stack(terms)).sum() / own.sum()


@dataclass(frozen=True)
class TwoDevices(Context):
    """A context of one of two devices, which gathers what it is given and what the other one gave."""

    given: list[Tensor] = field(default_factory=list)
    other: tuple[Tensor, ...] = ()

    def gather(self, x: Tensor, differentiable: bool = False) -> Tensor:
        self.given.append(x)
        return torch.cat([x, self.other[len(self.given) - 1]]) if self.other else x


def observe_on_two_devices(head: Head, features: Tensor, targets: Targets) -> None:
    """Let a head observe the first half of a batch (V, B, d), while another device has the second."""
    half = features.shape[1] // 2
    first, second = (
        Targets.plain(targets.labels[part], targets.indices[part]) for part in (slice(half), slice(half, None))
    )
    with torch.no_grad():
        there = TwoDevices()
        copy.deepcopy(head).observe(features[:, half:].detach(), second, there)
        head.observe(features[:, :half].detach(), first, TwoDevices(other=tuple(there.given)))
