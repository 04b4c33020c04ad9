"""What a search has found, ``tuned.yaml``, and what names its studies, ``search.yaml``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from headbench.results import store
from headbench.results.tuning import searches
from headbench.runners.execution.plan import Planned
from headbench.runners.grid import tuned
from headbench.runners.search import space
from headbench.runners.search.studies import Asked, Study

FILE = "tuned.yaml"


def write(grid: str, studies: Sequence[Study], out: Path) -> None:
    """Write the best values of each study of a grid."""
    asked = studies[0].asked
    content = {
        "grid": grid,
        "objectives": list(asked.objectives),
        "cell_seed": asked.cell_seed,
        "studies": [_found(study) for study in studies],
    }
    store.write_yaml(store.grid_folder(out, grid) / FILE, content)


def _found(study: Study) -> dict[str, Any]:
    best = study.best()
    told = {"study": study.name, "where": tuned.where(study.base.cell), "trials": study.ended}
    if best is None:
        return told
    values = dict(zip(study.asked.objectives, best.values, strict=True))
    return told | {"trial": best.number, "values": values, "set": space.values(study.base.cell, best.params)}


def line(study: Study) -> str:
    """Return what a study has come to, in one line."""
    states = Counter(trial.state.name for trial in study.of_state(*TrialState))
    told = ", ".join(f"{count} {state.lower()}" for state, count in states.items())
    best = study.best()
    if best is None:
        return f"{study.name}: {told}; no trial was completed"
    values = ", ".join(f"{name} {value:.4f}" for name, value in zip(study.asked.objectives, best.values, strict=True))
    chosen = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in best.params.items()
    )
    return f"{study.name}: {told}; best is trial {best.number}, {values}: {chosen}"


def write_index(grid: str, asked: Asked, storage: str | None, bases: Sequence[tuple[str, Planned]], out: Path) -> None:
    """Write what names the studies of a grid; those of earlier searches stay.

    Args:
        grid: its name.
        asked: what is asked for.
        storage: of the studies.
        bases: of all cells of the grid but for their seeds, with the names of their studies.
        out: folder of the runs.

    Raises:
        DamagedError: if there is such a file that cannot be read.
    """
    before = searches.read(out, grid)
    named = {facts["study"]: facts for facts in (before["studies"] if before else ())}
    own = {
        name: {"study": name, "cell_id": base.cell_id} | base.facts for name, base in bases if not base.not_applicable
    }
    content = {
        "storage": searches.named(storage),
        "objectives": list(asked.objectives),
        "trials": asked.trials,
        "seed": asked.seed,
        "cell_seed": asked.cell_seed,
        "studies": list((own | {name: facts for name, facts in named.items() if name not in own}).values()),
        "not_applicable": [
            {"cell_id": base.cell_id, "not_applicable": base.not_applicable} | base.facts
            for _, base in bases
            if base.not_applicable
        ],
    }
    store.write_yaml(searches.folder_of(out, grid) / "search.yaml", content)
