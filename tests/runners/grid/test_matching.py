"""Which cells are meant by ``overrides.where`` and ``--where``: one rule."""

from pathlib import Path
from typing import Any

import pytest

from headbench.core.errors import UserError
from headbench.runners.grid import config
from headbench.runners.grid.config import expand, parse_grid
from headbench.runners.grid.overrides import assignments, choose, derive
from tests.runners.helpers import cells, grid

AXES: dict[str, Any] = {
    "head": ["psc", {"name": "hpn", "loss_scale": 4}, {"name": "hpn", "loss_scale": 2, "prototypes": "uniform"}],
    "feature_dim": [3, 5],
    "imbalance_factor": [1, 10],
    "seed": [0, 1],
}
MATCHES: list[tuple[dict[str, Any], int]] = [
    ({}, 24),
    ({"head": "hpn"}, 16),
    ({"head": "hpn(loss_scale=4.0)"}, 8),
    ({"head": "hpn(loss_scale=4)"}, 8),
    ({"head": "hpn(loss_scale=2,prototypes=uniform)"}, 8),
    ({"head": ["psc", "hpn(loss_scale=4)"]}, 16),
    ({"head.loss_scale": 4}, 8),
    ({"head.loss_scale": [2, 4.0]}, 16),
    ({"head.prototypes": "uniform", "seed": 1}, 4),
    ({"imbalance_factor": 10}, 12),
    ({"imbalance_factor": 10.0, "feature_dim": 5.0}, 6),
    ({"recipe": "fast"}, 24),
    ({"recipe.epochs": 2}, 24),
    ({"backbone.widths": [[4, 6, 8]]}, 24),
    ({"projection": "linear", "dataset": "digits"}, 24),
    ({"head.name": "psc"}, 8),
]


@pytest.mark.parametrize(("where", "count"), MATCHES)
def test_a_filter_and_an_override_mean_the_same_cells(where: dict[str, Any], count: int) -> None:
    assert len(choose(cells(axes=AXES), where)) == count
    changed = cells(axes=AXES, overrides=[{"where": where, "set": {"recipe.lr": 0.5}}])
    assert sum(cell.recipe.lr == 0.5 for cell in changed) == count


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"head": "hpnn"}, "no cell has head 'hpnn'; did you mean 'hpn'"),
        ({"head": ["hpn", "pcs"]}, "no cell has head 'pcs'; did you mean 'psc'"),
        ({"head": "etf"}, "no cell has head 'etf'"),
        ({"haed": "hpn"}, "unknown key 'haed'; did you mean 'head'"),
        ({"head.los_scale": 4}, "unknown key 'head.los_scale'; did you mean 'head.loss_scale'"),
        ({"head.loss_scale": 3}, "no cell has head.loss_scale '3'; .*known: 1, 2, 4"),
        ({"recipe.epocs": 2}, "unknown key 'recipe.epocs'; did you mean 'recipe.epochs'"),
        ({"seed.x": 0}, "unknown key 'seed.x'"),
        ({"seed": 7}, "no cell has seed '7'; known: 0, 1"),
        ({"seed": []}, "no value for seed; known: 0, 1"),
        ({"seed": True}, "no cell has seed 'True'; known: 0, 1"),
        ({"seed": "1"}, "no cell has seed '1'"),
        ({"seed": None}, "no cell has seed 'None'"),
        ({"seed": {"a": 1}}, "no cell has seed "),
        ({"head": [["psc"]]}, "no cell has head "),
        (
            {"head": "psc", "head.loss_scale": 4},
            "matches no cell; each value occurs, but head, head.loss_scale not together",
        ),
    ],
)
def test_what_matches_nothing_is_refused_with_the_nearest(where: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^--where: {message}"):
        choose(cells(axes=AXES), where)
    with pytest.raises(UserError, match=f"^grid 'tiny', overrides.where: {message}"):
        cells(axes=AXES, overrides=[{"where": where, "set": {"recipe.lr": 0.5}}])


def test_a_recipe_is_named_by_its_budget_too() -> None:
    """``fast`` has ten epochs."""
    rates: list[dict[str, Any]] = [{"base": "fast/2", "lr": 0.1}]
    made = cells(axes={"recipe": ["fast/2", "fast", "fast*2", *rates]})
    assert [cell.recipe.epochs for cell in choose(made, {"recipe": ["fast*2", "fast/2"]})] == [5, 20, 5]
    assert [cell.recipe_label for cell in choose(made, {"recipe": "fast*1"})] == ["fast"]
    assert [cell.recipe_label for cell in choose(made, {"recipe": "fast(epochs=5)"})] == ["fast(epochs=5)"]
    assert choose(made, {"recipe.name": "fast/2"}) == choose(made, {"recipe": "fast/2"})
    assert len(choose(made, {"recipe": "fast"})) == 4
    with pytest.raises(UserError, match=r"^--where: no cell has recipe 'fast/4'; did you mean 'fast"):
        choose(made, {"recipe": "fast/4"})
    with pytest.raises(UserError, match=r"^--where: recipe 'fast/0': '0' is no number from 1 to 1,000"):
        choose(made, {"recipe": "fast/0"})
    with pytest.raises(UserError, match=r"^--where: unknown recipe 'fats'; did you mean 'fast'"):
        choose(made, {"recipe": "fats/2"})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"head.los_scale": 2}, "head 'hpn': unknown key 'los_scale'; did you mean 'loss_scale'"),
        ({"recipe.epocs": 2}, "recipe 'fast': unknown key 'epocs'; did you mean 'epochs'"),
        ({"recepi": "fast"}, "overrides.set: unknown key 'recepi'; did you mean 'recipe'"),
        ({"seed.x": 1}, "overrides.set: unknown key 'seed.x'"),
        ({"head.loss_scale": True}, r"loss_scale: .*valid number \(got True\)"),
        ({"head.name": 3}, "overrides.set: head.name: name: "),
        ({"feature_dim": "7"}, r"feature_dim: .*valid integer \(got '7'\)"),
        ({}, "overrides.0.set: .*at least 1 item"),
    ],
)
def test_what_an_override_sets_is_checked(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cells(axes={"head": ["hpn"]}, overrides=[{"where": {"head": "hpn"}, "set": setting}])


def test_an_override_sees_what_those_before_it_have_set() -> None:
    overrides = [
        {"where": {"head": "psc"}, "set": {"head": "hpn"}},
        {"where": {"head": "hpn"}, "set": {"head.loss_scale": 3}},
    ]
    assert [cell.head_label for cell in cells(overrides=overrides)] == ["hpn(loss_scale=3.0)"]


def test_a_derived_grid_may_leave_nothing_to_an_override() -> None:
    """What ``--set`` removes is no typing mistake, as long as the override matched in the file as it is written."""
    written = grid(axes={"head": ["psc", "hpn"]}, overrides=[{"where": {"head": "hpn"}, "set": {"recipe.lr": 0.5}}])
    assert len(expand(parse_grid(written, "grid"), "auto")) == 2
    derived = parse_grid(derive(written, {"axes.head": ["psc"]}, None), "grid")
    with pytest.raises(UserError, match="no cell has head 'hpn'"):
        expand(derived, "auto")
    assert [cell.recipe.lr for cell in expand(derived, "auto", derived=True)] == [0.05]


def test_a_label_on_the_command_line_keeps_its_commas() -> None:
    where = assignments(["head=psc,hpn(loss_scale=2,prototypes=uniform)", "dataset='a,b'"], "--where")
    assert where == {"head": ["psc", "hpn(loss_scale=2,prototypes=uniform)"], "dataset": "a,b"}


def test_messages_name_the_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    begin = (
        "name: my\naxes:\n  dataset: [digits]\n  feature_dim: [3]\n  head:\n  - psc\n  - {name: hpn,\n     "
        "loss_scale: SCALE}\n"
    )
    overrides = (
        "overrides:\n- {where: {head: psc}, set: {recipe.lr: 0.1}}\n- where: {head: hpnn}\n  set: {recipe.lr: 0.2}\n"
    )
    for text, message in (
        (
            begin.replace("SCALE", "2").replace("[3]", "[yes]"),
            "grid my.yaml: axes.feature_dim.0: Input should be a valid integer (got True) (line 4)",
        ),
        (
            begin.replace("SCALE", "true"),
            "grid my.yaml, head 'hpn': loss_scale: Input should be a valid number (got True) (line 7)",
        ),
        (
            begin.replace("SCALE", "2") + overrides,
            "grid my.yaml, overrides.where: no cell has head 'hpnn'; did you mean 'hpn'? known: hpn, psc (line 11)",
        ),
        (begin.replace("SCALE", "2") + "recpie: fast\n", "(line 9)"),
        (begin.replace("psc", "psk"), "word2vec (line 6)"),
        (begin.replace("digits", "digit"), "tiny-imagenet (line 3)"),
        (begin.replace("SCALE", "2") + "recipe: fats\n", "probe (line 9)"),
        (begin.replace("SCALE", "2") + "overrides:\n- where: {head: psc}\n  set: {head: etff}\n", "word2vec (line 10)"),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as caught:
            expand(parse_grid(*config.read_grid(str(file))), "auto", "grid my.yaml")
        assert str(caught.value).startswith("grid my.yaml")
        assert str(caught.value).endswith(message)
