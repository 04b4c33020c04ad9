"""A list that is kept is the one that would be made."""

from pathlib import Path

import pytest

from headbench.runners.inspection import kept, listing


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The kinds that were listed anew, with an empty cache and one source."""
    kinds, real = list[str](), listing.listed

    def listed(what: str) -> list[listing.Listed]:
        kinds.append(what)
        return real(what)

    monkeypatch.setattr(listing, "listed", listed)
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "sources" / "deep").mkdir(parents=True)
    (tmp_path / "sources" / "deep" / "head.py").write_text("1\n")
    monkeypatch.setattr(kept, "SOURCES", [tmp_path / "sources"])
    return kinds


@pytest.mark.parametrize("what", listing.REGISTRIES)
def test_the_second_list_is_the_first(what: str, made: list[str]) -> None:
    expected = kept.listed(what)
    assert len(expected) > 3
    assert kept.listed(what) == expected == listing.listed(what)
    assert made == [what, what]


@pytest.mark.parametrize(("name", "content"), [("deep/head.py", "2\n"), ("other.py", ""), ("deep/renamed.py", None)])
def test_a_source_that_changes_comes_or_moves_makes_it_anew(
    name: str, content: str | None, made: list[str], tmp_path: Path
) -> None:
    kept.listed("heads")
    file = tmp_path / "sources" / name
    file.write_text(content) if content is not None else (tmp_path / "sources/deep/head.py").rename(file)
    kept.listed("heads")
    kept.listed("heads")
    assert made == ["heads", "heads"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\0", b'{"sources": "x", "listed": [{"name": 5}]}'])
def test_a_damaged_list_is_made_anew(content: bytes, made: list[str], tmp_path: Path) -> None:
    expected = kept.listed("heads")
    (tmp_path / "cache" / "lists" / "heads.json").write_bytes(content)
    assert kept.listed("heads") == expected
    assert kept.listed("heads") == expected
    assert made == ["heads", "heads"]


def test_without_a_place_for_it_or_with_heads_of_other_packages_it_is_made_each_time(
    made: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "file"))
    assert kept.listed("heads") == kept.listed("heads")
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "cache"))
    kept.listed("heads")
    monkeypatch.setattr(kept, "entry_points", lambda group: ["one"])
    kept.listed("heads")
    assert made == ["heads"] * 4


def test_what_imports_torch_anyway_keeps_all_lists(made: list[str]) -> None:
    kept.keep()
    kept.keep()
    assert made == list(listing.REGISTRIES)
