"""What a grid was asked for by, kept in its plan and shown on its page."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from headbench.results import store
from headbench.results.page import made_by
from headbench.runners.commands import arguments, grammar
from headbench.runners.execution import launch
from headbench.runners.execution.options import KEPT, RunOptions, commands, words
from tests.runners.helpers import grid

ASKED = (
    "--grid my.yaml --set recipe.epochs=2 'axes.head=hpn(a=1, b=$x),psc' --name 'a b' --where head=psc feature_dim=2,5 "
    "--tuned t.yaml --data ../sets --device cpu --devices 2 --precision fp32 --compile on --plugin a.py --plugin b.py"
)


def options_of(asked: list[str]) -> RunOptions:
    parsed = grammar.parse(asked)
    return arguments.run_options(parsed, cells=parsed.cell, tuned=parsed.tuned, devices=parsed.devices)


def test_the_words_ask_for_the_same_cells() -> None:
    options = options_of([*shlex.split(ASKED), "--workers", "3", "--threads", "2", "--cell", "x", "--out", "elsewhere"])
    shared: dict[str, Any] = {"workers": None, "threads": None, "cells": [], "out": Path("runs")}
    assert options_of(words(options)) == dataclasses.replace(options, **shared)


def test_the_page_says_them_as_a_shell_takes_them() -> None:
    asked = shlex.split(ASKED)
    run, again = made_by.commands(
        Path("my runs"), "a b", [asked], {"--bins": 30, "--figure-width": 3.5, "--font-size": None}
    )
    assert shlex.split(run)[-2 - len(asked) :] == [*asked, "--out", "my runs"]
    assert again.endswith(" report --grid 'a b' --out 'my runs' --bins 30 --figure-width 3.5")
    assert made_by.commands(Path("runs"), "g", [], {})[0].endswith(" report --grid g")
    (hidden, _) = made_by.commands(Path("runs"), "g", [["--grid", "a\n\x1b; rm -rf ~"]], {})
    assert hidden.endswith(" --grid 'a\\n\\x1b; rm -rf ~'")


def test_a_plan_keeps_the_commands_that_trained(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"head": ["psc", "hpn"]})))
    options = RunOptions(str(file), data=tmp_path, out=tmp_path / "runs", device="cpu", workers=1, threads=1)

    class Idle:
        def run(self, *_: object) -> None:
            pass

    def kept(*, done: bool, **changes: Any) -> list[list[str]]:
        prepared = launch.prepare(dataclasses.replace(options, **changes))
        launch.execute(dataclasses.replace(prepared, todo=[] if done else prepared.todo), Console(quiet=True), Idle())
        commands: list[list[str]] = store.read_plan(store.grid_folder(options.out, "tiny")).get("commands", [])
        return commands

    whole, part = words(options), [*words(options)[:2], "--where", "head=psc"]
    part += words(options)[2:]
    assert kept(done=True) == []
    assert kept(done=False) == [whole]
    assert kept(done=False, where=["head=psc"]) == [whole, part]
    assert kept(done=False) == [part, whole]
    assert kept(done=True, where=["head=hpn"]) == [part, whole]
    assert kept(done=False, grid=yaml.safe_load(file.read_text())) == [part, whole]


def test_of_many_commands_the_latest_are_kept() -> None:
    many = [["--grid", str(number)] for number in range(KEPT + 3)]
    assert commands({"commands": many[:-1]}, many[-1:]) == {"commands": many[3:]}
