"""The table of costs agrees with a count by hand."""

import importlib

import pytest

# A script, not a module of the package.
recipe_cost = importlib.import_module("benchmarks.recipe_cost")


def test_whole_and_small_images_count_as_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels in and out and the side, of each convolution; the gradient of the first input is not needed."""
    network = {"name": "whitened_convnet", "widths": [4, 6, 8]}
    recipe = {"base": "fast2", "optimiser": "sgd", "batch_size": 4, "epochs": 4}
    flops = []
    for stem, sides in ((31, (15, 7, 3)), (19, (9, 4, 2))):
        layers = [
            (24, 4, stem),
            (4, 4, sides[0]),
            (4, 6, sides[0]),
            (6, 6, sides[1]),
            (6, 8, sides[1]),
            (8, 8, sides[2]),
        ]
        each = [2 * 9 * before * after * pixels**2 for before, after, pixels in layers]
        filters, linear = 2 * 12 * 24 * stem**2, 2 * (8 * 50 + 50 * 100)
        flops.append(filters + 3 * sum(each) - each[0] + 3 * linear)
    label, _, whole, single = recipe_cost.counted(network, recipe)
    assert label == "whitened_convnet(widths=4-6-8)"
    assert single == pytest.approx(sum(flops) / 2)
    assert whole == pytest.approx(4 * 45_000 * single)
