"""How the images of several workers are counted."""

import importlib
import time

import pytest

from headbench.runners.training.history import Glimpse
from tests.runners.helpers import cell, planned

# A script, not a module of the package.
packing = importlib.import_module("benchmarks.gpu_packing")


def test_images_are_counted_from_when_all_workers_train(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    first, second = planned(cell("psc"), cell("etf", axes={"feature_dim": [9]}))
    meter = packing.Meter(workers=2, seconds=4.0, batch=100)
    meter.glimpse(first, Glimpse(1, 5, 10))
    now = 50.0  # the second one starts so late
    meter.glimpse(first, Glimpse(9, 9, 10))
    meter.glimpse(second, Glimpse(1, 0, 10))
    meter.glimpse(second, Glimpse(1, 1, 10))
    now = 50.5 + packing.WARM
    meter.glimpse(first, Glimpse(10, 5, 10))
    meter.glimpse(second, Glimpse(1, 2, 10))
    now = 52.5 + packing.WARM
    meter.glimpse(first, Glimpse(12, 0, 10))
    meter.glimpse(second, Glimpse(1, 4, 10))
    now = 54.5 + packing.WARM
    with pytest.raises(packing.Enough):
        meter.glimpse(first, Glimpse(14, 5, 10))
    assert meter.speeds == pytest.approx([40 * 100 / 4, 2 * 100 / 2])
