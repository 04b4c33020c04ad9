"""The one table of columns: what files hold follows from it, and a new axis is one entry."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from headbench.results import columns, recorded, schema
from headbench.results.numbers import collapse, metrics
from headbench.results.tables.base import named_comparisons
from tests.results import known
from tests.runners.helpers import cell, grid

ROOT = Path(__file__).parents[2]
HEADER = """
cell_id grid status health error
dataset dataset_name dataset_options data_fingerprint protocol backbone backbone_name backbone_options projection freeze
head head_label head_display head_options feature_dim num_classes imbalance_factor recipe tuned recipe_hash augmentation
seed epochs
selection epoch n_train n_val n_test
top1 top5 val_top1 val_nll macro_accuracy many_accuracy medium_accuracy few_accuracy
many_range_accuracy medium_range_accuracy few_range_accuracy
nll brier ece_raw ece_native ece_temperature ece_floor ece_raw_plugin ece_native_plugin ece_temperature_plugin
smooth_ece adaptive_ece classwise_ece mce temperature native_scale calibration_view calibration_bins
ece_raw_low ece_raw_high ece_native_low ece_native_high ece_temperature_low ece_temperature_high
nll_low nll_high brier_low brier_high
nc1 nc2_angle nc2_length nc3 nc4
ood ood_auroc_probability ood_auroc_energy ood_auroc_score ood_fpr95_probability ood_fpr95_energy ood_fpr95_score
train_loss train_seconds images_per_second peak_memory_mb image_views train_flops
device processor processor_flags cells_per_device threads precision compile git_commit torch_version imported
started_at finished_at
"""


def test_the_columns_of_results_csv_and_their_order_are_kept() -> None:
    assert columns.names() == HEADER.split()


def test_the_roles_are_those_of_the_stored_files() -> None:
    """What a plan, a selection and a result hold, and what the metrics are called where they are computed."""
    assert set(columns.names("comparison", "axis", "fact")) == set(schema.Facts.model_fields)
    assert {*columns.names("provenance"), "devices", "head_source"} == set(schema.Provenance.model_fields)
    assert set(columns.names("run")) < set(schema.Result.model_fields)
    measured = {*columns.names("metric", "selection"), "per_class_accuracy", "correct", "predictions_digest"}
    assert measured - {"selection", *collapse.NAMES} == set(schema.Selection.model_fields)
    assert list(columns.INTERVALS) == metrics.INTERVALS
    assert set(collapse.NAMES) < set(columns.names("metric"))


def test_what_two_rows_of_one_experiment_agree_in() -> None:
    """The order is that of the rows in ``results/measured/``."""
    facts = "dataset protocol backbone projection freeze head_label feature_dim imbalance_factor recipe tuned seed"
    assert [*facts.split(), "precision", "selection"] == recorded.EXPERIMENT


def test_a_comparison_is_described_by_all_that_distinguishes_it() -> None:
    rows, _ = known.answered({("psc", 3): known.random(0.5, 0)}, imbalance_factor=20.0)
    ((described, _),) = named_comparisons(rows).values()
    assert described == "cifar100, imbalance factor 20, b, recipe fast, projection linear, protocol p"
    ((described, _),) = named_comparisons(rows.assign(freeze="backbone", imbalance_factor=1.0)).values()
    assert described == "cifar100, b, backbone frozen, recipe fast, projection linear, protocol p"
    ((described, _),) = named_comparisons(rows.assign(tuned=12, imbalance_factor=1.0)).values()
    assert described == "cifar100, b, recipe fast, tuned, 12 trials each, projection linear, protocol p"
    assert columns.NAMED["imbalance_factor"].above(20.0) == "IF 20"
    assert columns.NAMED["top1"].shown(0.12345) == "12.35"


def test_no_other_module_spells_the_axes() -> None:
    """Three of what distinguishes comparisons in one list, or in one text to be split, would be such a list."""
    found = {}
    for file in (path for room in ("results", "runners") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            listed = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [node])
            texts = [text.value for text in listed if isinstance(text, ast.Constant) and isinstance(text.value, str)]
            words = {word for text in texts for word in (text.split() if listed == [node] else [text])}
            if len(words & set(columns.COMPARISON)) >= 3 and not any("." in word for word in words):
                found[f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"] = words
    assert not found


def with_weather(folder: Path) -> None:
    """Lay the harness into a folder, with one entry more in the table of columns and one field more of the cell."""
    changed = {
        "results/columns.py": [
            ('    Column("projection"', '    Column("weather", "comparison", place=3, usual="fine"),\n'),
        ],
        "runners/grid/cells.py": [
            ("    head: Annotated[tuple[Named", '    weather: tuple[str, ...] = ("fine",)\n'),
            ('    projection: Literal["linear"', '    weather: str = "fine"\n'),
        ],
    }
    for name in ("core", "heads", "backbones", "data", "results", "runners"):
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                place = path.relative_to(ROOT)
                (folder / "headbench" / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / "headbench" / place).symlink_to(path)
    (folder / "headbench" / "__init__.py").symlink_to(ROOT / "headbench" / "__init__.py")
    for name, insertions in changed.items():
        text = (ROOT / name).read_text()
        for before, line in insertions:
            assert text.count(before) == 1
            text = text.replace(before, line + before)
        (folder / "headbench" / name).unlink()
        (folder / "headbench" / name).write_text(text)


USE = """
import json, sys
from pathlib import Path
from headbench.results import columns, grid_rows, recorded
from headbench.results.tables.base import named_comparisons
from headbench.runners.commands.main import main
from headbench.runners.grid import config, overrides
from headbench.runners.inspection import status
from tests.results import helpers

file, out = sys.argv[1], Path(sys.argv[2])
contents, place = config.read_grid(file)
cells = config.expand(config.parse_grid(contents, place), "fp32")
told = {"ids": [cell.cell_id("data") for cell in cells]}
told["chosen"] = [cell.weather for cell in overrides.choose(cells, {"weather": "rain"})]
told["exit"] = main(["--grid", file, "--out", str(out / "none"), "--dry-run"])
helpers.write_grid(out, [
    helpers.write_cell(out, helpers.facts("psc", 3, 0), 20, cell_id="old"),
    helpers.write_cell(out, helpers.facts("psc", 3, 0, weather="rain"), 30, cell_id="new"),
])
rows = grid_rows.load(out, "toy-grid")
told["rows"] = rows[rows["selection"] == "last"]["weather"].tolist()
told["described"] = [described for described, _ in named_comparisons(rows).values()]
told["experiment"] = recorded.EXPERIMENT
told["status"] = [row.get("weather") for row in status.of_grid(out, "toy-grid")]
print(json.dumps(told))
"""


def test_a_new_axis_is_one_entry_and_one_field(tmp_path: Path) -> None:
    """Grid file, choice, plan, rows, comparisons and status know it; cells at its default are what they were."""
    with_weather(tmp_path)
    file = tmp_path / "weather.yaml"
    overrides = [{"where": {"weather": "snow"}, "set": {"weather": "hail"}}]
    file.write_text(json.dumps(grid(axes={"weather": ["fine", "rain", "snow"]}, overrides=overrides)))
    done = subprocess.run(
        [sys.executable, "-c", USE, str(file), str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "COLUMNS": "120"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    told = json.loads(last)
    assert told["ids"][0] == cell("psc").cell_id("data")
    assert len(set(told["ids"])) == 3
    assert told["chosen"] == ["rain"]
    assert told["exit"] == 0
    assert [words[2] for line in printed if "to do" in line and (words := line.split("│"))] == [
        f" {weather}    " for weather in ("fine", "rain", "hail")
    ]
    assert told["rows"] == ["fine", "rain"]
    assert told["described"] == [
        f"toy, net, {weather}recipe fast, projection linear, protocol holdout-0.1" for weather in ("", "weather rain, ")
    ]
    assert "weather" in told["experiment"]
    assert told["status"] == ["fine", "rain"]
