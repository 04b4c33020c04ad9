"""Heads of other installed packages: found by entry points when a head is looked up, and harmless where they fail."""

import sys
from pathlib import Path

import pytest

from headbench.core.errors import UserError
from headbench.core.registry import Registry
from headbench.heads import HEADS, registry
from headbench.heads.psc import PSCHead
from tests.runners.helpers import cell, planned

HEAD = '''
from headbench.heads import HEADS, register
from headbench.heads.psc import PSCHead

assert "psc" in HEADS, "an offered head may look others up"

@register("offered", version=3, paper="theirs", source="theirs")
class OfferedHead(PSCHead):
    """A head of another package."""
'''


def install(folder: Path, package: str, code: str, *points: str) -> None:
    """Write a package as pip leaves it: its module, and its metadata with entry points."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[headbench.heads]\n" + "".join(f"{point}\n" for point in points))


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[type[PSCHead]]:
    """The registry of heads as a program finds it at its start, with ``tmp_path`` as a folder of packages."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("their_heads", "other_heads", "broken_heads"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(HEADS, "_registered", dict(HEADS._registered))
    monkeypatch.setattr(HEADS, "_group", registry.GROUP)
    return HEADS  # type: ignore[return-value]


def test_a_head_of_another_package_is_one_like_all_others(
    tmp_path: Path, heads: Registry[type[PSCHead]], capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "their_heads", HEAD, "offered = their_heads:OfferedHead")
    assert "their_heads" not in sys.modules
    (one,) = planned(cell("offered"))
    assert one.cell.head_version == 3
    module = sys.modules["their_heads"]
    before = heads["offered"].source
    assert before is not None
    assert heads["offered"].target is module.OfferedHead
    assert capsys.readouterr().err == ""
    # Its digest is that of its source, as a plug-in's.
    (tmp_path / "other_heads.py").write_text(HEAD.replace('"offered"', '"other"') + "    extra = 1\n")
    sys.modules.pop("their_heads")
    __import__("other_heads")
    assert heads["other"].source not in (None, before)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("thing = 1", "it registers no head of that name"),
        (HEAD.replace('"offered"', '"psc"'), "ValueError: head 'psc' is registered twice"),
    ],
)
def test_a_package_that_fails_is_named_once_in_one_line_and_left_out(
    code: str, why: str, tmp_path: Path, heads: Registry[type[PSCHead]], capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "broken_heads", code, "wrong = broken_heads")
    with pytest.raises(UserError, match="unknown head 'wrong'"):
        heads["wrong"]
    assert "psc" in heads.names()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: package broken_heads 1.2: its head 'wrong' (broken_heads) is left out: {why}")
