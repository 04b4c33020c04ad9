"""Figures of a search: Optuna's own of history, importances and parallel coordinates, and those of several heads."""

import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from headbench.results.figures.base import styles
from headbench.results.numbers.best_of import best_of
from headbench.results.tuning.search import Search

# Optuna asks for five trials among the best tenth, of which its importances are.
ENOUGH = 50
# Of a line.
MOST_POINTS = 30
# Of a title, in letters.
WIDTH = 75


def history(searches: list[Search], title: str) -> Figure:
    """Draw the validation metric of every finished trial by its number, and the best so far, of the heads of one
    condition.

    Args:
        searches: with one objective and each with a finished trial.
        title: of the figure.
    """
    from optuna.visualization.matplotlib import plot_optimization_history

    figure = _optunas(
        lambda: plot_optimization_history([one.shown_study() for one in searches], target_name=searches[0].title()),
        title,
    )
    axes = figure.axes[0]
    # For each study Optuna draws a line, and two clouds of points: those of trials, and those that break a constraint.
    for place, (head, (colour, _)) in enumerate(styles(_heads(searches)).items()):
        axes.lines[place].set(color=colour, label=f"{head}, best so far")
        axes.collections[2 * place].set(color=colour, label=head)
    axes.legend(bbox_to_anchor=(1.02, 1), loc="upper left", fontsize=8)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def importance(search: Search, title: str) -> Figure:
    """Draw how much each parameter tells the best tenth of the finished trials from the others (PED-ANOVA)."""
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    done = len(search.done)
    few = f"\n(too few to trust it: {ENOUGH} are enough)" if done < ENOUGH else ""
    figure = _optunas(lambda: plot_param_importances(search.losses(), PedAnovaImportanceEvaluator()), title)
    axes = figure.axes[0]
    axes.set(ylabel="")
    axes.set_xlabel(f"importance for being among the best tenth of {done} trials{few}", fontsize=9)
    legend = axes.get_legend()
    if len(search.objectives) == 1 and legend is not None:
        legend.remove()
    return figure


def parallel(search: Search, title: str) -> Figure:
    """Draw each finished trial as a line across its parameters and its validation metric."""
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    figure = _optunas(lambda: plot_parallel_coordinate(search.shown_study(), target_name=search.title()), title)
    for axes in figure.axes:
        if axes.get_yscale() == "log":
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    figure.set_size_inches(8, 4.8)
    return figure


def bests(searches: list[Search], title: str) -> Figure:
    """Draw the expected best of k trials against k, with what 95 % of the choices of k trials find, a line per head."""
    with _ours() as (figure, axes):
        for search, (colour, marker) in zip(searches, styles(_heads(searches)).values(), strict=True):
            values, sign = search.values(), search.signs[0]
            budgets = np.unique(np.geomspace(1, len(values), MOST_POINTS).astype(int))
            found = [best_of(values, int(k)) for k in budgets]
            means, lows, highs = (
                sign * np.array([getattr(one, end) for one in found]) for end in ("mean", "low", "high")
            )
            axes.plot(budgets, means, color=colour, marker=marker, markersize=4, label=search.label)
            axes.fill_between(budgets, lows, highs, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="trials of the search (log scale)", ylabel=f"expected best {searches[0].title()}", xscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(textwrap.fill(title, WIDTH), fontsize=9)
        axes.legend(title="head")
    return figure


def fronts(searches: list[Search], title: str) -> Figure:
    """Draw the trials of a search of two objectives, and joined those that no other one of their head beats in both.

    Args:
        searches: of the heads of one condition, with two objectives and each with a finished trial.
        title: of the figure.
    """
    with _ours() as (figure, axes):
        for search, (colour, marker) in zip(searches, styles(_heads(searches)).values(), strict=True):
            every = np.array([trial.values for trial in search.done])
            front = np.array(sorted(trial.values for trial in search.front))
            axes.plot(*every.T, marker, color=colour, alpha=0.35, markersize=5)
            axes.plot(*front.T, color=colour, marker=marker, drawstyle=_steps(search), label=search.label)
        axes.set(xlabel=_better(searches[0], 0), ylabel=_better(searches[0], 1))
        axes.set_title(textwrap.fill(title, WIDTH), fontsize=9)
        axes.legend(title="head")
    return figure


def _steps(search: Search) -> str:
    """Return how points of a front are joined, so that all beyond the line is reached by no trial."""
    return "steps-pre" if search.signs[0] > 0 else "steps-post"


def _better(search: Search, place: int) -> str:
    return f"{search.title(place)} ({'more' if search.signs[place] > 0 else 'less'} is better)"


def _heads(searches: list[Search]) -> dict[str, str]:
    return {search.label: str(search.facts["head"]) for search in searches}


def _optunas(draw: Callable[[], Axes], title: str) -> Figure:
    """Return a figure that Optuna draws, which changes matplotlib's settings and keeps what it drew open."""
    # Needed here alone, and slow to import.
    from matplotlib import pyplot as plt

    with mpl.rc_context({"figure.constrained_layout.use": True}), _silence():
        axes = draw()
        figure = axes.figure
        assert isinstance(figure, Figure)
        plt.close(figure)
        axes.set_title("")
        axes.set_title(textwrap.fill(title, WIDTH), fontsize=9, loc="left")
    return figure


@contextmanager
def _silence() -> Iterator[None]:
    """Leave out that figures are experimental, and which trials they leave out: the tables have them."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def _ours() -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure and its axes, in the looks of the report's other figures."""
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        yield figure, figure.subplots()
