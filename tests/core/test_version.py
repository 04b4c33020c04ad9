"""Version and commit."""

import subprocess
from pathlib import Path

import pytest

from headbench.core import version
from headbench.runners.commands.main import main


def test_the_commit_is_that_of_the_checkout() -> None:
    head = subprocess.run(
        ["git", "-C", str(version.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if head.returncode:
        pytest.skip("no git checkout")
    assert head.stdout.startswith(version.git_commit().removesuffix("-dirty"))


def test_an_installed_package_inside_of_a_repository_has_not_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    commit = ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--allow-empty", "-m", "x"]
    subprocess.run(["git", "-C", str(tmp_path), *commit], check=True)
    monkeypatch.setattr(version, "ROOT", tmp_path)
    assert version.git_commit() == "unknown"
    (tmp_path / "pyproject.toml").touch()
    assert len(version.git_commit()) == 12


def test_the_command_line_says_its_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "version", lambda: "1.2.3")
    monkeypatch.setattr(version, "git_commit", lambda: "unknown")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "headbench 1.2.3\n"
    monkeypatch.setattr(version, "git_commit", lambda: "0123456789ab-dirty")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "headbench 1.2.3 (0123456789ab-dirty)\n"
