"""Files of scores from elsewhere: what is read, and what is refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headbench.core.errors import UserError
from headbench.runners.exchange import score_files
from tests.runners.exchange.helpers import LABELS, LOGITS, PROBABILITIES, VAL_LABELS, VAL_LOGITS, npz

NAMES = ["ant", "bee", "cat", "dog"]


def frame(scores: np.ndarray, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(scores, columns=columns).assign(label=LABELS)


def test_one_classifier_is_the_same_in_every_format(tmp_path: Path) -> None:
    files = {
        npz(tmp_path): 0,
        npz(tmp_path, "own.npz", last_test_logits=LOGITS, test_labels=LABELS): 0,
        npz(tmp_path, "guessed.npz", scores=LOGITS, labels=LABELS): 0,
        npz(tmp_path, "shares.npz", probabilities=PROBABILITIES, labels=LABELS): 1e-12,
    }
    frame(LOGITS, NAMES).to_parquet(tmp_path / "named.parquet")
    # Columns of another order are sorted by their numbers.
    frame(LOGITS[:, ::-1], [f"logit_{c}" for c in (3, 2, 1, 0)]).to_csv(tmp_path / "numbered.csv", index=False)
    frame(PROBABILITIES, [f"probability_{c}" for c in range(4)]).to_csv(tmp_path / "shares.csv", index=False)
    files |= {tmp_path / "named.parquet": 0, tmp_path / "numbered.csv": 1e-6, tmp_path / "shares.csv": 1e-6}
    shifted = LOGITS.astype(np.float64) - np.log(np.exp(LOGITS.astype(np.float64)).sum(axis=1, keepdims=True))
    for file, most in files.items():
        found = score_files.read(file).test
        wanted = shifted if "shares" in file.name else LOGITS
        np.testing.assert_allclose(found.logits, wanted, rtol=0, atol=most, err_msg=file.name)
        np.testing.assert_array_equal(found.labels, LABELS)
        assert found.class_names == (tuple(NAMES) if "named" in file.name else None)


def test_a_csv_may_have_spaces_and_labels_with_a_point(tmp_path: Path) -> None:
    table = frame(LOGITS, [f"logit_{c}" for c in range(4)])
    plain, spaced = tmp_path / "plain.csv", tmp_path / "spaced.csv"
    table.to_csv(plain, index=False)
    table.assign(label=LABELS.astype(float)).to_csv(spaced, index=False)
    spaced.write_text(spaced.read_text().replace(",", ", "))
    one, other = (score_files.read(file).test for file in (plain, spaced))
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert other.class_names is None


def test_further_arrays_and_classes_of_unusual_names_are_left_alone(tmp_path: Path) -> None:
    names = ("best_test_logits", "fast_test_logits", "eval_labels", "all_labels", "test2_logits")
    arrays: dict[str, Any] = {"logits": LOGITS, "labels": LABELS} | dict.fromkeys(names, LOGITS)
    assert score_files.read(npz(tmp_path, **arrays)).val is None
    (tmp_path / "letters.csv").write_text("label,x,y,index,target\n0,1.5,-2,0,0\n1,0.5,2,0,0\n")
    assert score_files.read(tmp_path / "letters.csv").test.class_names == ("x", "y", "index", "target")


def test_held_out_images_come_in_the_same_file_or_in_another(tmp_path: Path) -> None:
    whole = npz(tmp_path, "w.npz", logits=LOGITS, labels=LABELS, val_logits=VAL_LOGITS, val_labels=VAL_LABELS)
    other = npz(tmp_path, "v.npz", logits=VAL_LOGITS, labels=VAL_LABELS)
    for found in (score_files.read(whole), score_files.read(npz(tmp_path), val_file=other)):
        assert found.val is not None
        np.testing.assert_array_equal(found.val.logits, VAL_LOGITS)
    with pytest.raises(UserError, match="has scores of held-out images itself; leave --val out"):
        score_files.read(whole, val_file=other)


def test_a_probability_of_0_is_the_smallest_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = np.eye(4, dtype=np.float32)[LABELS]
    found = score_files.read(npz(tmp_path, probabilities=shares, labels=LABELS)).test.logits
    assert found.min() == np.log(float(np.finfo(np.float32).tiny))
    assert "120 of the probabilities are 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ({"logits": LOGITS}, None, "'logits' and 'probabilities', and 'labels' are needed; its arrays are logits"),
        ({"logits": LOGITS, "probabilities": PROBABILITIES, "labels": LABELS}, None, "one of 'logits' and"),
        ({"logits": LOGITS, "labels": LABELS[:-1]}, None, "labels are whole numbers, one for each of the 40 logits"),
        ({"logits": LOGITS[0], "labels": LABELS}, None, r"finite numbers \(images, classes\), not float32 of shape"),
        ({"logits": np.where(LOGITS < -1, np.nan, LOGITS), "labels": LABELS}, None, "with nan in row"),
        (
            {"logits": LOGITS, "labels": LABELS + 1},
            None,
            "to 3, .* in row 3, 4 does not; they seem to count from 1",
        ),
        ({"logits": LOGITS, "labels": LABELS * 1.0}, None, "labels are whole numbers"),
        ({"logits": LOGITS, "labels": LABELS + 0.5}, None, r"shape \(40,\); row 0 has 0.5"),
        ({"logits": LOGITS, "labels": LABELS.astype(str)}, None, "row 0 has 0"),
        ({"logits": LOGITS * np.float64(1e300), "labels": LABELS}, None, "at most 3.4e.38 in size; row 0, class 0 has"),
        (
            {"logits": LOGITS, "labels": LABELS, "val_logits": LOGITS + 3, "val_labels": LABELS},
            None,
            "the held-out images are the test images",
        ),
        ({"logits": PROBABILITIES, "labels": LABELS}, None, "look like probabilities.*call them 'probabilities'"),
        ({"probabilities": LOGITS, "labels": LABELS}, None, "are no probabilities, since row .* smallest number"),
        ({"scores": LOGITS, "labels": LABELS}, "probabilities", "are no probabilities"),
        ({"scores": np.abs(LOGITS), "labels": LABELS}, None, "cannot be told, since none is below 0 and row 0 sums"),
        ({"probabilities": 100 * PROBABILITIES, "labels": LABELS}, None, "sums to 100"),
        ({"logits": LOGITS, "labels": LABELS}, "probabilities", "they are called 'logits' there"),
        (
            {"logits": LOGITS, "labels": LABELS, "val_logits": VAL_LOGITS[:, :3], "val_labels": VAL_LABELS % 3},
            None,
            "held-out images have scores of 3 classes, the test images of 4",
        ),
        (
            {"logits": LOGITS, "labels": LABELS, "val_logit": VAL_LOGITS, "val_labels": VAL_LABELS},
            None,
            "array 'val_logit' is none that is read; did you mean 'val_logits'",
        ),
        (
            {"logits": LOGITS, "labels": LABELS, "val_labels": VAL_LABELS},
            None,
            "one of 'val_logits' and 'val_probabilities', and 'val_labels' are needed",
        ),
        ({"logits": LOGITS, "labels": LABELS, "class_count": [1] * 4}, None, "did you mean 'class_counts'"),
        ({"logits": LOGITS, "labels": LABELS, "native_scale": 0.0}, None, "native_scale is one number above 0"),
        ({"logits": LOGITS, "labels": LABELS, "class_counts": [1, 2]}, None, "class_counts are 4 whole numbers"),
        ({"logits": LOGITS, "labels": LABELS, "native_scale": None}, None, "no sound .npz file"),
        ({"logits": LOGITS, "labels": LABELS, "class_counts": [None] * 4}, None, "no sound .npz file"),
    ],
)
def test_what_is_no_scores_is_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, Any], kind: score_files.Kind | None, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        score_files.read(npz(tmp_path, **arrays), kind)
    assert "\n" not in str(caught.value)
    assert "mine.npz" in str(caught.value)


def test_what_is_said_of_the_kind_is_believed(tmp_path: Path) -> None:
    for name, scores in (("logits", PROBABILITIES), ("scores", np.abs(LOGITS))):
        np.testing.assert_array_equal(
            score_files.read(npz(tmp_path, "k.npz", **{name: scores, "labels": LABELS}), "logits").test.logits, scores
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores.txt", b"1,2", "a file of scores ends in .npz, .csv, .parquet"),
        ("scores.npz", b"PK\x03\x04 no zip", "is no sound .npz file"),
        ("scores.parquet", b"label", "is no sound .parquet file"),
        ("scores.csv", b"", "is no sound .csv file"),
        ("scores.csv", b"a,b\n1,2\n", "no column 'label'; its columns are a, b"),
        ("scores.csv", b"label;a;b\n0;1;2\n", "columns are separated by commas, and its first line is 'label;a;b'"),
        ("scores.csv", b"Labels,a,b\n0,1,2\n", "no column 'label'; rename 'Labels'"),
        ("scores.csv", b"id,label,a,b\n7,0,1.5,-2\n", "column 'id' would be a class"),
        ("scores.csv", b"a,b,label,Prediction\n1.5,-2,0,0\n", "column 'Prediction' would be a class"),
        ("scores.csv", b"label,a,b\n", "it has no rows"),
        ("scores.csv", b"label,a,b\n0,1.5,x\n", "column 'b' holds other things than numbers, 'x' in row 0"),
        ("scores.csv", b",label,a,b\n0,0,1.5,-2\n", "column 'Unnamed: 0' has no name; pandas writes no index with"),
        ("scores.csv", b"label,logit_0,logit_2\n0,1.5,-2\n", "the columns of classes are logit_0 to logit_1"),
        ("scores.csv", b"label,logit_0,ant\n0,1.5,-2\n", "logit_0 to logit_1, or all have names; 'ant' is neither"),
        ("scores.csv", b"label,logit_0,logit_0\n0,1.5,-2\n", "'logit_0.1' is neither"),
        ("scores.csv", b"label,a,a\n0,1.5,-2\n", "column 'a' is there twice"),
        ("scores.csv", b"label,label,b\n0,1.5,-2\n", "column 'label' is there twice"),
        ("scores.csv", b"label,a,b\n0,1,-2,5\n1,0,-3,4\n", "its rows have more fields than its header"),
        ("scores.csv", b"label,a,b\n0,1.5,\n", "with nan in row 0, class 1"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        score_files.read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
