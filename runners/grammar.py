"""The grammar of the command line: ``python bench.py --help``."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from core.errors import UserError, suggest
from core.folders import expanded
from heads.prototypes import METHODS
from runners import listing

COMMANDS = ("run", "report", "status", "clean", "record", "list", "data", "prototypes", "toy")
MOST = {"threads": 1024, "workers": 1024, "bins": 10_000, "count": 10_000, "imbalance_factor": 1e9, "seed": 2**32 - 1}
POSITIONAL = {"command", "what", "action", "dataset", "options", "classes", "dim"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def path(text: str) -> Path:
    """Return a path of the command line, with ``~`` as the home.

    Raises:
        UserError: if it is empty, as an unset variable leaves it, or there is no home.
    """
    if not text.strip():
        raise UserError("an empty path is given; name a file or folder, or leave the option out")
    return expanded(text)


def parser() -> Parser:
    """Return the command line's grammar; without a command, ``run`` is meant."""
    main = Parser(
        prog="bench.py",
        description="Compare classifier heads over a grid. Without arguments: the bundled demonstration, --grid digits-dims.",
        epilog="'bench.py run --help' lists the options of run; the word 'run' itself may be left out.",
    )
    commands = main.add_subparsers(dest="command", metavar="{" + ",".join(COMMANDS) + "}", parser_class=Parser)
    run = commands.add_parser("run", help="train what is missing of a grid, then write tables, figures and report (the default)")
    report_command = commands.add_parser("report", help="rebuild a grid's tables, figures and report from its finished cells")
    report_command.add_argument("--bins", type=int, help="compute the calibration errors anew, from the stored predictions, with so many bins")
    status_command = commands.add_parser("status", help="say which cells of a grid are done, running, failed or damaged; reads all their files")
    clean_command = commands.add_parser("clean", help="remove stale locks, checkpoints of finished cells and leftovers of killed processes; never a result")
    record_command = commands.add_parser("record", help="add the rows of a grid's finished cells to results/measured/, the numbers that the docs show")
    for command in (run, report_command, status_command, clean_command, record_command):
        if command is not clean_command:
            command.add_argument("--grid", default="digits-dims", help="a grid's name or a .yaml file (default: digits-dims)")
        command.add_argument("--out", type=path, default=Path("runs"), help="folder of the results (default: runs)")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run.add_argument("--data", type=path, help="folder of the data sets (default: $HEADBENCH_DATA, else ~/.cache/headbench)")
    run.add_argument("--where", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="run only these cells: head=psc,dl2pa seed=0")
    run.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="derive a grid: recipe.epochs=2 axes.head=psc,hpn")
    run.add_argument("--name", help="name of the derived grid")
    run.add_argument("--workers", type=int, help="parallel processes (default: one per CUDA device, else one per core, at most 8)")
    run.add_argument("--threads", type=int, help="CPU threads of each worker (default: the cores divided among the workers)")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    run.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="auto: bfloat16 autocast where the hardware has it")
    run.add_argument("--plugin", type=path, action="append", default=[], metavar="FILE.py", help="import a file that registers a head, backbone or data set")
    run.add_argument("--keep-weights", action="store_true", help="keep each cell's last weights")
    run.add_argument("--dry-run", action="store_true", help="check everything and show the cells, train nothing")
    run.add_argument("--retry-failed", action="store_true", help="train cells again that failed before")
    run.add_argument("--no-wait", action="store_true", help="end when no cell is free to take, though other processes still train some")
    run.add_argument("--no-report", action="store_true", help="write no tables, figures and report; 'bench.py report' does it later")
    lists = commands.add_parser("list", help="list what can be named in a grid file")
    lists.add_argument("what", choices=sorted({*listing.REGISTRIES, *listing.NAMES}))
    lists.add_argument("--plugin", type=path, action="append", default=[], metavar="FILE.py")
    lists.add_argument("--debug", action="store_true")
    add_data_command(commands)
    shown = commands.add_parser("prototypes", help="certify how well C prototypes are spread in d dimensions; in two and three also draw them")
    shown.add_argument("classes", type=int, nargs="?", help="C")
    shown.add_argument("dim", type=int, nargs="?", help="d")
    shown.add_argument("--method", default="separated", help=f"one of {', '.join(METHODS)}, or a file (default: separated)")
    shown.add_argument("--compare", action="store_true", help="all methods")
    shown.add_argument("--seed", type=int, default=0, help="prototype_seed (default: 0)")
    shown.add_argument("--png", type=path, help="the picture (default: prototypes-CxD.png)")
    shown.add_argument("--rebuild-table", action="store_true", help="search the prototypes again that come with the harness")
    toy = commands.add_parser("toy", help="train three heads on three classes at d = 2 and draw their features on the circle")
    toy.add_argument("--out", type=path, default=Path("runs"), help="folder of the results (default: runs)")
    for command in (shown, toy):
        command.add_argument("--debug", action="store_true")
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
    show.add_argument("--png", type=path, help="the file to write (default: NAME.png)")
    for action in (verify, show):
        action.add_argument("options", nargs="*", metavar="KEY=VALUE", help="options of the data set: path=flowers size=64")
    for action in actions.choices.values():
        action.add_argument("--data", type=path, help="folder of the data sets (default: $HEADBENCH_DATA, else ~/.cache/headbench)")
        action.add_argument("--plugin", type=path, action="append", default=[], metavar="FILE.py")
        action.add_argument("--debug", action="store_true")


def check_numbers(arguments: argparse.Namespace) -> None:
    """Raise UserError for a number out of its bounds."""
    for option, most in MOST.items():
        value, name = getattr(arguments, option, None), f"--{option.replace('_', '-')}"
        least = 0 if option == "seed" else 1
        if value is not None and not value >= least:
            raise UserError(f"{name}: {value} is below 0" if option == "seed" else f"{name}: {value} is not at least 1")
        if value is not None and not value <= most:
            raise UserError(f"{name}: {value} is more than {most:,}")


def parse(words: list[str]) -> argparse.Namespace:
    """Return the arguments of a command line; without a command, ``run`` is meant.

    Raises:
        UserError: for a word that does not belong there, with the nearest that does.
    """
    for word in words:
        if word != word.encode(errors="ignore").decode():
            raise UserError(f"the argument {word!a} is no text in UTF-8")
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help"}):
        words = ["run", *words]
    if words[0] not in {*COMMANDS, "-h", "--help"}:
        raise UserError(f"unknown command '{words[0]}'; {suggest(words[0], COMMANDS)}; a grid is named with --grid")
    arguments, unknown = parser().parse_known_args(words)
    if hasattr(arguments, "options") and all("=" in word and not word.startswith("-") for word in unknown):
        arguments.options += unknown
    elif unknown:
        options = [f"--{name.replace('_', '-')}" for name in vars(arguments) if name not in POSITIONAL]
        raise UserError(f"unknown argument '{unknown[0]}'; {suggest(unknown[0].partition('=')[0], options)}")
    check_numbers(arguments)
    out = getattr(arguments, "out", None)
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; name a folder, which need not exist yet")
    png = getattr(arguments, "png", None)
    if png is not None and png.suffix != ".png":
        raise UserError(f"--png: '{png}' does not end in .png")
    return arguments
