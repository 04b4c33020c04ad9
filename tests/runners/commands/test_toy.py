"""The picture of features on the circle."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from headbench import results
from headbench.results import store
from headbench.results.figures import sphere
from headbench.runners.commands import toy
from headbench.runners.commands.main import main
from headbench.runners.grid import config

LABELS = ["psc-cosine(scale=16.0)", "dl2pa(assignment_period=0)", "dl2pa"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves behind, with fewer epochs and a narrower network."""
    out = tmp_path_factory.mktemp("toy")
    contents = yaml.safe_load((config.FOLDER / "toy.yaml").read_text())
    contents["recipe"] |= {"epochs": 6, "batch_size": 64}
    contents["axes"]["backbone"] = [{"name": "fast_convnet", "widths": [8, 16, 32]}]
    file = out / "toy.yaml"
    file.write_text(yaml.safe_dump(contents))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "GRID", str(file))
        assert main(["toy", "--out", str(out)]) == 0
    return out


def test_the_toy_trains_three_heads_on_ten_classes_and_draws_them(trained: Path) -> None:
    rows = results.load(trained, "toy")
    rows = rows[rows["selection"] == "last"]
    assert rows["head_label"].tolist() == LABELS
    assert (rows["top1"] > 0.3).all()
    assert rows["num_classes"].tolist() == [10, 10, 10]
    with Image.open(trained / "toy" / "figures" / "circle.png") as picture:
        assert picture.size[0] > 1000
    for cell_id in rows["cell_id"]:
        folder = store.cell_folder(trained, cell_id)
        vectors = store.read_arrays(folder, "geometry.npz")["prototypes"]
        logits, result = store.read_predictions(folder)["last_test_logits"], store.read_result(folder)
        assert result is not None
        # The directions that the picture shows are those whose scaled cosines are the stored logits.
        cosines = sphere.directions(logits, vectors) @ vectors.T / np.linalg.norm(vectors, axis=1)
        assert np.allclose(result["native_scale"] * cosines, logits, atol=1e-3)


def test_arrows_go_from_where_the_classes_were_to_where_they_are(trained: Path) -> None:
    rows = results.load(trained, "toy")
    rows = rows[rows["selection"] == "last"]
    first, second = (
        store.read_arrays(store.cell_folder(trained, cell_id), "geometry.npz")["prototypes"]
        for cell_id in rows["cell_id"].iloc[1:]
    )
    moved = [c for c in range(10) if not np.allclose(first[c], second[c], atol=1e-3)]
    assert len(moved) > 1, "the toy is to show classes that move"
    softmax, static, assigned = sphere.toy(rows, trained).axes
    assert [axis.get_title().split(":")[0] for axis in (softmax, static, assigned)] == LABELS
    assert f"{len(moved)} of 10 classes have moved" in assigned.get_title()
    drawn = [text for text in assigned.texts if not text.get_text()]
    for arrow, c in zip(drawn, moved, strict=True):
        for place, prototypes in ((arrow.xyann, first), (arrow.xy, second)):  # type: ignore[attr-defined]
            assert np.allclose(np.array(place) / np.linalg.norm(place), prototypes[c], atol=1e-3)
    for axis in (softmax, static, assigned):
        assert [text.get_text() for text in axis.texts if text.get_text()] == list("0123456789")
    for c, text in enumerate(text for text in assigned.texts if text.get_text()):
        assert np.allclose(np.array(text.get_position()) / 1.13, second[c], atol=1e-3)
    assert not any(not text.get_text() for axis in (softmax, static) for text in axis.texts)
