"""Searches: where the studies of a grid are kept, and what their trials say. Optuna is imported where it is used."""

import json
import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from filelock import FileLock
from pydantic import Field

from headbench.core.errors import UserError, reason
from headbench.results import columns, schema, store
from headbench.results.schema import Count, Name, Seed, Text

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

# What a search may improve, each measured on the validation part after the last epoch.
OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "val_top1": "maximize",
    "val_nll": "minimize",
    "val_ece": "minimize",
}
# Keys of a URL's query that hold a password, as drivers call it; in a file of passwords there is none to hide.
SECRET = re.compile(r"^(?!passfile$).*(pass|pwd|secret|token)|^odbc_connect$", re.IGNORECASE)
# The storage that is a file in the folder of the search.
JOURNAL = "journal"
JOURNALS = {".log", ".journal"}
# How Optuna begins each line of a journal, and of how long a first line no more is looked at.
JOURNAL_LINE, LONGEST_LINE = b'{"op_code":', 1 << 20
DATABASES = "a database (sqlite:///search.db, postgresql://user@host/name) or a journal file (search.log)"


class StudyFacts(schema.Facts):
    """A study of a search: its name, and the cell of the grid's own values."""

    study: Text
    cell_id: Name


class Search(schema._Checked):
    """``search.yaml``: what names the studies of a grid."""

    storage: Text
    objectives: Annotated[list[Literal["val_top1", "val_nll", "val_ece"]], Field(min_length=1)]
    trials: Count
    seed: Seed
    cell_seed: Seed
    studies: list[StudyFacts]
    not_applicable: list[schema.PlannedCell]


def folder_of(out: Path, grid: str) -> Path:
    """Return the folder of a grid's search."""
    return store.grid_folder(out, grid) / "search"


def read(out: Path, grid: str) -> dict[str, Any] | None:
    """Return a grid's ``search.yaml``, see :class:`Search`, or None where there was no search.

    Raises:
        DamagedError: if it is no such file.
    """
    path = folder_of(out, grid) / "search.yaml"
    if not path.exists():
        return None
    found: dict[str, Any] = store.read_yaml(path, path.read_bytes())
    store.check(path, Search, found)
    return found


def named(storage: str | None) -> str:
    """Return a storage as files and messages name it: without its password, and of what is no URL at all only its
    beginning.
    """
    if storage is None or "://" not in storage:
        return JOURNAL if storage is None else storage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
        # Drivers take one as a value of the query too.
        secret = dict.fromkeys(filter(SECRET.search, url.query), "***")
        return url.update_query_dict(secret).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")
    except (ArgumentError, ValueError):
        return storage.partition("://")[0] + "://..."


def absolute(storage: str | None) -> str | None:
    """Return a storage that is a file with its whole path, since a search goes on from any folder."""
    if storage is None or storage == JOURNAL:
        return storage
    if "://" not in storage:
        return str(Path(storage).absolute()) if Path(storage).suffix in JOURNALS else storage
    kind, _, path = storage.partition(":///")
    if not kind.startswith("sqlite") or not path or path.startswith((":memory:", "file:", "?")):
        return storage
    return f"{kind}:///{Path(path).absolute()}"


def open_storage(storage: str | None, folder: Path) -> "BaseStorage":
    """Return an Optuna storage, made where it is not there yet.

    Args:
        storage: a database's URL, a journal file, or None for the one in ``folder``.
        folder: of the search.

    Raises:
        UserError: if it is no such thing, or cannot be reached.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if storage in (None, JOURNAL):
            folder.mkdir(parents=True, exist_ok=True)
            return _journal(folder / "journal.log")
        check_form(storage)
        assert storage is not None
        return optuna.storages.get_storage(storage) if "://" in storage else _journal(Path(storage))
    except UserError:
        raise
    except Exception as error:
        raise _unfit(storage, reason(error, 300)) from None


def check_form(storage: str | None) -> None:
    """Raise UserError for what is neither a database's URL nor a journal file that can be, without opening it."""
    if storage in (None, JOURNAL):
        return
    if not storage:
        raise UserError(f"--storage is empty; give {DATABASES}")
    if "://" not in storage and Path(storage).suffix not in JOURNALS:
        raise _unfit(storage, "neither a URL nor the name of a journal file")
    if "://" not in storage and not Path(storage).parent.is_dir():
        raise _unfit(storage, f"there is no folder {Path(storage).parent}")
    if storage.startswith("sqlite") and storage.partition("://")[2] in ("", "/", "/:memory:"):
        raise _unfit(storage, "a database in memory is lost with this process")


def _unfit(storage: str | None, why: str) -> UserError:
    return UserError(f"--storage {named(storage)}: {why}; give {DATABASES}")


def _journal(path: Path) -> "BaseStorage":
    """Return a journal; the kernel gives its lock back when a process dies, and half a last line, which such a process
    may leave, is cut off.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    lock = FileLock(f"{path}.flock")

    class Lock(JournalFileOpenLock):
        def acquire(self) -> bool:
            lock.acquire()
            return True

        def release(self) -> None:
            lock.release()

    _refuse_another_file(path)
    if not _is_whole(path):
        with lock:
            if not _is_whole(path):
                os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    try:
        return JournalStorage(JournalFileBackend(str(path), Lock(str(path))))
    except json.JSONDecodeError:
        raise ValueError(f"a line of {path} is damaged, and the file is left as it is") from None


def _refuse_another_file(path: Path) -> None:
    """Raise ValueError for a file that holds anything but a journal, or half of its first line."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE)
    half = not line.endswith(b"\n") and (line.startswith(JOURNAL_LINE) or JOURNAL_LINE.startswith(line))
    if not half and not _is_operation(line):
        raise ValueError("the file is no journal of a search, and is left as it is")


def _is_operation(line: bytes) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and "op_code" in found


def _is_whole(path: Path) -> bool:
    content = path.read_bytes()[-1:] if path.is_file() else b""
    return content in (b"", b"\n")


def studies(out: Path, grid: str, storage: str | None = None) -> "list[optuna.Study]":
    """Return the studies of a grid that were started, in the grid's order.

    Args:
        out: folder of the runs.
        grid: its name.
        storage: of the search; by default that which ``search.yaml`` names.

    Raises:
        UserError: if there was no search, or the storage cannot be opened.
        DamagedError: if ``search.yaml`` is damaged.
    """
    search = read(out, grid)
    if search is None:
        raise UserError(f"no search of grid '{grid}' in {out}; bench.py tune --grid {grid} starts one")
    if storage is None and "***" in search["storage"]:
        raise UserError(f"the search is in {search['storage']}, whose password is not kept; give --storage")
    if storage is None and not _is_there(search["storage"]):
        raise UserError(f"the search is in {named(search['storage'])}, which is no storage here; give --storage")
    opened = open_storage(storage or search["storage"], folder_of(out, grid))
    found = those_there(search, opened)
    if not found:
        raise UserError(
            f"none of the studies of grid '{grid}' is in its storage, {named(storage or search['storage'])}"
        )
    return found


def _is_there(storage: str) -> bool:
    """Say whether a storage that a folder of results names has studies, where it is a file: what a stranger's folder
    names is neither made nor changed. One that is locked, or was cut off in a write, is taken to have some.
    """
    kind, _, rest = storage.partition(":///")
    if storage == JOURNAL or ("://" in storage and not kind.startswith("sqlite")):
        return True
    path = Path(rest.removeprefix("file:").partition("?")[0] if "://" in storage else storage)
    if not path.is_file() or "://" not in storage:
        return path.is_file()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as database:
            return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchall())
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:
        return False


def those_there(search: dict[str, Any], storage: "BaseStorage") -> "list[optuna.Study]":
    """Return the studies that a ``search.yaml`` names and a storage has; without one that a killed process had just
    begun, which has no trial.
    """
    import optuna

    there = set(optuna.get_all_study_names(storage))
    names = [facts["study"] for facts in search["studies"] if facts["study"] in there]
    loaded = [optuna.load_study(study_name=name, storage=storage) for name in names]
    return [study for study in loaded if "settings" in study.user_attrs]


def trials(found: "Iterable[optuna.Study]") -> pd.DataFrame:
    """Return a row per trial of some studies.

    Returns:
        The axes of its study, ``study``, ``trial`` (its number), ``state`` (``complete``, ``pruned``, ``fail``,
        ``running`` or ``waiting``), ``cell_id``, a column per objective (NaN where there is no value; of a pruned trial
        its last epoch's), a column per parameter, ``seconds`` of training, ``health`` (marks) and ``error``.
    """
    rows = [_row(study, trial) for study in found for trial in study.get_trials(deepcopy=False)]
    return pd.DataFrame(rows)


def _row(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    facts, objectives = study.user_attrs["facts"], study.user_attrs["settings"]["objectives"]
    values = trial.values or [float("nan")] * len(objectives)
    told = trial.user_attrs
    return {
        **{axis.name: facts.get(axis.name) for axis in columns.AXES if axis.name not in {"seed", "tuned"}},
        "study": study.study_name,
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "cell_id": told.get("cell_id", ""),
        **dict(zip(objectives, values, strict=True)),
        **trial.params,
        "seconds": told.get("seconds", float("nan")),
        "health": "; ".join(told.get("health", [])),
        "error": told.get("error", ""),
    }
