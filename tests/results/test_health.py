"""Health in the rows of a grid: which cells say something about their head."""

import json
from pathlib import Path

from results import frame, health, store
from tests.results import helpers


def test_marked_cells_are_not_sound_and_old_ones_of_unknown_health_are(tmp_path: Path) -> None:
    cells = [helpers.write_cell(tmp_path, helpers.facts("psc", 2, seed), 20, marks) for seed, marks in enumerate(((), ("diverged", "fell back"), ()))]
    old = store.cell_folder(tmp_path, cells[2]["cell_id"])
    result = json.loads((old / "result.json").read_text())
    store.write_result(old, {key: value for key, value in result.items() if key not in {"health", "checksum", "sha256"}}, [])
    cells.append({"cell_id": "x", "not_applicable": "too small"} | helpers.facts("psc", 2, 3))
    helpers.write_grid(tmp_path, cells)
    rows = frame.load(tmp_path, "toy-grid")
    last = rows[(rows["selection"] == "last") | (rows["status"] != "done")]
    assert last["health"].fillna("").tolist() == ["ok", "diverged; fell back", "", ""]
    assert health.sound(last).tolist() == [True, False, True, True]
    assert health.sound(rows).dtype == bool
