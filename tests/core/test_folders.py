"""Folders that the environment and the home name."""

import os
from pathlib import Path

import pytest

from headbench.core.errors import UserError
from headbench.core.folders import expanded, from_environment
from headbench.heads.geometry import cache, methods, word_vectors
from headbench.runners.commands import grammar
from headbench.runners.execution.launch import data_folder


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user id without an entry and without ``$HOME`` has it."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no entry")))


@pytest.mark.parametrize("empty", ["", " ", None])
def test_an_empty_variable_counts_as_unset(empty: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for variable in ("HEADBENCH_DATA", "HEADBENCH_CACHE"):
        monkeypatch.delenv(variable, raising=False)
        if empty is not None:
            monkeypatch.setenv(variable, empty)
        assert from_environment(variable) is None
    assert data_folder(None) == tmp_path / ".cache" / "headbench"
    assert cache.cache_folder() == tmp_path / ".cache" / "headbench" / "prototypes"


def test_a_variable_names_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HEADBENCH_DATA", "~")
    monkeypatch.setenv("HEADBENCH_CACHE", "~/kept")
    assert (data_folder(None), cache.cache_folder()) == (tmp_path, tmp_path / "kept" / "prototypes")
    monkeypatch.setenv("HEADBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere does not exist"):
        data_folder(None)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADBENCH_CACHE")
    monkeypatch.delenv("HEADBENCH_DATA", raising=False)
    message = r"there is no home folder for .*--data .*\$HEADBENCH_CACHE"
    for home in (None, "", "relative"):
        if home is not None:
            monkeypatch.setenv("HOME", home)
        for call in (
            lambda: data_folder(None),
            cache.cache_folder,
            lambda: expanded("~/x"),
            lambda: word_vectors.file_of("~/x.txt"),
            lambda: methods.file_of("~/x.npy"),
            lambda: grammar.parse(["--data", "~/x"]),
        ):
            with pytest.raises(UserError, match=message):
                call()
    assert data_folder(tmp_path) == tmp_path
    assert expanded("a/~b") == Path("a/~b")
    assert "HOME" not in os.environ or os.environ["HOME"] == "relative"
