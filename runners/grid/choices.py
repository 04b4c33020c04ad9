"""A name with options, as an axis of a grid file lists it, and its line in the file."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ModelWrapValidatorHandler, PrivateAttr, model_validator

from headbench.core import yaml_files
from headbench.core.errors import UserError, at
from headbench.core.registry import Entry, Registry


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Placed(BaseModel):
    """A part of a grid that knows its line in the file."""

    _line: int | None = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: ModelWrapValidatorHandler["Placed"]) -> "Placed":
        made = handler(value)
        if isinstance(value, yaml_files.Mapping):
            made._line = min(value.lines.values(), default=None)
        return made

    def set_line(self, line: int | None) -> None:
        """Set the line in the file."""
        self._line = line

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Add the line to a UserError."""
        try:
            yield
        except UserError as error:
            raise UserError(f"{error} (line {self._line})" if self._line else str(error)) from None


class Choice(Placed):
    """A name with options: ``psc``, ``{name: hpn, loss_scale: 4}`` or, for a recipe, ``{base: fast, epochs: 12}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options as the user gave them."""
        return dict(self.model_extra or {})

    def changed(self, options: dict[str, Any]) -> "Choice":
        """Return the same choice with some options changed."""
        made = Choice.model_validate({"name": self.name} | self.options | options)
        made._line = self._line
        return made

    def entry(self, registry: Registry[Any], place: str) -> Entry[Any]:
        """Return what a registry has under this name.

        Raises:
            UserError: if there is none, naming the place, the line and the nearest.
        """
        with self.placed(), at(place):
            return registry.get(self.name)

    def resolve(
        self, entry: Entry[Any], place: str, given: dict[str, Any] | None = None, named: Collection[str] = ()
    ) -> tuple[dict[str, Any], str]:
        """Return all options and the label.

        Args:
            entry: of the registry.
            place: for messages.
            given: what is given in place of a default.
            named: options that the label names even at their default.
        """
        with self.placed():
            options = entry.resolve((given or {}) | self.options, place)
        defaults = entry.defaults | (given or {})
        return options, label(entry.name, options, {key: value for key, value in defaults.items() if key not in named})


def based(value: Any) -> Any:
    """Return the fields of a choice that may be written as a name or, for a recipe, with ``base`` for ``name``."""
    if not isinstance(value, dict) or "base" not in value or "name" in value:
        return _named(value)
    named = yaml_files.Mapping({"name": value["base"]} | {key: field for key, field in value.items() if key != "base"})
    named.lines = getattr(value, "lines", {})
    return named


Named = Annotated[Choice, BeforeValidator(_named)]
Based = Annotated[Choice, BeforeValidator(based)]


def label(name: str, options: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Return the name with the options that differ from the defaults: ``hpn(loss_scale=4.0)``."""
    differing = [f"{key}={_short(value)}" for key, value in sorted(options.items()) if value != defaults.get(key)]
    return f"{name}({', '.join(differing)})" if differing else name


def _short(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
