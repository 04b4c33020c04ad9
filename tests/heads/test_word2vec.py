"""Word-vector prototypes."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from core.errors import UserError
from heads import HEADS, Head
from heads.word2vec import class_vectors, principal_directions, word_vectors
from tests.heads.helpers import info, slow_squared_cosine


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The float64 formula."""
    return slow_squared_cosine(head.state_dict()["bank"], features, labels)


@pytest.mark.parametrize("dim", [1, 2, 5, 9])
def test_projection_is_pca(dim: int) -> None:
    """Equal to scikit-learn's PCA up to the sign of each axis."""
    vectors = class_vectors(tuple("0123456789"))
    expected = PCA(dim, svd_solver="full").fit_transform(vectors.numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = principal_directions(vectors, dim).numpy()
    signs = np.sign((ours * expected).sum(axis=0))
    assert np.allclose(ours, expected * signs, atol=1e-10)


def test_above_the_rank_the_angles_stay_and_zeros_follow() -> None:
    vectors = class_vectors(tuple("0123456789"))
    full, padded = principal_directions(vectors, 9), principal_directions(vectors, 16)
    assert torch.allclose(padded @ padded.T, full @ full.T)
    assert torch.all(padded[:, 10:] == 0)


def test_names_are_found_whatever_their_case_and_underscores() -> None:
    assert torch.equal(class_vectors(("aquarium_fish",)), class_vectors(("Aquarium fish",)))


def test_a_name_of_several_words_is_the_mean_of_its_words() -> None:
    table = word_vectors()
    assert np.allclose(table["sea slug"], (table["sea"] + table["slug"]) / 2, atol=1e-6)


def test_missing_names_are_listed() -> None:
    with pytest.raises(UserError, match="no word vector for 2 of 3 class names: qwxz, zzzq"):
        class_vectors(("cat", "qwxz", "zzzq"))


def test_above_fifty_dimensions_it_does_not_apply() -> None:
    supports = HEADS.get("word2vec").target.supports
    assert supports(info(), 50) is None
    with pytest.raises(UserError, match="no word vector for 1 of 2 class names: qwxz"):
        supports(dataclasses.replace(info(2), class_names=("cat", "qwxz")), 5)
    assert supports(info(), 51) == "the word vectors have 50 dimensions, fewer than d = 51"
