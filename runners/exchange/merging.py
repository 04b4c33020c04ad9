"""The cells of several folders of runs in one: nothing is overwritten, and what disagrees is named."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headbench.core.errors import DamagedError, NewerError, UserError
from headbench.results import store
from headbench.results.ood import cell_files
from headbench.runners.exchange import bundles, plans
from headbench.runners.exchange.checking import FREE
from headbench.runners.execution import locks


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
            merged.conflicts += plans.add(store.grid_folder(source, grid), store.grid_folder(into, grid))
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
        odd = [name for name in result["sha256"] if name != store.WEIGHTS and not bundles.FILES.fullmatch(name)]
        if odd:
            raise DamagedError(f"{folder / 'result.json'} is damaged (a cell has no file '{odd[0]}')")
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
    """Return what two trainings of one cell agree in, if they are the same to the bit; what a plan calls the cell does
    not count, nor options, which its identity tells as far as they are no places of files.
    """
    kept = {name: result[name] for name in ("class_names", "selections")}
    free = {*FREE, *(name for name in result["facts"] if name.endswith("_options"))}
    return kept | {"facts": {name: value for name, value in result["facts"].items() if name not in free}}


def _conflict(there: dict[str, Any], result: dict[str, Any], source: Path, target: Path) -> str:
    values = [
        next((f", {name} {value:.4f}" for name in ("top1", "val_top1") if (value := last.get(name)) is not None), "")
        for last in (next(iter(content["selections"].values())) for content in (there, result))
    ]
    return (
        f"conflict: cell {result['cell_id']} ({plans.told(result['facts'])}) has other numbers in "
        f"{source}{values[1]} than in {target}{values[0]}, which is kept"
    )
