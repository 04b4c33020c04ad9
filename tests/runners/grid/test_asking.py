"""What the classes of heads answer, by heads of strangers: one line for what is no answer, and none for all others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch

from headbench.core.batch import DataInfo
from headbench.core.errors import UserError
from headbench.heads import HEADS, Stage
from headbench.heads.psc import PSCHead
from headbench.runners.execution import plan
from headbench.runners.inspection import listing
from headbench.runners.search import space
from tests.runners.helpers import cell, cells, digits, planned


@contextmanager
def known(**names: Any) -> Iterator[None]:
    """A head with other class methods."""
    methods = {name: classmethod(value) if callable(value) else value for name, value in names.items()}
    HEADS.register("stranger", version=1, paper="-", source="-")(type("Stranger", (PSCHead,), methods))
    try:
        yield
    finally:
        HEADS.unregister("stranger")


def fails(cls: Any, *_: Any) -> Any:
    raise KeyError("kind")


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        (
            "supports",
            lambda cls, *_: True,
            "supports returns a text, why the head .*, or None, and not True",
        ),
        ("supports", fails, "supports: KeyError: 'kind'"),
        ("stages", lambda cls, *_: Stage("train", 1), "stages returns a list of stages, and not Stage"),
        ("stages", lambda cls, *_: None, "stages returns a list of stages, and not None"),
        ("stages", lambda cls, *_: [Stage("a", cast(int, 1.0))], "stage 'a': 1.0 epochs; a stage has at least 1"),
        ("files", lambda cls, *_: "x.npy", "files returns paths by option, and not 'x.npy'"),
        ("files", lambda cls, *_: {"x": "x.npy"}, "files returns paths by option, and not {'x': 'x.npy'}"),
        ("loss_name", lambda cls, *_: None, "loss_name returns a text, and not None"),
        ("loss_name", fails, "loss_name: KeyError: 'kind'"),
    ],
)
def test_what_is_no_answer_is_one_line_of_the_plan(method: str, answer: Any, message: str) -> None:
    with known(**{method: answer}), pytest.raises(UserError, match=f"head 'stranger'.*{message}") as caught:
        planned(cell("stranger"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [(lambda cls, *_: None, "search_space returns values by option, and not None"), (fails, "search_space: KeyError")],
)
def test_a_search_space_that_is_none_is_one_line_and_other_heads_are_listed(answer: Any, message: str) -> None:
    with known(search_space=answer):
        with pytest.raises(UserError, match=f"head 'stranger': {message}"):
            space.of(cell("stranger"), digits().info(0))
        (one,) = (head for head in listing.listed("heads") if head.name == "stranger")
        assert f"unknown, as head 'stranger': {message}" in one.about["search"]


class Needing(PSCHead):
    """A head whose option has no default, and by which its loss is called."""

    @classmethod
    def loss_name(cls, options: Any) -> str:
        return str(options["kind"])

    @classmethod
    def search_space(cls, trial: Any, options: Any) -> dict[str, Any]:
        return {"kind": trial.suggest_categorical("kind", [options["kind"]])}

    def __init__(self, info: DataInfo, feature_dim: int, *, kind: Literal["a", "b"]) -> None:
        super().__init__(info, feature_dim)


def test_an_option_without_a_default_is_given_and_named_and_troubles_no_other_head() -> None:
    HEADS.register("needing", version=1, paper="-", source="-")(Needing)
    try:
        plan.make(cells(), Path())
        one = cell({"name": "needing", "kind": "a"})
        assert one.head_label == "needing(kind=a)"
        assert planned(one)[0].not_applicable is None
        (listed,) = (head for head in listing.listed("heads") if head.name == "needing")
        assert [(option.name, option.required) for option in listed.options] == [("kind", True)]
        assert listed.about["search"] == "by its options, of which kind has no default"
        with pytest.raises(UserError, match="head 'needing': kind: required, but missing"):
            cell("needing")
    finally:
        HEADS.unregister("needing")


def test_a_head_that_keeps_its_last_loss_is_measured_as_any_other(tmp_path: Path) -> None:
    from headbench.runners.execution import cell as runs
    from tests.runners.helpers import CPU

    class Keeping(PSCHead):
        def loss(self, features: Any, targets: Any, context: Any) -> Any:
            self.last = super().loss(features, targets, context)
            return self.last

    found = []
    for name, head in (("keeping", Keeping), ("plain-one", PSCHead)):
        HEADS.register(name, version=1, paper="-", source="-")(head)
        try:
            (one,) = planned(cell(name))
            found.append(runs.run(one, digits(), tmp_path / name, CPU, lambda row: None, keep_weights=False))
        finally:
            HEADS.unregister(name)
    assert torch.is_grad_enabled()
    assert found[0]["health"] == found[1]["health"]
    assert found[0]["train_flops"] == found[1]["train_flops"] is not None
