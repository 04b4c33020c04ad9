"""DNC: Sinkhorn, the centroids, and the memory, each against a slow version."""

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from headbench.heads.dnc import clustered, sinkhorn
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

VECTORS = {"centroids"}
SAMPLES = {"memory", "memory_labels"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of a class's cosines, times 10."""
    centroids = unit64(head.state_dict()["centroids"])
    logits = torch.stack(
        [torch.stack([10 * max((p * z).sum() for p in own) for own in centroids]) for z in unit64(features)]
    )
    return logits, slow_cross_entropy(logits, labels)


def random_unit(*shape: int, seed: int = 0) -> Tensor:
    return unit64(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def slow_sinkhorn(similarity: Tensor, iterations: int) -> Tensor:
    """Of one class: columns to n/K, then rows to 1, entry by entry."""
    shares = (similarity.double() / 0.05).exp()
    n, count = shares.shape
    for _ in range(iterations):
        columns = [sum(shares[i, k] for i in range(n)) * count / n for k in range(count)]
        shares = torch.stack([torch.stack([row[k] / columns[k] for k in range(count)]) for row in shares])
        shares = torch.stack([row / sum(row) for row in shares])
    return shares


def slow_clustered(centroids: Tensor, z: Tensor, labels: Tensor, momentum: float) -> Tensor:
    found = centroids.clone()
    for c, own in enumerate(centroids):
        members = z[labels == c]
        if not len(members):
            continue
        chosen = slow_sinkhorn(members @ own.T, 3).argmax(dim=1)
        for k in range(len(own)):
            if (chosen == k).any():
                mean = unit64(members[chosen == k].mean(dim=0)[None])[0]
                found[c, k] = unit64((momentum * own[k] + (1 - momentum) * mean)[None])[0]
    return found


def test_more_centroids_than_images_of_any_class_do_not_apply() -> None:
    facts = info(3, class_counts=[6, 2, 1])
    assert unsupported("dnc", facts, 8, centroids=6) is None
    assert unsupported("dnc", facts, 8, centroids=7) == "7 centroids a class, and no class has more than 6 images"


def test_sinkhorn_is_that_of_each_class_alone() -> None:
    similarity = torch.rand(9, 3, dtype=torch.float64) * 2 - 1
    groups = torch.tensor([1, 0, 1, 1, 3, 0, 1, 3, 1])
    found = sinkhorn(similarity, groups, 4)
    for group in (0, 1, 3):
        assert torch.allclose(found[groups == group], slow_sinkhorn(similarity[groups == group], 3), atol=1e-9)


def test_sinkhorn_marginals() -> None:
    """Rows sum to 1 always, and the columns of a class to n/K at convergence."""
    groups = torch.tensor([0] * 8 + [1] * 6)
    similarity = torch.rand(14, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(sinkhorn(similarity, groups, 2).sum(dim=1), torch.ones(14, dtype=torch.float64))
    found = sinkhorn(similarity, groups, 2, iterations=5000)
    assert torch.allclose(found.sum(dim=1), torch.ones(14, dtype=torch.float64))
    assert torch.allclose(found[:8].sum(dim=0), torch.full((4,), 2.0, dtype=torch.float64), atol=1e-3)
    assert torch.allclose(found[8:].sum(dim=0), torch.full((4,), 1.5, dtype=torch.float64), atol=1e-3)


def test_sinkhorn_gives_samples_to_the_centroids_that_are_like_them() -> None:
    """The sign: the assigned similarity is above the mean, and a share rises with its similarity."""
    z, centroids = random_unit(40, 6), random_unit(4, 6, seed=1)
    similarity = z @ centroids.T
    chosen = sinkhorn(similarity, torch.zeros(40, dtype=torch.int64), 1).argmax(dim=1)
    assert similarity[torch.arange(40), chosen].mean() > similarity.mean() + 0.2
    raised = similarity.clone()
    raised[3, 2] += 0.1
    groups = torch.zeros(40, dtype=torch.int64)
    assert sinkhorn(raised, groups, 1)[3, 2] > sinkhorn(similarity, groups, 1)[3, 2]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_clustering_is_that_of_the_slow_version(momentum: float) -> None:
    centroids, z = random_unit(5, 3, 4), random_unit(30, 4, seed=1)
    labels = torch.randint(0, 4, (30,), generator=torch.Generator().manual_seed(2))
    # Class 4 has no sample, and rows of the label 5 are none.
    nothing, none = torch.zeros(7, 4, dtype=torch.float64), torch.full((7,), 5)
    found = clustered(centroids, torch.cat([nothing, z]), torch.cat([none, labels]), momentum)
    assert torch.allclose(found, slow_clustered(centroids, z, labels, momentum), atol=1e-9)
    assert torch.equal(found[4], centroids[4])
    assert torch.allclose(found.norm(dim=2), torch.ones(5, 3, dtype=torch.float64))


def test_one_centroid_is_the_momentum_of_the_class_means() -> None:
    head = make("dnc", num_classes=3, dim=4, centroids=1, momentum=0.7, memory=100)
    expected = head.state_dict()["centroids"][:, 0].double()
    seen: list[tuple[Tensor, Tensor]] = []
    for step in range(4):
        features, targets = batch(3, 4, size=5, seed=step)
        head.observe(features.detach(), targets, CONTEXT)
        seen.append((unit64(features[0].detach()), targets.labels))
        z, labels = (torch.cat(x) for x in zip(*seen, strict=True))
        means = torch.stack([z[labels == c].mean(dim=0) if (labels == c).any() else expected[c] for c in range(3)])
        expected = unit64(0.7 * expected + 0.3 * unit64(means))
    assert torch.allclose(head.state_dict()["centroids"][:, 0].double(), expected, atol=1e-5)


def test_without_momentum_one_centroid_classifies_by_the_nearest_class_mean() -> None:
    head = make("dnc", num_classes=4, dim=6, centroids=1, momentum=0.0)
    features, targets = batch(4, 6, size=40)
    head.observe(features.detach(), targets, CONTEXT)
    z = unit64(features[0].detach())
    means = unit64(torch.stack([z[targets.labels == c].mean(dim=0) for c in range(4)]))
    assert torch.equal(head.logits(features[0]).argmax(dim=1), (z @ means.T).argmax(dim=1))


def test_centroids_move_within_an_epoch_unless_momentum_keeps_them() -> None:
    for momentum, moves in ((0.999, True), (1.0, False)):
        head = make("dnc", momentum=momentum)
        before = head.state_dict()["centroids"].clone()
        for step in range(100):
            features, targets = batch(5, 8, size=20, seed=step)
            head.observe(features.detach() + 3 * torch.eye(8)[targets.labels], targets, CONTEXT)
        moved = (head.state_dict()["centroids"] - before).norm(dim=2)
        assert (moved > 0.02).all() if moves else (moved < 1e-5).all()
        assert torch.allclose(head.state_dict()["centroids"].norm(dim=2), torch.ones(5, 4), atol=1e-5)


def test_two_clusters_of_a_class_get_a_centroid_each() -> None:
    head = make("dnc", num_classes=2, dim=6, centroids=2, momentum=0.9)
    axes, stream = torch.eye(6), torch.Generator().manual_seed(0)
    for _ in range(60):
        which = torch.randint(0, 4, (32,), generator=stream)
        features = axes[which] + 0.1 * torch.randn(32, 6, generator=stream)
        head.observe(features[None], Targets.plain(which // 2), CONTEXT)
    nearest = head.state_dict()["centroids"].flatten(0, 1) @ axes[:4].T
    assert (nearest.max(dim=1).values > 0.95).all()
    assert sorted(nearest.argmax(dim=1).tolist()) == [0, 1, 2, 3]


def test_the_memory_is_a_ring() -> None:
    """Five places, batches of 3 and one of 7: the newest samples, the oldest overwritten first."""
    head = make("dnc", num_classes=5, dim=2, memory=5)
    features, targets = batch(5, 2, size=13)
    z = unit64(features[0].detach())
    expected_rows, expected_labels, place = torch.zeros(5, 2, dtype=torch.float64), torch.full((5,), 5), 0
    start = 0
    for size in (3, 3, 7):
        part = slice(start, start + size)
        head.observe(features[:, part].detach(), Targets.plain(targets.labels[part]), CONTEXT)
        for row in range(start + max(0, size - 5), start + size):
            expected_rows[place], expected_labels[place], place = z[row], targets.labels[row], (place + 1) % 5
        start += size
        state = head.state_dict()
        assert torch.allclose(state["memory"].double(), expected_rows, atol=1e-6)
        assert torch.equal(state["memory_labels"], expected_labels)
        assert state["pointer"].item() == place


def test_two_devices_move_the_same_centroids_as_one() -> None:
    one, two = make("dnc"), make("dnc")
    features, targets = batch(5, 8)
    one.observe(features, targets, CONTEXT)
    observe_on_two_devices(two, features, targets)
    assert all(torch.allclose(one.state_dict()[key], value, atol=1e-6) for key, value in two.state_dict().items())
