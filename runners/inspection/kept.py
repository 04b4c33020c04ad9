"""What was listed last, for the next time: to make a list takes the seconds in which torch is imported."""

import hashlib
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import BaseModel, ValidationError

from headbench.core import folders
from headbench.core.errors import UserError
from headbench.runners.inspection import listing
from headbench.runners.inspection.listing import Listed

# What lists are made of.
SOURCES = [
    Path(__file__).parents[2] / name
    for name in ("backbones", "core", "data", "heads", "runners/grid", "runners/inspection")
]


class Kept(BaseModel):
    """A list, with the digest of the sources that it was made of."""

    sources: str
    listed: list[Listed]


def listed(what: str) -> list[Listed]:
    """Return what is known of every name of one kind, as it was listed last if no source has changed since.

    Where other packages offer heads, whose sources are theirs, the list is made anew each time.

    Args:
        what: as for :func:`headbench.runners.inspection.listing.listed`.
    """
    if what not in listing.REGISTRIES or entry_points(group="headbench.heads"):
        return listing.listed(what)
    sources = _digest(SOURCES)
    # A home that is missing or full, or a file that somebody changed, costs time and no more.
    with suppress(OSError, UserError, ValidationError):
        kept = Kept.model_validate_json(_file(what).read_bytes())
        if kept.sources == sources:
            return kept.listed
    made = listing.listed(what)
    from headbench.results import store  # whose imports are slow, and needless where the list was kept

    with suppress(OSError, UserError):
        store.write_text(_file(what), Kept(sources=sources, listed=made).model_dump_json())
    return made


def keep() -> None:
    """Keep the lists of all kinds, where torch is imported for something else anyway."""
    for what in listing.REGISTRIES:
        listed(what)


def _file(what: str) -> Path:
    return folders.of_computed() / "lists" / f"{what}.json"


def _digest(roots: list[Path]) -> str:
    """Return a digest of the Python files below folders, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(path for root in roots for path in root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()
