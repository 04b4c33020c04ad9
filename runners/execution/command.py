"""What a grid was asked for by, as words of the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headbench.runners.execution.launch import RunOptions

# A plan keeps so many commands, the latest.
KEPT = 20


def words(options: "RunOptions") -> list[str]:
    """Return the words that ask for the same cells, none where the grid was given as contents.

    How the work is shared, which of the cells one job trains, and where results go is no part of them.
    """
    if not isinstance(options.grid, str):
        return []
    asked = {
        "--grid": [options.grid],
        "--set": options.changes,
        "--name": [options.name],
        "--where": options.where,
        "--tuned": [options.tuned],
        "--data": [options.data],
        "--device": [options.device],
        "--precision": [options.precision],
    }
    said = {option: [str(value) for value in values if value not in (None, "auto")] for option, values in asked.items()}
    plugins = [word for plugin in options.plugins for word in ("--plugin", str(plugin))]
    return [*(word for option, values in said.items() if values for word in (option, *values)), *plugins]


def joined(before: list[list[str]], more: list[list[str]]) -> dict[str, list[list[str]]]:
    """Return what a plan says of its commands, each once and the latest last; nothing where none is known."""
    kept = [command for command in before if command not in more] + [command for command in more if command]
    return {"commands": kept[-KEPT:]} if kept else {}
