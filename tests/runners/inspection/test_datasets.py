"""Where each data set would come from."""

import json
from pathlib import Path

import pytest

from headbench.data import DATASETS
from headbench.runners.commands.main import main


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
