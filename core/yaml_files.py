"""YAML as people write it, read so that nothing is dropped or misread: one document of texts, decimal numbers,
booleans, lists and mappings.

Source: YAML 1.1 as PyYAML reads it, but a key given twice, a key that is no text, a number that is not plainly decimal
(``010``, ``0x1F``, ``1:30``), an infinite number and an unknown tag are errors; dates are texts, and ``1e-3`` is a
number.
"""

import itertools
import math
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from headbench.core.errors import UserError, reason

Keys = tuple[str | int, ...]
DEEPEST, MOST, LARGEST = 30, 100_000, 2**63 - 1
TAG = "tag:yaml.org,2002:"
KINDS = {"null": "nothing", "bool": "a boolean", "int": "a whole number", "float": "a number", "odd": "a number"}
FORMS = {
    "null": r"|~|null|Null|NULL",
    "bool": r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    # What one YAML or another reads as a number that is not the one it seems to be.
    "odd": r"[-+]?(0[0-9_]+|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[oO]_*[0-7][0-7_]*|0[bB]_*[01][01_]*"
    r"|[0-9][0-9_]*_[0-9_]*|[0-9][0-9_]*(:[0-9]+)+)(\.[0-9_]*)?",
    "merge": r"<<",
}
PATTERNS = {kind: re.compile(rf"(?:{form})\Z") for kind, form in FORMS.items()}


class Mapping(dict[str, Any]):
    """A mapping from a file, with the ``lines`` of its keys."""

    lines: dict[str, int]


class Sequence(list[Any]):
    """A list from a file, with the ``lines`` of its items."""

    lines: list[int]


class _RefusedError(Exception):
    def __init__(self, path: Keys, problem: str, line: int) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {problem}" if path else problem)
        self.line = line


class _Loader(yaml.BaseLoader):
    """PyYAML's reader, used up to the tree of nodes, with our forms of plain scalars."""


for _kind, _pattern in PATTERNS.items():
    _Loader.add_implicit_resolver(TAG + _kind, _pattern, None)


def read(path: Path, place: str, unread: Collection[str] = ()) -> Any:
    """Return the contents of a file, whose mappings and lists are :class:`Mapping` and :class:`Sequence`.

    Args:
        path: of the file, UTF-8 with or without a byte order mark.
        place: for messages.
        unread: keys of the whole whose values are taken for nothing, whatever they are.

    Raises:
        UserError: naming place, key and line of what cannot be read.
        OSError: if the file cannot be read.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{place}: not a text in UTF-8, byte 0x{content[error.start]:02x} (line {line})") from None
    try:
        return _parse(text, unread)
    except _RefusedError as error:
        raise UserError(f"{place}: {error} (line {error.line})") from None


def value(text: str, place: str) -> Any:
    """Return the value of a text from the command line.

    Args:
        text: YAML.
        place: for messages.

    Raises:
        UserError: naming place and key of what cannot be read.
    """
    try:
        return _without_lines(_parse(text))
    except _RefusedError as error:
        raise UserError(f"{place}: {error}") from None


def line_of(contents: Any, path: Iterable[Any]) -> int | None:
    """Return the line of the innermost part of ``path`` that came from a file, or None: what replaced it from elsewhere
    has none.
    """
    line = None
    for part in path:
        lines = contents.lines if isinstance(contents, Mapping | Sequence) else None
        try:
            contents, line = contents[part], None if lines is None else lines[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _without_lines(contents: Any) -> Any:
    if isinstance(contents, Mapping):
        return {key: _without_lines(item) for key, item in contents.items()}
    return [_without_lines(item) for item in contents] if isinstance(contents, Sequence) else contents


def _parse(text: str, unread: Collection[str] = ()) -> Any:
    try:
        node = _Loader(text).get_single_node()
        return None if node is None else _Builder(unread).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise _RefusedError((), f"not a YAML document: {problem}", 1 if mark is None else mark.line + 1) from None
    except yaml.YAMLError as error:
        raise _RefusedError((), f"not a YAML document: {reason(error, None)}", 1) from None
    except RecursionError:
        raise _RefusedError((), f"nested more than {DEEPEST} levels deep", 1) from None


class _Builder:
    """From nodes to values; counts them, since aliases of aliases can unfold to billions."""

    def __init__(self, unread: Collection[str]) -> None:
        self.count, self.unread = itertools.count(1), unread

    def build(self, node: Node, path: Keys) -> Any:
        """Return the value of a node; raise _RefusedError where it has none that is meant."""
        if len(path) > DEEPEST:
            raise _refused(node, (), f"nested more than {DEEPEST} levels deep")
        if next(self.count) > MOST:
            raise _refused(node, (), f"more than {MOST:,} values, with those that aliases repeat")
        if isinstance(node, MappingNode) and node.tag == TAG + "map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == TAG + "seq":
            items = Sequence(self.build(item, (*path, number)) for number, item in enumerate(node.value))
            items.lines = [_line(item) for item in node.value]
            return items
        if isinstance(node, ScalarNode):
            return _scalar(node, path)
        raise _refused(node, path, f"unknown tag {node.tag}")

    def mapping(self, node: MappingNode, path: Keys) -> Mapping:
        """Return a mapping with the lines of its keys; raise _RefusedError for a key given twice."""
        own, merged = Mapping(), Mapping()
        own.lines, merged.lines = {}, {}
        for key_node, value_node in node.value:
            key = _key(key_node, path)
            if key in own.lines:
                raise _refused(key_node, path, f"the key '{key}' is given twice, first in line {own.lines[key]}")
            own.lines[key] = _line(key_node)
            if not path and key in self.unread:
                own[key] = None
                continue
            if key_node.tag != TAG + "merge":
                own[key] = self.build(value_node, (*path, key))
                continue
            for source in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                found = self.build(source, (*path, key))
                if not isinstance(found, Mapping):
                    raise _refused(value_node, path, "<< needs a mapping, or a list of mappings")
                merged.lines = found.lines | merged.lines
                merged.update({inner: item for inner, item in found.items() if inner not in merged})
        united = Mapping(merged | own)
        united.lines = merged.lines | own.lines
        return united


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _refused(node: Node, path: Keys, problem: str) -> _RefusedError:
    return _RefusedError(path, problem, _line(node))


def _key(node: Node, path: Keys) -> str:
    kind = node.tag.removeprefix(TAG)
    if isinstance(node, ScalarNode) and kind in {"str", "merge"}:
        return _text(node, path)
    written = node.value if isinstance(node, ScalarNode) else "?"
    raise _refused(
        node,
        (*path, written),
        f"this key is read as {KINDS.get(kind, 'no text')}, but a key is a text; put it in quotes if it is meant so",
    )


def _text(node: ScalarNode, path: Keys) -> str:
    """Return the text of a scalar; a letter that is escaped as two halves, as JSON does, is one."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _refused(node, path, "half a letter is escaped, \\ud800 to \\udfff: no file can hold it") from None


def _scalar(node: ScalarNode, path: Keys) -> Any:
    """Return the value of a scalar, plain or with one of YAML's own tags."""
    text, kind = _text(node, path), node.tag.removeprefix(TAG)
    if kind in {"str", "merge"}:
        return text
    if kind not in KINDS:
        raise _refused(node, path, f"unknown tag {node.tag}")
    if PATTERNS["odd"].match(text):
        raise _refused(
            node,
            path,
            f"'{text}' is not read as a number, since numbers are decimal; did you mean {_decimal(text)}? A text "
            f"stands in quotes",
        )
    if not (PATTERNS[kind].match(text) or (kind == "float" and PATTERNS["int"].match(text))):
        raise _refused(node, path, f"'{text}' is not {KINDS[kind]}")
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in {"yes", "true", "on"}
    if kind == "int" and len(text) <= len(str(LARGEST)) + 1 and abs(int(text)) <= LARGEST:
        return int(text)
    if kind == "int":
        raise _refused(node, path, f"{text[:30]} is too large for a whole number")
    if "n" in text.lower() or not math.isfinite(float(text)):
        raise _refused(node, path, f"{text[:30]} is not a finite number")
    return float(text)


def _decimal(text: str) -> str:
    """Return the nearest decimal number to one of another notation."""
    sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-").replace("_", "")
    if ":" in digits:
        seconds = 0.0
        for part in digits.split(":"):
            seconds = 60 * seconds + float(part)
        return f"{sign}{seconds:g}"
    if digits[:2].lower() in {"0x", "0o", "0b"}:
        return f"{sign}{int(digits.partition('.')[0], 0)}"
    return sign + (digits.lstrip("0") or "0")
