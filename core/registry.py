"""A registry: names to classes or functions, with their version, options and sources."""

import importlib
import inspect
import multiprocessing
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, create_model
from pydantic_core import to_json

from headbench.core import source
from headbench.core.errors import UserError, note, suggest, typed_reason
from headbench.core.validation import fitting

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered object with what tables and ``bench.py list`` say about it.

    Attributes:
        name: explicit name, as written in a grid file.
        target: the class or function.
        version: raised whenever the numbers it produces change; part of every ``cell_id``.
        about: free text by field (``paper``, ``source``, ``deviations``, ...).
        package: the package whose modules the target may take its numbers from, beside its own.
        later: options that came after cells were trained without them; at their default they are no part of a
            ``cell_id``, so that these cells stay what they are.
    """

    name: str
    target: T
    version: int
    about: dict[str, str] = field(default_factory=dict)
    package: str = ""
    later: tuple[str, ...] = ()

    @cached_property
    def source(self) -> str | None:
        """A digest of the source behind the target's numbers, see :func:`headbench.core.source.digest`: where it moves
        and the version does not, somebody may have forgotten to raise the version.
        """
        return source.digest(self.target, self.package)

    @cached_property
    def options_model(self) -> type[BaseModel]:
        """A pydantic model of the target's keyword-only parameters: the options a grid file may set."""
        parameters = inspect.signature(self.target, eval_str=True).parameters.values()
        fields: dict[str, Any] = {
            p.name: (Any if p.annotation is p.empty else p.annotation, ... if p.default is p.empty else p.default)
            for p in parameters
            if p.kind is p.KEYWORD_ONLY
        }
        return create_model(
            f"{self.name} options",
            __config__=ConfigDict(extra="forbid", allow_inf_nan=False),
            **fields,
        )

    @property
    def required(self) -> list[str]:
        """The options without a default."""
        return [name for name, field in self.options_model.model_fields.items() if field.is_required()]

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Every option that has a default, with it, in JSON types."""
        fields = self.options_model.model_fields.items()
        made = self.options_model.model_construct(**{name: f.default for name, f in fields if not f.is_required()})
        # A default of another type is named where options are resolved.
        return made.model_dump(mode="json", warnings=False)

    def identity(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options, all of them given, that say what is computed: those of ``later`` only where they are not
        at their default.
        """
        return {
            name: value for name, value in options.items() if name not in self.later or value != self.defaults[name]
        }

    def resolve(self, options: dict[str, Any], place: str) -> dict[str, Any]:
        """Check options and fill in the defaults.

        Args:
            options: what the user gave.
            place: where, for the message (``head 'hpn'``).

        Returns:
            Every option by name, in JSON types.

        Raises:
            UserError: for an unknown option or a value of the wrong type.
        """
        with fitting(self.options_model, place):
            # As JSON, where strict means: no text or boolean for a number, but a list for a tuple and a text for a
            # path; the defaults too, which pydantic would not take as such.
            return self.options_model.model_validate_json(
                to_json(self.defaults | options, inf_nan_mode="constants", fallback=str), strict=True
            ).model_dump(mode="json")


class Registry(Mapping[str, Entry[T]]):
    """Entries of one kind of plug-in by name; duplicates are errors and an unknown name suggests the nearest.

    Args:
        kind: the word for an entry in messages ("head", "backbone", "data set").
        package: where this kind lives (``headbench.heads``).
        group: of the entry points by which other installed packages add entries, looked at when one is first asked for.
    """

    def __init__(self, kind: str, package: str = "", group: str = "") -> None:
        self.kind, self.package = kind, package
        self._registered: dict[str, Entry[T]] = {}
        self._group = group

    def register(self, name: str, *, version: int, later: tuple[str, ...] = (), **about: str) -> Callable[[T], T]:
        """Return a decorator that registers its target under ``name``; see :class:`Entry` for the rest.

        Raises:
            TypeError: for a version that is no whole number.
            ValueError: by the decorator, if the name is taken.
        """

        def decorate(target: T) -> T:
            if name in self._registered:
                known = self._registered[name].target
                places = f"{_place(known)} and {_place(target)}"
                raise ValueError(f"{self.kind} '{name}' is registered twice, in {places}; give one another name")
            self._registered[name] = Entry(name, target, version, about, self.package, later)
            return target

        if type(version) is not int:
            raise TypeError(f"{self.kind} '{name}': version {version!r} is no whole number")
        return decorate

    def unregister(self, name: str) -> None:
        """Forget a name, as tests do with what they have registered."""
        del self._registered[name]

    @property
    def _entries(self) -> dict[str, Entry[T]]:
        """All entries, those of other packages too."""
        if self._group:
            group, self._group = self._group, ""  # what is imported may look something up
            for point in sorted(entry_points(group=group)):
                self._take_in(point)
        return self._registered

    def _take_in(self, point: EntryPoint) -> None:
        """Import what a package offers, which registers it; where that fails, one line names the package."""
        try:
            point.load()
            why = "" if point.name in self._registered else f"it registers no {self.kind} of that name"
        except (Exception, SystemExit) as error:
            why = typed_reason(error, None)
        if why and multiprocessing.parent_process() is None:  # which has said so
            package = f"package {point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
            note(f"{package}: its {self.kind} '{point.name}' ({point.value}) is left out: {why}")

    def __getitem__(self, name: str) -> Entry[T]:
        """Return the entry of that name.

        Raises:
            UserError: if there is none; the message names the nearest.
        """
        entries = self._entries
        if name not in entries:
            raise UserError(f"unknown {self.kind} '{name}'; {suggest(name, entries)}")
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> Entry[T]:  # type: ignore[override]  # no default: a wrong name is a mistake
        """Return the entry of that name, as ``registry[name]`` does."""
        return self[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._entries)


def discover(package: str, paths: list[str]) -> None:
    """Import every module of a package once, so that a new file registers itself."""
    for module in pkgutil.iter_modules(paths):
        importlib.import_module(f"{package}.{module.name}")


def _place(target: Callable[..., Any]) -> str:
    """Return the file of what is registered; itself where it is neither a class nor a function, as a partial one."""
    try:
        return str(inspect.getsourcefile(target))
    except TypeError:
        return str(target)
