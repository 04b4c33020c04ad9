"""Bundles of strangers: nothing of them is believed before it is checked; what is not as it should be is one line."""

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headbench.core import arrays
from headbench.core.errors import UserError, is_full, reason
from headbench.results import schema, store
from headbench.runners.exchange.bundles import FILES, MANIFEST, NEEDED, ROWS, Manifest

# Of a manifest, in bytes, and of the files of a bundle.
LARGEST, MOST = 2**24, 10**5
# Of a grid or a cell.
FOLDER = re.compile(r"[^/.][^/]*")


@contextmanager
def opened(file: Path) -> Iterator[tuple[Manifest, Path]]:
    """Yield the manifest of a bundle, and a folder of runs with its files, which are those that the manifest names.

    Raises:
        UserError: for a file that is no bundle, or another one than was written.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(file) as archive:
                manifest = _unpacked(archive, file.stat().st_size, Path(folder))
        except (UserError, *arrays.BROKEN) as error:
            if is_full(error) or isinstance(error, MemoryError):  # of this machine, not of the bundle
                raise
            raise UserError(f"{file} is no sound bundle ({reason(error, 300)})") from None
        yield manifest, Path(folder)


def _unpacked(archive: zipfile.ZipFile, size: int, folder: Path) -> Manifest:
    """Write the files of a bundle of so many bytes below a folder; return its manifest."""
    members = {member.filename: member for member in archive.infolist()}
    if len(members) != len(archive.infolist()) or len(members) > MOST:
        raise UserError("it has a file twice, or too many")
    for name, member in members.items():
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or member.is_dir():
            raise UserError(f"'{name}' is compressed, encrypted or a folder, as nothing in a bundle is")
    if sum(max(member.file_size, member.compress_size) for member in members.values()) > size:
        raise UserError("it claims more bytes than it has")
    if MANIFEST not in members or members[MANIFEST].file_size > LARGEST:
        raise UserError(f"it has no {MANIFEST}, or one that is too large")
    manifest = _manifest(archive.read(MANIFEST))
    if unlike := sorted({*members} ^ {MANIFEST, *manifest.files}):
        raise UserError(f"its files are not those of its manifest: '{unlike[0]}'")
    for name, told in manifest.files.items():
        content = archive.read(name)
        if len(content) != told.bytes or hashlib.sha256(content).hexdigest() != told.sha256:
            raise UserError(f"'{name}' is not what its manifest says")
        store.write_bytes(folder / name, content)
    return manifest


def _manifest(content: bytes) -> Manifest:
    """Return a manifest that names files of a bundle alone, and all that its cells need."""
    told = json.loads(content)
    wrong = schema.problem(Manifest, told)
    if wrong is not None:
        raise UserError(f"{MANIFEST}: {wrong}")
    manifest = Manifest.model_validate(told)
    for name, what in {manifest.grid: "grid", **dict.fromkeys(manifest.cells, "cell")}.items():
        if not FOLDER.fullmatch(name) or name == store.CELLS:
            raise UserError(f"'{name}' is no name of a {what}")
    needed = {f"{manifest.grid}/grid.yaml", f"{manifest.grid}/{ROWS}"}
    folders = {f"{store.CELLS}/{cell}" for cell in manifest.cells}
    for name in sorted(manifest.files.keys() - needed):
        folder, _, file = name.rpartition("/")
        if folder not in folders or not FILES.fullmatch(file):
            raise UserError(f"'{name}' is no file of a bundle")
    needed |= {f"{folder}/{name}" for folder in folders for name in NEEDED}
    if missing := sorted(needed - manifest.files.keys()):
        raise UserError(f"it has no '{missing[0]}'")
    return manifest
