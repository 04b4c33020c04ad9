"""Measured beside published: which published number, and the text of the cells."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headbench.core import augmentations
from headbench.core.errors import UserError
from headbench.heads import HEADS
from headbench.results import former
from headbench.results.tables import published, published_numbers, render
from headbench.results.tables.published_numbers import Form, Training

Question = tuple[str, float, int, Form, Form]
MANY_MEDIUM_FEW = ("many (> 100)", "medium (20-100)", "few (< 20)")
WEAK, STRONG = "crop-flip", "crop-flip-autoaugment-cutout"


def find(question: Question, epochs: float = math.nan, augmentation: str = "") -> pd.Series | None:
    """Ask for the number beside a head: data set, imbalance factor, d, head and backbone."""
    dataset, imbalance_factor, dim, head, backbone = question
    return published_numbers.find(Training(dataset, imbalance_factor, dim, backbone, epochs, augmentation), head)


def timm(model: str) -> Form:
    return Form("timm", {"model": model})


def test_every_published_number_has_a_source() -> None:
    rows = published_numbers.load()
    assert set(rows["evidence"]) <= set(published_numbers.EVIDENCE)
    assert (rows["source"] != "").all()
    assert rows["value"].between(0, 100).all()
    assert {WEAK, STRONG, "mixup", ""} < set(rows["augmentation"])
    assert not rows.duplicated(
        ["dataset", "imbalance_factor", "backbone", "d", "head", "metric", "value", "selection", "source", "note"]
    ).any()
    papers = {"dl2pa", "hpn", "etf", "ldam", "balanced-softmax", "logit-adjusted", "bcl", "proco", "sbcl", "dnc", "ebv"}
    assert papers | {"decoupling", "gnc"} == set(rows["table"])


def test_epochs_that_a_note_begins_with_are_compared_too() -> None:
    """Not those of a head that adds a stage of its own, whose length is not told."""
    rows = published_numbers.load()
    told = rows["note"].str.extract(r"^(\d+) epochs")[0].astype(float)
    rows = rows[told.notna() & (rows["table"] != "decoupling")]
    assert len(rows) > 30
    assert (rows["epochs"] == told[rows.index]).all()


def test_what_is_wrong_is_flagged() -> None:
    rows = published_numbers.load()
    own = rows[rows["table"] == "dl2pa"]
    assert (
        own[(own["dataset"] == "tiny-imagenet") & (own["d"] < 200) & (own["evidence"] == "read")]["flag"]
        .str.startswith("duplicated")
        .all()
    )
    assert rows[rows["dataset"] == "svhn"]["flag"].str.contains("corrupted data").all()
    frozen = rows[
        (rows["head"] == "psc")
        & rows["table"].isin(["dl2pa", "etf"])
        & (rows["imbalance_factor"] > 1)
        & rows["backbone"].str.startswith("ResNet")
    ]
    assert len(frozen) == 24
    assert frozen["flag"].str.contains("frozen baseline").all()
    assert rows[rows["head"] == "word2vec"]["flag"].str.contains("other vectors").all()
    balanced = own[(own["dataset"] == "cifar100") & (own["imbalance_factor"] == 1)]
    assert balanced["flag"].str.contains("mislabelled block").all()
    assert balanced[balanced["head"] == "dl2pa"].set_index("d")["value"].to_dict() == {
        10: 57.21,
        25: 64.63,
        50: 66.22,
        100: 62.85,
    }


@pytest.mark.parametrize(
    ("question", "value", "table"),
    [
        (("cifar100", 1, 50, Form("hpn"), Form("fast_convnet")), 64.7, "hpn"),
        (("cifar100", 1, 50, Form("dl2pa"), Form("resnet32")), 66.22, "dl2pa"),
        (("tiny-imagenet", 1, 25, Form("hpn"), Form("resnet32")), 38.6, "hpn"),
        (("tiny-imagenet", 1, 100, Form("dl2pa"), Form("resnet32")), 46.85, "dl2pa"),
        (("cifar100", 100, 128, Form("etf"), Form("resnet32", {"width": 32})), 45.3, "etf"),
        (("imagenet", 1, 512, Form("dl2pa"), timm("swin_tiny_patch4_window7_224")), 77.26, "dl2pa"),
        (("imagenet", 1, 512, Form("max-separation"), timm("resnet50")), 74.80, "dl2pa"),
        (("imagenet-lt", 1, 2048, Form("proco"), timm("resnet50")), 57.3, "proco"),
        (("cifar100", 100, 64, Form("proco"), Form("resnet32", {"shortcut": "A"})), 52.8, "proco"),
        (("cifar100", 100, 64, Form("balanced-softmax"), Form("resnet32")), 50.3, "balanced-softmax"),
    ],
)
def test_the_number_to_stand_beside(question: Question, value: float, table: str) -> None:
    found = find(question)
    assert found is not None
    assert found["value"] == value
    assert found["table"] == table


@pytest.mark.parametrize(
    ("head", "options", "epochs", "augmentation", "value", "difference"),
    [
        ("psc", {}, 200, WEAK, 38.32, True),
        ("psc", {}, 1400, WEAK, 38.36, False),
        ("psc", {}, 200, STRONG, 44.6, True),
        ("psc", {}, 50, STRONG, 44.6, False),
        ("psc", {}, 600, STRONG, 45.3, False),
        ("psc", {}, 1300, "crop-flip-mixup", 38.36, False),
        ("ldam", {}, 200, WEAK, 42.04, True),
        ("ldam", {}, 200, STRONG, 48.99, True),
        ("balanced-softmax", {}, 200, STRONG, 49.35, True),
        ("balanced-softmax", {}, 614, STRONG, 50.3, True),
        ("proco", {}, 200, STRONG, 52.8, True),
        ("proco", {}, 200, WEAK, 52.8, False),
        ("sbcl", {}, 1200, STRONG, 44.9, False),
        ("sbcl", {}, 1200, WEAK, 44.9, True),
    ],
)
def test_numbers_of_another_augmentation_or_length_are_not_compared(
    head: str, options: dict[str, Any], epochs: int, augmentation: str, value: float, difference: bool
) -> None:
    """That of the same augmentation is preferred, and of these that of the nearest length."""
    own = Training("cifar100", 100, 64, Form("resnet32"), epochs, augmentation)
    form = Form(head, HEADS.get(head).resolve(options, head))
    found = [number for asked in (form, Form(head)) if (number := published_numbers.find(own, asked)) is not None]
    assert found[0]["value"] == value
    assert (not published_numbers.unlike(found[0], own)) == difference


@pytest.mark.parametrize(
    ("width", "dim", "head", "unlike"),
    [
        (32, 128, "etf", []),
        (16, 128, "etf", ["on ResNet-32, double width, not ResNet-32"]),
        (16, 64, "proco", []),
        (48, 64, "proco", ["on ResNet-32, not ResNet-32, width 48"]),
    ],
)
def test_numbers_of_another_width_are_not_compared(width: int, dim: int, head: str, unlike: list[str]) -> None:
    own = Training("cifar100", 100, dim, Form("resnet32", {"width": width}))
    found = published_numbers.find(own, Form(head))
    assert found is not None
    assert published_numbers.unlike(found, own) == unlike


def test_an_augmentation_is_checked_when_it_is_read(again: None) -> None:
    file = published_numbers.FOLDER / "other.csv"
    file.write_text(file.read_text() + "cifar10,1,,,psc,top1,90,,,last epoch,paper,read,,,crop-filp\n")
    published_numbers.load.cache_clear()
    with pytest.raises(UserError, match=r"^other\.csv, line 2: no augmentation 'crop-filp': did you mean 'flip'\?$"):
        published_numbers.load()
    with pytest.raises(UserError, match=r"^here: no augmentation 'flip-crop': did you mean 'crop-flip'\?$"):
        augmentations.check("flip-crop", "here")


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("ldam", {}, 42.04),
        ("ldam", {"drw": False}, 39.6),
        ("ldam", {"margin": 0.3}, None),
        ("cb-reweight", {}, 33.99),
        ("cb-reweight", {"deferred": True}, 40.51),
        ("focal", {}, 38.41),
        ("focal", {"gamma": 2.0}, None),
        ("logit-adjusted", {}, 43.89),
        ("logit-adjusted", {"form": "post-hoc"}, 41.76),
        ("logit-adjusted", {"form": "post-hoc", "tau": None}, 42.1),
    ],
)
def test_a_number_stands_beside_the_form_that_it_is_of(name: str, options: dict[str, Any], value: float | None) -> None:
    form = Form(name, HEADS.get(name).resolve(options, name))
    found = find(("cifar100", 100, 64, form, Form("resnet32")), augmentation=WEAK)
    assert (None if found is None else found["value"]) == value


@pytest.mark.parametrize(
    ("scale", "value"), [(1.0, 41.99), (5.0, 73.95), (6.0, 73.94), (7.0, 74.14), (10.0, 70.83), (16.0, None)]
)
def test_a_number_of_one_form_of_a_head_stands_beside_that_form_only(scale: float, value: float | None) -> None:
    options, backbone = {"scale": scale, "loss_scale": 1.0}, Form("fast_convnet")
    found = find(("cifar100", 1, 10, Form("psc-cosine", options), backbone))
    assert (None if found is None else found["value"]) == value
    assert find(("cifar100", 1, 10, Form("psc-cosine"), backbone)) is None
    assert find(("cifar100", 1, 10, Form("psc", options), backbone)) is None


def test_the_scales_of_the_collapse_study_in_a_table() -> None:
    forms = {"psc-cosine": 1.0, "psc-cosine(scale=5.0)": 5.0, "psc-cosine(scale=16.0)": 16.0}
    made = pd.concat(
        [
            rows(
                [("psc-cosine", 10, 1.0, [0.25])],
                epochs=200,
                head_options=json.dumps({"scale": scale, "learnable_scale": False}),
            ).assign(head_label=label)
            for label, scale in forms.items()
        ]
    )
    (table,) = published.tables(made, "last")
    assert table.cells["d = 10"].to_dict() == {
        "psc-cosine": "25.00 / 41.99 (-16.99) a",
        "psc-cosine(scale=5.0)": "25.00 / 73.95 (-48.95) a",
        "psc-cosine(scale=16.0)": "25.00",
    }
    assert "NC_test.csv" in table.caption
    assert " a: not known whether the augmentation is the same." in table.caption


@pytest.mark.parametrize(
    "question",
    [
        ("digits", 1, 2, Form("psc"), Form("fast_convnet")),
        ("cifar100", 1, 7, Form("hpn"), Form("resnet32")),
        ("imagenet", 1, 512, Form("dl2pa"), timm("vit")),
    ],
)
def test_where_nothing_is_published(question: Question) -> None:
    assert find(question) is None


def rows(entries: list[tuple[str, int, float, list[Any]]], **facts: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "dataset": "cifar100",
        "backbone": "fast_convnet",
        "recipe": "fast",
        "projection": "linear",
        "protocol": "holdout-0.1",
        "selection": "last",
        "head_options": "{}",
        "health": "ok",
        "epochs": 10,
        "augmentation": WEAK,
    }
    base = former.completed(base | facts)
    found = []
    for head, dim, imbalance, values in entries:
        for seed, value in enumerate(values):
            state = (
                {"status": "done", "top1": value}
                if value is not None
                else {"status": "not_applicable", "selection": None, "top1": math.nan}
            )
            found.append(
                base
                | {"cell_id": f"{head} {dim} {imbalance} {seed}"}
                | {"head": head, "head_label": head, "feature_dim": dim, "imbalance_factor": imbalance, "seed": seed}
                | state
            )
    return pd.DataFrame(found)


def test_a_number_of_other_images_stands_without_a_difference() -> None:
    """The README of DL2PA has the same cells in two blocks, of CIFAR-100 and of ImageNet-200."""
    given = rows([("psc", 50, 1.0, [0.33]), ("dl2pa", 200, 1.0, [0.33])], epochs=250).assign(dataset="tiny-imagenet")
    (table,) = published.tables(given.assign(augmentation=WEAK, backbone_name="resnet32"), "last")
    assert table.cells.loc["psc", "d = 50"] == "33.00 / 60.60 a"
    assert table.cells.loc["dl2pa", "d = 200"] == "33.00 / 37.28 (-4.28)"
    assert " a: duplicated: the cell repeats the CIFAR-100 block" in table.caption
    assert "so it is no ImageNet-200 result, so not compared" in table.caption


def test_the_numbers_of_mislabelled_svhn_stand_beside_its_replica_alone() -> None:
    for name, value in (("svhn-lt-refbug", 45.7), ("svhn", None)):
        found = find((name, 100, 64, Form("etf"), Form("resnet32")), 200, "mixup")
        assert (None if found is None else found["value"]) == value
        assert published_numbers.exist(name, "top1") == (value is not None)


IMAGENET = "crop-flip-trivialaugment-erasing-mixup-cutmix"


@pytest.mark.parametrize(
    ("question", "augmentation", "ours", "theirs"),
    [
        (("imagenet", 1, 512, Form("dl2pa"), timm("resnet50")), IMAGENET, 6, 105),
        (("imagenet", 1, 2048, Form("dnc"), timm("resnet50")), "crop-flip", 6, 100),
        (("inaturalist2018", 1, 2048, Form("bcl"), timm("resnet50")), "crop-flip-randaugment", 90, 100),
        # The second stages of the paper are longer in images: 10 epochs of 1,280,000 are 110 of 115,846.
        (("imagenet-lt", 1, 2048, Form("crt"), timm("resnext50_32x4d")), "crop-flip-jitter", 100, 200),
        (("inaturalist2018", 1, 2048, Form("crt"), timm("resnet50")), "crop-flip", 120, 648),
    ],
)
def test_a_training_of_another_length_is_not_compared(
    question: Question, augmentation: str, ours: int, theirs: int
) -> None:
    dataset, factor, dim, _, backbone = question
    found = find(question, ours, augmentation)
    assert found is not None
    told = published_numbers.unlike(found, Training(dataset, factor, dim, backbone, ours, augmentation))
    assert f"of {theirs} epochs, not {ours}" in told


def test_fewer_seeds_than_the_table_has_are_told() -> None:
    given = [("psc", 50, 1.0, [0.64, 0.65, 0.66]), ("psc", 10, 1.0, [0.5, 0.5]), ("hpn", 50, 1.0, [0.64, 0.66, 0.65])]
    (table,) = published.tables(rows(given, epochs=250), "last")
    assert list(table.cells.loc["psc"]) == [
        "50.00 ± 0.00 (n=2) / 25.67 (+24.33) a",
        "65.00 ± 1.00 / 60.60 (+4.40) a",
    ]
    assert str(table.cells.loc["hpn", "d = 50"]).startswith("65.00 ± 1.00 / ")


def test_the_text_of_a_table() -> None:
    (table,) = published.tables(
        rows(
            [
                ("psc", 50, 1.0, [0.6455, 0.6555]),
                ("psc", 10, 1.0, [0.5, 0.5]),
                ("hpn", 50, 1.0, [0.64]),
                ("etf", 50, 1.0, [None]),
            ],
            epochs=250,
        ),
        "last",
    )
    assert table.name == "cifar100-published-last"
    assert table.cells.columns.tolist() == ["d = 10", "d = 50"]
    assert list(table.cells.loc["psc"]) == ["50.00 ± 0.00 / 25.67 (+24.33) a", "65.05 ± 0.71 / 60.60 (+4.45) a"]
    assert list(table.cells.loc["hpn"]) == ["-", "64.00 / 64.70 (-0.70)"]
    assert list(table.cells.loc["etf"]) == ["-", "n/a"]
    assert " a: mislabelled block; not reproducible: " in table.caption
    assert "Mettes et al., NeurIPS 2019, table 1 (ResNet-32, last epoch, recalled)" in table.caption
    assert "mean ± std over n = 2 seeds" in table.caption
    assert not table.bold.to_numpy().any()
    assert "65.05" in render.markdown(table)


def test_a_number_of_the_dimension_is_preferred_to_one_of_any() -> None:
    """Those of a wide network at its own dimension, of nearer length, are further away."""
    number = find(("cifar100", 1.0, 10, Form("psc"), Form("fast_convnet")), epochs=200)
    assert number is not None
    assert (number["d"], number["value"]) == (10, 25.67)


def test_other_classes_have_no_published_numbers() -> None:
    facts = {"dataset": "cifar100(labels=coarse)", "dataset_name": "cifar100", "epochs": 250}
    assert published.tables(rows([("hpn", 10, 1.0, [0.75])], **facts), "last") == []


@pytest.mark.parametrize("protocol", ["published step", "lt-val-0.02 step imbalance-seed-1"])
def test_class_counts_of_a_step_are_not_compared_with_exponential_ones(protocol: str) -> None:
    facts = {"backbone": "resnet32", "epochs": 200, "augmentation": STRONG, "protocol": protocol}
    (table,) = published.tables(rows([("proco", 64, 100.0, [0.4])], **facts), "last")
    assert table.cells.loc["proco", "d = 64"] == "40.00 / 52.80 a"
    assert " a: of exponential class counts, not a step, and so not compared;" in table.caption
    (table,) = published.tables(rows([("proco", 64, 100.0, [0.4])], **facts | {"protocol": "published"}), "last")
    assert table.cells.loc["proco", "d = 64"] == "40.00 / 52.80 (-12.80) a"


def test_imbalance_factors_stand_across() -> None:
    entries = [(head, 128, factor, [0.45]) for factor in (50.0, 100.0) for head in ("psc", "dl2pa", "hpn")]
    facts = {"backbone": "resnet32(shortcut=A, width=32)", "protocol": "published", "epochs": 200}
    facts |= {"augmentation": "crop-flip-mixup"}
    (table,) = published.tables(rows(entries, **facts), "last")
    assert table.cells.columns.tolist() == ["IF 50", "IF 100"]
    assert list(table.cells.loc["dl2pa"]) == ["45.00 / 50.70 (-5.70)", "45.00 / 44.90 (+0.10)"]
    assert table.cells.loc["psc", "IF 50"] == "45.00 / 48.10 (-3.10) a"
    assert list(table.cells.loc["hpn"]) == ["45.00", "45.00"]
    assert "frozen" in table.caption


def test_data_without_published_numbers_have_no_table() -> None:
    assert published.tables(rows([("psc", 2, 1.0, [0.9])], dataset="digits"), "last") == []


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Published are 200 epochs, run again twice, and 400; one number does not tell its epochs, nor its augmentation."""
    lines = [
        "dataset,imbalance_factor,backbone,d,head,metric,value,std,n,epochs,selection,source,evidence,flag,note,"
        "augmentation",
        "cifar100,100,ResNet-32,64,proco,top1,52.8,,,200,best epoch on test,README,read,,,crop-flip",
        "cifar100,100,ResNet-32,64,proco,top1,54.2,,,400,best epoch on test,README,read,,,crop-flip",
        "cifar100,100,ResNet-32,64,proco,top1,51.5,,,200,unknown,user 1,read,reproduction,,crop-flip",
        "cifar100,100,ResNet-32,64,proco,top1,51.6,,,200,unknown,user 5,read,reproduction,,",
        "cifar100,100,ResNet-32,64,proco,top1,55.0,,,200,unknown,user 6,read,reproduction,,crop-flip-cutout",
        "cifar100,50,ResNet-32,64,proco,top1,57.1,,,200,best epoch on test,README,read,,,crop-flip",
        "cifar100,100,ResNet-32,64,psc,top1,38.3,,,,best epoch on test,paper,recalled,,,",
    ]
    (tmp_path / "proco.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "other.csv").write_text(
        "dataset,imbalance_factor,backbone,d,head,metric,value,std,n,selection,source,evidence,flag,note,augmentation\n"
    )
    monkeypatch.setattr(published_numbers, "FOLDER", tmp_path)
    for cached in (published_numbers.load, published_numbers._values, published_numbers.find):
        cached.cache_clear()
    yield
    for cached in (published_numbers.load, published_numbers._values, published_numbers.find):
        cached.cache_clear()


@pytest.mark.parametrize(("epochs", "value"), [(200, 52.8), (400, 54.2), (50, 52.8)])
def test_a_number_of_as_many_epochs_is_preferred(again: None, epochs: int, value: float) -> None:
    found = find(("cifar100", 100, 64, Form("proco"), Form("resnet32")), epochs)
    assert found is not None
    assert found["value"] == value


def test_a_short_training_is_not_compared_with_a_long_one(again: None) -> None:
    """What does not tell its epochs is compared; what does not tell its augmentation too, with a mark."""
    entries = [("proco", 64, 100.0, [0.4]), ("psc", 64, 100.0, [0.4])]
    (table,) = published.tables(rows(entries, backbone="resnet32", epochs=50), "last")
    assert table.cells["d = 64"].to_dict() == {"proco": "40.00 / 52.80 a", "psc": "40.00 / 38.30 (+1.70) b"}
    note = "a: of 200 epochs, not 50, and so not compared; run again by others: 51.50 (user 1), 51.60 (user 5)."
    assert note in table.caption
    assert " b: not known whether the augmentation is the same." in table.caption
    assert table.tidy["difference"].isna().tolist() == [True, False]


def test_a_strong_augmentation_is_not_compared_with_a_weak_one(again: None) -> None:
    entries = [("proco", 64, 100.0, [0.4]), ("psc", 64, 100.0, [0.4])]
    (table,) = published.tables(rows(entries, backbone="resnet32", epochs=200, augmentation=STRONG), "last")
    assert table.cells["d = 64"].to_dict() == {"proco": "40.00 / 52.80 a", "psc": "40.00 / 38.30 (+1.70) b"}
    assert f" a: with {WEAK}, not {STRONG}, and so not compared; run again by others: " in table.caption
    (table,) = published.tables(rows(entries, backbone="resnet32", epochs=200, augmentation=math.nan), "last")
    assert table.cells.loc["proco", "d = 64"] == "40.00 / 52.80 (-12.80) a"
    both = rows(entries, backbone="resnet32(width=32)", epochs=50, augmentation=STRONG)
    (table,) = published.tables(both, "last")
    words = f"of 200 epochs, not 50, and with {WEAK}, not {STRONG}, and on ResNet-32, not ResNet-32, double width"
    assert f" a: {words}, and so not compared; run again" in table.caption


def test_what_others_got_stands_below_a_number_of_as_many_epochs(again: None) -> None:
    entries = [("proco", 64, factor, [0.5]) for factor in (50.0, 100.0)]
    (table,) = published.tables(rows(entries, backbone="resnet32", epochs=200), "last")
    assert list(table.cells.loc["proco"]) == ["50.00 / 57.10 (-7.10)", "50.00 / 52.80 (-2.80) a"]
    assert " a: run again by others: 51.50 (user 1), 51.60 (user 5)." in table.caption
    (table,) = published.tables(rows([("proco", 64, 100.0, [0.5])], backbone="resnet32", epochs=400), "last")
    assert table.cells.loc["proco", "d = 64"] == "50.00 / 54.20 (-4.20)"


def test_a_number_of_the_validation_part_is_not_compared() -> None:
    entries = [(head, 2048, 1.0, [0.5]) for head in ("crt", "psc")]
    facts = {"dataset": "imagenet-lt", "backbone_name": "timm", "epochs": 90, "augmentation": "crop-flip-jitter"}
    frame = rows(entries, **facts)
    frame["backbone_options"] = '{"model": "resnext50_32x4d"}'
    (table,) = published.tables(frame, "last")
    assert table.cells["d = 2048"].str.contains(r"^50\.00 / 4[49]\.[46]0 [ab]$").all()
    assert "validation part: seems to be of the validation part" in table.caption


def test_groups_stand_beside_the_published_ones() -> None:
    """By the same guards: SBCL's are of 1,200 epochs and weakly augmented, as far as is known, LDAM's a re-run."""
    entries = [(head, 64, 100.0, [0.5]) for head in ("bcl", "sbcl", "ldam", "psc")]
    frame = rows(entries, backbone="resnet32(shortcut=A)", epochs=200, augmentation=STRONG)
    frame["head_options"] = [json.dumps(HEADS.get(head).resolve({}, head), default=str) for head, *_ in entries]
    frame = frame.assign(many_accuracy=0.6, medium_accuracy=0.5, few_accuracy=[0.3, 0.2, 0.1, math.nan])
    _, groups = published.tables(frame, "last")
    assert groups.name == "cifar100-published-groups-last"
    assert groups.cells.columns.tolist() == [f"d = 64, {group}" for group in MANY_MEDIUM_FEW]
    assert list(groups.cells.loc["bcl"]) == ["60.00 / 67.20 (-7.20)", "50.00 / 53.10 (-3.10)", "30.00 / 32.90 (-2.90)"]
    assert list(groups.cells.loc["sbcl"]) == ["60.00 / 64.35 a", "50.00 / 45.27 a", "20.00 / 22.14 a"]
    assert list(groups.cells.loc["psc"]) == ["60.00", "50.00", "-"]
    assert groups.cells.loc["ldam", "d = 64, few (< 20)"] == "10.00 / 20.22 (-10.22) b"
    note = "a: of 1200 epochs, not 200, and so not compared; not known whether the augmentation is the same."
    assert note in groups.caption
    assert "many, medium and few classes, by training images" in groups.caption
    assert groups.tidy.groupby("metric", sort=False).size().tolist() == [4, 4, 4]


def test_groups_of_which_none_is_published_have_no_table() -> None:
    frame = rows([("psc", 64, 50.0, [0.5])], backbone="resnet32").assign(many_accuracy=0.6)
    assert [table.name for table in published.tables(frame, "last")] == ["cifar100-published-last"]


def test_there_are_marks_for_every_footnote() -> None:
    assert [published._letters(place) for place in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


def test_of_several_forms_of_a_head_the_plain_one_alone_has_its_number() -> None:
    """That of the head as such, 64.7 %, is said of no form; of the only form that was trained it is."""
    plain, form = (rows([("hpn", 50, 1.0, [top1])]) for top1 in (0.6, 0.5))
    form = form.assign(head_label="hpn(loss_scale=2.0)", cell_id="other")
    (both,), (alone,) = (published.tables(given, "last") for given in (pd.concat([plain, form]), form))
    told = both.tidy.set_index("head_label")["published"]
    assert told["hpn"] == alone.tidy["published"].item() == 64.7
    assert math.isnan(told["hpn(loss_scale=2.0)"])
