"""The cells of several folders of runs in one: nothing is overwritten, and what disagrees is named."""

import textwrap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headbench.core.alone import alone
from headbench.core.errors import DamagedError, NewerError, UserError
from headbench.results import columns, schema, store
from headbench.results.ood import cell_files
from headbench.runners.exchange.checking import FREE
from headbench.runners.execution import locks, options
from headbench.runners.execution.plan import Experiment, clash, experiments
from headbench.runners.grid import config

# Keys of a plan about data sets out of distribution: by their names, and as they were read.
OUTSIDE = ("ood", "ood_sets")


@dataclass
class Merged:
    """What became of the cells of some folders.

    Attributes:
        counts: of cells, ``copied`` or ``linked``, ``there already``, ``failed or pruned`` (copied too) or
            ``unfinished`` (not).
        conflicts: a line for each cell and grid that was left out, since another one is there, or it is damaged.
        grids: names of the grids in the folder that was merged into.
    """

    counts: Counter[str] = field(default_factory=Counter)
    conflicts: list[str] = field(default_factory=list)
    grids: list[str] = field(default_factory=list)


def merge(sources: list[Path], into: Path, *, link: bool = False) -> Merged:
    """Copy the cells and plans of folders of runs into another one, which need not exist.

    Files of a cell are copied as the harness writes them, ``result.json`` last: a merge that is cut off leaves no
    half cell, and the same merge again completes it. With ``link`` cells become links to their folders instead.

    Raises:
        UserError: for a source without results, one that is the target itself, or a target that is a grid's own folder.
    """
    for source in sources:
        if source.resolve() == into.resolve():
            raise UserError(f"merge: {source} is given twice; it cannot be merged with itself")
        if not store.begun(source) and not store.grids(source):
            raise UserError(f"merge: there are no results in {source}{_own(source)}")
    if own := _own(into):
        raise UserError(f"merge: no cells go into {into}{own}")
    merged, watch = Merged(), locks.Watch()
    for source in sources:
        for cell_id in sorted(store.begun(source)):
            folder = store.cell_folder(source, cell_id)
            if folder.is_dir() and not cell_id.startswith("."):
                target = store.cell_folder(into, cell_id)
                (_link if link and not _is_own(target) else _cell)(folder, target, watch, merged)
        for grid in store.grids(source):
            _plan(store.grid_folder(source, grid), store.grid_folder(into, grid), merged)
    merged.grids = store.grids(into)
    return merged


def _own(folder: Path) -> str:
    """Say of a grid's own folder, and of that of cells, which are none of results, which one to name; nothing of any
    other.
    """
    above = folder.resolve().parent
    if (folder / "grid.yaml").is_file():
        return f"; it is a grid's own folder, name {folder.parent}"
    return f"; it is the folder of cells of {above}, name that" if folder.resolve() == above / store.CELLS else ""


def _cell(source: Path, target: Path, watch: locks.Watch, merged: Merged) -> None:
    """Copy one cell, if it has ended and is not there."""
    try:
        result = _whole(source)
    except (DamagedError, NewerError) as error:
        merged.conflicts.append(f"left out: {error}")
        return
    others = _outside(source, merged) if result is not None else {}
    try:
        there = _whole(target)
    except (DamagedError, NewerError) as error:
        merged.conflicts.append(f"left as it is: {error}; merge into a new folder (--into) to have that of {source}")
        return
    ending = store.read_ending(source)
    if there is not None and result is not None and _numbers(there) != _numbers(result):
        merged.conflicts.append(_conflict(there, result, source, target))
    elif there is not None:
        for name, content in (others if _is_own(target) else {}).items():
            if not (target / name).exists():
                store.write_bytes(target / name, content)
        merged.counts["there already"] += 1
    elif result is not None:
        _copy(source, target, result, others, watch, merged)
    elif ending is not None:
        if store.read_ending(target) is None and not watch.is_held(target):
            name = store.ENDINGS[ending[0]]
            store.write_bytes(target / name, (source / name).read_bytes())
        merged.counts["failed or pruned"] += 1
    else:
        merged.counts["unfinished"] += 1


def _whole(folder: Path) -> dict[str, Any] | None:
    """Return a cell's result if all of its files are sound, None where it has none."""
    result = store.read_result(folder)
    if result is not None:
        store.verify(folder, result)
    return result


def _copy(
    source: Path,
    target: Path,
    result: dict[str, Any],
    others: dict[str, bytes],
    watch: locks.Watch,
    merged: Merged,
) -> None:
    """Copy the files of a finished cell, its result last, unless it is being trained there."""
    with locks.locked(target, watch) as mine:
        if mine is None:
            merged.conflicts.append(f"left out: {source}, since {target} is being trained")
            return
        # A bundle has no weights, and nothing that is shown needs them.
        own = [name for name in result["sha256"] if name != store.WEIGHTS or (source / name).exists()]
        for name in [*others, *own, "result.json"]:
            locks.check(target, mine)
            store.write_bytes(target / name, others.get(name) or (source / name).read_bytes())
        store.clear_endings(target)
    merged.counts["copied"] += 1


def _is_own(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink()


def _link(source: Path, target: Path, watch: locks.Watch, merged: Merged) -> None:
    """Make a cell a link to a folder of another one, of several to one that is done; nothing is written in them."""
    done, there = ((folder / "result.json").exists() for folder in (source, target))
    if done and there and source.resolve() != target.resolve():
        _cell(source, target, watch, merged)  # of two that are done, it compares the numbers
    elif done or not target.exists():
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve(), target_is_directory=True)
        merged.counts["linked"] += 1


def _outside(folder: Path, merged: Merged) -> dict[str, bytes]:
    """Return a cell's sound files about other data sets by name."""
    found = {}
    for path in cell_files.paths(folder):
        try:
            cell_files.read(folder, cell_files.key_of(path))
            found[path.name] = path.read_bytes()
        except DamagedError as error:
            merged.conflicts.append(f"left out: {error}")
    return found


def _numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Return what two trainings of one cell agree in, if they are the same to the bit; what a plan calls the cell, and
    where its images lie, does not count.
    """
    kept = {name: result[name] for name in ("class_names", "selections")}
    free = {*FREE, "dataset_options"}
    return kept | {"facts": {name: value for name, value in result["facts"].items() if name not in free}}


def _conflict(there: dict[str, Any], result: dict[str, Any], source: Path, target: Path) -> str:
    values = [
        next((f", {name} {value:.4f}" for name in ("top1", "val_top1") if (value := last.get(name)) is not None), "")
        for last in (next(iter(content["selections"].values())) for content in (there, result))
    ]
    return (
        f"conflict: cell {result['cell_id']} ({_told(result['facts'])}) has other numbers in {source}{values[1]} than "
        f"in {target}{values[0]}, which is kept"
    )


def _told(facts: dict[str, Any]) -> str:
    """Return which cell it is, in words."""
    return f"{facts['head_label']}, d = {facts['feature_dim']}, seed {facts['seed']} on {facts['dataset']}"


def _plan(source: Path, target: Path, merged: Merged) -> None:
    """Add the cells that a plan lists to the plan of the same grid."""
    try:
        theirs = store.read_plan(source)
        target.mkdir(parents=True, exist_ok=True)
        with alone(target / ".lock"):
            ours = store.read_plan(target) if (target / "grid.yaml").is_file() else {"cells": []}
            apart = ("cells", "commands", *OUTSIDE)
            rests = [{key: value for key, value in plan.items() if key not in apart} for plan in (ours, theirs)]
            # A plan of imported cells alone has no axes.
            defined = [rest for rest in rests if "axes" in rest] or [rest for rest in rests if rest]
            differing = _differing(defined[0], defined[-1])
            if differing:
                merged.conflicts.append(_other_grid(differing, source, target))
                return
            cells = _listed(ours["cells"], theirs["cells"], source, target, merged)
            told = options.commands(ours, theirs.get("commands", [])) | _outside_sets(ours, theirs)
            store.write_plan(target, defined[0] | told | {"cells": _in_order(defined[0], cells)})
    except DamagedError as error:
        merged.conflicts.append(f"left out: {error}")


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
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], source: Path, target: Path, merged: Merged
) -> list[dict[str, Any]]:
    """Return the cells of two plans; of several that are done and are trainings of one experiment, of two versions of a
    head, or with other values of one, the first, as tables would count them as so many seeds; and none that is not done
    where another training of it is.
    """
    listed = {cell["cell_id"] for cell in ours}
    # Ours too: before there was this check, both may have been listed.
    every = [*ours, *(cell for cell in theirs if cell["cell_id"] not in listed)]
    cells = list({cell["cell_id"]: cell for cell in every}.values())
    folders = {cell["cell_id"]: store.cell_folder(target.parent, cell["cell_id"]) for cell in cells}
    described = {cell_id: _described(own) for cell_id, own in folders.items() if (own / "result.json").is_file()}
    known, left_out = dict[Experiment, dict[str, Any]](), set[str]()
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
            left_out.add(cell["cell_id"])
            place = target if cell["cell_id"] in listed else source
            merged.conflicts.append(_other_training(other, cell, described, place, target))
    # One that is done and listed is itself what is known of its experiment, or clashes with nothing.
    return [cell for cell in cells if cell["cell_id"] not in left_out and clash(known, cell) is None]


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
        f"conflict: cell {cell['cell_id']} ({_told(cell)}) of {place} would count as a seed beside cell "
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
