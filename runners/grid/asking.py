"""What is asked of a head's class before a head is built; what is no answer is one line that names head and method."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headbench.core.errors import UserError, typed_reason
from headbench.heads import Head, Stage

# By method what an answer is, in words, and whether one is.
ANSWERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "supports": ("a text, why the head does not apply, or None", lambda found: found is None or isinstance(found, str)),
    "loss_name": ("a text", lambda found: isinstance(found, str)),
    "stages": ("a list of stages", lambda found: isinstance(found, list | tuple) and _are(found, Stage)),
    "files": ("paths by option", lambda found: isinstance(found, Mapping) and _are(found.values(), Path)),
    # As a search sees first what was asked for, it looks closer itself.
    "search_space": ("values by option", lambda found: found is not None),
}


def ask(name: str, head: type[Head], method: str, *arguments: Any) -> Any:
    """Return what a head's class answers.

    Args:
        name: of the head, for messages.
        head: its class.
        method: one of :data:`ANSWERS`.
        arguments: of the method.

    Raises:
        UserError: that of the head, and one for any other error, or an answer of another kind.
    """
    # What all heads have in common stands around their own.
    called = getattr(head, "inapplicable" if method == "supports" else method)
    try:
        found = called(*arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"head '{name}': {method}: {typed_reason(error, None)}") from error
    words, fits = ANSWERS[method]
    if not fits(found):
        raise UserError(f"head '{name}': {method} returns {words}, and not {' '.join(repr(found).split())[:80]}")
    return found


def _are(values: Any, kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)
