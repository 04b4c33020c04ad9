"""The network of a cell whose weights were kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

import headbench
from headbench.core.errors import UserError
from headbench.data.loading.resident import Resident
from headbench.heads import HEADS
from headbench.results import store
from headbench.runners.execution import cell as cells
from tests.runners.helpers import CPU, cell, digits, planned


def trained(out: Path, *, keep_weights: bool) -> str:
    """Train a small cell; return its identity."""
    (one,) = planned(cell("dl2pa"))
    cells.run(one, digits(), store.cell_folder(out, one.cell_id), CPU, lambda _: None, keep_weights=keep_weights)
    return one.cell_id


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cell whose weights were kept."""
    out = tmp_path_factory.mktemp("kept")
    return store.cell_folder(out, trained(out, keep_weights=True))


def test_it_gives_the_scores_that_the_cell_stored(kept: Path) -> None:
    network = headbench.classifier(kept)
    assert not network.training
    test = digits().test
    assert isinstance(test, Resident)
    images = test.images[test.positions]
    with np.load(kept / "predictions.npz") as stored, torch.no_grad():
        expected = torch.from_numpy(stored["last_test_logits"])
        torch.testing.assert_close(network(images), expected)
        torch.testing.assert_close(network(images.float() / 255), expected)
        assert network.features(images[:3]).shape == (3, 5)


def test_the_name_of_a_cell_is_as_good_as_its_folder(kept: Path) -> None:
    network = headbench.classifier(kept.name, kept.parents[1])
    assert {name for name, _ in network.named_children()} == {"backbone", "projection", "head"}


def test_a_network_that_cannot_be_had_is_named_in_one_line(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="there is no finished cell in .*0123"):
        headbench.classifier("0123", tmp_path)
    cell_id = trained(tmp_path, keep_weights=False)
    with pytest.raises(UserError, match=f"cell {cell_id} was trained without keeping .*--keep-weights"):
        headbench.classifier(cell_id, tmp_path)
    entry = HEADS["dl2pa"]
    monkeypatch.setitem(HEADS._entries, "dl2pa", type(entry)("dl2pa", entry.target, entry.version + 1, entry.about))
    with pytest.raises(UserError, match=f"trained with version {entry.version} of 'dl2pa'.* has version"):
        headbench.classifier(kept)


def test_a_file_that_the_head_reads_and_that_has_moved_is_named(tmp_path: Path) -> None:
    points = tmp_path / "points.npy"
    np.save(points, np.random.default_rng(0).standard_normal((10, 5)))
    (one,) = planned(cell({"name": "hpn", "prototypes": str(points)}))
    folder = store.cell_folder(tmp_path, one.cell_id)
    cells.run(one, digits(), folder, CPU, lambda _: None, keep_weights=True)
    assert headbench.classifier(folder).head.bank.shape == (10, 5)
    points.rename(tmp_path / "moved.npy")
    told = (
        f"cell {one.cell_id}: prototypes: there is no file {points}; its head reads a file .prototypes., which must lie"
    )
    with pytest.raises(UserError, match=told):
        headbench.classifier(folder)
