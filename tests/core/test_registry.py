"""The registry: explicit names, duplicates are errors, unknown names suggest the nearest, options are checked."""

from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import PositiveFloat

from headbench.backbones import BACKBONES
from headbench.core.errors import UserError
from headbench.core.registry import Registry
from headbench.data import DATASETS
from headbench.heads import HEADS


class Thing:
    def __init__(
        self, size: int, *, scale: PositiveFloat = 1.0, mode: Literal["a", "b"] = "a", widths: tuple[int, int] = (1, 2)
    ) -> None:
        self.values = (size, scale, mode, widths)


@pytest.fixture
def things() -> Registry[type[Thing]]:
    registry: Registry[type[Thing]] = Registry("thing")
    registry.register("thing", version=3, paper="somebody")(Thing)
    return registry


def test_get_returns_what_was_registered(things: Registry[type[Thing]]) -> None:
    entry = things.get("thing")
    assert (entry.target, entry.version, entry.about) == (Thing, 3, {"paper": "somebody"})


def test_a_duplicate_name_is_an_error(things: Registry[type[Thing]]) -> None:
    with pytest.raises(ValueError, match="thing 'thing' is registered twice"):
        things.register("thing", version=1)(Thing)
    # As views of images are.
    with pytest.raises(ValueError, match="registered twice, in .*test_registry.py and functools.partial"):
        things.register("thing", version=1)(partial(Thing))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["thign", "THING", "Thign"])
def test_an_unknown_name_suggests_the_nearest(things: Registry[type[Thing]], name: str) -> None:
    with pytest.raises(UserError, match=f"unknown thing '{name}'; did you mean 'thing'"):
        things.get(name)


def test_options_are_completed_in_json_types(things: Registry[type[Thing]]) -> None:
    assert things.get("thing").resolve({"scale": 2}, "here") == {"scale": 2.0, "mode": "a", "widths": [1, 2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scael": 2}, "here: unknown key 'scael'; did you mean 'scale'"),
        ({"scale": 0}, r"here: scale: .*greater than 0 \(got 0\)"),
        ({"mode": "c"}, r"here: mode: .*'a' or 'b' \(got 'c'\)"),
        ({"size": 3}, "here: unknown key 'size'"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    things: Registry[type[Thing]], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        things.get("thing").resolve(options, "here")
    assert "\n" not in str(caught.value)


def test_options_without_a_type_or_a_default_and_with_types_as_text() -> None:
    registry: Registry[Any] = Registry("thing")

    def loose(size: int, *, needed: "int", anything=None) -> None:  # type: ignore[no-untyped-def]
        """A function as a user might write it."""

    registry.register("loose", version=1)(loose)
    assert registry.get("loose").resolve({"needed": 1}, "here") == {"needed": 1, "anything": None}
    with pytest.raises(UserError, match="here: needed: required, but missing"):
        registry.get("loose").resolve({}, "here")


def test_a_default_of_a_type_that_json_lacks_is_one_of_its_own() -> None:
    class Kind(Enum):
        A = "a"

    def thing(*, file: Path = Path("x"), kind: Kind = Kind.A, size: tuple[int, int] = (1, 2)) -> None:
        """With a path, an enumeration and a tuple."""

    registry: Registry[Any] = Registry("thing")
    registry.register("thing", version=1)(thing)
    expected = {"file": "x", "kind": "a", "size": [1, 2]}
    assert registry.get("thing").resolve({}, "here") == registry.get("thing").defaults == expected
    assert registry.get("thing").required == []


def test_everything_in_the_packages_is_discovered() -> None:
    assert {"dl2pa", "etf", "hpn", "psc", "word2vec"} <= set(HEADS.names())
    assert {"fast_convnet", "resnet32", "timm"} <= set(BACKBONES.names())
    small = {
        "cifar10",
        "cifar100",
        "digits",
        "fashion-mnist",
        "folder",
        "parquet",
        "stl10",
        "svhn",
        "svhn-lt-refbug",
        "tiny-imagenet",
    }
    assert set(DATASETS.names()) >= small | {"imagenet", "imagenet-lt", "inaturalist2018"}


def test_every_head_names_paper_source_and_deviations() -> None:
    own = [name for name in HEADS.names() if HEADS.get(name).target.__module__.startswith("headbench.heads.")]
    assert "psc" in own
    for name in own:  # and not the plugins of other tests
        assert all(HEADS.get(name).about[key] for key in ("paper", "source", "deviations"))
