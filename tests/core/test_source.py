"""The digest of a source moves with what makes numbers, and with nothing else."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headbench.core.source import _definitions, digest
from headbench.heads import HEADS

METHOD = '''
from headbench.core.errors import UserError
from kit import tools
from kit.base import Contract
from kit.tools import scaled as bigger

FACTOR, OTHER = 2, 3


def half(x):
    return x / FACTOR


class Method(Contract):
    """What it is."""

    def loss(self, x):
        return bigger(half(x))
'''
FILES = {
    "kit/__init__.py": "",
    "kit/base.py": "class Contract:\n    numbers = 1\n",
    "kit/tools.py": "def scaled(x):\n    return 5 * x\n\n\ndef unused(x):\n    return x\n",
    "method.py": METHOD,
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The digest of ``Method`` after changes of its files: pairs of a file and of what is replaced by what."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        _definitions.cache_clear()
        for name in [name for name in sys.modules if name == "method" or name.partition(".")[0] == "kit"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def digest_of(*changes: tuple[str, str, str]) -> str | None:
        forget()
        for name, text in FILES.items():
            for _, old, new in (change for change in changes if change[0] == name):
                assert old in text
                text = text.replace(old, new)
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return digest(importlib.import_module("method").Method, "kit")

    yield digest_of
    forget()


@pytest.mark.parametrize(
    "change",
    [
        ("method.py", '    """What it is."""', '    """What else it is."""'),
        ("method.py", "    return x / FACTOR", "    # why\n    return (x /\n            FACTOR)"),
        ("method.py", "class Method", "@(lambda cls: cls)\nclass Method"),
        ("method.py", "class Method", "def another():\n    return 4\n\n\nclass Method"),
        ("kit/base.py", "numbers = 1", "numbers = 2"),
        ("kit/tools.py", "return x\n", "return 2 * x\n"),
    ],
)
def test_what_makes_no_numbers_does_not_count(made: Any, change: tuple[str, str, str]) -> None:
    assert made(change) == made()


@pytest.mark.parametrize(
    "change",
    [
        ("method.py", "bigger(half(x))", "bigger(half(x)) + 1"),
        ("method.py", "x / FACTOR", "x * FACTOR"),
        ("method.py", "FACTOR, OTHER = 2, 3", "FACTOR, OTHER = 2.0, 3"),
        ("kit/tools.py", "5 * x", "6 * x"),
    ],
)
def test_what_makes_numbers_counts_also_in_helpers_and_constants(made: Any, change: tuple[str, str, str]) -> None:
    assert made() not in (None, made(change))


def test_without_a_source_there_is_no_digest() -> None:
    namespace: dict[str, Any] = {"__name__": "nowhere"}
    exec("class Typed: pass", namespace)
    assert digest(namespace["Typed"], "") is None


def test_every_head_has_one_of_its_own() -> None:
    found = {name: HEADS.get(name).source for name in HEADS.names()}
    assert None not in found.values()
    assert len(set(found.values())) == len(found)
