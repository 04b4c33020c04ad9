"""Neural collapse on features that are made collapsed, or known not to be."""

from pathlib import Path

import numpy as np
import pytest

import results
from results import collapse, store
from tests.results import helpers

SIMPLEX = np.linalg.svd(np.eye(4) - 0.25)[0][:, :3] * np.sqrt(4 / 3)


def geometry(means: np.ndarray, spread: float, prototypes: np.ndarray) -> dict[str, np.ndarray]:
    centred = means - means.mean(axis=0)
    between = centred.T @ centred / len(means)
    return {"class_means": means, "within": spread * between, "between": between, "prototypes": prototypes, "nearest_mean_agreement": np.array(0.75)}


def test_a_simplex_of_class_means_is_collapsed() -> None:
    found = collapse.measure(geometry(5 * SIMPLEX + 2, 0.0, SIMPLEX))
    assert found == pytest.approx({"nc1": 0, "nc2_angle": 0, "nc2_length": 0, "nc3": 1, "nc4": 0.75}, abs=1e-12)


def test_each_measure_by_hand() -> None:
    """Means at (1, 0), (-1, 0), (0, 2), (0, -2): lengths 1, 1, 2, 2; cosines 0 eight times and -1 four times of twelve ordered pairs."""
    means = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    prototypes = np.array([[0.0, 1.0], [0.0, -1.0], [0.0, 1.0], [0.0, -1.0]])
    found = collapse.measure(geometry(means, 0.5, prototypes))
    assert found["nc1"] == pytest.approx(0.5 * 2 / 4)
    assert found["nc2_angle"] == pytest.approx((8 * 1 / 3 + 4 * 2 / 3) / 12)
    assert found["nc2_length"] == pytest.approx(0.5 / 1.5)
    assert found["nc3"] == pytest.approx((0 + 0 + 1 + 1) / 4)


def test_what_is_missing_is_nan() -> None:
    parts = geometry(SIMPLEX, 0.1, np.zeros((0, 3)))
    del parts["nearest_mean_agreement"]
    found = collapse.measure(parts)
    assert np.isnan([found["nc3"], found["nc4"]]).all()
    means = SIMPLEX.copy()
    means[1:] = np.nan
    assert np.isnan(list(collapse.measure(geometry(means, 0.1, SIMPLEX)).values())).all()


def test_cells_become_a_table_and_damage_is_named(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid")
    done = rows[(rows["selection"] == "last") & (rows["head_label"] == "etf")]
    for cell_id, spread in zip(done["cell_id"], (0.1, 0.3), strict=True):
        folder = store.cell_folder(tmp_path, cell_id)
        store.write_arrays(folder / "geometry.npz", geometry(SIMPLEX, spread, SIMPLEX))
        result = store.read_result(folder)
        assert result is not None
        store.write_result(folder, {key: value for key, value in result.items() if key not in {"schema", "sha256"}}, ["predictions.npz", "geometry.npz"])
    measured, shown, damaged = collapse.read(rows, tmp_path)
    assert len(damaged) == 6
    assert all("geometry.npz is damaged or missing" in line for line in damaged)
    assert list(shown) == ["etf"]
    table = collapse.table(measured, "by hand", "toy")
    assert list(table.cells.iloc[0]) == ["0.150 ± 0.106", "0.000 ± 0.000", "0.000 ± 0.000", "1.000 ± 0.000", "0.750 ± 0.000"]
    assert collapse.figure(shown["etf"], "by hand").axes[1].get_title() == "class means and class vectors"
