"""Arguments that several commands have."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from headbench.core.errors import UserError, suggest
from headbench.core.folders import expanded
from headbench.core.version import in_checkout
from headbench.runners.execution.options import CHOICES, MINUTES, RunOptions


class _Once(argparse._StoreAction):
    """The storing of an option's values, refused a second time: the first ones would be dropped silently. Of a single
    value the last one counts, as scripts that add words to others' expect.
    """

    stored_in: argparse.Namespace | None = None

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        if self.nargs == "+" and option_string is not None and self.stored_in is namespace:
            raise UserError(f"{option_string} is given twice; name all values after one")
        self.stored_in = namespace
        super().__call__(parser, namespace, values, option_string)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which drops no values."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

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


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a grid."""
    parser.add_argument("--grid", default="digits-dims", help="a grid's name or a .yaml file (default: digits-dims)")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of the results."""
    parser.add_argument("--out", type=path, default=Path("runs"), help="folder of the results (default: runs)")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of the data sets."""
    parser.add_argument(
        "--data", type=path, help="folder of the data sets (default: $HEADBENCH_DATA, else ~/.cache/headbench)"
    )


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """Add the option that names files of plug-ins."""
    parser.add_argument(
        "--plugin",
        type=path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="import a file that registers a head, backbone or data set",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints for scripts."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def add_quiet(parser: argparse.ArgumentParser, text: str = "print errors and what has come out, no progress") -> None:
    """Add the option that leaves out how the work goes on, or what else the text says."""
    parser.add_argument("--quiet", action="store_true", help=text)


def add_words(parser: argparse.ArgumentParser, option: str, word: str, text: str) -> None:
    """Add an option of several words, which may be given several times."""
    parser.add_argument(option, nargs="+", action="extend", default=[], metavar=word, help=text)


def add_cells(parser: argparse.ArgumentParser, where: str) -> None:
    """Add the options that choose cells of a grid and change it; ``where`` says what is done with those that match."""
    add_words(parser, "--where", "KEY=VALUE", f"{where} these cells: head=psc,dl2pa feature_dim=10")
    add_words(parser, "--set", "KEY=VALUE", "derive a grid: recipe.epochs=2 axes.head=psc,hpn")
    parser.add_argument("--name", help="name of the derived grid")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the options that share a machine among cells."""
    parser.add_argument(
        "--workers",
        type=int,
        help="cells at once, each in a process (default: one per CUDA device, else one per core, at most 8)",
    )
    parser.add_argument(
        "--threads", type=int, help="CPU threads of each worker (default: the cores divided among the workers)"
    )
    parser.add_argument(
        "--readers",
        type=int,
        help="processes that read streamed images for each worker, 0 for none of its own (default: as many as threads)",
    )
    add_checkpoints(parser)
    parser.add_argument(
        "--device", choices=CHOICES["device"], default="auto", help="auto: CUDA if there is a GPU (default)"
    )
    parser.add_argument(
        "--precision",
        choices=CHOICES["precision"],
        default="auto",
        help="auto: bfloat16 autocast where the hardware has it",
    )
    add_compile(parser)


def add_compile(parser: argparse.ArgumentParser) -> None:
    """Add the option that compiles the network."""
    parser.add_argument(
        "--compile",
        choices=CHOICES["compile"],
        default="off",
        help="on: train a network that torch.compile has compiled; measure with bench.py speed whether it is faster",
    )


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how often the middle of an epoch is kept."""
    parser.add_argument(
        "--checkpoint-minutes", type=float, metavar="M", help="between two checkpoints within an epoch (default: 10)"
    )


def run_options(arguments: argparse.Namespace, **more: Any) -> RunOptions:
    """Return what a command that trains cells was asked for; ``more`` are fields that it alone has."""
    return RunOptions(
        grid=arguments.grid,
        changes=arguments.set,
        name=arguments.name,
        where=arguments.where,
        data=arguments.data,
        out=arguments.out,
        workers=arguments.workers,
        threads=arguments.threads,
        readers=arguments.readers,
        checkpoint_minutes=MINUTES if arguments.checkpoint_minutes is None else arguments.checkpoint_minutes,
        device=arguments.device,
        precision=arguments.precision,
        compile=arguments.compile,
        plugins=arguments.plugin,
        **more,
    )


def grid_name(name_or_file: str) -> str:
    """Return the name of a grid that was run: itself, or the name inside a grid file."""
    if Path(name_or_file).suffix not in {".yaml", ".yml"}:
        return name_or_file
    from headbench.runners.grid import config

    contents, place = config.read_grid(name_or_file)
    return config.parse_grid(contents, place).name


def require_grid(out: Path, grid: str, searched: bool = False) -> None:
    """Raise UserError if a grid was not started in a folder; where ``searched``, a search of it is enough."""
    from headbench.results import store

    known = set(store.grids(out))
    if searched:
        known |= {path.parent.parent.name for path in out.glob("*/search/search.yaml")}
    if grid not in known:
        raise UserError(
            f"no results of a grid '{grid}' in {out}; {suggest(grid, known)}"
            if known
            else f"no results of any grid in {out}, so none of '{grid}'"
        )


def require_checkout(command: str) -> None:
    """Raise UserError where the harness is an installed package, whose files are not the user's to change."""
    if not in_checkout():
        raise UserError(
            f"{command} changes files of the repository, and this is an installed package; run it in a checkout"
        )
