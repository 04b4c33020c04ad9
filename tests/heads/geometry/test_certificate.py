"""Certificates: the quantities by hand, the bounds against codes that reach them and against linear programming."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import eval_gegenbauer

from headbench.heads.geometry import annealing, certificate, codes
from headbench.heads.geometry.certificate import certify, levenshtein_bound, lower_bound, uniformity


@settings(max_examples=40, deadline=None)
@given(num_classes=st.integers(2, 12), dim=st.integers(1, 6), seed=st.integers(0, 1000), rows=st.integers(1, 5))
def test_a_certificate_by_hand(num_classes: int, dim: int, seed: int, rows: int) -> None:
    points = annealing.random_points(num_classes, dim, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "ROWS", rows)
        found = certify(points)
    others = [[float(sum(a * b)) for j, b in enumerate(points) if j != i] for i, a in enumerate(points)]
    assert found.max_cosine == pytest.approx(max(map(max, others)))
    assert found.mean_max_cosine == pytest.approx(np.mean([max(row) for row in others]))
    assert found.max_abs_cosine == pytest.approx(max(abs(value) for row in others for value in row))
    distances = [float(sum((a - b) ** 2)) for i, a in enumerate(points) for b in points[:i]]
    assert found.uniformity == pytest.approx(math.log(np.mean([math.exp(-2 * distance) for distance in distances])))
    assert found.gap == pytest.approx(found.max_cosine - lower_bound(num_classes, dim)[0])
    assert found.gap >= -1e-12


def test_uniformity_in_closed_form() -> None:
    """-4 C/(C-1) of a simplex, log(((2d-2) e^-4 + e^-8) / (2d-1)) of an orthoplex.

    Worse where two points meet than where they are opposite.
    """
    assert uniformity(codes.simplex(10, 9)) == pytest.approx(-4 * 10 / 9)
    assert uniformity(codes.orthoplex(100, 50)) == pytest.approx(math.log((98 * math.exp(-4) + math.exp(-8)) / 99))
    assert uniformity(np.array([[1.0, 0.0], [1.0, 0.0]])) == 0 > uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]]))


@settings(max_examples=20, deadline=None)
@given(num_classes=st.integers(2, 12), dim=st.integers(2, 6), seed=st.integers(0, 1000))
def test_certificates_do_not_change_under_rotation_and_permutation(num_classes: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = annealing.random_points(num_classes, dim, seed)
    turned = points[rng.permutation(num_classes)] @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    for name in ("max_cosine", "mean_max_cosine", "max_abs_cosine", "uniformity"):
        assert getattr(certify(turned), name) == pytest.approx(getattr(certify(points), name), abs=1e-9)


# Sharp codes: C, d, largest cosine (Cohn & Kumar, 2007, table 1).
SHARP = [
    (12, 3, 5**-0.5),
    (27, 6, 1 / 4),
    (16, 5, 1 / 5),
    (56, 7, 1 / 3),
    (240, 8, 1 / 2),
    (112, 21, 1 / 9),
    (162, 21, 1 / 7),
    (275, 22, 1 / 6),
]
SHARP += [(100, 22, 1 / 11), (552, 23, 1 / 5), (891, 22, 1 / 4), (4600, 23, 1 / 3), (196560, 24, 1 / 2)]


@pytest.mark.parametrize(("num_classes", "dim", "cosine"), SHARP)
def test_levenshteins_bound_is_sharp_where_it_is_known_to_be(num_classes: int, dim: int, cosine: float) -> None:
    assert levenshtein_bound(num_classes, dim) == pytest.approx(cosine, abs=1e-9)


@pytest.mark.parametrize(("num_classes", "dim"), [(10, 3), (30, 4), (100, 5), (100, 10), (100, 16), (200, 25)])
def test_levenshteins_bound_is_not_above_that_of_linear_programming(num_classes: int, dim: int) -> None:
    """Delsarte: with f = 1 + sum_k f_k P_k, f_k >= 0, and f <= 0 on [-1, s], no more than f(1) points have all cosines
    at most s.
    """
    bound = levenshtein_bound(num_classes, dim)
    grid = np.linspace(-1, bound - 1e-3, 4000)
    orders = range(1, 31)
    values = np.array([eval_gegenbauer(k, dim / 2 - 1, grid) / eval_gegenbauer(k, dim / 2 - 1, 1.0) for k in orders]).T
    found = linprog(np.ones(len(orders)), A_ub=values, b_ub=-np.ones(len(grid)), bounds=(0, None))
    assert found.success
    assert 1 + found.fun < num_classes


def test_bounds_by_size() -> None:
    assert lower_bound(10, 9) == (-1 / 9, "simplex")
    assert lower_bound(2, 1) == (-1, "simplex")
    assert lower_bound(3, 1) == (1, "line")
    assert lower_bound(11, 9) == lower_bound(18, 9) == (0, "Rankin")
    for (num_classes, dim), (cosine, name) in {
        (10, 2): (math.cos(math.pi / 5), "polygon"),
        (12, 3): (5**-0.5, "Fejes Toth"),
    }.items():
        assert lower_bound(num_classes, dim)[0] == pytest.approx(cosine)
        assert lower_bound(num_classes, dim)[1] == name
    assert lower_bound(100, 3)[0] == pytest.approx(0.92819, abs=1e-5)
    for num_classes, dim in ((1, 3), (3, 0)):
        with pytest.raises(ValueError, match="no largest cosine"):
            lower_bound(num_classes, dim)
