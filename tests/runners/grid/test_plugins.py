"""Files of the user's own: whatever they are called, they meet no other module, and a mistake in them is one line."""

import pickle
import random
import sys
from pathlib import Path

import pytest

from headbench.core.errors import UserError
from headbench.heads import HEADS
from headbench.runners.grid import plugins

HEAD = """
from headbench.heads import register
from headbench.heads.psc import PSCHead

@register("NAME", version=1, paper="-", source="-")
class Mine(PSCHead):
    pass
"""


def plugin(path: Path, name: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD.replace("NAME", name))
    return path


def test_a_plugin_meets_no_other_module(tmp_path: Path) -> None:
    before = {name: sys.modules.get(name) for name in ("random", "heads", "data", "core")}
    known = set(HEADS.names())
    names = {
        "random.py": "p-random",
        "heads.py": "p-heads",
        "data.py": "p-data",
        "core.py": "p-core",
        "my head.v2.py": "p-odd",
    }
    try:
        for file, name in names.items():
            plugins.load(plugin(tmp_path / file, name))
            plugins.load(plugin(tmp_path / "other" / file, f"{name}-2"))
            plugins.load(tmp_path / "other" / ".." / file)
        assert set(HEADS.names()) - known == {*names.values(), *(f"{name}-2" for name in names.values())}
        assert {name: sys.modules.get(name) for name in before} == before
        assert sys.modules["random"] is random
    finally:
        for name in set(HEADS.names()) - known:
            HEADS.unregister(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("1 +", "SyntaxError: "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise RuntimeError('a\\nb')", "RuntimeError: a b"),
        (HEAD.replace("NAME", "psc"), r"head 'psc' is registered twice, in .*psc.py and .*mine.py; give one another"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    for _ in range(2):
        with pytest.raises(UserError, match=message) as caught:
            plugins.load(file)
        assert "\n" not in str(caught.value)


CLASS = """
import functools
import torch
from headbench.heads import Head, register

class Whole(Head):
    def logits(self, features): ...
    def loss(self, features, targets, context): ...

@register("mine", version=1, paper="-", source="-")
"""
MINE = "class Mine(Whole):\n    def __init__(self, info, feature_dim): ...\n"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("class Mine(torch.nn.Module): ...", "head 'mine': Mine is no class below headbench.heads.Head"),
        ("def mine(info, feature_dim): ...", "head 'mine': mine is no class below headbench.heads.Head"),
        ("class Mine(Head): ...", "head 'mine': Mine has no method logits"),
        ("class Mine(Head):\n    def logits(self, features): ...", "head 'mine': Mine has no method loss"),
        (
            "class Mine(Whole):\n    def __init__(self, feature_dim): ...",
            r"head 'mine': Mine does not take \(info, feature_dim, \*, options...\)",
        ),
        (
            "class Mine(Whole):\n    def __init__(self, info, feature_dim, scale: float = 1.0): ...",
            "stand behind the *",
        ),
        (
            "class Mine(Whole):\n    def __init__(self, info, feature_dim, *, scale=1.0): ...",
            "head 'mine': Mine has an option without a type, 'scale'",
        ),
        (
            "class Mine(Whole):\n    def stages(cls, recipe, options): ...",
            "head 'mine': Mine has a method 'stages' without @classmethod: it is asked of the class",
        ),
    ],
)
def test_a_class_that_is_no_head_is_one_line(head: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"{CLASS}{head}\n")
    with pytest.raises(UserError, match=message) as caught:
        plugins.load(tmp_path / "mine.py")
    assert "\n" not in str(caught.value)
    assert "mine" not in HEADS


def test_a_version_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(TypeError, match="head 'mine': version '1' is no whole number"):
        HEADS.register("mine", version="1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "meant"),
    [
        ("def finalise(self, context): ...", "finalize"),
        ("def on_epoch_begin(self): ...", "on_epoch_"),
        ("@classmethod\n    def suports(cls): ...", "supports"),
        ("@property\n    def native_scales(self): ...", "native_scale"),
    ],
)
def test_a_method_that_is_called_nearly_as_a_hook_is_noted(
    method: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(f"{CLASS}{MINE}    {method}\n")
    plugins.load(tmp_path / "mine.py")
    HEADS.unregister("mine")
    assert f"nothing in it calls its method '{method.split('def ')[1].partition('(')[0]}'; did you mean '{meant}" in (
        capsys.readouterr().err
    )


def test_a_method_that_the_class_calls_itself_may_be_called_as_it_likes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """class Mine(Whole):
    def __init__(self, info, feature_dim): ...
    def logits_of(self, features): ...
    def logits(self, features): return self.logits_of(features)
    def losses(self, view): ...
    def loss(self, features, targets, context): return sum(self.losses(view) for view in features)
    def prototype(self, number): ...
    def prototypes(self): return torch.stack([self.prototype(number) for number in range(3)])
    def logit(self): ...
    def losse(self): ...
    @functools.cached_property
    def table(self): return self.losse()
    @property
    def native_scale(self): return self.logit()
"""
    (tmp_path / "mine.py").write_text(f"{CLASS}{text}\n")
    plugins.load(tmp_path / "mine.py")
    HEADS.unregister("mine")
    assert capsys.readouterr().err == ""


def test_a_default_of_another_type_is_one_line(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    text = "class Mine(Whole):\n    def __init__(self, info, feature_dim, *, scale: float = 'big'): ..."
    (tmp_path / "mine.py").write_text(f"{CLASS}{text}\n")
    plugins.load(tmp_path / "mine.py")
    try:
        assert HEADS.get("mine").defaults == {"scale": "big"}
        with pytest.raises(UserError, match="head 'mine': scale: "):
            HEADS.get("mine").resolve({}, "head 'mine'")
    finally:
        HEADS.unregister("mine")
    assert not recwarn.list


def test_a_file_that_registers_nothing_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(HEAD.partition("@register")[0] + "class Mine(PSCHead):\n    pass\n")
    plugins.load(tmp_path / "mine.py")
    assert "mine.py registers nothing; is its @register missing?" in capsys.readouterr().err
    plugins.load(plugin(tmp_path / "two.py", "p-two"))
    HEADS.unregister("p-two")
    assert not capsys.readouterr().err


def test_what_is_no_python_file_is_one_line(tmp_path: Path) -> None:
    plugin(tmp_path / "mine", "p-none")
    (tmp_path / "folder.py").mkdir()
    for name, message in (
        ("mine", "must end in .py"),
        ("folder.py", "no Python file"),
        ("nowhere.py", "no Python file"),
    ):
        with pytest.raises(UserError, match=message):
            plugins.load(tmp_path / name)


def test_another_process_loads_the_same_files(tmp_path: Path) -> None:
    def loaded() -> set[str]:
        return {name for name in sys.modules if name.startswith(plugins.PREFIX)}

    before = loaded()
    plugins.load(plugin(tmp_path / "mine.py", "p-again"))
    try:
        again = pickle.dumps(plugins.again())
        HEADS.unregister("p-again")
        (name,) = loaded() - before
        del sys.modules[name]
        pickle.loads(again)()
        assert "p-again" in HEADS
        (tmp_path / "mine.py").unlink()
        pickle.loads(again)()  # what is loaded stays so
    finally:
        HEADS.unregister("p-again")
        del sys.modules[name]
