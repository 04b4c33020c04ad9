"""The loaders of data that are not at hand, on small files in the published formats, and damaged ones."""

import gzip
import hashlib
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from torchvision.datasets.utils import check_integrity

from headbench.core.errors import UserError
from headbench.data import DATASETS, Dataset
from headbench.data.formats.image_files import statistics
from headbench.data.longtail import misaligned_draw
from headbench.data.splits import Protocol, partition
from tests.data.helpers import images_of, paths_of, png, random_images, save, write_parquet


def load(name: str, root: Path, **options: object) -> Dataset:
    return DATASETS.get(name).target(root, **options)


def channels_first(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def svhn_files(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, list[int]]]:
    """SVHN's three ``.mat`` files, in which the digit 0 is labelled 10."""
    contents, listed = {}, {}
    for seed, (split, count) in enumerate((("train", 40), ("extra", 60), ("test", 20))):
        pixels, digits = random_images(count, seed), [n % 10 for n in range(count)]
        path = data_root / "svhn" / f"{split}_32x32.mat"
        path.parent.mkdir(exist_ok=True)
        scipy.io.savemat(
            path,
            {
                "X": pixels.transpose(1, 2, 3, 0),
                "y": np.array([digit or 10 for digit in digits], dtype=np.uint8)[:, None],
            },
        )
        contents[split], listed[split] = (pixels, digits), ["", path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listed)
    return contents


def test_svhn_is_train_and_extra_with_every_label(
    data_root: Path, svhn_files: dict[str, tuple[np.ndarray, list[int]]]
) -> None:
    svhn = load("svhn", data_root)
    assert svhn.sources == (40, 60)
    assert svhn.ranges == (3, 7)
    assert torch.equal(
        images_of(svhn.train), channels_first(np.concatenate([svhn_files["train"][0], svhn_files["extra"][0]]))
    )
    assert svhn.train.labels.tolist() == svhn_files["train"][1] + svhn_files["extra"][1]
    assert torch.equal(images_of(svhn.test), channels_first(svhn_files["test"][0]))
    replica = load("svhn-lt-refbug", data_root)
    assert replica.draw is misaligned_draw
    assert replica.fingerprint == svhn.fingerprint
    honest = partition(svhn, Protocol(imbalance_factor=4))
    assert torch.equal(honest.labels, svhn.train.labels[honest.train])


def test_a_damaged_svhn_file_is_named(
    data_root: Path, svhn_files: dict[str, tuple[np.ndarray, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, root: str, filename: str, md5: str) -> None:
        if not check_integrity(str(Path(root) / filename), md5):
            raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.svhn.download_url", refuse)
    file = data_root / "svhn" / "extra_32x32.mat"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(
        UserError, match=r"SVHN \(split extra\) is not \(whole\) in .*svhn and could not be downloaded \(no network\)"
    ):
        load("svhn", data_root)


def test_stl10_from_its_binary_files(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data_root / "stl10_binary"
    folder.mkdir()
    pixels = {part: random_images(10, seed, 96) for seed, part in enumerate(("train", "test"))}
    labels = np.arange(1, 11, dtype=np.uint8)
    for part, images in pixels.items():
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())  # column-major, as published
        (folder / f"{part}_y.bin").write_bytes(labels.tobytes())
    (folder / "class_names.txt").write_text("\n".join(torchvision.datasets.STL10.__name__ + str(n) for n in range(10)))
    (folder / "unlabeled_X.bin").write_bytes(b"")
    (folder / "fold_indices.txt").write_text("")
    stl10 = torchvision.datasets.STL10
    monkeypatch.setattr(
        stl10, "train_list", [[name, md5(folder / name)] for name in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")]
    )
    monkeypatch.setattr(stl10, "test_list", [[name, md5(folder / name)] for name in ("test_X.bin", "test_y.bin")])
    found = load("stl10", data_root)
    assert torch.equal(images_of(found.train), channels_first(pixels["train"]))
    assert torch.equal(images_of(found.test), channels_first(pixels["test"]))
    assert found.ranges == (3, 7)
    assert found.train.labels.tolist() == list(range(10))


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())
    with gzip.open(f"{path}.gz", "wb") as packed:
        packed.write(header + array.tobytes())


def test_fashion_mnist_from_its_idx_files(data_root: Path) -> None:
    raw = data_root / "FashionMNIST" / "raw"
    pixels = {part: random_images(10, seed, 28)[..., 0] for seed, part in enumerate(("train", "t10k"))}
    for part, images in pixels.items():
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    found = load("fashion-mnist", data_root)
    assert torch.equal(images_of(found.train)[:, 0], torch.from_numpy(pixels["train"]))
    assert torch.equal(images_of(found.test)[:, 0], torch.from_numpy(pixels["t10k"]))
    assert found.train.labels.tolist() == list(range(10))


def test_cifar100_has_coarse_classes_too(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"class{c}" for c in range(100)]
    for part in ("train", "test"):
        write_parquet(
            data_root / "cifar100" / f"{part}.parquet", [png(x) for x in random_images(4, 0)], [0, 7, 50, 99], names
        )
    coarse = load("cifar100", data_root, labels="coarse")
    assert (coarse.train.labels.tolist(), len(coarse.class_names), coarse.ranges) == ([0, 1, 10, 19], 20, None)
    # The same from the published pickles, where torchvision checks the MD5.
    other = data_root / "pickles"
    folder = other / "cifar-100-python"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        batch = {
            "data": channels_first(random_images(4, 0)).flatten(1).numpy(),
            "fine_labels": [0, 7, 50, 99],
            "coarse_labels": [0, 1, 10, 19],
        }
        (folder / part).write_bytes(pickle.dumps(batch))
    (folder / "meta").write_bytes(
        pickle.dumps({"fine_label_names": names, "coarse_label_names": [f"group{c}" for c in range(20)]})
    )
    cifar = torchvision.datasets.CIFAR100
    monkeypatch.setattr(cifar, "train_list", [["train", md5(folder / "train")]])
    monkeypatch.setattr(cifar, "test_list", [["test", md5(folder / "test")]])
    monkeypatch.setattr(cifar, "meta", {"filename": "meta", "key": "fine_label_names", "md5": md5(folder / "meta")})
    again = load("cifar100", other, labels="coarse")
    assert again.fingerprint == coarse.fingerprint
    assert again.class_names == coarse.class_names


def test_tiny_imagenet_from_the_published_folders_and_from_parquet(data_root: Path) -> None:
    folder = data_root / "tiny-imagenet-200"
    ids = ["n02", "n01"]
    pixels = random_images(6, 0, 64)
    for number, image in enumerate(pixels[:4]):
        save(folder / "train" / ids[number // 2] / "images" / f"{ids[number // 2]}_{number}.JPEG", image)
    save(folder / "val" / "images" / "val_0.JPEG", pixels[4])
    save(folder / "val" / "images" / "val_1.JPEG", pixels[5][..., 0])  # some of the published images are grey
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t1\t1\nval_1.JPEG\tn02\t0\t0\t1\t1\n")
    (folder / "wnids.txt").write_text("n02\nn01\n")
    found = load("tiny-imagenet", data_root)
    assert found.train.labels.tolist() == [0, 0, 1, 1]
    assert found.test.labels.tolist() == [1, 0]
    assert found.class_names == ("n02", "n01")
    assert images_of(found.test).shape == (2, 3, 64, 64)
    assert torch.equal(images_of(found.test)[1, 0], images_of(found.test)[1, 1])
    encoded = [
        path.read_bytes()
        for path in sorted((folder / "train").rglob("*.JPEG"), key=lambda path: ids.index(path.parent.parent.name))
    ]
    write_parquet(data_root / "tiny-imagenet" / "train.parquet", encoded, [0, 0, 1, 1], ids, ("image", "label"))
    held = [(folder / "val" / "images" / f"val_{n}.JPEG").read_bytes() for n in range(2)]
    write_parquet(data_root / "tiny-imagenet" / "valid.parquet", held, [1, 0], ids, ("image", "label"))
    assert load("tiny-imagenet", data_root).fingerprint == found.fingerprint


def write_tree(root: Path, parts: tuple[str, ...], classes: tuple[str, ...], each: int = 2, side: int = 16) -> None:
    for seed, part in enumerate(parts):
        for c, name in enumerate(classes):
            for n, image in enumerate(random_images(each, 10 * seed + c, side)):
                save(root / part / name / f"{n}.png", image)


def test_imagenet_lists_files_and_reads_none(data_root: Path) -> None:
    write_tree(data_root / "imagenet", ("train", "val"), ("n01", "n02", "n03"))
    found = load("imagenet", data_root)
    assert found.class_names == ("n01", "n02", "n03")
    assert paths_of(found.train) == [f"n0{c}/{n}.png" for c in (1, 2, 3) for n in (0, 1)]
    assert found.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    before = found.fingerprint
    save(data_root / "imagenet" / "train" / "n02" / "1.png", random_images(1, 99, 20)[0])
    assert load("imagenet", data_root).fingerprint != before


@pytest.mark.parametrize("sorted_val", [False, True])
def test_imagenet_lt_from_its_lists(data_root: Path, sorted_val: bool) -> None:
    write_tree(data_root / "imagenet", ("train",), ("n01", "n02"), each=4)
    for n in range(2):
        folder = data_root / "imagenet" / "val" / (f"n0{n + 1}" if sorted_val else "")
        save(folder / f"ILSVRC2012_val_{n}.JPEG", random_images(1, n)[0])
    lists = data_root / "imagenet-lt"
    lists.mkdir()
    (lists / "ImageNet_LT_train.txt").write_text("train/n01/0.png 0\ntrain/n01/1.png 0\ntrain/n02/0.png 1\n")
    (lists / "ImageNet_LT_val.txt").write_text("train/n01/2.png 0\ntrain/n02/2.png 1\n")
    (lists / "ImageNet_LT_test.txt").write_text("val/ILSVRC2012_val_0.JPEG 0\nval/ILSVRC2012_val_1.JPEG 1\n")
    found = load("imagenet-lt", data_root)
    assert [part.labels.tolist() for part in found.parts().values()] == [[0, 0, 1], [0, 1], [0, 1]]
    assert (found.class_names, found.ranges) == (("n01", "n02"), (390, 835))
    assert all((data_root / "imagenet" / path).is_file() for path in paths_of(found.test))
    (lists / "ImageNet_LT_val.txt").write_text("train/n01/2.png 0\ntrain/n02/9.png 1\n")
    with pytest.raises(UserError, match="there is no image .*train/n02/9.png"):
        load("imagenet-lt", data_root)
    (lists / "ImageNet_LT_val.txt").write_text("train/n01/2.png 0\ntrain/n02/2.png 1000\n")
    with pytest.raises(UserError, match=r"ImageNet_LT_val.txt, line 2: label 1000, but there are 2 classes"):
        load("imagenet-lt", data_root)
    (lists / "ImageNet_LT_val.txt").write_text("train/n01/2.png\n")
    with pytest.raises(UserError, match=r"ImageNet_LT_val.txt, line 1: not 'path label'"):
        load("imagenet-lt", data_root)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("train/n02/1.png 0", r"train/n02/1.png has label 0, but before it label 0 is n01"),
        ("train/n01/3.png 2", r"train/n01/3.png has label 2, but before it n01 is label 0"),
    ],
)
def test_lists_of_imagenet_lt_that_contradict_themselves_are_refused(last: str, message: str, data_root: Path) -> None:
    lists = data_root / "imagenet-lt"
    lists.mkdir()
    (lists / "ImageNet_LT_train.txt").write_text(f"train/n01/0.png 0\ntrain/n02/0.png 1\n{last}\n")
    with pytest.raises(UserError, match=message):
        load("imagenet-lt", data_root)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (["train/n02/2.png 1", "train/n01/2.png 1"], r"val.txt, line 2: train/n01/2.png has label 1, which is n02"),
        (
            ["train/n01/2.png 0", "train/n01/2.png 0"],
            r"val.txt, line 2: train/n01/2.png is listed before, in .*val.txt",
        ),
        (["val/n02/0.png 0"], r"val.txt, line 1: val/n02/0.png has label 0, which is n01"),
        (["train/n01/0.png 0"], r"val.txt, line 1: train/n01/0.png is listed before, in ImageNet_LT_train.txt, line 1"),
    ],
)
def test_a_list_of_imagenet_lt_is_held_against_the_folders_and_the_lists_before(
    held_out: list[str], message: str, data_root: Path
) -> None:
    write_tree(data_root / "imagenet", ("train",), ("n01", "n02"), each=4)
    lists = data_root / "imagenet-lt"
    lists.mkdir()
    (lists / "ImageNet_LT_train.txt").write_text("train/n01/0.png 0\ntrain/n02/0.png 1\n")
    (lists / "ImageNet_LT_val.txt").write_text("\n".join(held_out) + "\n")
    (lists / "ImageNet_LT_test.txt").write_text("val/ILSVRC2012_val_0.JPEG 0\n")
    with pytest.raises(UserError, match=message):
        load("imagenet-lt", data_root)


def test_damaged_idx_files_are_one_line(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headbench.data.fashion_mnist.PACKAGED", data_root / "nowhere")
    raw = data_root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
            (raw / f"{part}-{kind}").write_bytes(bytes(range(7, 250)) * 20)
    with pytest.raises(UserError, match="FashionMNIST is not .whole. in"):
        load("fashion-mnist", data_root)


def test_a_part_that_is_a_link_to_another_is_refused(data_root: Path) -> None:
    write_tree(data_root / "folder", ("train", "val"), ("a", "b"))
    (data_root / "folder" / "test").symlink_to("train")
    with pytest.raises(UserError, match="folder/test is the folder of the training images"):
        load("folder", data_root)
    (data_root / "folder" / "test").unlink()
    (data_root / "folder" / "test").symlink_to("val")
    with pytest.raises(UserError, match="folder/val and .*folder/test are one folder"):
        load("folder", data_root)


def test_inaturalist_from_its_json_files(data_root: Path) -> None:
    folder = data_root / "inaturalist2018"
    for n in range(3):
        save(folder / "train_val2018" / "Aves" / f"{n}.jpg", random_images(1, n)[0])

    def write(part: str, images: list[int], categories: list[int], first: str = "wren") -> None:
        contents = {
            "images": [{"id": n, "file_name": f"train_val2018/Aves/{n}.jpg"} for n in images],
            "annotations": [{"image_id": n, "category_id": c} for n, c in zip(images, categories, strict=True)],
            "categories": [{"id": 1, "name": first}, {"id": 0, "name": "robin"}],
        }
        (folder / f"{part}2018.json").write_text(json.dumps(contents))

    write("train", [0, 1], [1, 0])
    write("val", [2], [1])
    found = load("inaturalist2018", data_root)
    assert (found.class_names, found.train.labels.tolist(), found.test.labels.tolist()) == (
        ("robin", "wren"),
        [1, 0],
        [1],
    )
    write("val", [2], [5])
    with pytest.raises(UserError, match=r"val2018.json: image train_val2018/Aves/2.jpg has no known category \(5\)"):
        load("inaturalist2018", data_root)
    write("val", [2], [1], "owl")
    with pytest.raises(UserError, match=r"val2018.json: category 1 is 'owl', in train2018.json 'wren'"):
        load("inaturalist2018", data_root)
    write("val", [2], [1], "")
    assert load("inaturalist2018", data_root).class_names == ("robin", "wren")
    write("val", [], [])
    with pytest.raises(UserError, match=r"the test part has no images"):
        load("inaturalist2018", data_root)
    (folder / "val2018.json").write_text("{")
    with pytest.raises(UserError, match=r"val2018.json: not JSON"):
        load("inaturalist2018", data_root)


def test_a_folder_of_your_own(data_root: Path) -> None:
    write_tree(data_root / "flowers", ("train", "test"), ("lily", "rose"), each=3)
    (data_root / "flowers" / "train" / "lily" / ".DS_Store").write_bytes(b"hidden")
    (data_root / "flowers" / "train" / ".git").mkdir()
    found = load("folder", data_root, path="flowers")
    assert found.class_names == ("lily", "rose")
    assert torch.equal(images_of(found.train)[:3], channels_first(random_images(3, 0, 16)))
    assert found.val is None
    assert (found.mean, found.std) == statistics(images_of(found.train))
    assert images_of(load("folder", data_root, path="flowers", size=8).train).shape == (6, 3, 8, 8)
    write_tree(data_root / "flowers", ("val",), ("lily", "rose"), each=1)
    assert load("folder", data_root, path="flowers").val is not None
    streamed = load("folder", data_root, path="flowers", stream=True, size=8)
    assert paths_of(streamed.train)[0] == "lily/0.png"


def test_a_folder_with_val_alone_tests_on_it(data_root: Path) -> None:
    write_tree(data_root / "folder", ("train", "val"), ("a", "b"))
    found = load("folder", data_root)
    assert (found.val, len(found.test)) == (None, 4)


def test_what_is_wrong_with_a_folder_is_one_line(data_root: Path) -> None:
    with pytest.raises(UserError, match="there is no folder .*/folder/train"):
        load("folder", data_root)
    write_tree(data_root / "folder", ("train",), ("a", "b"))
    with pytest.raises(UserError, match="has neither a folder test nor val"):
        load("folder", data_root)
    write_tree(data_root / "folder", ("test",), ("a", "c"))
    with pytest.raises(UserError, match="test/c: a class that the training folder does not have"):
        load("folder", data_root)
    (data_root / "folder" / "test" / "c").rename(data_root / "folder" / "test" / "b")
    load("folder", data_root)
    save(data_root / "folder" / "train" / "b" / "2.png", random_images(1, 0, 20)[0])
    with pytest.raises(
        UserError,
        match=r"train/b/2.png: the image is 20x20, not 16x16 as those before it; the option size: PIXELS brings all "
        r"images to one size",
    ):
        load("folder", data_root)
    (data_root / "folder" / "train" / "b" / "2.png").write_bytes(png(random_images(1, 0, 16)[0])[:-40])
    with pytest.raises(UserError, match=r"train/b/2.png: not an image, or damaged"):
        load("folder", data_root)
    (data_root / "folder" / "train" / "b" / "2.png").rename(data_root / "folder" / "train" / "b" / "notes.txt")
    with pytest.raises(UserError, match=r"train/b/notes.txt: not an image by its name"):
        load("folder", data_root)
    for file in (data_root / "folder" / "train" / "b").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="train/b: a class without images"):
        load("folder", data_root)


def test_parquet_files_of_your_own(data_root: Path) -> None:
    pixels = random_images(4, 0, 20)
    folder = data_root / "mine"
    write_parquet(
        folder / "train-0.parquet", [png(x) for x in pixels], [0, 1, 0, 1], ["cat", "dog"], ("image", "label")
    )
    write_parquet(folder / "validation.parquet", [png(pixels[0])], [1], ["cat", "dog"], ("image", "label"))
    found = load("parquet", data_root, path="mine")
    assert (found.class_names, found.val, found.test.labels.tolist()) == (("cat", "dog"), None, [1])
    assert torch.equal(images_of(found.train), channels_first(pixels))
    write_parquet(folder / "test.parquet", [png(pixels[0])], [0], ["cat", "dog"], ("image", "label"))
    found = load("parquet", data_root, path="mine", size=10)
    assert found.val is not None
    assert (found.test.labels.tolist(), images_of(found.test).shape) == ([0], (1, 3, 10, 10))
    write_parquet(folder / "test.parquet", [png(pixels[0])], [0], ["dog", "cat"], ("image", "label"))
    with pytest.raises(UserError, match=r"test.parquet: its class names are not those of the files before it"):
        load("parquet", data_root, path="mine")
    with pytest.raises(UserError, match="there is no folder .*/elsewhere"):
        load("parquet", data_root, path="elsewhere")


def test_statistics_are_those_of_all_pixels() -> None:
    images = channels_first(random_images(2500, 0, 4))
    pixels = images.transpose(0, 1).flatten(1).double() / 255
    mean, std = statistics(images)
    assert torch.allclose(torch.tensor(mean, dtype=torch.float64), pixels.mean(dim=1))
    assert torch.allclose(torch.tensor(std, dtype=torch.float64), pixels.std(dim=1, correction=0))


def test_shards_belong_together(data_root: Path) -> None:
    pixels, names = random_images(2, 0, 20), ["cat", "dog"]
    folder = data_root / "mine"
    for shard in range(2):
        write_parquet(
            folder / f"train-0000{shard}-of-00002.parquet", [png(pixels[shard])], [shard], names, ("image", "label")
        )
    write_parquet(folder / "test.parquet", [png(pixels[0])], [0], names, ("image", "label"))
    assert load("parquet", data_root, path="mine").train.labels.tolist() == [0, 1]
    write_parquet(folder / "train-00001-of-00002.parquet", [png(pixels[1])], [1], ["dog", "cat"], ("image", "label"))
    with pytest.raises(
        UserError,
        match=r"train-00001-of-00002.parquet: its class names are not those of the files before it \(dog instead of "
        r"cat\)",
    ):
        load("parquet", data_root, path="mine")
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(
        UserError, match=r"there is no file .*train-00001-of-00002.parquet, one of 2 that belong together"
    ):
        load("parquet", data_root, path="mine")


def test_hidden_folders_are_not_images(data_root: Path) -> None:
    write_tree(data_root / "folder", ("train", "test"), ("a", "b"))
    save(data_root / "folder" / "train" / "a" / ".ipynb_checkpoints" / "0-checkpoint.png", random_images(1, 0, 16)[0])
    assert len(load("folder", data_root).train) == 4


def test_an_imagenet_lt_list_that_lost_its_last_classes(data_root: Path) -> None:
    write_tree(data_root / "imagenet", ("train",), ("n01", "n02"))
    lists = data_root / "imagenet-lt"
    lists.mkdir()
    (lists / "ImageNet_LT_train.txt").write_text("train/n01/0.png 0\n")
    (lists / "ImageNet_LT_val.txt").write_text("train/n02/0.png 1\n")
    with pytest.raises(UserError, match="ImageNet_LT_val.txt, line 1: label 1, but there are 1 classes"):
        load("imagenet-lt", data_root)


def test_a_download_of_tiny_imagenet_is_whole_or_not_there(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(url: str, root: str, extract_root: str, md5: str) -> None:
        (Path(extract_root) / "tiny-imagenet-200" / "train").mkdir(parents=True)
        raise OSError("killed")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", cut_off)
    with pytest.raises(UserError, match="could not be downloaded"):
        load("tiny-imagenet", data_root)
    assert list(data_root.iterdir()) == []
