"""Grids, cells and their identity."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import PositiveFloat

from headbench.core import yaml_files
from headbench.core.batch import DataInfo
from headbench.core.errors import UserError
from headbench.data.loading.samplers import SAMPLERS
from headbench.heads import HEADS, Options
from headbench.results import store
from headbench.runners.execution import plan
from headbench.runners.grid import config, optimisers, recipes
from headbench.runners.grid.cells import Cell, digest
from headbench.runners.grid.config import expand, parse_grid
from headbench.runners.training import optimisation
from tests.data.helpers import png, random_images
from tests.heads.throwaway import ThrowawayHead
from tests.runners.helpers import QUICK, cell, cells, grid


@pytest.mark.parametrize("name", config.grid_names())
def test_every_grid_of_the_harness_expands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "efficientnet_lite0.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    contents, place = config.read_grid(name)
    expanded = expand(parse_grid(contents, place), "auto")
    product = math.prod(len(values) for values in contents["axes"].values())
    assert contents["name"] == name
    assert len(expanded) < product if contents.get("without") else len(expanded) == product


def test_the_demonstration_has_75_cells() -> None:
    contents, place = config.read_grid("digits-dims")
    assert len(expand(parse_grid(contents, place), "auto")) == 75


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_of_the_harness_is_valid(name: str) -> None:
    assert recipes.load(name, {}, "here").epochs > 0


def test_the_paper_recipe_is_hpns() -> None:
    recipe = recipes.load("paper", {}, "here")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum, recipe.weight_decay) == (
        250,
        128,
        0.01,
        0.9,
        1e-4,
    )
    assert isinstance(recipe.schedule, optimisers.MultiStep)
    assert [round(fraction * 250) for fraction in recipe.schedule.milestones] == [100, 200]
    assert recipe.loss_scale == {"squared-cosine": 128, "dot-regression": 256}


def test_a_word_is_a_kind_without_fields() -> None:
    plain = recipes.load("fast", {}, "here")
    named = {"schedule": {"name": "cosine"}, "optimiser": {"name": "adamw"}}
    assert recipes.change(plain, named, "here") == recipes.change(
        plain, {key: own["name"] for key, own in named.items()}, "here"
    )


def rates(name: str) -> dict[int, float]:
    """The learning rate of a recipe from each epoch on in which it changes, without its warm-up."""
    recipe = recipes.load(name, {}, "here")
    assert isinstance(recipe.schedule, optimisers.MultiStep)
    found: dict[int, float] = {}
    for epoch in range(recipe.schedule.warmup_epochs, recipe.epochs):
        rate = recipe.lr * optimisation.multi_step(recipe.schedule, epoch, recipe.epochs)
        if rate not in found.values():
            found[epoch] = rate
    return found


def test_the_long_tailed_recipes_are_those_of_ldam_and_proco() -> None:
    assert rates("lt-ldam") == pytest.approx({5: 0.1, 160: 1e-3, 180: 1e-5})
    assert rates("lt-contrastive") == pytest.approx({5: 0.3, 160: 0.03, 180: 0.003})
    assert rates("lt-contrastive-400") == pytest.approx({10: 0.3, 360: 0.03, 380: 0.003})
    short, long = (recipes.load(name, {}, "here") for name in ("lt-contrastive", "lt-contrastive-400"))
    assert (long.epochs, long.schedule) != (short.epochs, short.schedule)
    assert long.model_copy(update={"epochs": short.epochs, "schedule": short.schedule}) == short
    assert (short.batch_size, short.weight_decay, short.policy, short.cutout) == (256, 2e-4, "autoaugment", 16)
    own = recipes.load("lt-short", {}, "here")
    assert (own.augmentation(), own.mixup) == (short.augmentation(), 0)


def test_expansion_is_the_product_and_then_the_overrides() -> None:
    expanded = cells(
        axes={"head": ["psc", {"name": "hpn", "loss_scale": 4}], "feature_dim": [3, 5], "seed": [0, 1, 2]},
        overrides=[{"where": {"head": "hpn", "feature_dim": [5]}, "set": {"head.loss_scale": 2.0, "recipe.lr": 0.01}}],
    )
    assert len(expanded) == 12
    changed = {c.head_label for c in expanded if c.feature_dim == 5 and c.head == "hpn"}
    assert changed == {"hpn(loss_scale=2.0)"}
    assert {c.head_label for c in expanded if c.feature_dim == 3} == {"psc", "hpn(loss_scale=4.0)"}
    assert {c.recipe.lr for c in expanded if c.head_label == "hpn(loss_scale=2.0)"} == {0.01}
    assert len({c.recipe_label for c in expanded}) == 2


def test_without_leaves_out_what_matches_after_the_overrides() -> None:
    axes = {"head": ["psc", "hpn", "etf"], "feature_dim": [9, 10], "seed": [0, 1]}
    left = cells(
        axes=axes,
        overrides=[{"where": {"head": "psc", "feature_dim": 9}, "set": {"head.loss_scale": 2.0}}],
        without=[{"head": ["hpn", "psc(loss_scale=2)"], "feature_dim": 9}, {"head.loss_scale": 16.0, "seed": 1}],
    )
    told = {"hpn": "hpn", "etf": "etf", "psc": "psc"}
    assert [(told[c.head_label], c.feature_dim, c.seed) for c in left] == [
        ("etf", 9, 0),
        ("psc", 10, 0),
        ("hpn", 10, 0),
        ("etf", 10, 0),
        ("psc", 10, 1),
        ("hpn", 10, 1),
    ]


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ([{"head": "hpm"}], "grid 'tiny', without: no cell has head 'hpm'; did you mean 'hpn'"),
        ([{"haed": "hpn"}], "grid 'tiny', without: unknown key 'haed'; did you mean 'head'"),
        ([{"head": "hpn", "seed": 0}, {"seed": 1}, {"head": "psc"}], "grid 'tiny': without leaves no cell"),
        ([{}], "grid 'tiny': without leaves no cell"),
        (["psc"], "grid tiny: without.0"),
    ],
)
def test_what_is_left_out_is_checked(without: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cells(axes={"head": ["psc", "hpn"], "seed": [0, 1]}, without=without)


def test_a_derived_grid_may_have_nothing_of_what_is_left_out() -> None:
    parsed = parse_grid(grid(axes={"head": ["psc"]}, without=[{"head": "hpn"}]), "grid tiny")
    assert len(expand(parsed, "fp32", "grid tiny", derived=True)) == 1


def test_a_recipe_gives_its_heads_their_loss_scale_and_the_label_does_not_say_so() -> None:
    assert (cell("hpn").head_options["loss_scale"], cell("hpn").head_label) == (8.0, "hpn")
    assert cell("psc").head_options["loss_scale"] == 1.0
    for options, scale in (({}, 8.0), ({"loss": "dot-regression"}, 16.0), ({"loss": "cross-entropy"}, 1.0)):
        found = cell("dl2pa", axes={"head": [{"name": "dl2pa"} | options]})
        assert found.head_options["loss_scale"] == scale
        assert "loss_scale" not in found.head_label


def test_the_label_of_word_vectors_names_them_also_where_they_are_the_default() -> None:
    options: list[dict[str, Any]] = [{}, {"vectors": "minilm"}, {"vectors": "glove", "whiten": True}]
    found = [cell("word2vec", axes={"head": [{"name": "word2vec"} | given]}) for given in options]
    assert [c.head_label for c in found] == ["word2vec(vectors=minilm)"] * 2 + ["word2vec(vectors=glove, whiten=True)"]
    assert found[0].cell_id("data") == found[1].cell_id("data")


@pytest.mark.parametrize("name", ["cifar10-lt", "cifar100-lt", "svhn-lt", "stl10-lt"])
def test_in_the_long_tailed_grids_every_head_with_fixed_prototypes_has_batch_normalisation(name: str) -> None:
    expanded = expand(parse_grid(*config.read_grid(name)), "auto")
    normalised = {c.head: c.head_options.get("batch_norm") for c in expanded}
    assert normalised == {"psc": None, "word2vec": True, "hpn": True, "etf": True, "dl2pa": True}


def views(cell: Cell) -> int:
    """The most views that any stage of a cell shows of an image."""
    stages = HEADS.get(cell.head).target.stages(cell.recipe, cell.head_options)
    return max(len(stage.views) for stage in stages)


def test_the_short_long_tailed_grid_trains_heads_of_one_view_also_three_times_as_long() -> None:
    expanded = expand(parse_grid(*config.read_grid("lt-short")), "auto")
    short, long = ({c.head_label: views(c) for c in expanded if c.recipe.epochs == n} for n in (50, 150))
    assert {c.recipe.epochs for c in expanded} == {50, 150}
    assert set(long) == {label for label, shown in short.items() if shown == 1}
    assert {shown for shown in short.values() if shown > 1} <= {2, 3}
    assert len({c.recipe.identity()["lr"] for c in expanded}) == len({c.backbone_label for c in expanded}) == 1


def test_the_grid_of_confounders_changes_one_thing_at_a_time() -> None:
    expanded = expand(parse_grid(*config.read_grid("lt-confounders")), "auto")
    width = {c.feature_dim: c.backbone_options["width"] for c in expanded}
    assert width == {64: 16, 128: 32}
    assert {c.recipe_label for c in expanded if c.feature_dim == 128} == {"lt-short"}
    assert len({c.recipe_label for c in expanded}) == 5


@pytest.mark.parametrize("name", ["cifar10-lt-contrastive", "cifar100-lt-contrastive"])
def test_sbcl_is_trained_by_its_own_recipe(name: str) -> None:
    expanded = expand(parse_grid(*config.read_grid(name)), "auto")
    assert {c.recipe_label for c in expanded if c.head == "sbcl"} == {"lt-sbcl"}
    assert {c.recipe_label for c in expanded if c.head != "sbcl"} == {"lt-contrastive", "lt-contrastive-400"}
    own = next(c for c in expanded if c.head == "sbcl")
    first, second = HEADS.get("sbcl").target.stages(own.recipe, own.head_options)
    trained = [recipes.change(own.recipe, stage.overrides, "here") for stage in (first, second)]
    assert [(r.batch_size, r.lr, r.weight_decay) for r in trained] == [(1024, 0.5, 1e-4), (128, 0.1, 0)]
    assert (first.epochs, second.epochs) == (1000, 200)
    assert isinstance(own.recipe.schedule, optimisers.Cosine)
    assert optimisation.cosine(own.recipe.schedule, 0, 10, 1000) * own.recipe.lr == pytest.approx(0.01)


@pytest.mark.parametrize(
    "name", [n for n in config.grid_names() if n.startswith(("lt-", "imagenet-lt", "inat")) or "-lt" in n]
)
def test_long_tailed_grids_have_the_seeds_of_a_verdict(name: str) -> None:
    contents, _ = config.read_grid(name)
    assert contents["axes"]["seed"] == [0, 1, 2]


def test_the_grid_of_all_heads_shows_both_radii_of_max_separation() -> None:
    expanded = expand(parse_grid(*config.read_grid("cifar100-heads")), "auto")
    assert {c.head_options["rho"] for c in expanded if c.head == "max-separation"} == {0.1, 1.0}


def test_a_recipe_may_be_an_axis() -> None:
    labels = [c.recipe_label for c in cells(axes={"recipe": ["fast", {"base": "paper", "epochs": 3}]})]
    assert labels == ["fast", "paper(epochs=3)"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"head": ["etff"]}}, "unknown head 'etff'; did you mean 'etf'"),
        ({"axes": {"dataset": ["cifar11"]}}, "unknown data set 'cifar11'; did you mean 'cifar10'"),
        ({"axes": {"backbone": ["resnet23"]}}, "unknown backbone 'resnet23'; did you mean 'resnet32'"),
        ({"recipe": "fats"}, "unknown recipe 'fats'; did you mean 'fast'"),
        ({"recipe": {"base": "fast", "epocs": 3}}, "recipe 'fast': unknown key 'epocs'; did you mean 'epochs'"),
        ({"recipe": {"base": "fast", "lr": -1}}, r"recipe 'fast': lr: .*greater than 0 \(got -1\)"),
        (
            {"recipe": {"base": "fast", "schedule": {"name": "cosin"}}},
            r"recipe 'fast': schedule: unknown 'cosin'; did you mean .cosine.\? known: cosine, multi_step, one_cycle",
        ),
        (
            {"recipe": {"base": "fast", "accumulate": 3}},
            "recipe 'fast': accumulate: .*3 parts of a batch of 256 are not equal; 2 would be",
        ),
        ({"recipe": {"base": "fast", "ema": 1.0}}, r"recipe 'fast': ema: .*less than 1 \(got 1.0\)"),
        ({"axes": {"feature_dim": [0]}}, r"grid tiny: axes.feature_dim.0: .*greater than 0 \(got 0\)"),
        ({"axes": {"head": []}}, r"grid tiny: axes.head: .*at least 1 item"),
        ({"recipe": {"base": "fast", "schedule": "one_cycle"}}, "schedule.one_cycle.warmup: required, but missing"),
        ({"recipe": {"base": "fast", "schedule": {"up": 0.1}}}, "schedule: a name is missing, one of one_cycle"),
        (
            {"recipe": {"base": "fast", "schedule": {"name": "cosine", "warmup_epoch": 5}}},
            "unknown key 'schedule.cosine.warmup_epoch'; did you mean 'warmup_epochs'",
        ),
        ({"recipe": {"base": "fast", "optimiser": "moun"}}, "optimiser: unknown 'moun'; did you mean 'muon'"),
        ({"recipe": {"base": "fast", "optimiser": {"name": "sgd", "nesterov": True}}}, "sgd has no fields of its own"),
        (
            {"recipe": {"base": "fast", "optimiser": {"name": "muon", "lr_factr": 0.1}}},
            "unknown key 'optimiser.muon.lr_factr'; did you mean 'lr_factor'",
        ),
        ({"recipe": {"base": "fast", "small": 20}}, r"small: Input should be a mapping, as {key: value} \(got 20\)"),
        ({"axes": {"heads": ["psc"]}}, r"grid tiny: unknown key 'axes.heads'; did you mean 'head'"),
        ({"recpie": "fast"}, "grid tiny: unknown key 'recpie'; did you mean 'recipe'"),
        ({"val_fraction": 1.5}, r"grid tiny: val_fraction: .*less than 1 \(got 1.5\)"),
        (
            {"axes": {"head": [{"name": "hpn", "loss_scle": 2}]}},
            "head 'hpn': unknown key 'loss_scle'; did you mean 'loss_scale'",
        ),
        ({"axes": {"head": [{"nmae": "hpn"}]}}, r"grid tiny: axes.head.0.name: required, but missing"),
        ({"axes": {"seed": [0, 0]}}, "the same cell occurs twice"),
        (
            {"overrides": [{"where": {"haed": "hpn"}, "set": {"seed": 1}}]},
            "overrides.where: unknown key 'haed'; did you mean 'head'",
        ),
        ({"overrides": [{"where": {}, "set": {"had.x": 1}}]}, "overrides.set: unknown key 'had.x'"),
        ({"name": "a/b"}, "grid tiny: name: "),
        (
            {"axes": {"imbalance_factor": [0.01]}},
            r"grid tiny: axes.imbalance_factor.0: .*greater than or equal to 1 \(got 0.01\)",
        ),
        ({"imbalance_profile": "linear"}, r"grid tiny: imbalance_profile: .*'exp' or 'step'"),
        (
            {"axes": {"dataset": [{"name": "cifar100", "labels": "corse"}]}},
            r"data set 'cifar100': labels: .*'fine' or 'coarse'",
        ),
        (
            {"axes": {"dataset": [{"name": "folder", "pth": "x"}]}},
            "data set 'folder': unknown key 'pth'; did you mean 'path'",
        ),
        (
            {"axes": {"backbone": [{"name": "timm", "model": "resnet5"}]}},
            "backbone 'timm': model: unknown timm model 'resnet5'; did you mean 'resnet50'",
        ),
        (
            {"axes": {"head": [{"name": "word2vec", "vectors": "glvoe"}]}},
            "vectors: unknown table 'glvoe'; did you mean 'glove'",
        ),
        ({"recipe": {"base": "fast", "policy": "randaug"}}, r"policy: none of autoaugment.* \(got 'randaug'\)"),
        ({"recipe": {"base": "fast", "policy": "randaugment-31"}}, r"policy: none of .*\(got 'randaugment-31'\)"),
        ({"recipe": {"base": "fast", "policy": 3}}, r"policy: .*string \(got 3"),
        ({"recipe": {"base": "fast", "cutout_fill": "grey"}}, r"cutout_fill: .*'mean' or 'black' \(got 'grey'\)"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_choice(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        expand(parse_grid(grid(**changes), "grid tiny"), "auto")
    assert "\n" not in str(caught.value)


def test_the_identity_counts_what_is_scientific() -> None:
    base = cell("hpn")
    assert base.cell_id("data") == cell("hpn").cell_id("data")
    others = [
        base.cell_id("other data"),
        cell("psc").cell_id("data"),
        cell("hpn", axes={"seed": [1]}).cell_id("data"),
        cell("hpn", axes={"feature_dim": [6]}).cell_id("data"),
        cell("hpn", axes={"backbone": [{"name": "fast_convnet", "widths": [4, 6, 9]}]}).cell_id("data"),
        cell("hpn", axes={"head": [{"name": "hpn", "loss_scale": 9}]}).cell_id("data"),
        cell("hpn", recipe=QUICK | {"lr": 0.06}).cell_id("data"),
        cell("hpn", val_fraction=0.2).cell_id("data"),
        cell("hpn", split_seed=1).cell_id("data"),
        cell("hpn", axes={"imbalance_factor": [10]}).cell_id("data"),
        cell("hpn", axes={"imbalance_factor": [10]}, imbalance_profile="step").cell_id("data"),
        cell("hpn", imbalance_seed=1).cell_id("data"),
        cell("hpn", axes={"dataset": [{"name": "folder", "size": 8}]}).cell_id("data"),
        cell("hpn", recipe=QUICK | {"mixup": 1.0}).cell_id("data"),
        base.model_copy(update={"head_version": 2}).cell_id("data"),
        base.model_copy(update={"precision": "bf16"}).cell_id("data"),
    ]
    assert len({base.cell_id("data"), *others}) == len(others) + 1


def test_the_identity_ignores_names_and_other_heads_loss_scale() -> None:
    base = cell("hpn")
    assert base.cell_id("data") == cell("hpn", name="other").cell_id("data")
    scales = {"squared-cosine": 8, "dot-regression": 99}
    assert base.cell_id("data") == cell("hpn", recipe=QUICK | {"loss_scale": scales}).cell_id("data")


def test_the_identity_does_not_know_where_files_are(tmp_path: Path) -> None:
    def of(path: str) -> str:
        return cell("hpn", axes={"dataset": [{"name": "folder", "path": path}]}).cell_id("data")

    assert of("here") == of("there")
    for name, text in (("a.txt", "cat 1 2"), ("b.txt", "cat 1 2"), ("c.txt", "cat 2 1")):
        (tmp_path / name).write_text(text)
    ids = [
        cell("word2vec", axes={"head": [{"name": "word2vec", "vectors": str(tmp_path / name)}]}).cell_id("data")
        for name in ("a.txt", "b.txt", "c.txt")
    ]
    assert ids[0] == ids[1] != ids[2]
    backbones = [{"name": "fast_convnet", "weights": str(tmp_path / name)} for name in ("a.txt", "b.txt", "c.txt")]
    ids = [cell(axes={"backbone": [backbone]}).cell_id("data") for backbone in backbones]
    assert ids[0] == ids[1] != ids[2]
    with pytest.raises(UserError, match=r"backbone 'fast_convnet': weights: .*not point to a file .*gone\.pt"):
        cell(axes={"backbone": [{"name": "fast_convnet", "weights": "gone.pt"}]})


def test_options_of_backbones_that_are_off_and_nothing_frozen_are_as_before_there_were_any() -> None:
    one = cell(axes={"backbone": [{"name": "timm", "model": "resnet18", "size": None, "pretrained": False}]})
    later = {"backbone_files", "freeze", "recipe_name", "purpose", "tuned", "devices"}
    former = one.model_dump(mode="json", exclude=later)
    former = {name: value for name, value in former.items() if not name.endswith("_label")}
    former |= {"backbone_options": {"model": "resnet18"}, "recipe": one.recipe.identity(), "data": "data"}
    former["dataset_options"] = {}
    former["head_options"] |= former["head_files"]
    assert one.cell_id("data") == digest(former)


@pytest.mark.parametrize(("head", "changed"), [("hpn", {"loss": "cross-entropy"}), ("dl2pa", {"scale": 6.5})])
def test_later_options_of_a_head_change_no_cell_that_has_them_at_their_default(
    head: str, changed: dict[str, Any]
) -> None:
    one, other = (cell(axes={"head": [{"name": head, **options}]}) for options in ({}, changed))
    former = {name: value for name, value in one.head_options.items() if name not in HEADS[head].later}
    assert len(former) < len(one.head_options)
    assert one.model_copy(update={"head_options": former}).cell_id("data") == one.cell_id("data")
    assert other.cell_id("data") != one.cell_id("data")


def test_an_override_may_take_another_recipe_for_one_backbone() -> None:
    small, large = {"name": "timm", "model": "resnet18"}, {"name": "timm", "model": "resnet50"}
    override = {"where": {"backbone.model": "resnet50"}, "set": {"recipe": "imagenet-adamw"}}
    found = cells(axes={"backbone": [small, large]}, recipe={"base": "imagenet", "epochs": 2}, overrides=[override])
    assert [(c.recipe.optimiser, c.recipe_label) for c in found] == [
        ("sgd", "imagenet(epochs=2)"),
        ("adamw", "imagenet-adamw(epochs=2)"),
    ]


def test_an_override_with_a_budget_has_its_epochs() -> None:
    override = {"where": {"head": "hpn"}, "set": {"recipe": "fast*2"}}
    found = cells(axes={"head": ["psc", "hpn"]}, recipe={"base": "fast", "epochs": 12, "lr": 0.1}, overrides=[override])
    assert [(c.recipe.epochs, c.recipe.lr) for c in found] == [(12, 0.1), (20, 0.1)]
    again = {"where": {"head": "hpn"}, "set": {"recipe": "fast2"}}
    assert cell(axes={"head": ["hpn"]}, recipe="fast", overrides=[override, again]).recipe_label == "fast2"


def test_a_budget_is_a_recipe_with_that_many_epochs() -> None:
    """``fast`` has ten."""
    budgets = ["fast/4", "fast/2", "fast/1000", "fast", "fast*2", "fast*1.25", {"base": "fast/2", "lr": 0.1}]
    written = [{"base": "fast", "epochs": n} for n in (2, 5, 1, 10, 20, 12)] + [
        {"base": "fast", "epochs": 5, "lr": 0.1}
    ]
    ours, theirs = (cells(axes={"recipe": axis}) for axis in (budgets, written))
    assert ours == theirs
    assert [one.recipe_label for one in ours][:2] == ["fast(epochs=2)", "fast(epochs=5)"]
    assert {one.recipe_name for one in ours} == {"fast"}


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("fast/0", "'0' is no number from 1 to 1,000, as in fast/4 or fast*2"),
        ("fast*", "recipe 'fast*': '' is no number"),
        ("fast/2/2", "'2/2' is no number"),
        ("fast*0.5", "'0.5' is no number from 1"),
        ("fats/2", "unknown recipe 'fats'; did you mean 'fast'"),
        ("/2", "unknown recipe '/2'"),
    ],
)
def test_a_budget_that_is_none_is_one_line(budget: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        cells(axes={"recipe": [budget]})


def test_recipes_that_differ_have_labels_that_differ_and_equal_ones_are_one() -> None:
    override = {"where": {"seed": 1}, "set": {"recipe.lr": 0.001, "recipe.loss_scale": {"squared-cosine": 2.0}}}
    found = cells(axes={"head": ["hpn"], "seed": [0, 1]}, overrides=[override])
    assert len({c.recipe_label for c in found}) == 2
    with pytest.raises(UserError, match="the same cell occurs twice"):
        cells(axes={"recipe": ["fast", {"base": "fast", "epochs": 10}]})


def test_a_new_field_at_its_default_does_not_change_what_a_recipe_is() -> None:
    assert "mixup" not in recipes.load("fast", {}, "here").identity()
    assert recipes.load("lt", {}, "here").identity()["mixup"] == 1.0
    # As they were before accumulation and averages.
    former = {"fast": "df60d5c6", "lt": "d8c798e0", "imagenet": "4e7c75fe", "imagenet-lt": "04dfb84f"}
    assert {name: digest(recipes.load(name, {}, "here").identity(), 8) for name in former} == former


def test_the_recipes_are_those_of_the_recorded_rows_and_of_the_papers() -> None:
    """Compared field by field with papers and released codes when they were written; a change is another recipe."""
    shipped = {
        "fast-narrow2": "9f1892b0",
        "fast2": "5670bfd1",
        "imagenet-adamw": "027d384c",
        "inaturalist": "9c21b6a7",
        "lt-contrastive": "c495892a",
        "lt-contrastive-400": "8eaca8b6",
        "lt-ldam": "9435b16e",
        "lt-plain": "92e96a3f",
        "lt-sbcl": "5d33239a",
        "lt-short": "f95d20e8",
        "paper": "0c8e5372",
        "probe": "9d2a535b",
    }
    assert {name: digest(recipes.load(name, {}, "here").identity(), 8) for name in shipped} == shipped


@pytest.mark.parametrize("name", ["lt", "lt-plain"])
def test_the_long_tailed_recipes_are_the_papers(name: str) -> None:
    recipe = recipes.load(name, {}, "here")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.mixup) == (
        200,
        128,
        0.1,
        2e-4,
        1.0,
    )
    assert (recipe.pad, recipe.flip) == ((4, True) if name == "lt" else (0, False))


CHANGES: dict[str, Any] = {
    "dataset": "cifar10",
    "dataset_version": 99,
    "dataset_options": {"labels": "coarse"},
    "imbalance_factor": 7.0,
    "imbalance_profile": "step",
    "imbalance_seed": 5,
    "backbone": "resnet32",
    "backbone_version": 99,
    "backbone_options": {"width": 3},
    "projection": "none",
    "feature_dim": 77,
    "head": "etf",
    "head_version": 99,
    "head_options": {"loss_scale": 77.0},
    "head_files": {"vectors": "abc"},
    "backbone_files": {"weights": "abc"},
    "freeze": "backbone",
    "recipe": recipes.load("paper", {}, "here"),
    "val_fraction": 0.3,
    "split_seed": 5,
    "seed": 77,
    "precision": "bf16",
    "purpose": "tune",
    "devices": 2,
}
RECIPE_CHANGES: dict[str, Any] = {
    "epochs": 77,
    "batch_size": 77,
    "drop_last": False,
    "optimiser": "adamw",
    "lr": 0.77,
    "momentum": 0.77,
    "nesterov": False,
    "weight_decay": 0.77,
    "schedule": optimisers.Cosine(name="cosine"),
    "pad": 3,
    "flip": True,
    "small": recipes.Small(side=20, until=0.5),
    "cutout": 3,
    "mixup": 0.7,
    "cutmix": 0.7,
    "cutout_fill": "black",
    "policy": "trivial",
    "color_jitter": 0.7,
    "random_erasing": 0.7,
    "normalisation": recipes.Normalisation(mean=(0.1,), std=(0.2,)),
    "accumulate": 7,
    "ema": 0.7,
}


def test_every_scientific_field_counts_and_nothing_else_is_there() -> None:
    """A new field of a cell or a recipe must be put into one of the tables above, or be a label."""
    base = cell("hpn")
    labels = {name for name in type(base).model_fields if name.endswith("_label")} | {"recipe_name", "tuned"}
    assert set(CHANGES) == set(type(base).model_fields) - labels
    assert set(RECIPE_CHANGES) == set(type(base.recipe).model_fields) - {"loss_scale", "search"}
    changed = [base.model_copy(update={name: value}) for name, value in CHANGES.items()]
    changed += [
        base.model_copy(update={"recipe": base.recipe.model_copy(update={name: value})})
        for name, value in RECIPE_CHANGES.items()
    ]
    ids = [one.cell_id("data") for one in (base, *changed)]
    assert len(set(ids)) == len(ids)
    for name in labels:
        assert base.model_copy(update={name: "other"}).cell_id("data") == base.cell_id("data")


@pytest.mark.parametrize("value", [True, "5", 5.0, None, 10**12, float("inf"), float("nan"), [5]])
@pytest.mark.parametrize("key", ["feature_dim", "seed"])
def test_a_whole_number_is_one_and_bounded(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^grid tiny: axes.{key}.0: "):
        cells(axes={key: [value]})


@pytest.mark.parametrize("value", [True, "0.1", float("inf"), float("nan"), None])
@pytest.mark.parametrize(
    "changes",
    [
        {"axes": {"imbalance_factor": ["?"]}},
        {"val_fraction": "?"},
        *({"recipe": QUICK | {key: "?"}} for key in ("lr", "momentum")),
    ],
)
def test_a_number_is_one_and_finite(changes: dict[str, Any], value: Any) -> None:
    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(inner) for key, inner in part.items()}
        return [filled(item) for item in part] if isinstance(part, list) else value if part == "?" else part

    with pytest.raises(UserError, match=r"\(got "):
        cells(**filled(changes))


@pytest.mark.parametrize(
    "recipe",
    [
        *[{"epochs": value} for value in (True, 2.0, "2", 10**7)],
        *[{"batch_size": 10**12}, {"flip": 1}, {"flip": "yes"}, {"drop_last": "true"}, {"pad": True}, {"pad": 10**6}],
        *[{"loss_scale": {"squared-cosine": value}} for value in (True, float("inf"), "8")],
        *[
            {"schedule": {"name": "one_cycle", "warmup": True}},
            {"schedule": {"name": "multi_step", "milestones": ["0.5"], "gamma": 0.1}},
        ],
        *[{name: 1e300} for name in ("lr", "weight_decay")],
        {"normalisation": {"mean": [float("nan")], "std": [1]}},
        {"normalisation": {"mean": [1e300], "std": [1]}},
        {"normalisation": {"mean": [0.5], "std": [1, 2]}},
    ],
)
def test_a_recipe_takes_nothing_in_place_of_a_number(recipe: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"recipe 'fast': .*\(got "):
        cells(recipe=QUICK | recipe)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"head": [{"name": "hpn", "loss_scale": float("inf")}]}, "head 'hpn': loss_scale: .*finite"),
        ({"head": [{"name": "hpn", "loss_scale": True}]}, "head 'hpn': loss_scale: "),
        ({"head": [{"name": "hpn", "loss_scale": "4"}]}, "head 'hpn': loss_scale: "),
        ({"head": [{"name": "hpn", "prototype_seed": 1.0}]}, "head 'hpn': prototype_seed: "),
        ({"head": [{"name": "etf", "batch_norm": 1}]}, "head 'etf': batch_norm: "),
        ({"head": [{"name": "etf", "batch_norm": "yes"}]}, "head 'etf': batch_norm: "),
        ({"head": [{"name": "hpn", "prototypes": 3}]}, "head 'hpn': prototypes: .*in quotes"),
        ({"backbone": [{"name": "fast_convnet", "widths": [4, True, 8]}]}, "backbone 'fast_convnet': widths.1: "),
        ({"backbone": [{"name": "fast_convnet", "widths": [4, 6.0, 8]}]}, "backbone 'fast_convnet': widths.1: "),
        ({"dataset": [{"name": "folder", "size": True}]}, "data set 'folder': size: "),
        ({"dataset": [{"name": "folder", "path": 10}]}, "data set 'folder': path: "),
    ],
)
def test_an_option_takes_nothing_in_place_of_its_type(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cells(axes=axes)


@pytest.mark.parametrize(
    "name",
    [
        "cells",
        "Cells",
        "con",
        "NUL",
        "com1",
        "aux.txt",
        "a.",
        "..",
        ".a",
        "../x",
        "/x",
        "a/b",
        "a\\b",
        "a b",
        "",
        "a\n",
        "é",
        "x" * 101,
        "-a",
    ],
)
def test_a_name_that_is_no_folder_everywhere_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="^grid tiny: name: "):
        cells(name=name)


def test_the_version_of_a_sampler_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that has had several, so that other cells are what they were."""
    crt, psc = (cell(head) for head in ("crt", "psc"))
    before = [one.cell_id("data") for one in (crt, psc)]
    for version in (1, 3):
        monkeypatch.setitem(
            SAMPLERS._registered, "class_balanced", replace(SAMPLERS["class_balanced"], version=version)
        )
        assert crt.cell_id("data") != before[0]
        assert psc.cell_id("data") == before[1]


def test_a_loss_that_an_option_reaches_may_have_a_factor() -> None:
    class TwoLosses(ThrowawayHead):
        def __init__(
            self, info: DataInfo, feature_dim: int, *, loss: str = "cross-entropy", loss_scale: PositiveFloat = 1.0
        ) -> None:
            super().__init__(info, feature_dim)

        @classmethod
        def loss_name(cls, options: Options) -> str:
            return str(options["loss"])

    HEADS.register("two-losses", version=1)(TwoLosses)
    try:
        head, recipe = (
            {"name": "two-losses", "loss": "balanced-softmax"},
            QUICK | {"loss_scale": {"balanced-softmax": 2}},
        )
        assert [c.head_options.get("loss_scale") for c in cells(axes={"head": ["psc", head]}, recipe=recipe)] == [
            1.0,
            2.0,
        ]
        with pytest.raises(UserError, match="unknown loss 'balanced-softmax'"):
            cells(axes={"head": ["psc", "two-losses"]}, recipe=recipe)
    finally:
        HEADS.unregister("two-losses")


def test_folders_of_different_paths_are_different_cells_until_their_images_are_known() -> None:
    found = cells(
        axes={
            "dataset": [{"name": "folder", "path": path, "exif": exif} for path in ("a", "b") for exif in (True, False)]
        }
    )
    assert len(found) == 4 * len(cells())
    assert len({cell.cell_id("the same images") for cell in found}) == len(cells())


def test_two_data_sets_with_the_same_images_are_refused(tmp_path: Path) -> None:
    for number, file in enumerate(
        f"{part}/{name}/{image}.png" for part in ("train", "test") for name in "ab" for image in range(10)
    ):
        (tmp_path / "same" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "same" / file).write_bytes(png(random_images(1, number)[0]))
    twice = [{"name": "folder", "path": "same"}, {"name": "folder", "path": "same", "exif": False}]
    with pytest.raises(
        UserError, match=r"the data sets folder\(path=same\) and folder\(exif=False, path=same\) have the same images"
    ):
        plan.make(cells(axes={"dataset": twice}, recipe=QUICK | {"batch_size": 4}), tmp_path)


def test_the_plan_of_a_run_is_the_grid_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cells it lists, and whatever number their identities look like; a grid lists none itself."""
    monkeypatch.setattr(yaml_files, "MOST", 100)
    parsed = parse_grid(grid(name="my+fp32"), "here")
    listed = [{"cell_id": f"{number:06d}e394599"} for number in range(100)]
    store.write_plan(tmp_path, plan.resolved(parsed, listed) | {"commands": [["--grid", "my.yaml"]]})
    contents, place = config.read_grid(str(tmp_path / "grid.yaml"))
    assert parse_grid(contents, place).model_dump() == parsed.model_dump()
    (tmp_path / "own.yaml").write_text(
        "name: own\naxes: {dataset: [digits], head: [psc], feature_dim: [9]}\ncells: [1]\n"
    )
    with pytest.raises(UserError, match="unknown key 'cells'"):
        parse_grid(*config.read_grid(str(tmp_path / "own.yaml")))
