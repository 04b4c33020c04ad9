"""A search of better values for every head of a grid, from what is asked for to ``tuned.yaml``."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any

from rich.console import Console

from headbench.core import escape
from headbench.core.errors import UserError, note, suggest
from headbench.results.tuning import searches
from headbench.results.tuning.searches import OBJECTIVES
from headbench.runners.execution import earlier, launch, plan, queue
from headbench.runners.execution.executors import Executor
from headbench.runners.execution.options import RunOptions
from headbench.runners.execution.plan import Outlines, Planned
from headbench.runners.execution.progress import Display
from headbench.runners.execution.workers import Job
from headbench.runners.grid import overrides
from headbench.runners.grid.cells import Cell
from headbench.runners.search import found, space, studies
from headbench.runners.search.driver import Driver
from headbench.runners.search.studies import Asked, Study
from headbench.runners.search.trials import check_validation

# Every trial is trained with one seed, which nothing that is reported has.
CELL_SEED = 2_000_000_000
SEEDS = 2**32


@dataclass(frozen=True)
class TuneOptions:
    """What a search is asked for, as the options of ``bench.py tune``.

    Attributes:
        run: which grid, which of its cells, and how these are trained.
        trials: that each study has in the end.
        objectives: columns of :data:`headbench.results.tuning.searches.OBJECTIVES`.
        storage: a database's URL, a journal file, or None for a journal in the grid's folder.
        timeout: seconds after which nothing more is trained, or None.
        seed: of the sampler.
    """

    run: RunOptions
    trials: int
    objectives: tuple[str, ...] = ("val_top1",)
    storage: str | None = None
    timeout: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Team:
    """What trains the cells of a search in place of this machine's processes.

    Attributes:
        size: cells at once.
        of: what trains them, by how they are trained.
    """

    size: int
    of: Callable[[Job], Executor]


@dataclass(frozen=True)
class Searched:
    """What has come of a search.

    Attributes:
        grid: the grid's name.
        studies: that were to be driven.
        in_time: whether the time was enough.
    """

    grid: str
    studies: list[Study]
    in_time: bool

    @property
    def complete(self) -> bool:
        """Whether every study has its trials."""
        return all(study.ended >= study.asked.trials for study in self.studies)


def run(options: TuneOptions, console: Console, team: Team | None = None) -> Searched:
    """Search until each study of the chosen cells has its trials; go on where an earlier search was stopped.

    Args:
        options: what is asked for.
        console: for what is said.
        team: trains the cells, by default this machine.

    Raises:
        UserError: for anything that is wrong with what is asked for, before anything is trained.
        StoppedError: if the storage fails.
    """
    begun = time.monotonic()
    asked, storage = _asked(options), searches.absolute(options.storage)
    grid, cells = launch.asked(options.run)
    chosen = overrides.choose(cells, overrides.assignments(options.run.where, "--where"))
    wanted = {cell.point for cell in _trial_cells(chosen, asked.cell_seed)}
    # Of the whole grid, so that a trial has as many threads whichever studies are driven.
    machine, job = launch.crew(options.run, len(_trial_cells(cells, asked.cell_seed)))
    outlines = Outlines(job.root)
    # Data sets of which nothing is searched need not be at hand.
    sets = {cell.dataset_label for cell in chosen}
    elsewhere = frozenset(cell.dataset_label for cell in cells) - sets
    bases = plan.make(_trial_cells([cell for cell in cells if cell.dataset_label in sets], asked.cell_seed), outlines)
    check_validation(bases, grid.name)
    own = [base for base in bases if base.cell.point in wanted]
    if all(base.not_applicable for base in own):
        raise UserError(f"grid '{grid.name}': no head applies: {own[0].not_applicable}")
    asked_for = replace(options, storage=storage)
    driven, searched = _started(grid.name, bases, wanted, asked_for, asked, outlines, elsewhere)
    left = sum(max(asked.trials - study.ended, 0) for study in driven)

    def check(cells: Iterable[str]) -> None:
        """Refuse finished cells of another precision, which this search has had or now comes to."""
        earlier.check_precision(grid.name, queue.finished(cells, options.run.out), machine)

    earlier.tell_moved(queue.finished((cell_id for study in driven for cell_id in study.cells), options.run.out))
    if left:
        # Those that this run does not drive too, beside whose values its own will stand.
        rest = [base for base in bases if base.cell.point not in wanted]
        with studies.told():
            others = studies.there(searched.storage, grid.name, rest, asked) if rest else []
            trained = [cell_id for study in (*driven, *others) for cell_id in study.cells]
        check(trained)
    job = launch.manned(job, machine, left, [base for base in own if not base.not_applicable], outlines)
    for base in own:
        if base.not_applicable:
            line = f"not applicable: {base.cell.head_label}, d = {base.cell.feature_dim}: {base.not_applicable}"
            console.print(escape.terminal(line), soft_wrap=True)
    console.print(f"{grid.name}: {len(driven)} studies, {left} of {asked.trials * len(driven)} trials to go")
    deadline = begun + (options.timeout if options.timeout is not None else float("inf"))
    with Display(console, left, 0) as display:
        team = team or Team(job.share.workers, partial(launch.executor, machine=machine))
        driver = Driver(searched, driven, outlines, team.size, display, deadline, check, options.run.retry_failed)
        in_time = driver.run(team.of(job))
    searched.write()
    return Searched(grid.name, driven, in_time)


def check(options: TuneOptions) -> None:
    """Raise UserError for a search that :func:`run` would refuse on every node of a cluster, as far as that can be told
    where nothing is opened or trained.
    """
    asked, storage = _asked(options), searches.absolute(options.storage)
    searches.check_form(storage)
    grid, cells = launch.asked(options.run)
    _trial_cells(cells, asked.cell_seed)
    _refuse_another(grid.name, searches.read(options.run.out, grid.name), asked, storage)


def _asked(options: TuneOptions) -> Asked:
    """Return what is asked of each study.

    Raises:
        UserError: if it makes no sense.
    """
    for name, number, least in (("trials", options.trials, 1), ("seed", options.seed, 0)):
        if not isinstance(number, Integral) or isinstance(number, bool):
            raise UserError(f"--{name}: {number!r} is not a whole number")
        if number < least:
            raise UserError(f"--{name}: {number} is not at least {least}")
    if options.seed >= SEEDS:
        raise UserError(f"--seed: {options.seed} is not below {SEEDS}")
    if options.timeout is not None and (isinstance(options.timeout, bool) or not isinstance(options.timeout, Real)):
        raise UserError(f"--timeout: {options.timeout!r} is not a number of seconds")
    if options.timeout is not None and not options.timeout > 0:
        raise UserError(f"--timeout: {options.timeout:g} is not above 0 seconds")
    for objective in options.objectives:
        if objective not in OBJECTIVES:
            raise UserError(f"--objective: unknown '{objective}'; {suggest(objective, OBJECTIVES)}")
    if len(set(options.objectives)) < len(options.objectives):
        raise UserError(f"--objective: one is given twice in {','.join(options.objectives)}")
    cell_seed = (CELL_SEED + options.seed) % SEEDS
    return Asked(options.trials, options.objectives, options.seed, cell_seed)


def _trial_cells(cells: Sequence[Cell], seed: int) -> list[Cell]:
    """Return the cells of a grid as a search trains them, one for all seeds.

    Raises:
        UserError: if the grid reports the seed of the search.
    """
    if any(cell.seed == seed for cell in cells):
        raise UserError(f"seed {seed} of the grid is that of the search; take another one, or another --seed")
    own = [cell.model_copy(update={"seed": seed, "purpose": "tune"}) for cell in cells]
    return list({cell.point: cell for cell in own}.values())


def _started(
    grid: str,
    bases: Sequence[Planned],
    wanted: set[str],
    options: TuneOptions,
    asked: Asked,
    outlines: Outlines,
    elsewhere: frozenset[str],
) -> tuple[list[Study], found.GridSearch]:
    """Return the studies of the wanted cells, begun where they were not, and the search that they are of.

    Raises:
        UserError: if the storage cannot be opened, or a study was started otherwise.
        StoppedError: if the storage fails.
    """
    out, folder = options.run.out, searches.folder_of(options.run.out, grid)
    before = searches.read(out, grid)
    _refuse_another(grid, before, asked, options.storage)
    applicable = [base for base in bases if base.not_applicable is None]
    own = [base for base in applicable if base.cell.point in wanted]
    spaces = [_space(base, outlines) for base in own]
    if options.storage in (None, searches.JOURNAL):
        launch.make_folder(folder)  # else made behind the storage, which may not be there
    opened = searches.open_storage(options.storage, folder)
    searched = found.GridSearch(grid, asked, applicable, opened, out, elsewhere)
    launch.make_folder(folder)
    with searched.alone():
        with studies.told():
            # Without an index the storage is new here, and values that are there are of a search elsewhere.
            known = searches.read(out, grid)
            lost = known is None or not searches.those_there(known, opened)
            retry = options.run.retry_failed
            # Beside them stand the values of those that are searched now: for all heads the same intervals.
            others = [base for base in applicable if base not in own]
            for other in studies.there(opened, grid, others, asked) if others else []:
                studies.check(replace(other, space=_space(other.base, outlines)))
            begun = [
                studies.start(opened, grid, *pair, asked, retry_failed=retry) for pair in zip(own, spaces, strict=True)
            ]
        searched.keep_former(lost=lost)
        own_names = [(studies.name_of(grid, base), base) for base in bases]
        found.write_index(grid, asked, options.storage, own_names, out, elsewhere)
    if before is not None and lost:
        note(f"the search of grid '{grid}' begins anew: none of its studies is in {searches.named(options.storage)}")
    return begun, searched


def _space(base: Planned, outlines: Outlines) -> space.Space:
    return space.of(base.cell, outlines.of(base.cell).info(base.cell.seed))


def _refuse_another(grid: str, before: dict[str, Any] | None, asked: Asked, storage: str | None) -> None:
    """Raise UserError where an earlier search of a grid is another one: its values would be lost."""
    own = {"storage": searches.named(storage), "objectives": list(asked.objectives), "seed": asked.seed}
    if before is not None:
        before = before | {"storage": searches.named(searches.absolute(before["storage"]))}
    for name, value in own.items():
        if before is not None and before[name] != value:
            raise UserError(
                f"the search of grid '{grid}' was started with {name} {_said(before[name])}, not {_said(value)}; go on "
                "with that, or give another search a --name"
            )


def _said(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
