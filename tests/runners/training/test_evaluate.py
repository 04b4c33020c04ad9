"""What is measured of a trained network: on which part, and the same however much is held at once."""

import numpy as np
import pytest
import torch

from headbench.runners.training import evaluate
from headbench.runners.training.classifier import build
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, cell, digits


@pytest.mark.parametrize("split", ["train", "val"])
def test_what_a_head_is_fitted_on_is_the_part_that_it_asks_for(split: str) -> None:
    training = Training(cell("psc"), digits(), CPU)
    features, labels, _ = training.context("finalize").collect(split, "plain")
    part = getattr(digits(), split)
    assert torch.equal(labels, part.labels)
    assert torch.equal(features, evaluate.embed(training.classifier, part))


def test_geometry_does_not_depend_on_how_much_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "CHUNK", 100)
    classifier = build(cell("psc"), digits().info(0), bf16=False)
    features, labels = evaluate.embed(classifier, digits().train), digits().train.labels
    predicted = evaluate.predictions(classifier, features)
    assert torch.equal(predicted, classifier.head.logits(features).argmax(dim=1))
    found = evaluate.geometry(classifier, features, labels, predicted, 10)
    own, classes = features.double().numpy(), labels.numpy()
    means = np.stack([own[classes == number].mean(axis=0) for number in range(10)])
    assert np.allclose(found.class_means, means)
    assert np.allclose(found.within + found.between, np.cov(own.T, bias=True))
    assert np.allclose(found.between, np.cov(means[classes].T, bias=True))
    nearest = np.square(own[:, None] - means).sum(axis=2).argmin(axis=1)
    assert found.nearest_mean_agreement == pytest.approx(np.mean(nearest == predicted.numpy()), abs=1e-3)
