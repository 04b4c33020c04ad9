"""The way of ImageNet, from a folder tree to results: killed within an epoch, it ends as if nothing had happened."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from headbench.core.errors import UserError
from headbench.data import DATASETS
from headbench.results import store
from headbench.runners.commands.main import main
from tests.data.helpers import random_images, save
from tests.forked import launched

# Of the recipe of ImageNet everything but its length and sizes, with a batch in parts and an average of the weights.
RECIPE = {"base": "imagenet", "epochs": 2, "batch_size": 12, "accumulate": 2, "ema": 0.5}
SCHEDULE = {"name": "cosine", "warmup_epochs": 1}
# A run that kills itself with two steps of its second epoch in the checkpoint, and the readers amid the next batches.
DEADLY = """
import os, signal
from headbench.runners.training.checkpoint import Checkpoints
write = Checkpoints.write

def write_and_die(self):
    newest = self.newest
    write(self)
    if newest and newest["epochs"] == 1 and len(newest["within"]["losses"]) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.write = write_and_die
"""


def tree(folder: Path) -> None:
    """Three classes of 16 and 3 images, of several sizes."""
    for part, each in (("train", 16), ("val", 3)):
        for c in range(3):
            for n, image in enumerate(random_images(each, 10 * c, 40)):
                save(folder / part / f"n0{c}" / f"{n}.JPEG", image[: 33 + n % 5])


def grid(path: Path, dataset: Any, backbone: Any, dim: int, **recipe: Any) -> Path:
    """The file of a grid of one cell."""
    axes = {"dataset": [dataset], "backbone": [backbone], "head": ["dl2pa"], "feature_dim": [dim]}
    contents = {"name": "path", "recipe": RECIPE | {"schedule": SCHEDULE} | recipe, "axes": axes}
    path.write_text(yaml.safe_dump(contents))
    return path


def killed_within(words: list[str], folder: Path) -> None:
    """Run until it kills itself in its second epoch, and wait until the processes that read for it have ended."""
    (folder / "deadly.py").write_text(DEADLY)
    run = launched([*words, "--plugin", str(folder / "deadly.py")])
    printed, killed = run.communicate(900), time.monotonic()
    assert run.returncode == -signal.SIGKILL, printed
    while left := beside(run.pid):
        assert time.monotonic() < killed + 60, f"processes {left} outlive the one that they read for"
        time.sleep(0.05)


def beside(session: int) -> list[int]:
    """The processes of a session that are still there."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # one that has just ended
            state, _, _, own, *_ = file.read_text().rpartition(")")[2].split()
            found += [int(file.parent.name)] if int(own) == session and state != "Z" else []
    return found


def came_of(out: Path) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Scores and weights, and the history, of the only cell of a folder."""
    (folder,) = (path.parent for path in out.glob("cells/*/result.json"))
    with np.load(folder / "predictions.npz") as file:
        scores = {name: file[name] for name in file.files}
    weights = torch.load(store.read_file(folder, "weights.pt"), weights_only=True)
    arrays = scores | {name: weight.numpy() for name, weight in weights.items()}
    return arrays, pd.read_csv(folder / "history.csv").drop(columns="seconds")


def check_killed_and_resumed(file: Path, data: Path, folder: Path) -> None:
    """A run that was killed in its second epoch has the bits of one that was not, with other readers."""
    shared = ["--grid", str(file), "--data", str(data), "--threads", "1", "--keep-weights", "--no-report", "--quiet"]
    words = [*shared, "--workers", "1", "--checkpoint-minutes", "0", "--out", str(folder / "killed")]
    killed_within([*words, "--readers", "2"], folder)
    assert len(list(folder.glob("killed/cells/*/checkpoint.pt"))) == 1
    assert main([*words, "--readers", "1"]) == 0
    assert main([*shared, "--workers", "1", "--readers", "0", "--out", str(folder / "undisturbed")]) == 0
    (killed, its_rows), (undisturbed, rows) = came_of(folder / "killed"), came_of(folder / "undisturbed")
    assert killed.keys() == undisturbed.keys()
    assert all(np.array_equal(killed[name], undisturbed[name]) for name in killed)
    pd.testing.assert_frame_equal(its_rows, rows, check_exact=True)
    assert rows["train_loss"].nunique() == RECIPE["epochs"]


def test_killed_within_an_epoch_and_resumed(tmp_path: Path) -> None:
    tree(tmp_path / "data" / "small")
    dataset = {"name": "folder", "path": "small", "stream": True, "size": 32}
    backbone = {"name": "fast_convnet", "widths": [4, 6, 8]}
    check_killed_and_resumed(grid(tmp_path / "grid.yaml", dataset, backbone, 8), tmp_path / "data", tmp_path)


@pytest.mark.slow
def test_twenty_classes_of_real_images_at_full_size(tmp_path: Path) -> None:
    """JPEG files of Tiny-ImageNet, laid out and named as ImageNet's."""
    parquet = Path(os.environ.get("HEADBENCH_DATA", "")) / "tiny-imagenet"
    if not (parquet / "train.parquet").is_file():
        pytest.skip("needs tiny-imagenet/{train,valid}.parquet in $HEADBENCH_DATA")
    for part, name, each in (("train", "train", 10), ("val", "valid", 2)):
        rows = pq.read_table(parquet / f"{name}.parquet", filters=[("label", "<", 20)]).to_pylist()
        for label in range(20):
            own = [row["image"]["bytes"] for row in rows if row["label"] == label][:each]
            folder = tmp_path / "data" / "imagenet" / part / f"n{label:08}"
            folder.mkdir(parents=True)
            for n, encoded in enumerate(own):
                (folder / f"{n}.JPEG").write_bytes(encoded)
    backbone = {"name": "timm", "model": "test_resnet"}
    check_killed_and_resumed(
        grid(tmp_path / "grid.yaml", "imagenet", backbone, 19, batch_size=36), tmp_path / "data", tmp_path
    )


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("ILSVRC/Data/CLS-LOC/train/n01/0.JPEG", r"no folder .*imagenet/train; .*imagenet/\{train,val\}/<WordNet id>"),
        ("train/0.JPEG", r"imagenet/train has no class folders; .*imagenet/\{train,val\}/<WordNet id>"),
        ("train/n01/0.JPEG val/ILSVRC2012_val_1.JPEG", r"imagenet/val has no class folders; .*sorted into them"),
    ],
)
def test_a_folder_of_another_layout_is_one_line(there: str, message: str, tmp_path: Path) -> None:
    for name in there.split():
        save(tmp_path / "imagenet" / name, random_images(1, 0)[0])
    with pytest.raises(UserError, match=message) as caught:
        DATASETS.get("imagenet").target(tmp_path)
    assert "\n" not in str(caught.value)
