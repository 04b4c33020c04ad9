"""The grammar of the command line, from the files of the commands: ``python bench.py --help``."""

import argparse
import importlib
import keyword
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from headbench.core.errors import UserError, suggest
from headbench.runners.commands.arguments import Parser, path
from headbench.runners.execution import options

# Every other file of this folder is a command, a keyword of Python with an underscore behind it; the one that may be
# left out stands first.
SHARED = {"arguments", "grammar", "main", "screen"}
FILES = {module.name.removesuffix("_") for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
COMMANDS = ("run", *sorted(FILES - SHARED - {"run"}))
MOST = options.MOST | {
    "tasks": 100_000,
    "max_running": 100_000,
    "cpus": 1024,
    "gpus": 64,
    "bins": 10_000,
    "figure_width": 50,
    "font_size": 50,
    "count": 10_000,
    "batch_size": 65_536,
    "feature_dim": 65_536,
    "repetitions": 1000,
    "imbalance_factor": 1e9,
    "epochs": 10**6,
    "d": 10**6,
    "seed": 2**32 - 1,
}
# Options of the harness itself, without a command.
OWN = ("-h", "--help", "--version", "--print-completion")
SUFFIXES = {"png": ".png", "save": ".npz"}


def module_of(command: str) -> ModuleType:
    """Return the module of a command."""
    name = f"{command}_" if keyword.iskeyword(command) else command
    return importlib.import_module(f"headbench.runners.commands.{name}")


def parser(program: str = "bench.py") -> Parser:
    """Return the command line's grammar, for a program of that name."""
    main = Parser(
        prog=program,
        description="Compare classifier heads over a grid. Without arguments: the bundled demonstration, --grid "
        "digits-dims.",
        epilog="'bench.py run --help' lists the options of run; the word 'run' itself may be left out.",
    )
    main.add_argument("--version", action="store_true", help="print version and commit")
    main.add_argument(
        "--print-completion", choices=("bash", "zsh"), help="print what completes the command headbench in a shell"
    )
    commands = main.add_subparsers(dest="command", metavar="{" + ",".join(COMMANDS) + "}", parser_class=Parser)
    for name in COMMANDS:
        command = module_of(name)
        added = commands.add_parser(
            name, help=command.HELP, description=f"{command.HELP[0].upper()}{command.HELP[1:]}."
        )
        command.add(added)
        if added._subparsers is None:  # else its actions have it
            added.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return main


def completion(shell: str) -> str:
    """Return the script by which a shell, bash or zsh, completes the installed command ``headbench``."""
    import shtab

    main = parser("headbench")
    for action in _arguments(main):
        if action.type is path or action.dest == "grid":
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(main, shell)
    return script


def _arguments(grammar: argparse.ArgumentParser, chosen: argparse.Namespace | None = None) -> Iterator[argparse.Action]:
    """Yield the arguments of a grammar and of its commands: all of them, or the chosen one's."""
    for action in grammar._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                if chosen is None or name == getattr(chosen, action.dest):
                    yield from _arguments(inner, chosen)


def _takers(grammar: argparse.ArgumentParser, option: str, before: str = "") -> Iterator[str]:
    """Yield the commands of a grammar, and of its commands, that have an option: ``submit slurm``."""
    for action in grammar._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                if any(option in own.option_strings for own in inner._actions):
                    yield f"{before}{name}"
                yield from _takers(inner, option, f"{before}{name} ")


def _chosen(grammar: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """Return the command that was chosen: ``submit slurm``."""
    for action in grammar._actions:
        name = getattr(arguments, action.dest, None)
        if isinstance(action, argparse._SubParsersAction) and name is not None:
            return f"{name} {_chosen(action.choices[name], arguments)}".strip()
    return ""


def _check_folders(option: str, given: Path | list[Path] | None) -> None:
    """Raise UserError for a file where a folder is to be."""
    for folder in given if isinstance(given, list) else [given]:
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UserError(f"--{option}: {folder} is a file; name a folder, which need not exist yet")


def check_numbers(arguments: argparse.Namespace) -> None:
    """Raise UserError for a number out of its bounds."""
    for option, most in MOST.items():
        value, name = getattr(arguments, option, None), f"--{option.replace('_', '-')}"
        least = 0 if option in {"seed", "gpus", "readers", "checkpoint_minutes"} else 1
        if value is not None and not value >= least:
            raise UserError(f"{name}: {value} is {'below 0' if value < least == 0 else f'not at least {least}'}")
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
    own = bool(words) and words[0].partition("=")[0] in OWN
    implied = not own and (not words or words[0].startswith("-"))
    if implied:
        words = ["run", *words]
    if not own and words[0] not in COMMANDS:
        raise UserError(f"unknown command '{words[0]}'; {suggest(words[0], COMMANDS)}; a grid is named with --grid")
    main = parser()
    arguments, unknown = main.parse_known_args(words)
    if hasattr(arguments, "options") and all("=" in word and not word.startswith("-") for word in unknown):
        arguments.options += unknown
    elif unknown:
        others = () if implied else OWN[2:]
        named = [option for action in _arguments(main, arguments) for option in action.option_strings]
        known = [option for option in dict.fromkeys(named) if option.startswith("--") and option not in others]
        word = unknown[0].partition("=")[0]
        key = _key(word)
        if key and "set" in arguments:
            likely = f"did you mean '--set {key}=...'?"
        elif key:
            likely = f"it is a key of a grid: 'bench.py run --set {key}=...' trains and reports that grid"
        elif takers := ", ".join(_takers(main, word)):
            likely = f"an argument of {takers}, not of {_chosen(main, arguments)}; known: {', '.join(sorted(known))}"
        else:
            likely = suggest(word, known)
        raise UserError(f"unknown argument '{unknown[0]}'; {likely}")
    check_numbers(arguments)
    for option in ("out", "to", "into"):
        _check_folders(option, getattr(arguments, option, None))
    for option, suffix in SUFFIXES.items():
        file = getattr(arguments, option, None)
        if file is not None and file.suffix != suffix:
            raise UserError(f"--{option}: '{file}' does not end in {suffix}")
    return arguments


def _key(word: str) -> str | None:
    """Return the key of a grid that an option would be: ``recipe.epochs`` of ``--epochs``; None for none."""
    from headbench.runners.grid.cells import Axes
    from headbench.runners.grid.recipes import Recipe

    name = word.removeprefix("--").replace("-", "_")
    places = {"axes": Axes.model_fields, "recipe": Recipe.model_fields}
    return next((f"{place}.{name}" for place, fields in places.items() if name in fields), None)
