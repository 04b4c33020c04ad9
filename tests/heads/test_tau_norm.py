"""tau-normalisation: PSC while it is trained, then rows of weights divided by a power of their lengths."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score
from torch import Tensor

from headbench.core.streams import generator
from headbench.heads import Context, Head
from headbench.heads.tau_norm import TAUS, best_tau, normalised
from headbench.runners.execution import cell as cells
from headbench.runners.training import evaluate
from tests.heads import test_psc
from tests.heads.helpers import batch, make, unit64
from tests.runners.helpers import CPU, cell, digits, planned, train

LEARNS = {"linear.weight", "linear.bias"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As PSC, before it is finished."""
    return test_psc.reference(head, features, labels)


def finished(tau: float | None, features: Tensor | None = None, labels: Tensor | None = None) -> tuple[Head, float]:
    """A head that is finished, and its tau."""
    head = make("tau-norm", tau=tau)

    def collect(split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
        assert (split, view) == ("val", "plain")
        assert features is not None
        assert labels is not None
        return features, labels, torch.arange(len(labels))

    found = head.finalize(Context("finalize", collect=collect))
    return head, found["tau"]


def test_at_tau_zero_without_a_bias_it_is_psc() -> None:
    features, _ = batch(5, 8)
    head, _ = finished(0.0)
    psc = make("psc")
    psc.load_state_dict(psc.state_dict() | {"linear.bias": torch.zeros(5)})
    assert torch.equal(head.logits(features[0]), psc.logits(features[0]))


def test_at_tau_one_classes_stand_in_the_order_of_their_cosines() -> None:
    features, _ = batch(5, 8, size=40)
    head, _ = finished(1.0)
    cosines = unit64(features[0].detach()) @ unit64(make("psc").state_dict()["linear.weight"]).T
    assert torch.equal(head.logits(features[0]).argsort(dim=1), cosines.argsort(dim=1))


def test_rows_in_float64() -> None:
    weight = torch.randn(4, 3, generator=generator(0, "test"))
    for tau in (0.0, 0.3, 1.0, 2.0):
        rows = [row / sum(value**2 for value in row.tolist()) ** (tau / 2) for row in weight.double()]
        assert torch.allclose(normalised(weight, tau).double(), torch.stack(rows), atol=1e-6)
    assert torch.equal(normalised(torch.zeros(2, 3), 2.0), torch.zeros(2, 3))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 40))
def test_the_chosen_tau_has_the_best_mean_accuracy_of_a_class(seed: int, size: int) -> None:
    """By scikit-learn, also where a class does not occur on validation."""
    stream = generator(seed, "test")
    lengths = torch.tensor([8.0, 2.0, 1.0, 0.3, 0.1])[:, None]
    weight = lengths * torch.randn(5, 3, generator=stream)
    features, labels = torch.randn(size, 3, generator=stream), torch.randint(0, 5, (size,), generator=stream)
    scores = []
    for tau in TAUS:
        predicted = (features @ normalised(weight, tau).T).argmax(dim=1)
        scores.append(recall_score(labels, predicted, labels=labels.unique(), average="macro", zero_division=0))
    best = [tau for tau, score in zip(TAUS, scores, strict=True) if score == pytest.approx(max(scores))]
    assert best_tau(weight, features, labels) in best


def test_long_rows_of_frequent_classes_are_shortened() -> None:
    """Two classes by one feature each: the first wins by the length of its row until both are as long."""
    head = make("tau-norm", 2, 2)
    head.load_state_dict({"linear.weight": torch.tensor([[9.0, 0.0], [0.0, 1.0]]), "linear.bias": torch.ones(2)})
    features, labels = torch.tensor([[1.0, 0.5], [0.5, 1.0]]), torch.tensor([0, 1])
    found = head.finalize(Context("finalize", collect=lambda *_: (features, labels, labels)))
    assert found["tau"] == 0.7  # the least with 9^(1 - tau) < 2
    assert head.logits(features).argmax(dim=1).tolist() == [0, 1]
    assert not head.state_dict()["linear.bias"].any()


def test_a_cell_is_that_of_psc_with_other_rows(tmp_path: Path) -> None:
    (one,) = planned(cell("tau-norm"))
    result = cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=False)
    psc = train(cell("psc"), digits(), CPU, lambda _: None).classifier
    rows = normalised(psc.state_dict()["head.linear.weight"], result["selections"]["last"]["fitted_tau"])
    with np.load(tmp_path / "predictions.npz") as stored:
        assert np.allclose(stored["last_test_logits"], evaluate.embed(psc, digits().test) @ rows.T, atol=1e-5)


def test_without_validation_it_needs_a_tau() -> None:
    chosen, given = planned(cell("tau-norm", val_fraction=0), cell({"name": "tau-norm", "tau": 0.7}, val_fraction=0))
    assert chosen.not_applicable == (
        "tau is chosen on validation, and there is none; set val_fraction, or give tau (paper: 0.7)"
    )
    assert given.not_applicable is None
