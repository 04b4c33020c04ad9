"""The command line of headbench: ``python bench.py --help``."""

import argparse
import datetime
import errno
import io
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

import results
from core import escape
from core.errors import StoppedError, UserError, suggest
from results import derived, figures, measured, report, sphere, store, tables
from runners import certificates, config, datasets, grammar, launch, listing, plan, plugins, schedule, selection, status, stops
from runners.launch import data_folder


class Screen(Console):
    """A console for which a closed pipe (``bench.py list heads | head -1``) is a wish to stop, not an error."""

    def on_broken_pipe(self) -> None:
        """Stop as at Ctrl-C: a cell in training keeps its checkpoint."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        stops.ignore()
        raise stops.Stopped(signal.SIGPIPE)


def grid_name(name_or_file: str) -> str:
    """Return the name of a grid that was run: itself, or the name inside a grid file."""
    if Path(name_or_file).suffix not in {".yaml", ".yml"}:
        return name_or_file
    contents, place = config.read_grid(name_or_file)
    return config.parse_grid(contents, place).name


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train what is missing of a grid and build its report; return the exit status."""
    prepared = launch.prepare(
        grid=arguments.grid,
        changes=arguments.set,
        name=arguments.name,
        where=arguments.where,
        data=arguments.data,
        out=arguments.out,
        workers=arguments.workers,
        threads=arguments.threads,
        device=arguments.device,
        precision=arguments.precision,
        plugins=arguments.plugin,
        keep_weights=arguments.keep_weights,
        retry_failed=arguments.retry_failed,
        wait=not arguments.no_wait,
    )
    if arguments.dry_run:
        show_plan(prepared.wanted, prepared.todo, console)
        seconds = status.seconds_left(prepared.plan, prepared.todo, arguments.out, prepared.workers)
        if seconds is not None:
            console.print(f"about {datetime.timedelta(seconds=round(seconds))} by the finished cells of the same kind")
        return 0
    launch.execute(prepared, console)
    if arguments.no_report:
        return 1 if schedule.failures(prepared.plan, arguments.out) else 0
    try:
        return show_report(arguments.out, prepared.grid.name, console)
    except OSError as error:
        if error.errno in derived.FULL:
            raise
        say(console, f"no report: {error}; the cells are kept, and bench.py report tries again")
        return 1


def say(console: Console, text: str) -> None:
    """Print a line that may hold text of others."""
    console.print(escape.terminal(text), soft_wrap=True)


def tabled(rows: list[dict[str, str]]) -> Table:
    """Return rows of texts by title as a table for the terminal."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(escape.terminal, row.values()))
    return table


def show_status(out: Path, grid: str, console: Console) -> int:
    """Print the cells of a grid that are not simply done, and how many are."""
    require_grid(out, grid)
    rows = status.of_grid(out, grid)
    counts = {state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(row["state"] for row in rows)}
    others = [row for row in rows if row["state"] not in {"done", "n/a"}]
    if others:
        console.print(tabled(others))
    say(console, f"{grid}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    return 0


def clean(out: Path, console: Console) -> int:
    """Remove what no process needs any more, and say what."""
    for path in status.clean(out):
        say(console, f"removed {path}")
    return 0


def show_plan(wanted: list[plan.Planned], todo: list[plan.Planned], console: Console) -> None:
    """Print the cells that would be run: first what is the same for all of them, then a row each."""
    waiting = {p.cell_id for p in todo}
    titles = {"dataset": "data set", "imbalance_factor": "IF", "head_label": "head", "feature_dim": "d", "n_train": "train", "n_val": "val", "n_test": "test"}
    keys = ("dataset", "imbalance_factor", "protocol", "backbone", "projection", "recipe", "head_label", "feature_dim", "seed", "n_train", "n_val", "n_test")
    columns = {key: [f"{p.facts[key]:g}" if isinstance(p.facts[key], float) else str(p.facts[key]) for p in wanted] for key in keys}
    varied = [key for key in keys if len(set(columns[key])) > 1 or key.startswith("n_")]
    shared = ", ".join(f"{titles.get(key, key)} {columns[key][0]}" for key in keys if key not in varied)
    console.print(escape.terminal(f"all cells: {shared}"))
    table = Table("cell", *(titles.get(key, key) for key in varied), "state")
    table.columns[0].no_wrap = True
    for key, column in zip(varied, table.columns[1:-1], strict=True):
        # Long names wrap, so that numbers are never cut.
        column.no_wrap, column.overflow = isinstance(wanted[0].facts[key], int | float), "fold"
    table.columns[-1].min_width = len("to do")
    for number, p in enumerate(wanted):
        state = p.not_applicable or ("to do" if p.cell_id in waiting else "ended")
        table.add_row(*map(escape.terminal, (p.cell_id, *(columns[key][number] for key in varied), state)))
    console.print(table)
    console.print(f"{len(todo)} of {len(wanted)} cells to train")


def require_grid(out: Path, grid: str) -> None:
    """Raise UserError if a grid was not started in a folder."""
    known = [path.parent.name for path in out.glob("*/grid.yaml")]
    if grid not in known:
        raise UserError(f"no results of a grid '{grid}' in {out}; {suggest(grid, known)}" if known else f"no results of any grid in {out}")


def require_checkout(command: str) -> None:
    """Raise UserError where the harness is an installed package, whose files are not the user's to change."""
    if not Path(__file__).with_name("pyproject.toml").is_file():
        raise UserError(f"{command} changes files of the repository, and this is an installed package; run it in a checkout")


def show_report(out: Path, grid: str, console: Console, bins: int | None = None) -> int:
    """Build a grid's report and print its main table; return 1 if a cell failed, else 0."""
    require_grid(out, grid)
    built = report.build(out, grid, bins)
    for made in built.tables:
        if made.name.endswith("-accuracy-last"):
            console.print(escape.terminal(made.caption))
            console.print(tables.terminal(made))
    failed = built.rows[built.rows["status"] == "failed"]
    for _, row in failed.iterrows():
        say(console, f"failed: {row['cell_id']} {row['head_label']} d={row['feature_dim']} seed={row['seed']}: {row['error']}")
    for line in built.damaged:
        say(console, line)
    if built.written:
        say(console, f"report: {built.page}")
    return 1 if len(failed) else 0


def record(out: Path, grid: str, console: Console) -> int:
    """Keep the rows of a grid's finished cells as data of the repository."""
    require_grid(out, grid)
    require_checkout("record")
    file = measured.record(out, grid, measured.FOLDER)
    say(console, f"recorded: {file}")
    return 0


def show_list(what: str, console: Console) -> int:
    """Print the names of one kind with what is known of them."""
    for name, known in listing.lines(what):
        console.print(escape.terminal(name, "bold"))
        if known:
            console.print(known, markup=False, highlight=False)
    return 0


def run_data(arguments: argparse.Namespace, console: Console) -> int:
    """List, verify or show data sets."""
    root = data_folder(arguments.data)
    if arguments.action == "list":
        console.print(tabled(datasets.listed(root)))
        return 0
    options = selection.assignments(arguments.options, "data")
    if arguments.action == "verify":
        for line in datasets.verify(root, arguments.dataset, options):
            say(console, line)
        return 0
    file = arguments.png or Path(f"{arguments.dataset}.png")
    datasets.show(root, arguments.dataset, options, arguments.recipe, arguments.imbalance_factor, arguments.count, file)
    say(console, f"written: {file}")
    return 0


def show_prototypes(arguments: argparse.Namespace, console: Console) -> int:
    """Print certificates of prototypes and draw those in two and three dimensions, or rebuild the table of the harness."""
    if arguments.rebuild_table:
        require_checkout("prototypes --rebuild-table")
        for (num_classes, dim), cosine in certificates.rebuild_table():
            console.print(f"{num_classes} x {dim}: max cosine {cosine:.5f}")
        return 0
    if arguments.classes is None or arguments.dim is None:
        raise UserError("prototypes: the number of classes and the dimension are missing, as in: bench.py prototypes 100 25")
    if arguments.png and arguments.dim not in (2, 3):
        raise UserError(f"--png: prototypes can be drawn in 2 and 3 dimensions, not in {arguments.dim}")
    methods = list(certificates.METHODS) if arguments.compare else [arguments.method]
    table, pictures = Table(*certificates.TITLES), {}
    for method, points, found in certificates.certified(methods, arguments.classes, arguments.dim, arguments.seed):
        table.add_row(*certificates.row(method, found))
        pictures[f"{method}: max cosine {found.max_cosine:.4f}"] = points
    console.print(table)
    console.print(certificates.bound(arguments.classes, arguments.dim), highlight=False)
    if arguments.dim in (2, 3):
        file = arguments.png or Path(f"prototypes-{arguments.classes}x{arguments.dim}.png")
        store.write_bytes(file, figures.encode(sphere.prototypes(pictures), "png"))
        say(console, f"written: {file}")
    return 0


def run_toy(out: Path, console: Console) -> int:
    """Run the grid ``toy`` and draw its features."""
    status = run(grammar.parse(["run", "--grid", "toy", "--out", str(out)]), console)
    rows = results.load(out, "toy")
    if status:
        return status
    file = store.grid_folder(out, "toy") / "figures" / "circle.png"
    store.write_bytes(file, figures.encode(sphere.toy(rows[rows["selection"] == "last"], out), "png"))
    say(console, f"picture: {file}")
    return status


def dispatch(arguments: argparse.Namespace, console: Console) -> int:
    """Run one command; return the exit status."""
    for plugin in getattr(arguments, "plugin", []):
        plugins.load(plugin)
    match arguments.command:
        case "list":
            return show_list(arguments.what, console)
        case "data":
            return run_data(arguments, console)
        case "toy":
            return run_toy(arguments.out, console)
        case "prototypes":
            return show_prototypes(arguments, console)
        case "clean":
            return clean(arguments.out, console)
        case "report":
            return show_report(arguments.out, grid_name(arguments.grid), console, arguments.bins)
        case "record":
            return record(arguments.out, grid_name(arguments.grid), console)
        case "status":
            return show_status(arguments.out, grid_name(arguments.grid), console)
        case _:
            return run(arguments, console)


def main(words: list[str]) -> int:
    """Run the command line; return the exit status. A user's mistake is one line on stderr."""
    try:
        with stops.heeded():
            return dispatch(grammar.parse(words), Screen())
    except (UserError, StoppedError, store.DamagedError, OSError) as error:
        if "--debug" in words:
            traceback.print_exc()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        more = "; nothing that was finished is lost, and the same command goes on when there is space again" if full else ""
        print(f"bench.py: {escape.plain(' '.join(str(error).splitlines()))}{more}", file=sys.stderr)
        return 1 if full or isinstance(error, store.DamagedError | StoppedError) else 2
    except KeyboardInterrupt as stop:
        if stop.args != (signal.SIGPIPE,):
            print("bench.py: stopped; finished cells are kept, and the same command goes on from here", file=sys.stderr)
        return stops.status(stop)


def entry() -> int:
    """Run the command line of this process; a terminal that cannot show a letter gets its code in its place."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    status = main(sys.argv[1:])
    if status > 128:
        stops.end()
    return status


if __name__ == "__main__":
    sys.exit(entry())
