"""The figure of DL2PA's assignment, from histories written by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headbench.results import store
from headbench.results.figures import assignment, histories


def rows_and_histories(out: Path, columns: dict[str, list[float]]) -> pd.DataFrame:
    rows = []
    for number, (head, dim) in enumerate((("dl2pa", 2), ("dl2pa", 5), ("psc", 2))):
        cell_id = f"cell{number}"
        folder = store.cell_folder(out, cell_id)
        folder.mkdir(parents=True)
        history = {"epoch": [1, 2, 3]} | (columns if head == "dl2pa" else {})
        store.write_text(folder / "history.csv", pd.DataFrame(history).to_csv(index=False))
        store.write_result(folder, {}, ["history.csv"])
        rows.append(
            {
                "cell_id": cell_id,
                "head": head,
                "head_label": head,
                "feature_dim": dim,
                "seed": 0,
                "num_classes": 10,
                "selection": "last",
                "imported": None,
            }
        )
    return pd.DataFrame(rows)


def test_what_is_drawn_is_in_the_histories(tmp_path: Path) -> None:
    rows = rows_and_histories(tmp_path, {"assignment_changes": [0, 7, 2], "assignment_similarity": [0.0, 5.0, 9.0]})
    history, damaged = histories.read(rows, tmp_path)
    assert damaged == []
    drawn = assignment.assignment(history, {"dl2pa": "DL2PA"}, "by hand")
    assert drawn is not None
    left, right = drawn.figure.axes
    assert [np.asarray(line.get_ydata()).tolist() for line in left.lines] == [[0, 7, 2]]
    assert [np.asarray(line.get_ydata()).tolist() for line in right.lines] == [pytest.approx([0, 0.5, 0.9])]
    assert "d = 2. by hand." in drawn.caption
    assert [text.get_text() for text in drawn.figure.legends[0].get_texts()] == ["DL2PA"]


def test_a_head_of_larger_dimensions_alone_is_drawn_too() -> None:
    lines = [("dl2pa", 2), ("dl2pa", 5), ("dl2pa(prototypes=orthoplex)", 5)]
    history = pd.DataFrame(
        [
            {"head": "dl2pa", "head_label": head, "seed": 0, "feature_dim": dim, "epoch": epoch, "num_classes": 10}
            | {"assignment_changes": 3.0, "assignment_similarity": 4.0}
            for head, dim in lines
            for epoch in (1, 2)
        ]
    )
    drawn = assignment.assignment(history, {lines[0][0]: "DL2PA", lines[2][0]: "DL2PA, orthoplex"}, "by hand")
    assert drawn is not None
    assert [len(panel.lines) for panel in drawn.figure.axes] == [2, 2]
    assert "d = 2; of DL2PA, orthoplex 5. by hand." in drawn.caption


def test_heads_without_assignment_have_no_figure_and_damage_is_named(tmp_path: Path) -> None:
    rows = rows_and_histories(tmp_path, {})
    store.write_text(tmp_path / "cells" / "cell0" / "history.csv", "epoch\n1\n")
    history, (line,) = histories.read(rows, tmp_path)
    assert assignment.assignment(history, {}, "by hand") is None
    assert "cell0" in line
    assert "history.csv is damaged" in line
    assert histories.read(rows.iloc[:0], tmp_path)[0].empty
    assert assignment.assignment(pd.DataFrame(), {}, "none") is None
