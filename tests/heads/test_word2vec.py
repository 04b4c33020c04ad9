"""Word-vector prototypes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from headbench.core.errors import UserError
from headbench.heads import HEADS, Head
from headbench.heads.geometry.word_vectors import check_apart, class_vectors
from headbench.heads.word2vec import principal_directions
from tests.heads.helpers import info, slow_squared_cosine, unsupported


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The float64 formula."""
    return slow_squared_cosine(head.state_dict()["bank"], features, labels)


@pytest.mark.parametrize("dim", [1, 2, 5, 9])
def test_projection_is_pca(dim: int) -> None:
    """Equal to scikit-learn's PCA up to the sign of each axis."""
    vectors = class_vectors(tuple("0123456789"), "glove")
    expected = PCA(dim, svd_solver="full").fit_transform(vectors.numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = principal_directions(vectors, dim).numpy()
    signs = np.sign((ours * expected).sum(axis=0))
    assert np.allclose(ours, expected * signs, atol=1e-10)


@pytest.mark.parametrize(("dim", "source"), [(1, "glove"), (5, "glove"), (9, "minilm")])
def test_whitening_is_that_of_pca(dim: int, source: str) -> None:
    vectors = class_vectors(tuple("0123456789"), source)
    expected = PCA(dim, svd_solver="full", whiten=True).fit_transform(vectors.numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = principal_directions(vectors, dim, whiten=True).numpy()
    assert np.allclose(np.abs(ours), np.abs(expected), atol=1e-9)
    assert np.allclose(ours @ ours.T, expected @ expected.T, atol=1e-9)


def test_whitened_in_all_their_dimensions_words_are_a_simplex() -> None:
    """Ten points have rank nine; past it there are only zeros, whitened or not."""
    vectors = class_vectors(tuple("0123456789"), "minilm")
    rows = principal_directions(vectors, 12, whiten=True)
    gram = torch.full((10, 10), -1 / 9, dtype=torch.float64).fill_diagonal_(1)
    assert torch.allclose(rows @ rows.T, gram, atol=1e-9)
    assert torch.all(rows[:, 9:].abs() < 1e-12)


def test_the_default_table_is_wide_and_its_classes_are_less_crowded() -> None:
    """Mean of the classes' largest cosine for CIFAR-10 at d = 9."""
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    facts = dataclasses.replace(info(10), class_names=names)
    target = HEADS.get("word2vec").target
    crowding = []
    for options in ({"vectors": "glove"}, {}, {"whiten": True}):
        bank = target(facts, 9, **options).state_dict()["bank"]
        crowding.append((bank @ bank.T).fill_diagonal_(-2).amax(dim=1).mean().item())
    assert crowding[0] > crowding[1] > crowding[2]
    assert target(facts, 9).state_dict()["bank"].equal(target(facts, 9, vectors="minilm").state_dict()["bank"])


def test_above_the_rank_the_angles_stay_and_zeros_follow() -> None:
    vectors = class_vectors(tuple("0123456789"), "glove")
    full, padded = principal_directions(vectors, 9), principal_directions(vectors, 16)
    assert torch.allclose(padded @ padded.T, full @ full.T)
    assert torch.all(padded[:, 10:] == 0)


def test_names_are_found_whatever_their_case_and_underscores() -> None:
    assert torch.equal(class_vectors(("aquarium_fish",), "glove"), class_vectors(("Aquarium fish",), "glove"))


def test_a_name_of_several_words_is_the_mean_of_its_words() -> None:
    whole, sea, slug = class_vectors(("sea slug", "sea", "slug"), "glove")
    assert torch.allclose(whole, (sea + slug) / 2, atol=1e-6)
    frog, cat, both = class_vectors(("frog", "cat", "frog cat"), "glove")
    assert torch.allclose(both, (frog + cat) / 2, atol=1e-6)


def test_missing_names_are_listed() -> None:
    with pytest.raises(UserError, match="no word vector for 2 of 3 class names: qwxz, zzzq"):
        class_vectors(("cat", "qwxz", "zzzq"), "glove")


def test_above_the_size_of_the_vectors_it_does_not_apply() -> None:
    assert unsupported("word2vec", info(), 50, vectors="glove") is None
    with pytest.raises(UserError, match="no word vector for 1 of 2 class names: qwxz"):
        unsupported("word2vec", dataclasses.replace(info(2), class_names=("cat", "qwxz")), 5)
    assert (
        unsupported("word2vec", info(), 51, vectors="glove") == "the word vectors have 50 dimensions, fewer than d = 51"
    )


@pytest.mark.parametrize(("source", "size"), [("glove", 50), ("minilm", 384)])
def test_the_shipped_tables_know_the_classes_of_every_small_data_set(source: str, size: int) -> None:
    cifar10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    stl10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    others = ("aquarium_fish", "willow_tree", "aquatic_mammals", "vehicles_2", "n01443537", "n12267677", "0", "9")
    assert class_vectors((*cifar10, *stl10, *others), source).shape == (len(cifar10) + len(stl10) + len(others), size)


def test_the_default_vectors_have_at_least_d_dimensions_in_every_grid() -> None:
    assert unsupported("word2vec", info(), 384) is None
    assert unsupported("word2vec", info(), 385) == "the word vectors have 384 dimensions, fewer than d = 385"


@pytest.mark.parametrize("lines", [["Cat 9 9", "cat 1 2", "dog 3 5"], ["cat 1 2", "Cat 9 9", "dog 3 5"]])
def test_of_two_spellings_that_of_small_letters_is_taken(lines: list[str], tmp_path: Path) -> None:
    """In both formats, in any order; of others the first."""
    lines = [*lines, "DOG 7 7", "Ant 4 4", "ANT 6 6"]
    (tmp_path / "words.txt").write_text("\n".join(lines))
    names, *columns = zip(*(line.split() for line in lines), strict=True)
    np.savez(tmp_path / "words.npz", names=np.array(names), vectors=np.array(columns, dtype=float).T)
    for file in ("words.txt", "words.npz"):
        found = class_vectors(("cat", "dog", "ant"), str(tmp_path / file))
        assert found.tolist() == [[1, 2], [3, 5], [4, 4]]


def test_words_are_found_behind_a_mark_of_byte_order_between_tabs_and_with_umlauts_of_two(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\ufeffcat\t1\t2\nt\u00fcr\t3\t5\n", encoding="utf-8")
    assert class_vectors(("cat", "tu\u0308r"), str(tmp_path / "words.txt")).tolist() == [[1, 2], [3, 5]]


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file, names = tmp_path / "mine.txt", ("cat", "dog", "fox")
    file.write_text("cat 1 0\ndog 0 1\nfox 1 1\n", encoding="utf-8")
    assert class_vectors(names, str(file)).tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    check_apart(names, str(file))
    file.write_text("cat 10 0\ndog 0 1\nfox 0 1\n", encoding="utf-8")
    assert class_vectors(names, str(file)).tolist() == [[10.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    with pytest.raises(UserError, match="'dog' and 'fox' have the same word vector"):
        check_apart(names, str(file))


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_your_own_vectors_as_text(tmp_path: Path, header: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(header + "Cat 1.0 2.0\nsea 0 4\nslug 2 0\n", encoding="utf-8")
    assert class_vectors(("cat", "sea_slug"), str(file)).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    with pytest.raises(UserError, match="no word vector for 1 of 1 class names: dog"):
        class_vectors(("dog",), str(file))


def test_your_own_vectors_as_npz_and_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", names=np.array(["Cat", "dog"]), vectors=np.eye(2))
    assert class_vectors(("dog", "cat"), str(tmp_path / "mine.npz")).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    np.savez(tmp_path / "uneven.npz", names=np.array(["cat"]), vectors=np.eye(2))
    (tmp_path / "words.txt").write_text("cat 1 2\ndog 1 2 3\nowl 1 x\n")
    for name, classes, message in (
        ("uneven.npz", ("cat",), r"uneven.npz: 1 names, but vectors of shape \(2, 2\)"),
        ("words.txt", ("cat", "dog"), r"words.txt, line 2: 3 numbers, not 2 as before"),
        ("words.txt", ("owl",), r"words.txt, line 3: not a word and numbers"),
        ("none.txt", ("cat",), r"vectors: there is no file .*none.txt"),
        ("glvoe", ("cat",), r"vectors: unknown table '.*glvoe'"),
    ):
        with pytest.raises(UserError, match=message):
            class_vectors(classes, str(tmp_path / name))
    with pytest.raises(UserError, match=r"vectors: unknown table 'glvoe'; did you mean 'glove'"):
        class_vectors(("cat",), "glvoe")


def test_your_own_names_may_have_underscores_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "mine.npz",
        names=np.array(["aquarium_fish", "aquarium", "fish"]),
        vectors=np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]),
    )
    assert class_vectors(("aquarium_fish",), str(tmp_path / "mine.npz")).tolist() == [[1.0, 2.0]]
    (tmp_path / "mine.txt").write_bytes(b"willow_tree 3 4\n\xff\xfe 1 2\n")
    assert class_vectors(("willow tree",), str(tmp_path / "mine.txt")).tolist() == [[3.0, 4.0]]
    (tmp_path / "half.npz").write_bytes((tmp_path / "mine.npz").read_bytes()[:60])
    with pytest.raises(UserError, match="half.npz: not an .npz file"):
        class_vectors(("cat",), str(tmp_path / "half.npz"))


def test_minilm_has_a_vector_of_its_own_for_every_class_of_the_sets_whose_names_are_known() -> None:
    from timm.data.imagenet_info import ImageNetInfo
    from torchvision.datasets import FashionMNIST

    known = {
        "imagenet": tuple(ImageNetInfo().label_names()),
        "fashion-mnist": tuple(FashionMNIST.classes),
        "stl10": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "digits": tuple("0123456789"),
    }
    assert len(known["imagenet"]) == 1000
    for names in known.values():
        directions = torch.nn.functional.normalize(class_vectors(names, "minilm"))
        assert (directions @ directions.T - torch.eye(len(names), dtype=torch.float64) * 2).max() < 0.95


def table(folder: Path, **vectors: list[float]) -> str:
    (folder / "mine.txt").write_text(
        "".join(f"{name} {' '.join(map(repr, own))}\n" for name, own in vectors.items()), encoding="utf-8"
    )
    return str(folder / "mine.txt")


def test_the_unit_of_a_table_does_not_matter() -> None:
    vectors = class_vectors(tuple("0123456789"), "minilm")
    usual = principal_directions(vectors, 4)
    for factor in (1e-30, 1e-8, 1e8):
        rows = principal_directions(factor * vectors, 4)
        assert torch.allclose(rows.norm(dim=1), torch.ones(10, dtype=torch.float64))
        assert torch.allclose(rows @ rows.T, usual @ usual.T, atol=1e-9)


def test_classes_that_vectors_do_not_tell_apart_are_named(tmp_path: Path) -> None:
    facts, source = info(3), table(tmp_path, lion=[1.0, 0.0], bear=[-1.0, 0.0], owl=[0.0, 0.0], bee=[0.0, 3.0])
    for names, message in (
        (("Lion", "bear", "lion"), "word2vec: 'Lion' and 'lion' have the same word vector"),
        (("lion", "lion", "bee"), "word2vec: 'lion' and 'lion' have the same word vector"),
        (("lion", "bear", "owl"), "word2vec: the word vector of 'owl' is the mean of all classes"),
    ):
        with pytest.raises(UserError, match=message):
            unsupported("word2vec", dataclasses.replace(facts, class_names=names), 2, vectors=source)
    assert (
        unsupported("word2vec", dataclasses.replace(facts, class_names=("lion", "owl", "bee")), 2, vectors=source)
        is None
    )
