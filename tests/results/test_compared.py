"""A table of one's own is one file."""

import sys
from pathlib import Path

import pytest

from headbench.results import compared, tables

OWN = '''
"""How many cells there are."""
import pandas as pd
from headbench.results.compared import Comparison
from headbench.results.tables.base import Table, unmarked

def compared(comparison: Comparison) -> Table:
    cells = pd.DataFrame({"cells": [str(comparison.rows["cell_id"].nunique())]})
    return Table(f"{comparison.name}-count", "Cells.", cells, unmarked(cells), cells)
'''


def test_every_comparison_has_its_differences_first() -> None:
    assert list(compared.makers(tables)) == ["paired", "collapse", "per_class"]


def test_a_new_file_is_the_last_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "count.py").write_text(OWN)
    monkeypatch.setattr(tables, "__path__", [*tables.__path__, str(tmp_path)])
    try:
        assert list(compared.makers(tables)) == ["paired", "collapse", "per_class", "count"]
    finally:
        sys.modules.pop(f"{tables.__name__}.count", None)
