"""Neural collapse on features that are made collapsed, or known not to be."""

from pathlib import Path

import numpy as np
import pytest

from headbench import results
from headbench.results.figures import class_cosines
from headbench.results.numbers import collapse
from headbench.results.tables import collapse as collapse_table
from tests.results import helpers
from tests.results.helpers import SIMPLEX, geometry


def test_a_simplex_of_class_means_is_collapsed() -> None:
    found = collapse.measure(geometry(5 * SIMPLEX + 2, 0.0, SIMPLEX))
    assert found == pytest.approx({"nc1": 0, "nc2_angle": 0, "nc2_length": 0, "nc3": 1, "nc4": 0.75}, abs=1e-12)


def test_each_measure_by_hand() -> None:
    """Means at (1, 0), (-1, 0), (0, 2), (0, -2): lengths 1, 1, 2, 2.

    Cosines 0 eight times and -1 four times of twelve ordered pairs.
    """
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
    dead = collapse.measure(geometry(np.zeros_like(SIMPLEX), 0.1, SIMPLEX))
    assert np.isnan([dead["nc2_angle"], dead["nc2_length"], dead["nc3"]]).all()


def test_the_table_is_of_the_cells_and_damage_is_named(tmp_path: Path) -> None:
    """Seeds 0 and 1 of etf have spreads 0.1 and 0.2, so tr(W B^+) / C = 3 (0.1 and 0.2) / 4."""
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid")
    table = collapse_table.table(rows, "by hand", "toy")
    assert table.cells.iloc[-1].tolist() == [
        "0.113 ± 0.053 (n=2)",
        *(f"{value}.000 ± 0.000 (n=2)" for value in (0, 0, 1)),
        "0.750 ± 0.000 (n=2)",
    ]
    (tmp_path / "cells" / "psc-5-0-toy" / "geometry.npz").unlink()
    found, damaged = class_cosines.of(rows, tmp_path)
    assert list(found) == ["etf"]
    assert len(damaged) == 1
    assert "geometry.npz is damaged or missing" in damaged[0]
    np.testing.assert_allclose(list(found["etf"].values()), np.zeros((2, 4, 4)), atol=1e-12)


def test_a_deviation_is_from_the_simplex() -> None:
    """Two pairs of opposite means have cosines -1 and 0, where a simplex of four has -1/3."""
    means = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    (found,) = class_cosines.deviations(geometry(means, 0.1, np.zeros((0, 2)))).values()
    assert found[0] == pytest.approx([0, -2 / 3, 1 / 3, 1 / 3])
