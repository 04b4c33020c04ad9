"""cRT: two stages, of which the second learns a new classifier on a network that stays as it is."""

import pytest
import torch
from torch import Tensor

from headbench.heads import HEADS, Context, Head
from headbench.heads.families.two_stage import two_stages
from headbench.runners.grid import recipes
from headbench.runners.training.train import Training
from tests.heads import test_psc
from tests.heads.helpers import make
from tests.runners.helpers import CPU, QUICK, cell, digits, train

LEARNS = {"linear.weight", "linear.bias"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As PSC."""
    return test_psc.reference(head, features, labels)


@pytest.mark.parametrize(
    ("epochs", "fraction", "lengths"),
    [
        (50, 0.2, (40, 10)),
        (100, 0.1, (90, 10)),
        (95, 0.053, (90, 5)),
        (7, 0.28, (5, 2)),
        (2, 0.9, (1, 1)),
        (1, 0.2, (1, 1)),
    ],
)
def test_both_stages_are_as_long_as_the_recipe(epochs: int, fraction: float, lengths: tuple[int, int]) -> None:
    recipe = recipes.load("fast", {"epochs": epochs}, "test")
    stages = two_stages(recipe, fraction, ("backbone", "head"), ("head",))
    assert tuple(stage.epochs for stage in stages) == lengths
    assert [stage.sampler for stage in stages] == ["instance", "class_balanced"]
    second = recipes.change(recipe, stages[1].overrides, "test")
    assert second.schedule.name == "cosine"
    assert (second.lr, second.weight_decay, second.augmentation()) == (
        recipe.lr,
        recipe.weight_decay,
        recipe.augmentation(),
    )


def test_only_the_second_stage_begins_anew() -> None:
    head = make("crt")
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head.on_stage_start(Context("representation"))
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())
    torch.manual_seed(1)
    head.on_stage_start(Context("classifier"))
    new = {key: value.clone() for key, value in head.state_dict().items()}
    assert {key for key, value in new.items() if not torch.equal(before[key], value)} == LEARNS
    torch.manual_seed(2)
    head.on_stage_start(Context("classifier"))
    assert all(torch.equal(new[key], value) for key, value in head.state_dict().items())


def test_the_new_classifier_is_distributed_as_a_linear_layer_of_torch() -> None:
    head = make("crt", num_classes=200, dim=100)
    old = head.state_dict()["linear.weight"].clone()
    head.on_stage_start(Context("classifier"))
    new = head.state_dict()
    assert new["linear.weight"].std().item() == pytest.approx(old.std().item(), rel=0.02)
    assert all(0.09 < new[key].abs().max() <= 0.1 for key in LEARNS)


@pytest.mark.parametrize(("head", "learns"), [("crt", LEARNS), ("lws", {"scale"})])
def test_the_first_stage_is_psc_and_the_second_leaves_the_network_as_it_is(head: str, learns: set[str]) -> None:
    """Also the statistics of batch normalisation."""
    states: list[dict[str, Tensor]] = []
    run = Training(cell(head, recipe=QUICK | {"epochs": 3}), digits(), CPU)
    run.run(lambda _: states.append({key: value.clone() for key, value in run.classifier.state_dict().items()}))
    assert [row["stage"] for row in run.history] == ["representation"] * 2 + ["classifier"]
    assert [set(run.selected), "test_top1" in run.history[1]] == [{"last", "best_val", "best_test"}, False]
    _, first, second = states
    psc = train(cell("psc", recipe=QUICK | {"epochs": 2}), digits(), CPU, lambda _: None).classifier.state_dict()
    assert all(torch.equal(first[key], value) for key, value in psc.items())
    assert torch.equal(first.get("head.scale", torch.ones(10)), torch.ones(10))
    assert any("running_mean" in key for key in first)
    assert {key for key in first if not torch.equal(first[key], second[key])} == {f"head.{name}" for name in learns}


@pytest.mark.parametrize("head", ["crt", "lws"])
def test_the_length_of_the_second_stage_is_an_option(head: str) -> None:
    recipe = recipes.load("fast", {"epochs": 10}, "test")
    stages = HEADS.get(head).target.stages(recipe, {"second_fraction": 0.3})
    assert [(stage.name, stage.epochs) for stage in stages] == [("representation", 7), ("classifier", 3)]
