"""What a search changes: every head's own space beside the recipe's, and where it begins."""

import json
from typing import Any

import pytest
import torch
from optuna.distributions import FloatDistribution

from headbench.core.errors import UserError
from headbench.heads import HEADS, Head
from headbench.runners.grid import recipes
from headbench.runners.python.head import info
from headbench.runners.search import space
from tests.runners.helpers import QUICK, cell, digits, planned


@pytest.mark.parametrize("name", [name for name in HEADS.names() if name != "throwaway"])
@pytest.mark.parametrize("classes", [10, 100, 1000])
def test_every_head_begins_with_its_own_values_within_five_parameters(name: str, classes: int) -> None:
    one = cell(name, axes={"feature_dim": [16]})
    own = space.of(one, info(classes, None, [f"word{number}" for number in range(classes)], 0))
    assert {"recipe.lr", "recipe.weight_decay"} <= own.distributions.keys() == own.start.keys()
    assert len(own.distributions) <= 5
    assert json.loads(json.dumps(own.start)) == own.start
    first = space.trial_cell(one, own.start)
    assert first.recipe == one.recipe
    differ = {key for key, value in one.head_options.items() if value != first.head_options[key]}
    assert all(one.head_options[key] is None for key in differ)
    assert first.head_label == one.head_label


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_declares_intervals_around_its_own_values(name: str) -> None:
    recipe = recipes.load(name, {}, "recipe")
    assert list(recipe.search) == ["lr", "weight_decay"]
    for field, interval in recipe.search.items():
        assert interval.low < getattr(recipe, field) < interval.high
        assert interval.log


def test_the_intervals_are_no_part_of_what_a_cell_is() -> None:
    plain, other = cell(), cell(recipe=QUICK | {"search": {"lr": {"low": 0.01, "high": 0.1}}})
    assert plain.point == other.point
    assert (plain.recipe_label, plain.kind) == (other.recipe_label, other.kind)
    assert plain.model_dump() == other.model_dump()
    assert set(space.of(other, digits().info(0)).start) == {"recipe.lr"}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"lrr": {"low": 1, "high": 2}}, "search: 'lrr' is no field that a search can change; did you mean 'lr'"),
        ({"epochs": {"low": 1, "high": 2}}, "search: 'epochs' is no field that a search can change"),
        ({"lr": {"low": -1, "high": 2}}, "search: lr: -1: Input should be greater than 0"),
        ({"lr": {"low": 3, "high": 2}}, "search.lr: low is not below high"),
        ({"momentum": {"low": 0, "high": 0.9, "log": True}}, "search.momentum: a logarithm needs a low above 0"),
        ({"lr": {"low": 1, "high": 2, "logg": True}}, "unknown key 'search.lr.logg'"),
    ],
)
def test_intervals_are_checked(search: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cell(recipe=QUICK | {"search": search})


class Searching(Head):
    """A head whose search space a test sets."""

    asked: Any = None

    @classmethod
    def search_space(cls, trial: Any, options: Any) -> dict[str, Any]:
        found: dict[str, Any] = cls.asked(trial)
        return found

    def __init__(self, info: Any, feature_dim: int, *, a: float | None = 1.0, b: float = 2.0) -> None:
        super().__init__()


@pytest.fixture
def searching() -> Any:
    HEADS.register("searching", version=1, paper="-", source="-", deviations="-")(Searching)
    yield Searching
    HEADS.unregister("searching")


def test_what_a_head_suggests_may_be_of_any_kind(searching: Any) -> None:
    searching.asked = lambda trial: {
        "a": 2.0 * trial.suggest_float("a", 0.5, 4, log=True),
        "b": trial.suggest_categorical("b", [1.0, 2.0]),
    }
    one = cell("searching", recipe=QUICK | {"search": {}})
    own = space.of(one, digits().info(0))
    assert own.start == {"head.a": 1.0, "head.b": 2.0}
    assert own.distributions["head.a"] == FloatDistribution(0.5, 4, log=True)
    assert space.values(one, {"head.a": 3.0, "head.b": 1.0}) == {"head.a": 6.0, "head.b": 1.0}


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        (lambda t: {"c": t.suggest_float("c", 0, 1)}, {}, "it suggests 'c', which is no option of the head"),
        (lambda t: {"a": t.suggest_float("a", 2, 3)}, {}, "begins with head.a = 1.0, which is not in its own"),
        (lambda t: {"a": t.suggest_float("a", 0, 3)}, {"a": None}, "option 'a' is None, where no search can begin"),
        (lambda t: [t.suggest_float(n, 0, 3) for n in "abcd"], {}, "6 parameters .*, and a search has one to 5"),
        (
            lambda t: [{}, t.suggest_float("a", 0, 3)][0],
            {},
            "returns values of nothing, and not of what it suggests, a",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_one_clear_line(
    asked: Any, options: dict[str, Any], message: str, searching: Any
) -> None:
    searching.asked = asked
    with pytest.raises(UserError, match=message):
        space.of(cell({"name": "searching", **options}), digits().info(0))


def test_a_number_that_a_head_makes_of_none_may_be_a_tensor(searching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searching.asked = lambda trial: {"a": trial.suggest_float("a", 0, 3)}
    monkeypatch.setattr(Searching, "a", torch.tensor(2.0), raising=False)
    start = space.of(cell({"name": "searching", "a": None}, recipe=QUICK | {"search": {}}), digits().info(0)).start
    assert json.dumps(start) == '{"head.a": 2.0}'


def test_what_is_chosen_on_validation_anyway_is_not_searched() -> None:
    chosen = cell({"name": "logit-adjusted", "form": "post-hoc", "tau": None})
    given = cell({"name": "logit-adjusted", "form": "post-hoc"})
    assert space.of(chosen, digits().info(0)).distributions.keys() == {"recipe.lr", "recipe.weight_decay"}
    assert space.of(given, digits().info(0)).start["head.tau"] == 1.0


def test_a_space_that_depends_on_its_own_values_is_refused(searching: Any) -> None:
    def asked(trial: Any) -> dict[str, Any]:
        a = trial.suggest_float("a", 0, 3)
        return {"a": a} | ({"b": trial.suggest_float("b", 0, 3)} if a > 1 else {})

    searching.asked = asked
    with pytest.raises(UserError, match="head 'searching': its search space depends on its own values"):
        space.values(cell("searching"), {"head.a": 2.0})


def test_a_trial_is_another_cell_than_the_final_one_and_cells_keep_their_identity() -> None:
    one = cell()
    trial = one.model_copy(update={"purpose": "tune"})
    assert planned(one)[0].cell_id != planned(trial)[0].cell_id
    assert planned(one.model_copy(update={"tuned": 12}))[0].cell_id == planned(one)[0].cell_id
    assert one.tuned == 0
