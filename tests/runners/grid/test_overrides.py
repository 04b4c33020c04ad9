"""``--set`` and ``--where``."""

from itertools import product
from typing import Any

import pytest
import yaml

from headbench.core.errors import UserError
from headbench.runners.grid import recipes
from headbench.runners.grid.config import expand, parse_grid
from headbench.runners.grid.overrides import Several, assignments, choose, derive
from tests.runners.helpers import cells, grid


def test_values_are_read_as_yaml_and_commas_make_lists() -> None:
    words = [
        "recipe.epochs=3",
        "axes.head=psc,hpn",
        "axes.seed=0,1",
        "recipe.flip=false",
        "recipe.lr=5e-1",
        "axes.backbone=[{name: resnet32, width: 32}]",
    ]
    parsed = assignments(words, "--set")
    assert parsed["axes.head"] == ["psc", "hpn"]
    assert parsed["axes.seed"] == [0, 1]
    assert (parsed["recipe.epochs"], parsed["recipe.flip"]) == (3, False)
    assert parsed["axes.backbone"] == [{"name": "resnet32", "width": 32}]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["recipe"], "'recipe' is not of the form"), (["a=1", "a=2"], "'a' is given twice"), (["a=[1"], "cannot read")],
)
def test_a_malformed_word_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        assignments(words, "--set")


def test_a_derived_grid_has_a_name_of_its_own() -> None:
    changes = {"recipe.epochs": 3, "axes.seed": [0, 1]}
    derived = derive(grid(), changes, None)
    assert derived["name"].startswith("tiny+")
    assert derive(grid(), {"recipe.epochs": 4}, None)["name"] != derived["name"]
    assert derive(grid(), changes, "mine")["name"] == "mine"
    assert derive(grid(), {}, None)["name"] == "tiny"
    expanded = expand(parse_grid(derived, "grid"), "auto")
    assert [(cell.recipe.epochs, cell.seed) for cell in expanded] == [(3, 0), (3, 1)]


def test_a_recipe_axis_is_changed_in_every_recipe() -> None:
    derived = derive(grid(axes={"recipe": ["fast", {"base": "paper", "lr": 0.5}]}), {"recipe.epochs": 3}, None)
    assert derived["axes"]["recipe"] == [{"base": "fast", "epochs": 3}, {"base": "paper", "lr": 0.5, "epochs": 3}]


def test_several_values_of_a_recipe_or_of_its_field_are_an_axis() -> None:
    cases: list[tuple[dict[str, Any], list[Any]]] = [
        ({"recipe.lr": [0.1, 0.2]}, [("fast", 0.1), ("fast", 0.2)]),
        ({"recipe": ["fast", "paper"]}, [("fast", None), ("paper", None)]),
        ({"recipe.lr": [0.1, 0.2], "recipe": ["fast", "paper"]}, [*product(["fast", "paper"], [0.1, 0.2])]),
        ({"recipe.lr": [0.1, 0.2], "axes.recipe": ["fast"]}, [("fast", 0.1), ("fast", 0.2)]),
    ]
    for changes, expected in cases:
        given = {key: Several(value) if key != "axes.recipe" else value for key, value in changes.items()}
        derived = derive(grid(recipe="fast"), given, None)
        assert "recipe" not in derived
        assert derived == yaml.safe_load(yaml.safe_dump(derived))
        cells = expand(parse_grid(derived, "here"), "fp32")
        assert [(cell.recipe_name, cell.recipe.lr) for cell in cells] == [
            (name, recipes.load(name, {}, "here").lr if lr is None else lr) for name, lr in expected
        ]


def test_a_recipe_is_chosen_before_its_fields_are_changed_whatever_the_order() -> None:
    for changes in ({"recipe": "paper", "recipe.epochs": 3}, {"recipe.epochs": 3, "recipe": "paper"}):
        assert derive(grid(), changes, None)["recipe"] == {"base": "paper", "epochs": 3}
    listed = derive(grid(), {"recipe.epochs": 3, "axes.recipe": ["fast", "paper"]}, None)
    assert listed["axes"]["recipe"] == [{"base": "fast", "epochs": 3}, {"base": "paper", "epochs": 3}]


@pytest.mark.parametrize(
    ("axes", "changes"),
    [({"recipe": ["fast"]}, {"recipe": "nonsense"}), ({}, {"axes.recipe": ["fast"], "recipe": "paper"})],
)
def test_a_recipe_beside_a_list_of_recipes_is_refused(axes: dict[str, Any], changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"'recipe' means nothing where 'axes\.recipe' lists"):
        derive(grid(axes=axes), changes, None)


@pytest.mark.parametrize("axes", [3, "fast", ["fast"], {"recipe": "fast"}, {"recipe": {"base": "fast"}}, {"recipe": 3}])
@pytest.mark.parametrize("change", [{"recipe.epochs": 2}, {"axes.seed": 1}])
def test_what_is_no_list_of_recipes_is_refused_and_not_taken_apart(axes: Any, change: dict[str, Any]) -> None:
    usual = {"dataset": ["digits"], "feature_dim": [2], "head": ["psc"]}
    contents = {"name": "given", "axes": usual | axes if isinstance(axes, dict) else axes}
    with pytest.raises(UserError, match="grid given.yaml: axes"):
        parse_grid(derive(contents, change, None), "grid given.yaml")


@pytest.mark.parametrize("changes", [{}, {"recipe.epochs": 2}])
def test_an_axis_of_no_recipes_is_none(changes: dict[str, Any]) -> None:
    usual = {"dataset": ["digits"], "feature_dim": [2], "head": ["psc"], "recipe": None}
    grid = parse_grid(derive({"name": "given", "axes": usual}, changes, None), "grid given.yaml")
    (cell,) = expand(grid, "auto")
    assert cell.recipe_label == ("fast(epochs=2)" if changes else "fast")


@pytest.mark.parametrize("path", ["axes.haed", "recpie.epochs", "name", "head.loss_scale"])
def test_an_unknown_path_is_one_line(path: str) -> None:
    with pytest.raises(UserError, match=f"--set: unknown key '{path}'"):
        derive(grid(), {path: 1}, None)


def test_where_chooses_by_name_or_label() -> None:
    several = cells(
        axes={"head": ["psc", "hpn", {"name": "hpn", "loss_scale": 2}], "feature_dim": [3, 5], "seed": [0, 1]}
    )
    assert len(choose(several, {})) == 12
    assert len(choose(several, {"head": "hpn"})) == 8
    assert len(choose(several, {"head": "hpn(loss_scale=2.0)"})) == 4
    assert len(choose(several, {"head": ["psc", "hpn"], "feature_dim": 5, "seed": 0})) == 3
    assert len(choose(several, {"dataset": "digits", "recipe": "fast", "backbone": "fast_convnet"})) == 12


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"head": "hnp"}, "no cell has head 'hnp'; did you mean 'hpn'"),
        ({"haed": "hpn"}, "unknown key 'haed'"),
        ({"seed": 7}, "no cell has seed '7'"),
    ],
)
def test_a_filter_that_matches_nothing_is_one_line(where: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(cells(axes={"head": ["psc", "hpn"]}), where)


def test_where_chooses_an_imbalance_factor_and_a_data_set_with_options() -> None:
    found = cells(
        axes={"dataset": ["digits", {"name": "cifar100", "labels": "coarse"}], "imbalance_factor": [1, 2.5, 100]}
    )
    assert [c.imbalance_factor for c in choose(found, {"imbalance_factor": 100})] == [100, 100]
    assert [c.imbalance_factor for c in choose(found, {"imbalance_factor": [1, 2.5], "dataset": "digits"})] == [1, 2.5]
    assert {c.dataset_label for c in choose(found, {"dataset": "cifar100"})} == {"cifar100(labels=coarse)"}
