"""What a caller has set changes no number, and is there afterwards."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import headbench
from headbench.core.errors import UserError
from headbench.runners.python import surroundings
from tests.runners.helpers import grid

SETTINGS: dict[str, Any] = {"threads": 1, "device": "cpu", "precision": "fp32", "recipe.epochs": 1}


@contextmanager
def set_to(get: Callable[[], Any], put: Callable[[Any], None], value: Any) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(before)


def without_onednn() -> AbstractContextManager[None]:
    backends: Any = torch.backends
    library: Any = backends.mkldnn
    return set_to(lambda: library.enabled, lambda value: setattr(library, "enabled", value), value=False)


def halves() -> AbstractContextManager[None]:
    return set_to(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16)


CALLERS = {
    "bfloat16": halves,
    "inference": torch.inference_mode,
    "meta": lambda: torch.device("meta"),
    "without oneDNN": without_onednn,
    "numpy raises": lambda: np.errstate(all="raise"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("plain")
    return out, headbench.run(grid(), out=out, data=out, keep_weights=True, **SETTINGS)


@pytest.mark.parametrize("around", CALLERS.values(), ids=CALLERS)
def test_a_run_a_head_and_a_network_are_the_same_for_every_caller(
    around: Callable[[], AbstractContextManager[Any]], plain: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    out, expected = plain
    cell = expected["cell_id"].iloc[0]
    images = torch.rand(3, 1, 8, 8)
    known = headbench.classifier(cell, out)(images)
    asked: dict[str, Any] = {"num_classes": 14, "feature_dim": 4, "seed": 3}
    weights = [headbench.head(name, **asked).state_dict() for name in ("psc", "hpn")]
    with around():
        rows = headbench.run(grid(), out=tmp_path, data=tmp_path, **SETTINGS)
        network = headbench.classifier(cell, str(out))
        heads = [headbench.head(name, **asked) for name in ("psc", "hpn")]
        if around in (CALLERS["autocast"], CALLERS["bfloat16"]):
            assert torch.equal(network(images), known)
    assert rows[["nll", "train_loss"]].equals(expected[["nll", "train_loss"]])
    assert torch.equal(network(images), known)
    for head, state in zip(heads, weights, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in head.state_dict().items())
    network(images).sum().backward()
    heads[0].logits(torch.ones(2, 4)).sum().backward()
    torch.optim.SGD(heads[0].parameters(), lr=0.1).step()


def test_heads_that_threads_build_are_those_of_their_seeds() -> None:
    def built(seed: int) -> torch.Tensor:
        made: Any = headbench.head("psc", num_classes=1000, feature_dim=512, seed=seed)
        weight: torch.Tensor = made.linear.weight
        return weight

    expected = [built(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(built, range(8))]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_second_thread_does_not_train_beside_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PATIENCE", 0.05)
    holds, ended = threading.Event(), threading.Event()

    def first() -> None:
        with surroundings.borrowed("run", "cpu"):
            holds.set()
            ended.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert holds.wait(30)
        with pytest.raises(UserError, match="run: another thread of this process trains.* workers=N"):
            headbench.run(grid(), out=tmp_path, data=tmp_path, **SETTINGS)
        with pytest.raises(UserError, match="head: another thread of this process trains"):
            headbench.head("psc", num_classes=3, feature_dim=4)
    finally:
        ended.set()
        thread.join()
    assert not [*tmp_path.iterdir()]


def test_counts_of_pandas_are_taken_by_their_index() -> None:
    counts: Any = pd.Series([2] * 30 + [0] * 20 + [1] * 10).value_counts()
    made: Any = headbench.head("balanced-softmax", num_classes=3, feature_dim=4, class_counts=counts)
    assert torch.allclose(made.log_prior.exp() * 60, torch.tensor([20.0, 10.0, 30.0]))
    lettered: Any = pd.Series([1, 2, 3], index=list("abc"))
    with pytest.raises(UserError, match=r"head: class_counts: the index is \['a', 'b', 'c'\], and not the classes"):
        headbench.head("psc", num_classes=3, feature_dim=4, class_counts=lettered)
    names: Any = {"a", "b", "c"}
    with pytest.raises(UserError, match="head: class_names are a list, in the order of the classes"):
        headbench.head("psc", num_classes=3, feature_dim=4, class_names=names)
