"""YAML of the user's: nothing is dropped or misread, and every refusal is one line with its place."""

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from headbench.core import yaml_files
from headbench.core.errors import UserError


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        yaml_files.value(text, "here")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("here: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        *[
            ("010", "10"),
            ("-010", "-10"),
            ("00", "0"),
            ("08", "8"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("0o17", "15"),
            ("1_000", "1000"),
            ("1__0", "10"),
        ],
        *[
            ("1:30", "90"),
            ("190:20:30", "685230"),
            ("1:90", "150"),
            ("1:30.5", "90.5"),
            ("1_0.5", "10.5"),
            ("!!int 010", "10"),
            ("0x_F", "15"),
        ],
    ],
)
@pytest.mark.parametrize("around", ["{}", "[1, {}]", "{{a: {{b: {}}}}}"])
def test_a_number_that_is_not_decimal_is_refused_with_the_nearest(text: str, nearest: str, around: str) -> None:
    assert f"did you mean {nearest}?" in refusal(around.format(text))


@pytest.mark.parametrize(
    "text",
    [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "1e999", "-1.0e400", "!!float .inf", "9223372036854775808", "9" * 5000],
)
def test_a_number_that_is_not_finite_is_refused(text: str) -> None:
    message = refusal(f"{{a: {text}}}")
    assert message.startswith("here: a: ")
    assert len(message) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            ("10", 10),
            ("-3", -3),
            ("+5", 5),
            ("0", 0),
            ("1e3", 1000.0),
            ("5e-1", 0.5),
            ("1.0e-3", 0.001),
            (".5", 0.5),
            ("9223372036854775807", 2**63 - 1),
        ],
        *[
            ("yes", True),
            ("Off", False),
            ("true", True),
            ("no", False),
            ("", None),
            ("~", None),
            ("null", None),
            ("'yes'", "yes"),
            ("'010'", "010"),
        ],
        *[
            ("2024-01-01", "2024-01-01"),
            ("!!str 010", "010"),
            ("inf", "inf"),
            ("hpn(loss_scale=2.0)", "hpn(loss_scale=2.0)"),
            ("1.2.3", "1.2.3"),
            ('"one \\ud83d\\ude00"', "one \U0001f600"),
            ("=", "="),
        ],
        *[
            ("[a, 1]", ["a", 1]),
            ("{a: {b: [1]}}", {"a": {"b": [1]}}),
            ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
            ("0x", "0x"),
            ("ä: ö", {"ä": "ö"}),
        ],
        *[
            ("{b: &x {k: 1, j: 1}, a: {<<: *x, j: 2}}", {"b": {"k": 1, "j": 1}, "a": {"k": 1, "j": 2}}),
            ("{<<: [{a: 1}, {a: 2, b: 3}]}", {"a": 1, "b": 3}),
        ],
    ],
)
def test_what_is_plain_is_read(text: str, expected: Any) -> None:
    found = yaml_files.value(text, "here")
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, dict | list)


@pytest.mark.parametrize("text", ["yes: 1", "1: 2", "~: 1", "1.5: 1", "010: 1", "? [a]\n: 1", "? {a: 1}\n: 1"])
def test_a_key_is_a_text(text: str) -> None:
    assert "a key is a text" in refusal(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{a: 1, a: 1}", "the key 'a' is given twice"),
        ("{a: {b: {c: 1, 'c': 2}}}", "a.b: the key 'c' is given twice"),
        ("[{a: 1}, {a: 1, a: 2}]", "1: the key 'a' is given twice"),
        ("{<<: {a: 1}, <<: {b: 1}}", "the key '<<' is given twice"),
        ("{<<: 3}", "<< needs a mapping"),
        ("!!python/object/apply:os.system [ls]", "unknown tag"),
        ("!own 3", "unknown tag !own"),
        ("!!set {a}", "unknown tag"),
        ("!!int x", "'x' is not a whole number"),
        ("[1, 2", "not a YAML document"),
        ("a: b\n---\nc: d", "expected a single document"),
        ("a:\n\t- b", "cannot start any token"),
        ("*nowhere", "undefined alias"),
        ("\x00", "not a YAML document"),
        ("[" * 5000, "nested more than 30 levels deep"),
        ("[" * 40 + "]" * 40, "nested more than 30 levels deep"),
        ("- " * 5000 + "a", "nested more than 30 levels deep"),
        ("{a: " * 5000, "nested more than 30 levels deep"),
        ("&a [*a]", "nested more than 30 levels deep"),
        ("&a {<<: *a}", "nested more than 30 levels deep"),
    ],
)
def test_what_would_be_dropped_or_never_end_is_refused(text: str, problem: str) -> None:
    assert problem in refusal(text)


def test_aliases_of_aliases_end_soon() -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    begun = time.process_time()
    assert "more than 100,000 values" in refusal("\n".join(["a0: &a0 [x]", *lines]))
    assert time.process_time() - begun < 10


def test_a_file_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for text, message in (
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "here: b: the key 'c' is given twice, first in line 3 (line 5)"),
        ("a: 1\n\nb: [0,\n  1, 010]\n", "here: b.2: '010' .* (line 4)"),
        ("a: .inf\n", "here: a: .inf is not a finite number (line 1)"),
        ("a: 1\n  b: 2\n", "here: not a YAML document: .* (line 2)"),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as caught:
            yaml_files.read(file, "here")
        begin, _, end = message.partition(" .* ")
        assert str(caught.value).startswith(begin)
        assert str(caught.value).endswith(end)


def test_the_encoding_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for mark in (b"", b"\xef\xbb\xbf"):
        file.write_bytes(mark + "a: für\r\n".encode())
        assert yaml_files.read(file, "here") == {"a": "für"}
    file.write_bytes("a: 1\nb: für\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"^here: not a text in UTF-8, byte 0xfc \(line 2\)$"):
        yaml_files.read(file, "here")


def test_a_value_from_the_command_line_has_no_line() -> None:
    assert yaml_files.line_of(yaml_files.value("[{name: hpn, scale: 2}]", "--set"), (0, "scale")) is None


def test_lines_are_those_of_what_came_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\nb:\n  - x\n  - {k: 1,\n     j: 2}\n")
    read = pickle.loads(pickle.dumps(yaml_files.read(file, "here")))
    assert read == yaml.safe_load(file.read_text())
    assert [
        yaml_files.line_of(read, path)
        for path in (["a"], ["b"], ["b", 0], ["b", 1], ["b", 1, "j"], ["b", 1, "nowhere"], [])
    ] == [1, 2, 3, 4, 5, 4, None]
    assert yaml_files.line_of(read | {"a": 2}, ["a"]) is None
    assert yaml_files.line_of(dict(read), ["b", 1]) == 4
