"""A grid from Python: :func:`headbench.run` and :func:`headbench.tune`."""

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from headbench import results
from headbench.core.errors import UserError, suggest
from headbench.runners.execution import launch
from headbench.runners.execution.options import CHOICES, MOST, RunOptions
from headbench.runners.grid.overrides import SETTABLE
from headbench.runners.python import given
from headbench.runners.python.surroundings import borrowed
from headbench.runners.search import trials

if TYPE_CHECKING:
    import pandas as pd

# Arguments of their own; all other fields of a run are settings, and what is neither changes the grid. One worker is
# this process itself.
ARGUMENTS = {"grid", "changes", "where", "cells", "data", "out", "plugins", "wait"}
OPTIONS: dict[str, Any] = {own.name: own.default for own in fields(RunOptions) if own.name not in ARGUMENTS}
OPTIONS["workers"] = 1
PURPOSES = ("final", "tune")
LEAST = {"workers": 1, "threads": 1, "readers": 0, "devices": 1, "checkpoint_minutes": 0}
# Numbers that None leaves to the harness.
OPEN = {"workers", "threads", "readers"}


def run(
    grid: str | Path | Mapping[str, Any],
    out: str | Path,
    data: str | Path | None,
    where: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> "pd.DataFrame":
    """Train what is missing of a grid and return its rows, see :func:`headbench.run`."""
    purpose = settings.get("purpose", "final")
    if purpose not in PURPOSES:
        raise UserError(f"run: purpose: unknown '{purpose}'; {suggest(purpose, PURPOSES)}")
    changes = {key: value for key, value in settings.items() if key != "purpose"}
    options = _options("run", OPTIONS, grid, out, data, where, changes)
    with borrowed("run", options.device):
        if purpose == "tune":
            return trials.run(options, Console())
        prepared = launch.prepare(options)
        launch.execute(prepared, Console())
    return results.load(options.out, prepared.grid.name)


def tune(
    grid: str | Path | Mapping[str, Any],
    out: str | Path,
    data: str | Path | None,
    where: Mapping[str, Any],
    asked: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> "pd.DataFrame":
    """Search better values for a grid and return all trials, see :func:`headbench.tune`."""
    from headbench.results.tuning import searches
    from headbench.runners.search import search

    own = {key: value for key, value in OPTIONS.items() if key not in ("devices", "keep_weights", "tuned")}
    options = _options("tune", own, grid, out, data, where, settings)
    with borrowed("tune", options.device):
        searched = search.run(search.TuneOptions(run=options, **asked), Console())
    return searches.trials(study.kept for study in searched.studies)


def _options(
    caller: str,
    known: Mapping[str, Any],
    grid: str | Path | Mapping[str, Any],
    out: str | Path,
    data: str | Path | None,
    where: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> RunOptions:
    """Return the options of a run; all settings that are none of the known ones change the grid.

    Raises:
        UserError: for an argument that is unknown, of another type, or out of its bounds.
    """
    if not isinstance(grid, str | os.PathLike | Mapping):
        raise UserError(f"{caller}: grid: {given.said(grid)} is no grid; give a name, a .yaml file or a dict")
    if not isinstance(where, Mapping):
        raise UserError(f"{caller}: where: {given.said(where)} is no mapping; give values by key, as {{'seed': 0}}")
    settings = {key: given.plain(value) if key in {*CHOICES, *LEAST} else value for key, value in settings.items()}
    _check(caller, known, settings)
    changes = {key: value for key, value in settings.items() if key not in known}
    own: dict[str, Any] = dict(known) | {key: value for key, value in settings.items() if key in known}
    if own.get("tuned") is not None:
        own["tuned"] = given.path(f"{caller}: tuned", own["tuned"])
    return RunOptions(
        grid=given.plain(grid) if isinstance(grid, Mapping) else str(grid),
        changes=given.words(changes),
        where=given.words(where),
        data=None if data is None else given.path(f"{caller}: data", data),
        out=given.folder(f"{caller}: out", out),
        **own,
    )


def _check(caller: str, known: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise UserError for a setting that is neither an option nor a key of a grid, or an option's wrong value."""
    named = [*known, *SETTABLE]
    for key in settings:
        if "." not in key and key not in named:
            raise UserError(f"{caller}: unknown argument '{key}'; {suggest(key, ['out', 'data', 'where', *named])}")
    for key in (key for key, usual in known.items() if isinstance(usual, bool) and key in settings):
        if not isinstance(settings[key], bool):
            raise UserError(f"{caller}: {key}: {given.said(settings[key])} is neither True nor False")
    for key, choices in CHOICES.items():
        if settings.get(key, choices[0]) not in choices:
            raise UserError(f"{caller}: {key}: unknown '{settings[key]}'; {suggest(settings[key], choices)}")
    for key, least in LEAST.items():
        if key in settings and not (key in OPEN and settings[key] is None):
            given.check_number(f"{caller}: {key}", settings[key], least, MOST[key], whole=key != "checkpoint_minutes")
