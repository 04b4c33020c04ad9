"""Names of a report's files, which stay what they are when a grid grows."""

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping

Key = tuple[Hashable, ...]


class Names:
    """Gives names; what had one in the report before keeps it.

    Args:
        before: what had which name, by the name.

    Attributes:
        given: what has which name now, by the name.
    """

    def __init__(self, before: Mapping[str, str] | None = None) -> None:
        self._before = {what: name for name, what in (before or {}).items()}
        self.given: dict[str, str] = {}

    def of(self, keys: Iterable[Key], kind: str = "") -> dict[Key, str]:
        """Return the names of all things of a kind by their keys: of a new one the data set and the kind, and a number
        where that is taken.

        Args:
            keys: what sets them apart, the data set first.
            kind: the end of the names, as ``-recipes``.
        """
        wanted = {key: f"{kind.lstrip('-') or 'comparison'}: {', '.join(map(str, key))}" for key in keys}
        kept = {key: self._before[what] for key, what in wanted.items() if what in self._before}
        self.given |= {name: wanted[key] for key, name in kept.items()}
        return {key: kept.get(key) or self._new(f"{key[0]}{kind}", what) for key, what in wanted.items()}

    def _new(self, base: str, what: str) -> str:
        name = next(name for name in _possible(base) if self.given.get(name, what) == what)
        self.given[name] = what
        return name


def _possible(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in itertools.count(2))
