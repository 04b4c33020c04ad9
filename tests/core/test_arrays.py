"""Numpy files that claim too much, unfold too far or are none: one line, and no more memory than the file deserves."""

import io
import resource
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from headbench.core.arrays import BadArrayError, check_archive, headers, read_npy, read_npz

TYPES = st.sampled_from(["f2", "f4", "f8", ">f8", "i1", "u2", "i8", "?", "c16", "U3"]).map(np.dtype)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=TYPES.flatmap(lambda kind: some.arrays(kind, some.array_shapes(min_dims=0, min_side=0, max_side=4))),
    columns=st.booleans(),
)
def test_what_numpy_writes_is_read(array: np.ndarray, columns: bool, tmp_path: Path) -> None:
    array = np.asfortranarray(array) if columns else array
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array, b=np.arange(3))
    for found in (read_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz", ["a"])["a"]):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert list(read_npz(io.BytesIO((tmp_path / "a.npz").read_bytes()))) == ["a", "b"]
    assert headers(tmp_path / "a.npz") == {"a": (array.shape, array.dtype), "b": ((3,), np.dtype(int))}
    assert headers(tmp_path / "a.npy") == {"": (array.shape, array.dtype)}


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


CLAIMS = {
    "80 TB": header((10**12, 10)),
    "more than numbers go": header((2**62, 2**62)),
    "one number too many": header((3,)) + bytes(16),
    "one number too few": header((1,)) + bytes(16),
    "negative": header((-1, -4)) + bytes(32),
    "objects": header((1,), "|O") + bytes(8),
    "no header": b"\x93NUMPY\x01\x00\xff\xff",
    "another version": b"\x93NUMPY\x09\x00" + bytes(64),
    "words": b"words",
    "nothing": b"",
    "deep": b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000,
}


@pytest.mark.parametrize("content", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_is_compared_with_what_is_there(content: bytes, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    for read in (lambda: read_npy(tmp_path / "a.npy"), lambda: read_npz(tmp_path / "a.npz")):
        with pytest.raises(BadArrayError) as caught:
            read()
        assert "\n" not in str(caught.value)
        assert str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17


def test_an_archive_that_unfolds_is_refused_unread(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        member.write(header((400 * 2**17,)))
        for _ in range(400):
            member.write(bytes(2**20))
    assert (tmp_path / "a.npz").stat().st_size < 2**20
    for refuse in (read_npz, check_archive):
        with pytest.raises(BadArrayError, match="unfold to 419,4"):
            refuse(tmp_path / "a.npz")


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_a_damaged_archive_is_refused_or_whole(place: int, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(50.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[place % len(content)] ^= 0x55
    (tmp_path / "a.npz").write_bytes(content)
    with suppress(BadArrayError):
        assert all(np.array_equal(array, np.arange(50.0)) for array in read_npz(tmp_path / "a.npz").values())


def test_an_array_that_is_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    with pytest.raises(BadArrayError, match="'b.npy'"):
        read_npz(tmp_path / "a.npz", ["b"])
    check_archive(tmp_path / "a.npz")
