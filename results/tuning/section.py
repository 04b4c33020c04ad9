"""What a grid's page shows of its search: tables, figures, and lines that say why one of them is not there."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from headbench.results import former, grid_rows
from headbench.results.answers import Answers
from headbench.results.comparison import Part, joined
from headbench.results.derived import tried
from headbench.results.figures.base import Drawn, Picture, picture
from headbench.results.store import TUNED
from headbench.results.tables.base import Table, named_comparisons
from headbench.results.tuning import against_default, budgets, figures, found, searches
from headbench.results.tuning.search import Search


def section(out: Path, grid: str, damaged: list[str], storage: str | None = None) -> Part | None:
    """Return tables, figures and notes of a grid's search, and its tuned cells against the others on test.

    Args:
        out: folder of the runs.
        grid: the grid's name, or that of the grid with its tuned values.
        damaged: gets a line for what cannot be read or made.
        storage: where the studies are, if not where ``search.yaml`` says.

    Returns:
        None where there was no search.

    Raises:
        DamagedError: if ``search.yaml`` is damaged.
    """
    searched, notes = searches.read(out, grid), list[str]()
    if searched is None and not grid.endswith(TUNED):
        return None
    against = partial(_against_default, out, grid.removesuffix(TUNED), notes)
    made, pictures = tried("tuned against default", against, damaged) or [], dict[str, Picture]()
    if searched is not None:
        notes += [f"not searched: {_where(one)}: {one['not_applicable']}" for one in searched["not_applicable"]]
        studies = tried("search", lambda: searches.studies(out, grid, storage), damaged) or []
        comparisons = _comparisons([Search(study) for study in studies])
        parts = [_comparison(own, description, name, damaged) for name, description, own in comparisons]
        made, pictures, notes = joined([(made, pictures, notes), *parts])
    return made, pictures, notes


def _where(facts: dict[str, object]) -> str:
    return f"{facts['head_label']}, d = {facts['feature_dim']}"


def _comparisons(every: list[Search]) -> Iterator[tuple[str, str, list[Search]]]:
    """Yield the searches of each comparison with its name and description, dimensions in their order."""
    if not every:
        return
    frame = pd.DataFrame([former.completed(search.facts) for search in every])
    for name, (description, part) in named_comparisons(frame).items():
        yield name, description, sorted((every[place] for place in part.index), key=lambda search: search.dim)


def _comparison(own: list[Search], description: str, name: str, damaged: list[str]) -> Part:
    """Return what is shown of the searches of one comparison."""
    notes, pictures = list[str](), dict[str, Picture]()
    single = len(own[0].objectives) == 1
    makers = [found.summary, *([budgets.table] if single else []), found.trials]
    made = [tried(f"{name}, search", partial(make, own, description, name), damaged) for make in makers]
    for dim in sorted({search.dim for search in own}):
        drawable = [search for search in own if search.dim == dim]
        for title, draw in _figures(drawable, f"{description}, d = {dim}", notes):
            whole = f"{name}-search-{title}-d{dim}"
            shown = tried(whole, partial(_drawn, draw), damaged)
            pictures |= {} if shown is None else {whole: shown}
    return [table for table in made if table is not None], pictures, notes


def _drawn(draw: Callable[[], Drawn]) -> Picture:
    return picture(draw())


def _figures(own: list[Search], description: str, notes: list[str]) -> list[tuple[str, Callable[[], Drawn]]]:
    """Return name and maker of each figure of the searches of one dimension; what there is none of becomes a note."""
    known = [search for search in own if search.done]
    made = list[tuple[str, Callable[[], Drawn]]]()
    if known and len(known[0].objectives) == 1:
        made.append(("history", partial(figures.history, known, description)))
        made.append(("budgets", partial(figures.bests, known, description)))
    elif known and len(known[0].objectives) == 2:
        made.append(("front", partial(figures.fronts, known, description)))
    elif known:
        notes.append(f"no front is drawn of {len(known[0].objectives)} objectives, only of two")
    for search in own:
        whole, why = f"{search.label}, {description}", why_not(search)
        if why:
            notes.append(f"no importance and no parallel coordinates of {whole}: {why}")
        else:
            made.append((f"importance-{search.label}", partial(figures.importance, search, whole)))
            made.append((f"parallel-{search.label}", partial(figures.parallel, search, whole)))
    return made


def why_not(search: Search) -> str:
    """Return why nothing can be said of a search's parameters, nothing where it can."""
    if len(search.done) < 2:
        return f"{len(search.done)} finished trial{'' if len(search.done) == 1 else 's'}"
    if len({tuple(trial.values) for trial in search.done}) == 1:
        return "all finished trials have the same value"
    if len({tuple(sorted(trial.params.items())) for trial in search.done}) == 1:
        return "all finished trials have the same parameters"
    return ""


def _against_default(out: Path, grid: str, notes: list[str]) -> list[Table]:
    """Return the tables of tuned cells against those with the grid's own values, by comparison; what is not trained
    becomes a note that says how to.
    """
    own, tuned = _done(out, grid), _done(out, grid + TUNED)
    commands = {"bench.py run": own, f"bench.py run --tuned {out / grid / 'tuned.yaml'}": tuned}
    missing = [command for command, rows in commands.items() if rows.empty]
    if missing:
        notes.append(
            f"Tuned values against the grid's own, on test: train them by {' and by '.join(missing)}, with --grid, "
            "--set and --name as the search has them."
        )
        return []
    made = list[Table | None]()
    for name, (description, part) in named_comparisons(tuned[tuned["tuned"] > 0]).items():
        beside = own[(own[against_default.SAME] == part[against_default.SAME].iloc[0]).all(axis=1)]
        made.append(against_default.table(beside, part, Answers(out), description, name))
    return [table for table in made if table is not None]


def _done(out: Path, grid: str) -> pd.DataFrame:
    """Return the rows of a grid's finished cells, none where it was not run."""
    try:
        rows = grid_rows.load(out, grid)
    except FileNotFoundError:
        return pd.DataFrame()
    return rows[rows["status"] == "done"]
