"""Where each data set would come from, and what the check of a cache says."""

import json
from pathlib import Path

import pytest

from headbench.data import DATASETS, cache
from headbench.runners.commands.main import main
from tests.data.helpers import random_images, save


def test_every_data_set_says_where_it_comes_from(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data_root / "cifar-10-python.tar.gz").touch()
    (data_root / "imagenet" / "train").mkdir(parents=True)
    assert main(["data", "list", "--data", str(data_root), "--json"]) == 0
    rows = {row["data set"]: (row["state"], row["where"]) for row in json.loads(capsys.readouterr().out)["datasets"]}
    assert list(rows) == DATASETS.names()
    assert rows["cifar10"] == ("found, not yet read", "cifar-10-python.tar.gz")
    assert rows["imagenet"] == ("found, not yet read", "imagenet/train")
    assert rows["cifar100"] == ("would be downloaded (169 MB)", "cifar100/train*.parquet")
    assert rows["inaturalist2018"] == ("not found", "inaturalist2018/train2018.json")
    assert rows["digits"] == ("bundled", "")
    assert rows["folder"] == ("named by its options", "")


def test_a_cache_of_images_that_have_changed_is_not_called_whole(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the new images cannot be cached, as on a full disk, the old cache stays, and is not what is used."""

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for seed, part in enumerate(("train", "test")):
        for name in ("lily", "rose"):
            for n, image in enumerate(random_images(3, seed, 16)):
                save(data_root / "flowers" / part / name / f"{n}.png", image)
    command = ["data", "verify", "folder", "path=flowers", "--data", str(data_root)]
    assert main(command) == 0
    assert capsys.readouterr().out.rstrip().endswith(": whole")
    save(data_root / "flowers" / "train" / "rose" / "3.png", random_images(1, 2, 16)[0])
    monkeypatch.setattr(cache, "_write", no_room)
    assert main(command) == 0
    said = capsys.readouterr()
    assert "7 train + 6 test" in said.out
    assert said.out.rstrip().endswith("read as it is, not cached")
    assert "whole" not in said.out
    assert "No space left on device" in said.err
