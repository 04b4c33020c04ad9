"""The plans of several folders of runs in one: which cells a grid lists, and which of them are not its seeds."""

import textwrap
from pathlib import Path
from typing import Any

from headbench.core.alone import alone
from headbench.core.errors import DamagedError, NewerError, UserError
from headbench.results import columns, schema, store
from headbench.runners.execution import options
from headbench.runners.execution.plan import Experiment, clash, experiments
from headbench.runners.grid import config

# Keys of a plan about data sets out of distribution: by their names, and as they were read.
OUTSIDE = ("ood", "ood_sets")


def add(source: Path, target: Path) -> list[str]:
    """Add the cells that a plan lists to the plan of the same grid.

    Args:
        source: the folder of a grid.
        target: the folder of the grid of that name in another folder of runs, which need not exist.

    Returns:
        A line for each cell that is not listed, and for a grid that is another one, or damaged.
    """
    try:
        theirs = store.read_plan(source)
        target.mkdir(parents=True, exist_ok=True)
        with alone(target / ".lock"):
            ours = store.read_plan(target) if (target / "grid.yaml").is_file() else {"cells": []}
            apart = ("cells", "commands", *OUTSIDE)
            rests = [{key: value for key, value in plan.items() if key not in apart} for plan in (ours, theirs)]
            # A plan of imported cells alone has no axes.
            defined = [rest for rest in rests if "axes" in rest] or [rest for rest in rests if rest]
            if differing := _differing(defined[0], defined[-1]):
                return [_other_grid(differing, source, target)]
            cells, conflicts = _listed(ours["cells"], theirs["cells"], source, target)
            lists = options.commands(ours, theirs.get("commands", [])) | _outside_sets(ours, theirs)
            store.write_plan(target, defined[0] | lists | {"cells": _in_order(defined[0], cells)})
            return conflicts
    except DamagedError as error:
        return [f"left out: {error}"]


def told(facts: dict[str, Any]) -> str:
    """Return which cell it is, in words."""
    return f"{facts['head_label']}, d = {facts['feature_dim']}, seed {facts['seed']} on {facts['dataset']}"


def _outside_sets(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the data sets out of distribution that two plans name, which are no part of what a cell is; of two of one
    label the first.
    """
    named, sets = ([*ours.get(key, []), *theirs.get(key, [])] for key in OUTSIDE)
    labels = [one["label"] for one in sets]
    unique = {
        "ood": [one for place, one in enumerate(named) if one not in named[:place]],
        "ood_sets": [one for place, one in enumerate(sets) if one["label"] not in labels[:place]],
    }
    return {key: value for key, value in unique.items() if value}


def _listed(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], source: Path, target: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the cells of two plans, and a line for each that is left out.

    Of several that are done and are trainings of one experiment, of two versions of a head, or with other values of
    one, the first is listed, as tables would count them as so many seeds; and none that is not done where another
    training of it is.
    """
    listed = {cell["cell_id"] for cell in ours}
    # Ours too: before there was this check, both may have been listed.
    every = [*ours, *(cell for cell in theirs if cell["cell_id"] not in listed)]
    cells = list({cell["cell_id"]: cell for cell in every}.values())
    folders = {cell["cell_id"]: store.cell_folder(target.parent, cell["cell_id"]) for cell in cells}
    described = {cell_id: _described(own) for cell_id, own in folders.items() if (own / "result.json").is_file()}
    known, left_out = dict[Experiment, dict[str, Any]](), dict[str, str]()
    for cell in cells:
        if cell["cell_id"] not in described:
            continue
        of_dimension = (*experiments(cell)[0], cell["feature_dim"])
        other = (
            clash(known, cell)
            or _of_other_version(known, cell, described)
            or _of_other_values(known.get(of_dimension), cell)
        )
        if other is None:
            for experiment in (*experiments(cell), of_dimension):
                known.setdefault(experiment, cell)
        else:
            place = target if cell["cell_id"] in listed else source
            left_out[cell["cell_id"]] = _other_training(other, cell, described, place, target)
    # One that is done and listed is itself what is known of its experiment, or clashes with nothing.
    kept = [cell for cell in cells if cell["cell_id"] not in left_out and clash(known, cell) is None]
    return kept, list(left_out.values())


def _of_other_version(
    known: dict[Experiment, dict[str, Any]], cell: dict[str, Any], described: dict[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """Return the known cell of the same head, of whatever seed, if another version of head, network or data set was
    trained there; None if there is none, or one of both cannot be told.
    """
    first = known.get(experiments(cell)[0])
    both = [described[one["cell_id"]] for one in (first, cell) if one is not None]
    versions = [[own[name] for name in schema.Description.model_fields] for own in both if own]
    return first if len(versions) == 2 and versions[0] != versions[1] else None


def _of_other_values(known: dict[str, Any] | None, cell: dict[str, Any]) -> dict[str, Any] | None:
    """Return the known cell of the same head and dimension if it was trained with other values than this one."""
    return known if known is not None and schema.of_other_values(known, cell) else None


def _other_training(
    there: dict[str, Any], cell: dict[str, Any], described: dict[str, dict[str, Any]], place: Path, target: Path
) -> str:
    """Return the line on a cell of a grid in one place that is left out for one that is listed in the target."""
    if ("imported" in cell) != ("imported" in there):
        why = "one was imported, the other trained"
    else:
        both = [described[one["cell_id"]] for one in (there, cell)]
        flat = [_flat(own, "recipe", "head_options") for own in both]
        differing = {name: told for name, told in _differing(*flat).items() if name != "seed"} if all(both) else {}
        why = "; ".join(f"{key} {_short(new)}, and {_short(old)} there" for key, (old, new) in differing.items())
    instead = "" if place == target else "; to list it instead, merge into a new folder, with its folder first"
    return (
        f"conflict: cell {cell['cell_id']} ({told(cell)}) of {place} would count as a seed beside cell "
        f"{there['cell_id']} of {target}, and is another training{f' ({why})' if why else ''}; its files are kept, "
        f"and it is not listed there{instead}"
    )


def _described(folder: Path) -> dict[str, Any]:
    """Return the description of a finished cell, an empty one where it cannot be read."""
    try:
        return store.read_description(folder)
    except (DamagedError, NewerError):
        return {}


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return in what two plans differ, by the key, of axes by ``axes.seed``: the values of both."""
    flat = [_flat(rest, "axes") for rest in (ours, theirs)]
    values = {key: (flat[0].get(key), flat[1].get(key)) for key in flat[0] | flat[1]}
    return {key: (old, new) for key, (old, new) in values.items() if old != new}


def _flat(contents: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return contents in which the mappings under some keys stand one by one: ``axes.seed``."""
    inner = {f"{key}.{name}": value for key in keys for name, value in (contents.get(key) or {}).items()}
    return {key: value for key, value in contents.items() if key not in keys} | inner


def _other_grid(differing: dict[str, tuple[Any, Any]], source: Path, target: Path) -> str:
    """Return the line on a grid that has the name of another one; where they differ in plain axes alone, such as other
    seeds, with what makes one grid of both.
    """
    told = "; ".join(f"{key} {_short(theirs)}, and {_short(ours)} there" for key, (ours, theirs) in differing.items())
    line = (
        f"conflict: grid '{target.name}' is another one in {source} than in {target}: {told}; its cells are copied, "
        f"and not listed in {target}"
    )
    both = {
        key: [*ours, *(value for value in theirs if value not in ours)]
        for key, (ours, theirs) in differing.items()
        if key.startswith("axes.") and isinstance(ours, list) and isinstance(theirs, list)
    }
    plain = all(isinstance(value, int | float | str) for own in both.values() for value in own)
    if len(both) < len(differing) or not plain:
        return line
    words = " ".join(f"{key}={','.join(map(str, own))}" for key, own in both.items())
    return f"{line}; the same grid with --set {words} lists all, and trains none of them again"


def _short(value: Any) -> str:
    """Return a value of a plan as a line names it."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return textwrap.shorten(text, 60, placeholder=" ...")


def _in_order(contents: dict[str, Any], cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return cells in the order of their grid, those that it has not behind all others; as they are, where this harness
    does not know the grid's names.
    """
    if "axes" not in contents:
        return cells
    try:
        given = contents | {"axes": {name: axis for name, axis in contents["axes"].items() if axis is not None}}
        facts = [cell.facts() for cell in config.expand(config.parse_grid(given, "grid.yaml"), "auto", "grid.yaml")]
    except (UserError, TypeError, AttributeError, LookupError):  # the last three for a plan of somebody else
        return cells
    names = [axis.name for axis in columns.AXES if axis.name in facts[0]]
    ranks = {tuple(known[name] for name in names): rank for rank, known in enumerate(facts)}
    return sorted(cells, key=lambda cell: ranks.get(tuple(cell[name] for name in names), len(ranks)))
