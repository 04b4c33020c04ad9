"""A plan is made on the CPU, of the wanted cells alone; data are laid when a cell starts."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from headbench.backbones.fast_convnet import FastConvNet
from headbench.core import augmentations
from headbench.core.errors import UserError
from headbench.data import DATASETS
from headbench.data.loading.resident import Resident
from headbench.data.loading.streamed import Streamed
from headbench.data.loading.views import FILE_VIEWS
from headbench.heads import Stage
from headbench.heads.psc import PSCHead
from headbench.results import store
from headbench.runners.execution import launch, plan
from headbench.runners.execution.options import RunOptions
from headbench.runners.grid import recipes
from headbench.runners.grid.cells import Cell
from headbench.runners.training import parts
from headbench.runners.training.classifier import _takes
from headbench.runners.training.data import Data
from tests.runners.helpers import QUICK, cell, cells, grid, planned


def test_a_plan_holds_no_data_and_lays_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "lay", None)
    plan = planned(*cells(axes={"imbalance_factor": [1, 10], "seed": [0, 1]}))
    assert [p.facts["n_train"] for p in plan] == [1293, 1293, 523, 523]
    assert len(pickle.dumps(plan)) < 20_000
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_a_head_is_asked_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def supports(info: Any, feature_dim: int, *_: Any, **__: Any) -> str | None:
        asked.append(feature_dim)
        return "an odd d" if feature_dim % 2 else None

    monkeypatch.setattr(PSCHead, "supports", supports)
    plan = planned(*cells(axes={"feature_dim": [4, 5], "seed": [0, 1, 2]}))
    assert asked == [4, 5]
    assert {(p.cell.feature_dim, p.not_applicable) for p in plan} == {(4, None), (5, "an odd d")}
    assert [p.facts["seed"] for p in plan] == [p.cell.seed for p in plan]


def test_cells_that_differ_in_the_seed_are_whole_cells() -> None:
    made = cells(
        axes={"head": ["psc", "hpn"], "seed": [0, 1, 2]},
        overrides=[{"where": {"seed": 2}, "set": {"seed": 7, "head.loss_scale": 3}}],
    )
    assert [one.seed for one in made] == [0, 0, 1, 1, 7, 7]
    for one in made:
        checked = Cell.model_validate(one.model_dump())
        assert checked.model_dump() == one.model_dump()
        assert checked.cell_id("data") == one.cell_id("data")
    assert len({one.point for one in made}) == 6
    assert len({one.kind for one in made}) == 4


def test_data_are_shared_while_cells_follow_each_other_and_then_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[float] = []
    lay = parts.lay

    def counted(dataset: Any, partition: Any, *rest: Any, **options: Any) -> Any:
        laid.append(len(partition.train))
        return lay(dataset, partition, *rest, **options)

    monkeypatch.setattr(parts, "lay", counted)
    data = Data(Path(), torch.device("cpu"))
    first, second, tail = cells(axes={"seed": [0, 1]}) + cells(axes={"imbalance_factor": [10]})
    assert data.parts(first) is data.parts(second)
    before = data.dataset(first)
    assert len(data.parts(tail).train) == 523
    assert data.dataset(tail) is before
    assert data.parts(first).outline.n_train == 1293
    assert laid == [1293, 523, 1293]
    data.drop()
    assert data.dataset(first) is not before


def outlined(kind: type[Resident] | type[Streamed], channels: int = 3) -> parts.Outline:
    """The outline of a set of images of 32 x 32."""
    return parts.Outline("data", ("a", "b"), torch.tensor([5, 5]), (channels, 32, 32), kind, 10, 0, 10, False)


@pytest.mark.parametrize("kind", [Resident, Streamed])
def test_what_both_kinds_of_images_can_be_shown_in(kind: type[Resident] | type[Streamed]) -> None:
    for policy in ("", "autoaugment", "randaugment-9", "trivial"):
        shown = cell("psc", recipe=QUICK | {"pad": 0, "policy": policy})
        stage = Stage("train", 1, views=("weak", "simclr", "supcon", "plain"))
        plan.check_views(stage, shown.recipe, outlined(kind), shown)


@pytest.mark.parametrize(
    ("recipe", "label"),
    [
        ("fast", "crop-flip"),
        ("lt", "crop-flip-mixup"),
        ("lt-plain", "mixup"),
        ("lt-short", "crop-flip-autoaugment-cutout"),
        ("probe", "none"),
        ("imagenet", "crop-flip-trivialaugment-erasing-mixup-cutmix"),
        ("imagenet-lt", "crop-flip-randaugment"),
    ],
)
def test_the_label_of_a_recipes_augmentation(recipe: str, label: str) -> None:
    """Streamed images are cropped by every recipe; a square cut out black is one cut out."""
    made = recipes.load(recipe, {"cutout_fill": "mean"}, "here").augmentation()
    assert made.label(cropped=recipe.startswith("imagenet")) == label
    augmentations.check(label, "here")


def test_a_plan_tells_the_augmentation() -> None:
    (made,) = planned(cell("psc", recipe=QUICK | {"pad": 0, "policy": "autoaugment", "cutout": 2, "mixup": 1}))
    assert made.facts["augmentation"] == "autoaugment-cutout-mixup"


def test_another_draw_of_the_validation_part_is_another_protocol() -> None:
    outline = outlined(Resident)
    official = dataclasses.replace(outline, official_val=True)
    tailed = {"imbalance_factor": [10.0]}
    for changes, known, name in (
        ({"split_seed": 5}, outline, "holdout-0.1 split-seed-5"),
        ({"split_seed": 5, "axes": tailed, "imbalance_seed": 2}, outline, "lt-val imbalance-seed-2 split-seed-5"),
        ({}, outline, "holdout-0.1"),
        ({"split_seed": 5, "val_fraction": 0.0}, outline, "full-train"),
        ({"split_seed": 5}, official, "official-val"),
    ):
        assert plan.protocol_name(cell("psc", **changes), known) == name


def test_timms_policies_are_for_streamed_images() -> None:
    for policy in ("rand-m9-mstd0.5-inc1", "augmix-m3", "original", "3a"):
        shown = cell("psc", recipe=QUICK | {"pad": 0, "policy": policy})
        plan.check_views(Stage("train", 1), shown.recipe, outlined(Streamed), shown)
        with pytest.raises(UserError, match=rf"stage 'train', .*policy '{policy}' is timm's, .*data set 'digits'$"):
            plan.check_views(Stage("train", 1), shown.recipe, outlined(Resident), shown)


@pytest.mark.parametrize(
    ("kind", "channels", "stage", "recipe", "message"),
    [
        (Resident, 2, {"views": ("plain", "simclr")}, {}, "stage 'train', .*: changes of colour .* these have 2"),
        (Resident, 2, {}, {"policy": "trivial"}, "policy 'trivial' is for images of 1 or 3 channels, and these have 2"),
        (Resident, 3, {"views": ("plain", "whole file")}, {}, "view 'whole file' is for streamed images; .* plain, "),
        (
            Resident,
            3,
            {},
            {"random_erasing": 0.1},
            "random_erasing is for streamed images, and 'digits' has the others",
        ),
        (Streamed, 3, {}, {"policy": "rand-n.5"}, "policy 'rand-n.5': timm says: Unknown RandAugment config section"),
        (Streamed, 3, {}, {"pad": 4}, "pad is for images in memory, and 'digits' has the others"),
        (Streamed, 3, {}, {"cutout": 8}, "cutout is for images in memory"),
    ],
)
def test_what_images_cannot_be_shown_in_is_refused_before_training(
    kind: type[Resident] | type[Streamed],
    channels: int,
    stage: dict[str, Any],
    recipe: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FILE_VIEWS._entries, "whole file", FILE_VIEWS.get("plain"))
    shown = cell("psc", recipe=QUICK | {"pad": 0} | recipe)
    with pytest.raises(UserError, match=message) as caught:
        plan.check_views(Stage("train", 1, **stage), shown.recipe, outlined(kind, channels), shown)
    assert "\n" not in str(caught.value)


def test_a_size_that_the_network_cannot_take_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    one = cell("psc", recipe=QUICK | {"small": {"side": 4, "until": 0.5}})
    assert planned(one)[0].not_applicable is None
    monkeypatch.setattr("headbench.runners.training.classifier._takes", lambda *_: False)
    refusal = r"recipe 'fast\(.*': small: backbone 'fast_convnet.*' cannot take 4 x 4 pixels; set recipe.small=null"
    with pytest.raises(UserError, match=refusal):
        planned(one)


def test_images_that_the_network_cannot_take_are_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network that can be made for them, and of one that cannot."""
    refusal = (
        r"^backbone 'fast_convnet.*' cannot take the images of 'digits', 8 x 8 pixels; give another backbone, or a"
    )
    for place in ("forward", "__init__"):
        with monkeypatch.context() as patch:
            _takes.cache_clear()
            patch.setattr(FastConvNet, place, lambda *_, **__: 1 // 0)
            if place == "__init__":  # the width of features is asked for before
                patch.setattr("headbench.runners.training.classifier._width", lambda *_: 8)
            with pytest.raises(UserError, match=refusal):
                planned(cell("psc"))
    _takes.cache_clear()


def test_every_stage_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [Stage("first", 1), Stage("second", 1, {"policy": "original"})]
    monkeypatch.setattr(PSCHead, "stages", lambda *_: stages)
    with pytest.raises(UserError, match="stage 'second', recipe .*policy 'original' is timm's"):
        planned(*cells())


def test_data_that_have_changed_since_the_plan_are_refused() -> None:
    (one,) = planned(cell("psc"))
    outline = Data(Path(), torch.device("cpu")).parts(one.cell).outline
    plan.check_data(one, outline)
    with pytest.raises(UserError, match="the data set digits has changed since the run began"):
        plan.check_data(one, dataclasses.replace(outline, fingerprint="another"))


@pytest.fixture
def two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    """A run of a grid over digits, and a data set that cannot be loaded."""

    def lost(root: Path) -> Any:
        raise UserError("nothing there")

    monkeypatch.setitem(
        DATASETS._entries, "lost", dataclasses.replace(DATASETS.get("digits"), name="lost", target=lost)
    )
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"dataset": ["digits", "lost"], "head": ["psc", "hpn"]}, recipe=QUICK)))
    return RunOptions(str(file), data=tmp_path, out=tmp_path / "runs", device="cpu", workers=1, threads=1)


def test_where_loads_only_what_its_cells_need(two_sets: RunOptions) -> None:
    with pytest.raises(UserError, match="data set 'lost': nothing there"):
        launch.prepare(two_sets)
    chosen = launch.prepare(dataclasses.replace(two_sets, where=["dataset=digits", "head=hpn"]))
    assert [p.cell.head for p in chosen.wanted] == ["hpn"]


def test_a_grid_lists_the_cells_of_earlier_plans(two_sets: RunOptions) -> None:
    def heads(*where: str) -> list[str]:
        prepared = launch.prepare(dataclasses.replace(two_sets, where=["dataset=digits", *where]))
        folder = store.grid_folder(two_sets.out, "tiny")
        store.write_plan(folder, plan.resolved(prepared.grid, prepared.entries))
        return [entry["head"] for entry in store.read_plan(folder)["cells"]]

    assert heads("head=hpn") == ["hpn"]
    assert heads("head=psc") == ["psc", "hpn"]
    other = dataclasses.replace(two_sets, changes=["split_seed=1"], name="tiny", where=["dataset=digits", "head=psc"])
    assert [entry["head"] for entry in launch.prepare(other).entries] == ["psc"]


def test_cells_are_named_by_their_identities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that an earlier plan has is planned alone, and the grid lists the others as before."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"seed": [0, 1, 2]})))
    options = RunOptions(str(file), data=tmp_path, out=tmp_path / "runs", device="cpu", workers=1, threads=1)
    whole, sizes, make = launch.prepare(options), list[int](), plan.make

    def counted(cells: list[Cell], root: Path) -> list[plan.Planned]:
        sizes.append(len(cells))
        return make(cells, root)

    monkeypatch.setattr(plan, "make", counted)
    wanted = [p.cell_id for p in whole.wanted][1:]
    for planned_at_once in (3, 2):
        few = launch.prepare(dataclasses.replace(options, cells=wanted))
        assert [p.cell_id for p in few.todo] == wanted
        assert few.entries == whole.entries
        assert sizes.pop() == planned_at_once
        store.write_plan(store.grid_folder(options.out, "tiny"), plan.resolved(few.grid, few.entries))
    typed = f"{wanted[0][:-1]}x"
    with pytest.raises(UserError, match=rf"--cell: no cell '{typed}' here; did you mean '{wanted[0]}'\?"):
        launch.prepare(dataclasses.replace(options, cells=[typed]))
    with pytest.raises(UserError, match="--cell: no cell 'nope' here; --dry-run lists them$"):
        launch.prepare(dataclasses.replace(options, cells=["nope"]))


@pytest.mark.parametrize(
    ("changes", "official", "name"),
    [
        ({}, False, "lt-val"),
        ({"val_fraction": 0.2}, False, "lt-val-0.2"),
        ({}, True, "lt-official-val"),
        ({"val_fraction": 0.0}, False, "published"),
        ({"val_fraction": 0.0}, True, "published"),
        ({"imbalance_profile": "step"}, False, "lt-val step"),
        (
            {"imbalance_profile": "step", "imbalance_seed": 3, "val_fraction": 0.0},
            False,
            "published step imbalance-seed-3",
        ),
    ],
)
def test_long_tails_that_differ_in_their_images_are_of_other_protocols(
    changes: dict[str, Any], official: bool, name: str
) -> None:
    known = dataclasses.replace(outlined(Resident), official_val=official)
    assert plan.protocol_name(cell("psc", axes={"imbalance_factor": [10.0]}, **changes), known) == name
