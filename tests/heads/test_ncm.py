"""NCM: PSC while it is trained, then the nearest of the class means, as scikit-learn finds it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize
from torch import Tensor

from headbench.core.streams import generator
from headbench.heads import Context, Head
from tests.heads import test_psc
from tests.heads.helpers import info, make, unsupported

LEARNS = {"linear.weight", "linear.bias"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As PSC, before it is finished."""
    return test_psc.reference(head, features, labels)


def clusters(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features around five points far from the origin, and their classes, unequally many."""
    points, stream = 3 + torch.randn(5, 8, generator=generator(0, "points")), generator(seed, "test")
    labels = torch.cat([torch.arange(5), torch.randint(0, 5, (size,), generator=stream) // 2])
    return points[labels] + torch.randn(len(labels), 8, generator=stream), labels


def finished(normalise: str, distance: str) -> Head:
    head = make("ncm", normalise=normalise, distance=distance)
    features, labels = clusters(60, 1)

    def collect(split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
        assert (split, view) == ("train", "plain")
        return features, labels, torch.arange(len(labels))

    head.finalize(Context("finalize", collect=collect))
    return head


@pytest.mark.parametrize("normalise", ["none", "unit", "centred"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_nearest_mean_is_that_of_scikit_learn(normalise: str, distance: str) -> None:
    train, labels = (part.double().numpy() for part in clusters(60, 1))
    asked = clusters(200, 2)[0].double().numpy()
    if normalise == "centred":
        train, asked = train - train.mean(axis=0), asked - train.mean(axis=0)
    if normalise != "none":
        train, asked = normalize(train), normalize(asked)
    found = NearestCentroid().fit(train, labels)
    scores = finished(normalise, distance).logits(clusters(200, 2)[0]).detach().double()
    if distance == "euclidean":
        assert scores.argmax(dim=1).tolist() == found.predict(asked).astype(int).tolist()
        distances = torch.from_numpy(np.square(asked[:, None] - found.centroids_[None]).sum(axis=2))
        assert torch.allclose(scores.softmax(dim=1), (-distances).softmax(dim=1), atol=1e-4)
    elif normalise == "none":
        assert np.array_equal(scores.argmax(dim=1), cosine_similarity(asked, found.centroids_).argmax(axis=1))
    else:
        assert np.allclose(scores, cosine_similarity(asked, found.centroids_), atol=1e-5)


def test_until_it_is_finished_it_is_psc() -> None:
    features, _ = clusters(20, 2)
    assert torch.equal(make("ncm").logits(features), make("psc").logits(features))


def test_a_class_without_images_is_named() -> None:
    facts = info(3)
    empty = replace(facts, class_counts=torch.tensor([4, 0, 2]))
    assert unsupported("ncm", facts, 8) is None
    assert unsupported("ncm", empty, 8) == "class '1' has no training images, and so no mean"
