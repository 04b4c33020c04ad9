"""The command line of headbench: ``python bench.py --help``."""

import argparse
import datetime
import errno
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from backbones import BACKBONES
from core.errors import UserError, suggest
from data import DATASETS
from heads import HEADS
from results import report, store, tables
from runners import config, datasets, hardware, plan, plugins, recipes, schedule, selection, status
from runners import workers as workers_module
from runners.display import Display
from runners.workers import Job

COMMANDS = ("run", "report", "status", "clean", "list", "data")
LISTS: dict[str, Any] = {"heads": HEADS, "backbones": BACKBONES, "datasets": DATASETS, "recipes": recipes.names, "grids": config.grid_names}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parser() -> Parser:
    """Return the command line's grammar; without a command, ``run`` is meant."""
    main = Parser(
        prog="bench.py",
        description="Compare classifier heads over a grid. Without arguments: the bundled demonstration, --grid digits-dims.",
        epilog="'bench.py run --help' lists the options of run; the word 'run' itself may be left out.",
    )
    commands = main.add_subparsers(dest="command", metavar="{run,report,status,clean,list,data}", parser_class=Parser)
    run = commands.add_parser("run", help="train what is missing of a grid, then write tables, figures and report (the default)")
    report_command = commands.add_parser("report", help="rebuild a grid's tables, figures and report from its finished cells")
    status_command = commands.add_parser("status", help="say which cells of a grid are done, running, failed or damaged; reads all their files")
    clean_command = commands.add_parser("clean", help="remove stale claims, checkpoints of finished cells and leftovers of killed processes; never a result")
    for command in (run, report_command, status_command, clean_command):
        if command is not clean_command:
            command.add_argument("--grid", default="digits-dims", help="a grid's name or a .yaml file (default: digits-dims)")
        command.add_argument("--out", type=Path, default=Path("runs"), help="folder of the results (default: runs)")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run.add_argument("--data", type=Path, help="folder of the data sets (default: $HEADBENCH_DATA, else ~/.cache/headbench)")
    run.add_argument("--where", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="run only these cells: head=psc,dl2pa seed=0")
    run.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="derive a grid: recipe.epochs=2 axes.head=psc,hpn")
    run.add_argument("--name", help="name of the derived grid")
    run.add_argument("--workers", type=int, help="parallel processes (default: one per CUDA device, else one per core, at most 8)")
    run.add_argument("--threads", type=int, help="CPU threads of each worker (default: the cores divided among the workers)")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    run.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="auto: bfloat16 autocast where the hardware has it")
    run.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py", help="import a file that registers a head, backbone or data set")
    run.add_argument("--keep-weights", action="store_true", help="keep each cell's last weights")
    run.add_argument("--dry-run", action="store_true", help="check everything and show the cells, train nothing")
    run.add_argument("--retry-failed", action="store_true", help="train cells again that failed before")
    listing = commands.add_parser("list", help="list what can be named in a grid file")
    listing.add_argument("what", choices=sorted(LISTS))
    listing.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py")
    listing.add_argument("--debug", action="store_true")
    add_data_command(commands)
    return main


def add_data_command(commands: Any) -> None:
    """Add ``data list|verify|show`` to the grammar."""
    actions = commands.add_parser("data", help="list data sets, verify their caches, show what the network sees").add_subparsers(
        dest="action", required=True, metavar="{list,verify,show}", parser_class=Parser
    )
    actions.add_parser("list", help="every data set and what is cached of it")
    verify = actions.add_parser("verify", help="read caches again and compare them with what was written")
    verify.add_argument("dataset", nargs="?", help="a data set's name; it is read and cached first if need be (default: all that are cached)")
    show = actions.add_parser("show", help="write a contact sheet of augmented training images with their labels")
    show.add_argument("dataset", help="a data set's name")
    show.add_argument("--recipe", default="fast", help="whose augmentation is shown (default: fast)")
    show.add_argument("--imbalance-factor", type=float, default=1.0, help="of a long tail (default: 1)")
    show.add_argument("--count", type=int, default=50, help="images (default: 50)")
    show.add_argument("--png", type=Path, help="the file to write (default: NAME.png)")
    for action in (verify, show):
        action.add_argument("options", nargs="*", metavar="KEY=VALUE", help="options of the data set: path=flowers size=64")
    for action in actions.choices.values():
        action.add_argument("--data", type=Path, help="folder of the data sets (default: $HEADBENCH_DATA, else ~/.cache/headbench)")
        action.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE.py")
        action.add_argument("--debug", action="store_true")


def data_folder(given: Path | None) -> Path:
    """Return the data folder; only the default one is made.

    Raises:
        UserError: if the folder that the user named does not exist.
    """
    named = given or (Path(os.environ["HEADBENCH_DATA"]) if "HEADBENCH_DATA" in os.environ else None)
    if named is None:
        default = Path("~/.cache/headbench").expanduser()
        default.mkdir(parents=True, exist_ok=True)
        return default
    if not named.is_dir():
        raise UserError(f"the data folder {named} does not exist (--data, or $HEADBENCH_DATA)")
    return named


def grid_name(name_or_file: str) -> str:
    """Return the name of a grid that was run: itself, or the name inside a grid file."""
    if Path(name_or_file).suffix not in {".yaml", ".yml"}:
        return name_or_file
    contents, place = config.read_grid(name_or_file)
    return config.parse_grid(contents, place).name


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train what is missing of a grid and build its report; return the exit status."""
    for option, value in (("--threads", arguments.threads), ("--workers", arguments.workers)):
        if value is not None and value < 1:
            raise UserError(f"{option}: {value} is not at least 1")
    contents, place = config.read_grid(arguments.grid)
    changes = selection.assignments(arguments.set, "--set")
    contents = selection.derive(contents, changes, arguments.name)
    grid = config.parse_grid(contents, place)
    cells = config.expand(grid, arguments.precision)
    chosen = {id(cell) for cell in selection.choose(cells, selection.assignments(arguments.where, "--where"))}
    root = data_folder(arguments.data)
    workers, threads = hardware.share(arguments.workers, arguments.threads, len(cells))
    machine = hardware.set_up(arguments.device, threads, arguments.precision)
    planned = plan.make(cells, root, machine)
    wanted = [p for p in planned if id(p.cell) in chosen]
    todo = schedule.pending(wanted, arguments.out, retry_failed=arguments.retry_failed)
    if arguments.dry_run:
        show_plan(wanted, todo, console)
        seconds = status.seconds_left(planned, todo, arguments.out, workers)
        if todo and seconds is not None:
            console.print(f"about {datetime.timedelta(seconds=round(seconds))} by the finished cells of the same kind")
        return 0
    store.write_plan(store.grid_folder(arguments.out, grid.name), plan.resolved(grid, planned))
    workers = min(workers, max(len(todo), 1))
    if todo:
        sharing = f"workers: {workers}, threads: {threads} each" if workers > 1 else f"threads: {threads}"
        console.print(f"{grid.name}: {len(todo)} cells to train on {machine.device.type}, {sharing}, {machine.precision}")
    schedule.clear_failures(todo, arguments.out)
    with Display(console, len(todo), len([p for p in wanted if p.not_applicable is None]) - len(todo)) as display:
        if workers > 1:
            ids = frozenset(p.cell_id for p in todo)
            plugins_given, kept = tuple(arguments.plugin), arguments.keep_weights
            job = Job(contents, place, plugins_given, root, arguments.out, ids, machine.device.type, threads, arguments.precision, kept)
            workers_module.run(job, todo, workers, display, display.stopped)
        else:
            schedule.run(todo, arguments.out, machine, display, keep_weights=arguments.keep_weights)
    return show_report(arguments.out, grid.name, console)


def show_status(out: Path, grid: str, console: Console) -> int:
    """Print the cells of a grid that are not simply done, and how many are."""
    rows = status.of_grid(out, grid)
    counts = {state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(row["state"] for row in rows)}
    others = [row for row in rows if row["state"] not in {"done", "n/a"}]
    if others:
        table = Table(*others[0])
        for row in others:
            table.add_row(*row.values())
        console.print(table)
    console.print(f"{grid}: " + ", ".join(f"{count} {state}" for state, count in counts.items()), soft_wrap=True, highlight=False)
    return 0


def clean(out: Path, console: Console) -> int:
    """Remove what no process needs any more, and say what."""
    for path in status.clean(out):
        console.print(f"removed {path}", soft_wrap=True, markup=False, highlight=False)
    return 0


def show_plan(wanted: list[plan.Planned], todo: list[plan.Planned], console: Console) -> None:
    """Print the cells that would be run: first what is the same for all of them, then a row each."""
    waiting = {p.cell_id for p in todo}
    titles = {"dataset": "data set", "imbalance_factor": "IF", "head_label": "head", "feature_dim": "d", "n_train": "train", "n_val": "val", "n_test": "test"}
    keys = ("dataset", "imbalance_factor", "protocol", "backbone", "projection", "recipe", "head_label", "feature_dim", "seed", "n_train", "n_val", "n_test")
    columns = {key: [f"{p.facts[key]:g}" if isinstance(p.facts[key], float) else str(p.facts[key]) for p in wanted] for key in keys}
    varied = [key for key in keys if len(set(columns[key])) > 1 or key.startswith("n_")]
    shared = ", ".join(f"{titles.get(key, key)} {columns[key][0]}" for key in keys if key not in varied)
    console.print(f"all cells: {shared}", markup=False, highlight=False)
    table = Table("cell", *(titles.get(key, key) for key in varied), "state")
    for column in table.columns[:-1]:
        column.no_wrap = True
    table.columns[-1].min_width = len("to do")
    for number, p in enumerate(wanted):
        state = p.not_applicable or ("to do" if p.cell_id in waiting else "ended")
        table.add_row(p.cell_id, *(columns[key][number] for key in varied), state)
    console.print(table)
    console.print(f"{len(todo)} of {len(wanted)} cells to train")


def require_grid(out: Path, grid: str) -> None:
    """Raise UserError if a grid was not started in a folder."""
    if not (store.grid_folder(out, grid) / "grid.yaml").is_file():
        known = [path.parent.name for path in out.glob("*/grid.yaml")]
        raise UserError(f"no results of a grid '{grid}' in {out}; {suggest(grid, known)}" if known else f"no results of any grid in {out}")


def show_report(out: Path, grid: str, console: Console) -> int:
    """Build a grid's report and print its main table; return 1 if a cell failed, else 0."""
    require_grid(out, grid)
    built = report.build(out, grid)
    for made in built.tables:
        if made.name.endswith("-accuracy-last"):
            console.print(made.caption, markup=False, highlight=False)
            console.print(tables.terminal(made))
    failed = built.rows[built.rows["status"] == "failed"]
    for _, row in failed.iterrows():
        console.print(f"failed: {row['cell_id']} {row['head_label']} d={row['feature_dim']} seed={row['seed']}: {row['error']}", soft_wrap=True, markup=False)
    for line in built.damaged:
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"report: {built.page}", soft_wrap=True, markup=False, highlight=False)
    return 1 if len(failed) else 0


def show_list(what: str, console: Console) -> int:
    """Print the names of one kind with what is known of them."""
    source = LISTS[what]
    if callable(source):
        console.print("\n".join(source()))
        return 0
    for name in source.names():
        entry = source.get(name)
        console.print(f"[bold]{name}[/bold] (version {entry.version})")
        for key, text in entry.about.items():
            console.print(f"  {key}: {text}", markup=False, highlight=False)
    return 0


def run_data(arguments: argparse.Namespace, console: Console) -> int:
    """List, verify or show data sets."""
    root = data_folder(arguments.data)
    if arguments.action == "list":
        rows = datasets.listed(root)
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*row.values())
        console.print(table)
        return 0
    options = selection.assignments(arguments.options, "data")
    if arguments.action == "verify":
        for line in datasets.verify(root, arguments.dataset, options):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        return 0
    if arguments.count < 1 or arguments.imbalance_factor < 1:
        raise UserError("data show: --count and --imbalance-factor must be at least 1")
    file = arguments.png or Path(f"{arguments.dataset}.png")
    datasets.show(root, arguments.dataset, options, arguments.recipe, arguments.imbalance_factor, arguments.count, file)
    console.print(f"written: {file}", soft_wrap=True, markup=False, highlight=False)
    return 0


def main(words: list[str]) -> int:
    """Run the command line; return the exit status."""
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help"}):
        words = ["run", *words]
    console = Console()
    try:
        if words[0] not in {*COMMANDS, "-h", "--help"}:
            raise UserError(f"unknown command '{words[0]}'; {suggest(words[0], COMMANDS)}; a grid is named with --grid")
        arguments, unknown = parser().parse_known_args(words)
        if unknown:
            options = [f"--{name.replace('_', '-')}" for name in vars(arguments) if name not in {"command", "what", "action"}]
            raise UserError(f"unknown argument '{unknown[0]}'; {suggest(unknown[0].partition('=')[0], options)}")
        for plugin in getattr(arguments, "plugin", []):
            plugins.load(plugin)
        if arguments.command == "list":
            return show_list(arguments.what, console)
        if arguments.command == "clean":
            return clean(arguments.out, console)
        if arguments.command == "report":
            return show_report(arguments.out, grid_name(arguments.grid), console)
        if arguments.command == "status":
            require_grid(arguments.out, grid_name(arguments.grid))
            return show_status(arguments.out, grid_name(arguments.grid), console)
        if arguments.command == "data":
            return run_data(arguments, console)
        return run(arguments, console)
    except UserError as error:
        if "--debug" in words:
            raise
        print(f"bench.py: {error}", file=sys.stderr)
        return 2
    except store.DamagedError as error:
        print(f"bench.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if "--debug" in words or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"bench.py: {error}; nothing that was finished is lost, and the same command goes on when there is space again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench.py: stopped; finished cells are kept, and the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
