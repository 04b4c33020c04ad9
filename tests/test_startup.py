"""What is imported before the first word is printed: torch takes seconds, and is not there where nothing needs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from headbench.results import store

HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "pandas",
    "sklearn",
    "matplotlib",
    "seaborn",
    "pyarrow",
    "optuna",
    "ray",
}
MAIN = "from headbench.runners.commands.main import main\nmain({words})"


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import headbench", set()),
        (MAIN.format(words=["--help"]), set()),
        (MAIN.format(words=["run", "--help"]), set()),
        (MAIN.format(words=["--version"]), set()),
        (MAIN.format(words=["reprot"]), set()),
        (MAIN.format(words=["list", "grids"]), set()),
        (MAIN.format(words=["list", "recipes"]), set()),
    ],
    ids=["import", "help", "run help", "version", "wrong command", "list grids", "list recipes"],
)
def test_only_what_is_needed_is_imported(code: str, allowed: set[str]) -> None:
    assert_imported(code, allowed)


def test_heads_are_listed_with_torch_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    for allowed in ({"torch", "numpy", "scipy"}, set[str]()):
        assert_imported(MAIN.format(words=["list", "heads"]), allowed)


def test_a_report_wakes_the_processes_that_draw_before_it_imports_what_draws(tmp_path: Path) -> None:
    store.write_plan(store.grid_folder(tmp_path, "small"), {"name": "small", "cells": []})
    stop = "import sys\nfrom headbench.results.figures import drawers\ndrawers.wake = lambda calls: sys.exit()\n"
    assert_imported(stop + MAIN.format(words=["report", "--grid", "small", "--out", str(tmp_path)]), {"numpy"})


def assert_imported(code: str, allowed: set[str]) -> None:
    """Nothing heavy but what is allowed is imported by a program."""
    told = "import sys, atexit\natexit.register(lambda: print('\\nimported:', *sys.modules))\n"
    done = subprocess.run([sys.executable, "-c", told + code], capture_output=True, text=True, check=False)
    imported = {name.partition(".")[0] for name in done.stdout.partition("\nimported: ")[2].split()}
    assert "headbench" in imported, done.stderr
    assert imported & HEAVY <= allowed
