"""Imports go one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "heads", "backbones", "data", "runners", "results")
ALLOWED = {
    "core": set(),
    "heads": {"core"},
    "backbones": {"core"},
    "data": {"core"},
    "results": {"core"},
    "bench": {"core", "runners", "results"},
    "runners": {"core", "heads", "backbones", "data", "results.store", "results.metrics", "results.collapse", "results.health", "results.answers"},
}


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


def allowed(module: str, permitted: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in permitted)


@pytest.mark.parametrize("package", [*PACKAGES, "bench"])
def test_imports_go_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py")) if package != "bench" else [ROOT / "bench.py"]
    assert files
    for file in files:
        ours = {module for module in imported(file) if module.split(".")[0] in {*PACKAGES, "bench", "tests"}}
        wrong = {module for module in ours if not allowed(module, ALLOWED[package] | {package})}
        assert not wrong, f"{file.relative_to(ROOT)} imports {sorted(wrong)}"


def test_results_need_no_torch() -> None:
    for file in (ROOT / "results").rglob("*.py"):
        assert not any(module.split(".")[0] in {"torch", "torchvision"} for module in imported(file)), file


def test_every_package_is_installed() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(PACKAGES)
