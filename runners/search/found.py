"""What a search has found, ``tuned.yaml``, and what names its studies, ``search.yaml``."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from headbench.core.alone import alone
from headbench.core.errors import UserError, note
from headbench.results import columns, store
from headbench.results.tuning import searches
from headbench.runners.execution.plan import Planned
from headbench.runners.grid import tuned
from headbench.runners.grid.tuned import TunedStudy
from headbench.runners.search import space, studies
from headbench.runners.search.studies import Asked, Study

FILE = "tuned.yaml"


@dataclass(frozen=True)
class GridSearch:
    """The search of a grid, by this driver and others.

    Attributes:
        grid: its name.
        asked: what is asked of each study.
        bases: the applicable cells of the grid but for their seeds.
        storage: of the studies.
        out: folder of the runs.
        elsewhere: labels of data sets of the grid of which this driver searches nothing; what is known of them stays.
    """

    grid: str
    asked: Asked
    bases: Sequence[Planned]
    storage: BaseStorage
    out: Path
    elsewhere: frozenset[str] = frozenset()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep out the other drivers."""
        with alone(searches.folder_of(self.out, self.grid) / ".lock"):
            yield

    def keep_former(self, *, lost: bool) -> None:
        """Set a file of values aside that is of other studies, and say so: of an earlier state of the grid, or of a
        storage that is ``lost``; and one that cannot be read.
        """
        file, own = self._file, {studies.name_of(self.grid, base) for base in self.bases}
        former = [study for study in self._written() if study.trials and study.where["dataset"] not in self.elsewhere]
        unread = file.is_file() and not _readable(file)
        if unread or (former and (lost or not own.issuperset(study.study for study in former))):
            note(f"the values of an earlier search of grid '{self.grid}' are kept in {store.set_aside(file, 'former')}")

    def write(self) -> None:
        """Write the best values of each study that is in the storage, whichever driver began it.

        Raises:
            StoppedError: if the storage fails.
        """
        with self.alone():
            with studies.told():
                there = studies.there(self.storage, self.grid, self.bases, self.asked)
                found = [_found(study) for study in there]
            others = [study for study in self._written() if study.where["dataset"] in self.elsewhere]
            content = {
                "grid": self.grid,
                "objectives": list(self.asked.objectives),
                "cell_seed": self.asked.cell_seed,
                "studies": [*found, *(study.model_dump(exclude_unset=True) for study in others)],
            }
            store.write_yaml(self._file, content)

    @property
    def _file(self) -> Path:
        return store.grid_folder(self.out, self.grid) / FILE

    def _written(self) -> list[TunedStudy]:
        """Return what the file of values says, nothing where there is none, or none with values."""
        try:
            return [*tuned.read(self._file).studies]
        except UserError:
            return []


def _readable(file: Path) -> bool:
    """Say whether a file is one of values, also of none yet."""
    try:
        tuned.load(file)
    except UserError:
        return False
    return True


def _found(study: Study) -> dict[str, Any]:
    best = study.best()
    told: dict[str, Any] = {"study": study.name, "where": tuned.where(study.base.cell)}
    told |= {"trained": tuned.trained(study.base.cell), "trials": study.ended}
    if best is None:
        return told
    values = dict(zip(study.asked.objectives, best.values, strict=True))
    return told | {"trial": best.number, "values": values, "set": space.values(study.base.cell, best.params)}


def line(study: Study) -> str:
    """Return what a study has come to, in one line."""
    states = Counter(trial.state.name for trial in study.of_state(*TrialState))
    told = ", ".join(f"{count} {state.lower()}" for state, count in states.items())
    if study.given_up:
        told += f", given up after {len(study.of_state(TrialState.FAIL))} failed trials"
    best = study.best()
    if best is None:
        return f"{study.name}: {told}; no trial was completed"
    values = ", ".join(f"{name} {value:.4f}" for name, value in zip(study.asked.objectives, best.values, strict=True))
    chosen = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in best.params.items()
    )
    return f"{study.name}: {told}; best is trial {best.number}, {values}: {chosen}"


def write_index(
    grid: str,
    asked: Asked,
    storage: str | None,
    bases: Sequence[tuple[str, Planned]],
    out: Path,
    elsewhere: frozenset[str] = frozenset(),
) -> None:
    """Write what names the studies of a grid; those of earlier searches stay, but for one of the same place on the
    page, which was of an earlier state of the grid.

    Args:
        grid: its name.
        asked: what is asked for.
        storage: of the studies.
        bases: of all cells of the grid but for their seeds, with the names of their studies.
        out: folder of the runs.
        elsewhere: as of :class:`GridSearch`.

    Raises:
        DamagedError: if there is such a file that cannot be read.
    """
    before = searches.read(out, grid)
    named = before["studies"] if before else []
    own = {
        name: {"study": name, "cell_id": base.cell_id} | base.facts for name, base in bases if not base.not_applicable
    }
    places = [_place(facts) for facts in own.values()]
    content = {
        "storage": searches.named(storage),
        "objectives": list(asked.objectives),
        "trials": asked.trials,
        "seed": asked.seed,
        "cell_seed": asked.cell_seed,
        "studies": [*own.values(), *(facts for facts in named if _place(facts) not in places)],
        "not_applicable": [
            {"cell_id": base.cell_id, "not_applicable": base.not_applicable} | base.facts
            for _, base in bases
            if base.not_applicable
        ]
        + [cell for cell in (before["not_applicable"] if before else []) if cell["dataset"] in elsewhere],
    }
    store.write_yaml(searches.folder_of(out, grid) / "search.yaml", content)


def _place(facts: Mapping[str, Any]) -> list[Any]:
    """Return where a study is on the page: of two in one place there is only one."""
    return [facts.get(name) for name in (*columns.COMPARISON, "feature_dim", "head_label")]
