"""Rows of real runs that the docs show, kept as data: one CSV file per grid in ``results/measured/``."""

import math
import shlex
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from headbench.core import arrays
from headbench.core.alone import alone
from headbench.core.errors import DamagedError, UserError, reason
from headbench.results import columns, former, grid_rows, schema, store
from headbench.results.answers import Answer, Answers
from headbench.results.numbers import unfit_rates

FOLDER = Path(__file__).parent / "measured"
# Beside a file of rows: which test images its cells get right. In the folder: the commands that made its rows.
ANSWERS, COMMANDS = ".answers.npz", "commands.yaml"
VERSIONS = ["dataset_version", "backbone_version", "head_version"]
# Two rows that agree in these, or are of one cell, are of the same experiment: the later one replaces the earlier. A
# cell whose precision is left to the machine is one in either.
EXPERIMENT = [*columns.names("comparison", "axis"), "precision", "selection"]


def collect(out: Path, grid: str) -> pd.DataFrame:
    """Return the rows of a grid's finished cells, as :func:`headbench.results.grid_rows.stored` gives them, with the
    versions of data set, backbone and head.

    Raises:
        DamagedError: if a cell's own description is damaged.
    """
    rows = grid_rows.stored(out, store.read_plan(store.grid_folder(out, grid)))
    done = rows[rows["status"] == "done"].reset_index(drop=True)
    cells = {cell_id: store.read_description(store.cell_folder(out, cell_id)) for cell_id in done["cell_id"].unique()}
    return done.assign(**{name: [cells[cell_id][name] for cell_id in done["cell_id"]] for name in VERSIONS})


def record(out: Path, grid: str, folder: Path) -> Path:
    """Add the rows of a grid's finished cells to its file, in place of earlier rows of the same experiments, and keep
    beside it which test images they get right, and the commands that made them.

    Return the file. Another process that records waits.

    Raises:
        UserError: if no cell is done.
        DamagedError: if a cell's own description is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        return _record(out, grid, folder / f"{grid}.csv")


def _record(out: Path, grid: str, file: Path) -> Path:
    rows = collect(out, grid)
    if rows.empty:
        raise UserError(f"record: no cell of grid '{grid}' in {out} is done")
    asked = store.read_plan(store.grid_folder(out, grid)).get("commands", [])
    _check_values(asked, rows, out)
    if file.is_file():
        kept = _stored(file)
        known = set(rows[EXPERIMENT].astype(str).itertuples(index=False, name=None))
        again = kept["cell_id"].isin(rows["cell_id"])
        named = kept[EXPERIMENT].astype(str).itertuples(index=False, name=None)
        fresh = [row not in known and not same for row, same in zip(named, again, strict=True)]
        _check_precisions(kept[fresh], rows, file)
        _check_trained_alike(kept[fresh], rows, file)
        rows = pd.concat([kept[fresh], rows], ignore_index=True) if any(fresh) else rows
    _keep_answers(out, rows, file)
    _keep_commands([_anywhere(words, file) for words in asked], file)
    store.write_text(file, rows.sort_values(EXPERIMENT, kind="stable").to_csv(index=False))
    return file


def _check_precisions(kept: pd.DataFrame, rows: pd.DataFrame, file: Path) -> None:
    """Raise UserError for a seed that another cell of another precision has recorded already: it would count as two."""
    seed = [name for name in EXPERIMENT if name != "precision"]
    before = dict(zip(kept[seed].astype(str).itertuples(index=False, name=None), kept["precision"], strict=True))
    for row, named in zip(rows.itertuples(), rows[seed].astype(str).itertuples(index=False, name=None), strict=True):
        if named in before:
            raise UserError(
                f"record: {row.head_label} d={row.feature_dim} seed={row.seed} is in {file} in {before[named]}, and "
                f"would count as another seed in {row.precision}; remove that row, or give the grid another --name"
            )


def _check_trained_alike(kept: pd.DataFrame, rows: pd.DataFrame, file: Path) -> None:
    """Raise UserError where the seeds of one head would be of two searches' values, or of two versions of it, of the
    network or of the data set.
    """
    known = {_but_seed(row): row for row in kept.to_dict("records")}
    for row in rows.to_dict("records"):
        other = known.get(_but_seed(row))
        if other is None:
            continue
        # Files of earlier harnesses do not tell the versions.
        names = [name for name in VERSIONS if other[name] == other[name] and other[name] != row[name]]
        if names := [*schema.of_other_values(other, row), *names]:
            raise UserError(
                f"record: {row['head_label']} d={row['feature_dim']} seed={row['seed']} was trained with another "
                f"{' and '.join(names)} than seed={other['seed']} in {file}, and would count as a seed of the same "
                "head; remove those rows, or give the grid another --name"
            )


def _but_seed(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in EXPERIMENT if name != "seed")


def _keep_answers(out: Path, rows: pd.DataFrame, file: Path) -> None:
    """Write which test images the cells of a file of rows get right after the last epoch, as far as it is known."""
    found, before = Answers(out), _bits(file)
    bits = {
        cell_id: before[cell_id] if answer is None else np.packbits(answer.right)
        for cell_id in rows["cell_id"].unique()
        if (answer := found.of(cell_id, "last")) is not None or cell_id in before
    }
    if bits:
        store.write_arrays(file.with_suffix(ANSWERS), bits, compressed=True)


def _bits(file: Path) -> dict[str, np.ndarray]:
    """Return a bit per test image by cell, packed; nothing where a file of rows has no such file beside it."""
    beside = file.with_suffix(ANSWERS)
    with _named(beside):
        return arrays.read_npz(beside) if beside.is_file() else {}


def answers(file: Path, rows: pd.DataFrame) -> Answers:
    """Return which test images the cells of a file get right, of those of which it was recorded; ``rows`` are its."""
    images = rows.drop_duplicates("cell_id").set_index("cell_id")["n_test"]
    told = {cell: bits for cell, bits in _bits(file).items() if cell in images}  # rows may have been taken out
    right = {cell: np.unpackbits(bits, count=int(images[cell])).astype(bool) for cell, bits in told.items()}
    return Answers.known({cell: {"last": Answer(own, None)} for cell, own in right.items()})


def _keep_commands(asked: list[list[str]], file: Path) -> None:
    """Add the commands of a plan, each as words, to those that made a file's rows."""
    known = commands(file.parent)
    told = [shlex.join(["python", "bench.py", *words]) for words in asked]
    if more := [command for command in told if command not in known.get(file.stem, [])]:
        known[file.stem] = [*known.get(file.stem, []), *more]
        # A command on one line, to be copied.
        text = yaml.safe_dump(dict(sorted(known.items())), sort_keys=False, width=math.inf)
        store.write_text(file.parent / COMMANDS, text)


def _anywhere(words: list[str], file: Path) -> list[str]:
    """Return a command without this machine's folders: the place of its data sets is left out, and the values of a
    search that it was given are kept beside the file of rows.
    """
    kept = list(words)
    if "--data" in kept:
        at = kept.index("--data")
        del kept[at : at + 2]
    if (found := _values_of(kept)) is not None:
        beside = file.with_suffix(".yaml")
        store.write_text(beside, found.read_text(encoding="utf-8"))
        kept[kept.index("--tuned") + 1] = "/".join(beside.parts[-3:])
    return kept


def _values_of(words: list[str]) -> Path | None:
    """Return the file of a search's values that a command was given, None where it had none that is still there."""
    path = Path(words[words.index("--tuned") + 1]) if "--tuned" in words else None
    return path if path is not None and path.is_file() else None


def _check_values(asked: list[list[str]], rows: pd.DataFrame, out: Path) -> None:
    """Raise UserError where the search has gone on since rows were trained with its values, or has found others: the
    file that would be kept beside them would not be that of the rows.
    """
    path = _values_of(asked[-1]) if asked else None
    if path is None:
        return
    with _named(path):
        studies = yaml.safe_load(path.read_text(encoding="utf-8")).get("studies", [])
        there = {study["trials"] for study in studies}
    used = {int(trials) for trials in rows["tuned"].dropna() if trials}
    if there and not used <= there:
        raise UserError(
            f"record: {path} has values after {max(there)} trials, and these cells were trained with those after "
            f"{max(used)}; run the grid with it again, or give it its former state"
        )
    for row in rows[rows["tuned"] > 0].drop_duplicates("cell_id").to_dict("records"):
        trained = store.read_description(store.cell_folder(out, row["cell_id"]))
        for name, value in _values_for(row, studies).items():
            kind, _, option = name.partition(".")
            own = trained.get("recipe" if kind == "recipe" else "head_options", {}).get(option, value)
            if own != value:
                raise UserError(
                    f"record: {path} has {name} {value} for {row['head_label']}, d = {row['feature_dim']}, and this "
                    f"cell was trained with {own}; run the grid with it again, or give it its former state"
                )


def _values_for(row: Mapping[Hashable, Any], studies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of the study of a row's labels, nothing where there is none."""
    for study in studies:
        where: dict[str, Any] = study.get("where", {})
        if where and all(row.get({"head": "head_label"}.get(name, name)) == value for name, value in where.items()):
            values: dict[str, Any] = study.get("set", {})
            return values
    return {}


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands that made the rows of each file of a folder, by its name."""
    file = folder / COMMANDS
    with _named(file):
        told: dict[str, list[str]] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return told


def load(file: Path) -> pd.DataFrame:
    """Return the rows of one file, with the columns and types of :func:`results.load` and the versions.

    A column that the file is too old for is NaN; one that only an earlier harness had comes last.

    Raises:
        DamagedError: if it holds no such rows.
    """
    return unfit_rates.mark(_stored(file))


def _stored(file: Path) -> pd.DataFrame:
    """Return the rows of one file as they stand there."""
    with _named(file):
        # Texts of hexadecimal digits are not the numbers that pandas would read where they have no letter, or an e.
        rows = pd.read_csv(file, dtype=dict.fromkeys(set(columns.NAMED).difference(columns.TYPES), str))
        if rows.empty:
            raise ValueError("no rows")
        rows = pd.DataFrame([columns.USUAL_OF_RESULTS | former.completed(row) for row in rows.to_dict("records")])
        known = [*columns.names(), *VERSIONS]
        rows = rows.reindex(columns=[*known, *(column for column in rows if column not in known)])
        return rows.astype(columns.TYPES)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Name the file in the error of what cannot be read."""
    try:
        yield
    except (*arrays.BROKEN, yaml.YAMLError) as error:
        raise DamagedError(f"{file} cannot be read ({reason(error)})") from None
