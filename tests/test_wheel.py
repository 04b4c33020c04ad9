"""The wheel: what is needed is in it, and an installed harness trains and reports far from the repository."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy
import pandas as pd
import pytest
import torch
import yaml

from tests.runners.helpers import QUICK, TINY
from tests.test_imports import PACKAGES, ROOT


def call(*words: str | Path, cwd: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=cwd,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the repository's packages, built without a network."""
    # By their metadata: to look for the module pip makes setuptools hand out another distutils in this process, with
    # which torch's compiler does not start.
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    missing = [name for name in ("pip", "setuptools") if name not in installed]
    if missing:
        pytest.skip(f"a wheel cannot be built without {' and '.join(missing)}")
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("headbench", *PACKAGES):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    call(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        made,
        source,
        cwd=made,
    )
    (file,) = made.glob("*.whl")
    return file


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = {
        f"headbench/{path.relative_to(ROOT).as_posix()}"
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files | {"headbench/__init__.py"}


def test_an_installed_wheel_trains_and_reports_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """From a folder with packages ``data`` and ``results`` of its own, in a locale without umlauts."""
    venv.create(tmp_path / "venv", with_pip=False)
    scripts, own = (
        Path(sysconfig.get_path(kind, "venv", {"base": str(tmp_path / "venv")})) for kind in ("scripts", "purelib")
    )
    python = scripts / Path(sys.executable).name
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=tmp_path,
    )
    # The libraries are those of this environment; a path in a .pth file brings no editable install with it.
    libraries = dict.fromkeys(
        str(Path(module.__file__).parents[1]) for module in (torch, numpy, pd, yaml) if module.__file__
    )
    (own / "libraries.pth").write_text("\n".join(libraries))
    home = tmp_path / "elsewhere"
    for name in ("data", "results"):
        (home / name).mkdir(parents=True)
        (home / name / "__init__.py").touch()
    found = call(python, "-c", "import data, results, headbench; print(data.__file__, headbench.__file__)", cwd=home)
    assert found.split() == [str(home / "data" / "__init__.py"), str(own / "headbench" / "__init__.py")]
    grid = {
        "name": "tiny",
        "description": "für",
        "recipe": QUICK,
        "axes": {"dataset": ["digits"], "backbone": [TINY], "head": ["word2vec"], "feature_dim": [5]},
    }
    (home / "tiny.yaml").write_text(yaml.safe_dump(grid, allow_unicode=True), encoding="utf-8")
    settings = {
        "HEADBENCH_CACHE": str(home / "cache"),
        "HEADBENCH_DATA": str(home),
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }
    printed = call(
        scripts / "headbench", "--grid", "tiny.yaml", "--workers", "1", "--threads", "1", cwd=home, **settings
    )
    assert "report: runs/tiny/report.html" in printed
    rows = pd.read_csv(home / "runs" / "tiny" / "results.csv")
    assert rows["status"].unique().tolist() == ["done"]
    assert (home / "runs" / "tiny" / "report.html").stat().st_size > 10_000
