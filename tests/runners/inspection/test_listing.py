"""What can be named in a grid file, for people and for scripts."""

import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from rich.console import Console

from headbench.core.registry import Registry
from headbench.heads import HEADS
from headbench.runners.commands.list import aligned
from headbench.runners.commands.main import main
from headbench.runners.grid import config, recipes
from headbench.runners.inspection import listing

Half = Annotated[float, Field(ge=0, lt=0.5)]


def made(
    *, n: int, share: Half = 0.25, kind: Literal["mean", "sum"] = "mean", file: Path | None = None, on: bool = False
) -> None:
    """Do what a test asks; ``kind`` matters, and this sentence goes on
    over two lines.

    Args:
        n: how many
            there are.
        share: of all.
        kind: of reduction.
        file: to read.
        on: or not.
    """


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> list[listing.Listed]:
    """What is listed of a registry that holds the function above, by the longest name of all."""
    known = Registry[Any]("head")
    known.register("by-hand-[red]", version=3, paper="ours", source="a [bold] test " * 20)(made)
    monkeypatch.setattr(listing, "registry", lambda what: known)
    return listing.listed("heads")


def test_options_are_listed_with_type_default_and_meaning(one: list[listing.Listed]) -> None:
    assert one[0].description == "Do what a test asks; 'kind' matters, and this sentence goes on over two lines."
    assert [(o.name, o.type, o.required, o.default, o.description) for o in one[0].options] == [
        ("n", "integer", True, None, "how many there are."),
        ("share", "number >= 0, < 0.5", False, 0.25, "of all."),
        ("kind", "one of mean, sum", False, "mean", "of reduction."),
        ("file", "path or null", False, None, "to read."),
        ("on", "boolean", False, False, "or not."),
    ]


def test_what_is_known_stands_in_a_column_beside_the_names(one: list[listing.Listed]) -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(aligned(one))
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    column = len("by-hand-[red]") + 2
    assert [line[:column].rstrip() for line in lines if line[:column].strip()] == [
        "by-hand-[red]",
        *("  n", "  share", "  kind", "  file", "  on"),
    ]
    text = " ".join(line[column:].strip() for line in lines)
    assert one[0].description in text
    assert f"version: 3 paper: ours source: {'a [bold] test ' * 20}integer (required): how many" in text
    assert "boolean (default false): or not." in text


def test_one_entry_is_shown_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "heads", "cmf", "--json"]) == 0
    (head,) = json.loads(capsys.readouterr().out)["heads"]
    assert head["about"]["search"] == "scale from 2 to 32 (log), momentum from 0.9 to 0.999"
    assert {"version", "paper"} <= head["about"].keys()
    assert main(["list", "recipes", "fast"]) == 0
    printed = capsys.readouterr().out
    assert f"epochs: {recipes.load('fast', {}, 'here').epochs}" in printed
    assert "psc" not in printed
    assert main(["list", "grids", "digit-dims"]) == 2
    assert "unknown grid 'digit-dims'; did you mean 'digits-dims'?" in capsys.readouterr().err


@pytest.mark.parametrize(("what", "names"), [("grids", config.grid_names()), ("recipes", recipes.names())])
def test_grids_and_recipes_say_what_they_are_for(
    what: str, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", what, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[what]
    assert [known["name"] for known in found] == names
    assert all(len(known["description"].split()) > 4 and "#" not in known["description"] for known in found)


def test_every_option_of_a_head_is_described() -> None:
    found = listing.listed("heads")
    assert [known.name for known in found] == HEADS.names()
    # Other tests have registered heads of their own.
    for known in (one for one in found if HEADS.get(one.name).target.__module__.startswith("headbench.")):
        assert {option.name: option.default for option in known.options} == HEADS.get(known.name).defaults
        assert known.description
        assert all(option.type and len(option.description) > 2 for option in known.options), known
