"""Imports go one way, from room to room and from file to file."""

import ast
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "heads", "backbones", "data", "runners", "results")
# Each room with the rooms that it may import beside itself and core; results.* is a file of that folder.
STORED = {"results.columns", "results.store", "results.schema", "results.answers", "results.ood.cell_files"}
PLUGINS = {"heads", "backbones", "data"}
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "heads": set(),
    "backbones": set(),
    "data": set(),
    "results.numbers": set(),
    "results": {"results.numbers", "results.ood"},
    "results.ood": {"results", "results.numbers"},
    "results.tables": {"results", "results.numbers"},
    "results.figures": {"results", "results.numbers", "results.tables"},
    "results.page": {"results", "results.numbers", "results.tables", "results.figures"},
    "results.tuning": {"results", "results.numbers", "results.tables", "results.figures"},
    "results.export": {"results"},
    "results.leaderboard": {"results", "results.numbers", "results.tables", "results.page"},
    "runners": set(),
    "runners.devices": set(),
    "runners.grid": PLUGINS,
    "runners.ood": PLUGINS | STORED | {"results.numbers", "runners.grid", "runners.training"},
    "runners.training": PLUGINS | STORED | {"results.numbers", "runners.grid", "runners.devices"},
    "runners.execution": PLUGINS
    | STORED
    | {"results.numbers", "runners.grid", "runners.training", "runners.ood", "runners.devices"},
    "runners.inspection": PLUGINS | STORED | {"runners.grid", "runners.training", "runners.execution"},
    "runners.engines": STORED | {"runners.grid", "runners.training", "runners.execution"},
    "runners.search": PLUGINS
    | STORED
    | {"results.tuning.searches", "runners.grid", "runners.training", "runners.execution"},
    "runners.python": PLUGINS
    | STORED
    | {"results", "results.tuning.searches"}
    | {"runners.grid", "runners.training", "runners.execution", "runners.search", "runners.exchange"},
    "runners.exchange": PLUGINS
    | STORED
    | {"results.grid_rows", "results.numbers", "runners.grid", "runners.training", "runners.execution"},
    "runners.commands": {"results", "results.figures", "results.tables", "results.export", "results.leaderboard"}
    | {"runners.grid", "runners.execution", "runners.inspection", "runners.search", "runners.exchange"}
    | {"runners.engines", "results.page.made_by"},
}
# Files that stand above the tables and figures that they gather.
ABOVE = {
    "results.comparison",
    "results.page.page",
    "results.page.sections",
    "results.report",
    "results.tuning.section",
}
MOST = 14
# Folders of files of one kind, however many: methods, data sets, commands, tables.
KINDS = {"heads", "data", "runners/commands", "results/tables", "results/figures"}


def files() -> dict[str, Path]:
    """Every module of the harness by its name in the package."""
    found = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(file: Path) -> set[str]:
    """Every module that a file imports, with ``from a import b`` as ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(file: Path, known: dict[str, Path]) -> set[str]:
    """Return which modules of the harness a file imports."""
    names = {name.removeprefix("headbench.") for name in imported(file) if name.startswith("headbench.")}
    return {name if name in known else name.rpartition(".")[0] for name in names}


def room(module: str) -> str:
    return max((name for name in ROOMS if f"{module}.".startswith(f"{name}.")), key=len)


def test_imports_go_one_way() -> None:
    known = files()
    for module, file in known.items():
        allowed = ROOMS[room(module)] | {room(module), "core"}
        if module in ABOVE:
            allowed |= {"results.tables", "results.figures", "results.page", "results.tuning"}
        wrong = {
            name
            for name in ours(file, known)
            if not (room(name) in allowed or name in allowed) or (name in ABOVE and module not in ABOVE)
        }
        wrong -= {"results.report"} if room(module) == "runners.commands" else set()
        assert not wrong, f"{module} imports {sorted(wrong)}"


def test_there_is_no_circle() -> None:
    known = files()
    # A package takes its own files in, and a toy runs another command.
    graph = {module: ours(file, known) - {module} for module, file in known.items() if file.name != "__init__.py"}
    TopologicalSorter(graph).prepare()


def test_no_name_of_a_top_folder_is_imported_but_from_the_package() -> None:
    for module, file in files().items():
        assert not {name.split(".")[0] for name in imported(file)} & {*PACKAGES, "bench", "tests"}, module


def test_no_folder_is_a_heap() -> None:
    for package in PACKAGES:
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            if folder.relative_to(ROOT).as_posix() not in KINDS:
                assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST, folder


@pytest.mark.parametrize("banned", ["torch", "torchvision"])
def test_results_need_no_torch(banned: str) -> None:
    for file in (ROOT / "results").rglob("*.py"):
        assert banned not in {module.split(".")[0] for module in imported(file)}, file


def test_the_package_has_every_folder() -> None:
    for name in PACKAGES:
        assert (ROOT / "headbench" / name).resolve() == ROOT / name
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert find["include"] == ["headbench", "headbench.*"]
