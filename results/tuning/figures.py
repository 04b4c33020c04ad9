"""Figures of a search: Optuna's own of history, importances and parallel coordinates, and those of several heads."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from headbench.results.figures.base import GUTTER, LOOKS, Drawn, canvas, legend, plain_log, small, styles
from headbench.results.numbers.best_of import best_of
from headbench.results.tuning.search import Search

# Optuna asks for five trials among the best tenth, of which its importances are.
ENOUGH = 50
# Of a line.
MOST_POINTS = 30
# Where axes may have one.
TITLES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")


def history(searches: list[Search], description: str) -> Drawn:
    """Draw the validation metric of every finished trial by its number, and the best so far, of the heads of one
    condition.

    Args:
        searches: with one objective and each with a finished trial.
        description: of the condition.
    """
    from optuna.visualization.matplotlib import plot_optimization_history

    figure = _optunas(
        lambda: plot_optimization_history([one.shown_study() for one in searches], target_name=searches[0].title())
    )
    axes = figure.axes[0]
    # For each study Optuna draws a line, and two clouds of points: those of trials, and those that break a constraint.
    for place, (head, look) in enumerate(styles(_heads(searches)).items()):
        axes.lines[place].set(**look.line, label=head)
        axes.collections[2 * place].set(color=look.colour, sizes=[9])
    if shown := axes.get_legend():
        shown.remove()
    legend(figure, axes.lines, [str(line.get_label()) for line in axes.lines])
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    what = f"{searches[0].title().capitalize()} of every finished trial by its number; lines: the best so far"
    return Drawn(figure, f"{what}. {description}.")


def importance(search: Search, description: str) -> Drawn:
    """Draw how much each parameter tells the best tenth of the finished trials from the others (PED-ANOVA)."""
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    done = len(search.done)
    few = f", too few to trust it ({ENOUGH} are enough)" if done < ENOUGH else ""
    figure = _optunas(lambda: plot_param_importances(search.losses(), PedAnovaImportanceEvaluator()))
    axes = figure.axes[0]
    axes.set(ylabel="", xlabel="importance")
    shown = axes.get_legend()
    if len(search.objectives) == 1 and shown is not None:
        shown.remove()
    what = f"How much each parameter tells the best tenth of {done} trials from the others{few}"
    return Drawn(figure, f"{what}. {description}.")


def parallel(search: Search, description: str) -> Drawn:
    """Draw each finished trial as a line across its parameters and its validation metric."""
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    figure = _optunas(lambda: plot_parallel_coordinate(search.shown_study(), target_name=search.title()))
    for axes in figure.axes:
        if axes.get_yscale() == "log":
            plain_log(axes.yaxis)
    width, height = figure.get_size_inches()
    figure.set_size_inches(2 * width + GUTTER, 1.3 * height)
    what = f"Each finished trial as a line across its parameters and its {search.title()}"
    return Drawn(figure, f"{what}. {description}.")


def bests(searches: list[Search], description: str) -> Drawn:
    """Draw the expected best of k trials against k, with what 95 % of the choices of k trials find, a line per head."""
    with canvas(0.75) as figure:
        axes = figure.subplots()
        for search, look in zip(searches, styles(_heads(searches)).values(), strict=True):
            values, sign = search.values(), search.signs[0]
            budgets = np.unique(np.geomspace(1, len(values), MOST_POINTS).astype(int))
            found = [best_of(values, int(k)) for k in budgets]
            means, lows, highs = (
                sign * np.array([getattr(one, end) for one in found]) for end in ("mean", "low", "high")
            )
            axes.plot(budgets, means, **look.marked, label=search.label)
            axes.fill_between(budgets, lows, highs, color=look.colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="trials of the search (log scale)", ylabel=f"expected best {searches[0].title()}", xscale="log")
        plain_log(axes.xaxis)
        legend(figure, *axes.get_legend_handles_labels())
    what = "Expected best of so many trials; shaded: what 95 % of the choices of so many trials find"
    return Drawn(figure, f"{what}. {description}.")


def fronts(searches: list[Search], description: str) -> Drawn:
    """Draw the trials of a search of two objectives, and joined those that no other one of their head beats in both.

    Args:
        searches: of the heads of one condition, with two objectives and each with a finished trial.
        description: of the condition.
    """
    with canvas(0.75) as figure:
        axes = figure.subplots()
        for search, look in zip(searches, styles(_heads(searches)).values(), strict=True):
            every = np.array([trial.values for trial in search.done])
            front = np.array(sorted(trial.values for trial in search.front))
            axes.plot(*every.T, look.marker, color=look.colour, alpha=0.35)
            axes.plot(*front.T, **look.marked, drawstyle=_steps(search), label=search.label)
        axes.set(xlabel=_better(searches[0], 0), ylabel=_better(searches[0], 1))
        legend(figure, *axes.get_legend_handles_labels())
    return Drawn(
        figure, f"Every finished trial; joined are those that no other one of their head beats in both. {description}."
    )


def _steps(search: Search) -> str:
    """Return how points of a front are joined, so that all beyond the line is reached by no trial."""
    return "steps-pre" if search.signs[0] > 0 else "steps-post"


def _better(search: Search, place: int) -> str:
    return f"{search.title(place)} ({'more' if search.signs[place] > 0 else 'less'} is better)"


def _heads(searches: list[Search]) -> dict[str, str]:
    return {search.label: str(search.facts["head"]) for search in searches}


def _optunas(draw: Callable[[], Axes]) -> Figure:
    """Return a figure that Optuna draws, in the looks of the others.

    Optuna changes matplotlib's settings, with letters and a layout of its own, and keeps what it drew open.
    """
    # Needed here alone, and slow to import.
    from matplotlib import pyplot as plt

    with mpl.rc_context({**LOOKS, "figure.constrained_layout.use": True}), _silence():
        size = mpl.rcParams["font.size"]
        axes = draw()
        figure = axes.figure
        assert isinstance(figure, Figure)
        plt.close(figure)
    for place in TITLES:
        axes.set_title("", loc=place)
    for one in figure.axes:
        one.tick_params(labelsize=small())
        one.xaxis.label.set_fontsize(size)
        one.yaxis.label.set_fontsize(size)
        for text in one.texts:
            text.set_fontsize(small())
    # One that has a colour bar was made so, and is not made anew.
    if not isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.set_layout_engine("constrained")
    figure.set_dpi(300)
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
