"""A digest of the source that a class or function takes its numbers from: comments, docstrings and layout aside."""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

# A definition, or the module and name that it is imported from.
Definition = ast.stmt | tuple[str, str]


def digest(target: Any, package: str) -> str | None:
    """Return 16 hexadecimal digits of SHA-256 over what a class or function reaches by name.

    That is its own definition, those of its bases, and every function, class and constant that these name, in its own
    module and in those of a package, but for the package's contract (its modules ``base`` and ``registry``). What
    stands behind a module (``geometry.make``) is not followed. Decorators of a class, which hold its version and what
    is said of it, do not count.

    Args:
        target: the class or function.
        package: name of the package ("headbench.heads"), or "" for none.

    Returns:
        The digest, or None where there is no source to read.
    """

    def followed(module: str) -> bool:
        contract = {package, f"{package}.base", f"{package}.registry"}
        return module == target.__module__ or (module.startswith(f"{package}.") and module not in contract)

    def look_up(module: str, name: str) -> Iterator[tuple[str, ast.stmt]]:
        found = _definitions(module).get(name) if module in sys.modules else None
        if isinstance(found, tuple):
            if followed(found[0]) or found[0] == package:
                yield from look_up(*found)
        elif found is not None and followed(module):
            yield module, found

    try:
        reached: set[str] = set()
        waiting = (
            [(cls.__module__, _own(cls)) for cls in inspect.getmro(target) if followed(cls.__module__)]
            if (inspect.isclass(target))
            else [(target.__module__, _own(target))]
        )
        while waiting:
            module, node = waiting.pop()
            if (text := repr(_plain(node))) not in reached:
                reached.add(text)
                waiting += [found for name in sorted(_names(node)) for found in look_up(module, name)]
    except (OSError, TypeError, SyntaxError):
        return None
    return hashlib.sha256("\n".join(sorted(reached)).encode()).hexdigest()[:16]


def _own(target: Any) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(target))).body[0]


@cache
def _definitions(module: str) -> dict[str, Definition]:
    """Return what a module defines and imports at its top, by name."""
    found: dict[str, Definition] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: node for each in targets for name in ast.walk(each) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    return found


def _names(node: ast.stmt) -> set[str]:
    return {child.id for child in _walk(node) if isinstance(child, ast.Name)}


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for _, value in _fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yield what counts of a node; nothing that is empty, since later Pythons have more fields."""
    for name, value in ast.iter_fields(node):
        if name == "decorator_list" and isinstance(node, ast.ClassDef):
            continue
        if name == "body" and isinstance(value, list) and _is_text(value[0]):
            value = value[1:]
        if value is not None and value != []:
            yield name, value


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _plain(value: Any) -> Any:
    """Return a node as nested tuples of texts and constants."""
    if isinstance(value, ast.AST):
        return (type(value).__name__, *((name, _plain(child)) for name, child in _fields(value)))
    return tuple(map(_plain, value)) if isinstance(value, list) else value
