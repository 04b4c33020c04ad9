"""The command line of headbench: words in, exit status out."""

import gc
import io
import signal
import sys
import traceback

from headbench.core import escape, version
from headbench.core.errors import DamagedError, NewerError, StoppedError, UserError, is_full
from headbench.runners.commands import grammar
from headbench.runners.commands.screen import Screen
from headbench.runners.execution import stops

KEPT = "; finished cells are kept, and the same command goes on from here"


def trains(words: list[str]) -> bool:
    """Say whether a command line trains the cells of a grid."""
    return not words or words[0].startswith("-") or words[0] in {"run", "toy", "tune"} or words[:2] == ["submit", "ray"]


def dispatch(words: list[str]) -> int:
    """Run one command; return the exit status."""
    arguments = grammar.parse(words)
    if arguments.version:
        print(version.words())
        return 0
    if arguments.print_completion:
        print(grammar.completion(arguments.print_completion))
        return 0
    if getattr(arguments, "plugin", []):
        from headbench.runners.grid import plugins

        for plugin in arguments.plugin:
            plugins.load(plugin)
    status: int = grammar.module_of(arguments.command).run(arguments, Screen())
    return status


def main(words: list[str]) -> int:
    """Run the command line; return the exit status. A user's mistake is one line on stderr."""
    try:
        with stops.heeded():
            return dispatch(words)
    except (UserError, StoppedError, DamagedError, OSError) as error:
        if "--debug" in words:
            traceback.print_exc()
        full = is_full(error)
        more = (
            "; nothing that was finished is lost, and the same command goes on when there is space again"
            if full
            else ""
        )
        what = str(error)
        if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
            # Of a file that takes the place of another one, the other one is known to the user.
            what = f"{error.filename2 or error.filename}: {error.strerror}"
        print(f"bench.py: {escape.plain(' '.join(what.splitlines()))}{more}", file=sys.stderr)
        return 1 if full or isinstance(error, DamagedError | NewerError | StoppedError) else 2
    except KeyboardInterrupt as stop:
        if stop.args != (signal.SIGPIPE,):
            print(f"bench.py: stopped{KEPT if trains(words) else ''}", file=sys.stderr)
        if trains(words) and stop.args == (signal.SIGUSR1,):
            # Only then: SIGTERM comes where Slurm queues a job again by itself, and where the user cancels it.
            from headbench.runners.engines import slurm

            slurm.requeue()
        return stops.status(stop)


def entry() -> int:
    """Run the command line of this process; a terminal that cannot show a letter gets its code in its place."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    status = main(sys.argv[1:])
    # The collections at the interpreter's end would walk through all that torch and pandas brought, for half a second.
    gc.freeze()
    if status > 128:
        stops.end()
    return status
