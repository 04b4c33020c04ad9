"""headbench compares classifier heads for image classification, with everything else equal.

What is here is the Python API; ``docs/python.md`` shows it. What a name needs is imported when it is first used.
"""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headbench.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from headbench.backbones import BACKBONES
    from headbench.core.batch import Targets
    from headbench.data import DATASETS
    from headbench.heads import HEADS, Context, Head
    from headbench.runners.python.network import Network

__all__ = [
    "BACKBONES",
    "DATASETS",
    "HEADS",
    "Context",
    "Head",
    "Targets",
    "UserError",
    "classifier",
    "evaluate",
    "head",
    "import_scores",
    "load",
    "run",
    "tune",
]
_PLACES = {
    "BACKBONES": "headbench.backbones",
    "DATASETS": "headbench.data",
    "HEADS": "headbench.heads",
    "Context": "headbench.heads",
    "Head": "headbench.heads",
    "Targets": "headbench.core.batch",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from headbench.core.version import version

        return version()
    if name not in _PLACES:
        raise AttributeError(f"module 'headbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(
    grid: str | Path | Mapping[str, Any] = "digits-dims",
    *,
    out: str | Path = "runs",
    data: str | Path | None = None,
    where: Mapping[str, Any] | None = None,
    **settings: Any,
) -> "pd.DataFrame":
    """Train what is missing of a grid and return the rows of its finished cells, which are never trained again.

    Args:
        grid: a grid's name, a ``.yaml`` file, or the contents of one.
        out: folder of the results.
        data: folder of the data sets; by default ``$HEADBENCH_DATA``, else ``~/.cache/headbench``.
        where: train only these cells, as ``--where`` does: ``{"head": ["psc", "dl2pa"], "seed": 0}``.
        **settings: options of ``bench.py run`` (``name``, ``workers``, ``threads``, ``readers``, ``devices``,
            ``checkpoint_minutes``, ``device``, ``precision``, ``compile``, ``keep_weights``, ``retry_failed``,
            ``tuned``; ``workers`` is 1, this process), and changes of the grid as ``--set`` makes them:
            ``projection="none"``, ``**{"recipe.epochs": 2, "axes.seed": [0, 1]}``.
            With ``purpose="tune"`` the cells are trials of a search of one's own: the test part is not looked at, and
            rows have ``val_top1``, ``val_nll`` and ``val_ece``.

    Returns:
        A row per cell and selection, see :func:`load`; tables, figures and report are written by ``bench.py report``.

    Raises:
        UserError: for anything that is wrong with the arguments, before anything is trained.
    """
    from headbench.runners.python import grid as grids

    return grids.run(grid, out, data, {} if where is None else where, settings)


def tune(
    grid: str | Path | Mapping[str, Any] = "digits-dims",
    *,
    trials: int,
    out: str | Path = "runs",
    data: str | Path | None = None,
    where: Mapping[str, Any] | None = None,
    objective: str | Sequence[str] = "val_top1",
    storage: str | Path | None = None,
    timeout: float | None = None,
    seed: int = 0,
    **settings: Any,
) -> "pd.DataFrame":
    """Search better values for every head of a grid, on validation alone, and return all trials.

    Args:
        grid: a grid's name, a ``.yaml`` file, or the contents of one.
        trials: that each study has in the end, completed or pruned; a later call with more goes on with it.
        out: folder of the results.
        data: folder of the data sets; by default ``$HEADBENCH_DATA``, else ``~/.cache/headbench``.
        where: search for these cells only.
        objective: ``val_top1``, ``val_nll`` or ``val_ece``, or several of them.
        storage: a database's URL, or a journal file; by default a journal in the grid's folder.
        timeout: seconds after which nothing more is trained.
        seed: of the sampler.
        **settings: ``name``, ``workers``, ``threads``, ``readers``, ``checkpoint_minutes``, ``device``, ``precision``,
            ``compile``, and changes of the grid, as in :func:`run`.

    Returns:
        A row per trial, see :func:`headbench.results.tuning.searches.trials`. The best values are in
        ``<out>/<grid>/tuned.yaml``, which ``run(grid, tuned=...)`` takes.

    Raises:
        UserError: for anything that is wrong with the arguments, before anything is trained.
    """
    from headbench.runners.python import grid as grids

    several = isinstance(objective, Iterable) and not isinstance(objective, str)
    objectives = tuple(objective) if several else (objective,)
    named = None if storage is None else str(storage)
    asked = {"trials": trials, "objectives": objectives, "storage": named, "timeout": timeout, "seed": seed}
    return grids.tune(grid, out, data, {} if where is None else where, asked, settings)


def load(out: str | Path, grid: str) -> "pd.DataFrame":
    """Return all rows of a grid, one per cell and selection, see :func:`headbench.results.grid_rows.load`.

    Args:
        out: folder of the results.
        grid: the grid's name.

    Raises:
        UserError: if the grid was not started there.
    """
    from headbench import results
    from headbench.runners.commands.arguments import require_grid
    from headbench.runners.python import given

    folder, name = given.folder("load: out", out), str(grid)
    require_grid(folder, name)
    return results.load(folder, name)


def evaluate(scores: Any, labels: Any, val_scores: Any = None, val_labels: Any = None) -> dict[str, float | str]:
    """Return the metrics of any classifier from its scores, see :func:`headbench.results.numbers.scores.evaluate`.

    Args:
        scores: (N, C) logits on test images: numpy, torch or lists.
        labels: (N,) true classes, from 0 to C - 1.
        val_scores: (M, C) logits on held-out images, which fit the temperature.
        val_labels: (M,) their classes.

    Raises:
        UserError: for arrays that are no scores and labels of the same images and classes.
    """
    from headbench.results.numbers import scores as judged

    return judged.evaluate(scores, labels, val_scores, val_labels)


def import_scores(
    scores: Any,
    labels: Any,
    val_scores: Any = None,
    val_labels: Any = None,
    *,
    head: str,
    dataset: str,
    seed: int = 0,
    grid: str = "imported",
    out: str | Path = "runs",
    data: str | Path | None = None,
    kind: str | None = None,
    native_scale: float = 1.0,
    class_counts: Any = None,
    **about: Any,
) -> "pd.DataFrame":
    """Make a finished cell of the scores of a classifier that was trained elsewhere, as ``bench.py import`` does of a
    file, and return its row; ``docs/ways-in.md`` has the details.

    Args:
        scores: (N, C) logits or probabilities of the test images, in the data set's order: numpy, torch or lists.
        labels: (N,) their classes, from 0 to C - 1, which are checked against the data set's where it is at hand.
        val_scores: (M, C) scores of held-out images, which fit the temperature.
        val_labels: (M,) their classes.
        head: what the classifier's head is called in tables.
        dataset: a data set's name, or ``{name: folder, path: flowers, size: 32}`` as a text.
        seed: of the training.
        grid: that lists the cell.
        out: folder of the results.
        data: folder of the data sets.
        kind: ``logits`` or ``probabilities``, where the numbers do not tell it.
        native_scale: the scale inside the logits.
        class_counts: (C,) training images of each class.
        **about: what else is known of the training: ``feature_dim``, ``backbone``, ``recipe``, ``protocol``,
            ``projection``, ``imbalance_factor``, ``epochs``.

    Raises:
        UserError: for scores or labels that are none, labels of other images, or a cell that is there already.
    """
    from headbench.runners.python import scores as given

    if (val_scores is None) != (val_labels is None):
        raise UserError("import_scores: val_scores and val_labels are given together, or not at all")
    val = None if val_scores is None else (val_scores, val_labels)
    training = {"kind": kind, "native_scale": native_scale, "class_counts": class_counts}
    place = {"dataset": dataset, "grid": grid, "out": out, "data": data}
    return given.import_scores((scores, labels), val, {"head_label": head, "seed": seed} | about, training, place)


def classifier(cell: str | Path, out: str | Path = "runs") -> "Network":
    """Return the trained network of a cell whose weights were kept, in eval mode on the CPU, ready to be called on
    images (B, channels, H, W), bytes or floats in [0, 1].

    Args:
        cell: its folder, or its ``cell_id``.
        out: folder of the results, where ``cell`` is a ``cell_id``.

    Raises:
        UserError: if there is no such finished cell, a newer harness wrote it, its weights were not kept, or its head
            is now another version.
    """
    from headbench.runners.python import network

    return network.classifier(cell, out)


def head(
    name: str,
    *,
    num_classes: int,
    feature_dim: int,
    class_counts: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> "Head":
    """Return a registered head for a training loop of one's own, on the CPU.

    Args:
        name: as ``bench.py list heads`` prints it.
        num_classes: C.
        feature_dim: d, the width of the features.
        class_counts: (C,) training images of each class; by default 1 each, which only a head for long tails minds.
        class_names: C names, which ``word2vec`` needs; by default numbers.
        seed: of the head's initial numbers.
        **options: of the head.

    Raises:
        UserError: for an unknown name or option, or where the head does not apply.
    """
    from headbench.runners.python import head as heads

    info = heads.info(num_classes, class_counts, class_names, seed)
    return heads.head(name, info, feature_dim, seed, options)
