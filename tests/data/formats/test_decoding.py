"""Encoded images to 8-bit RGB: every mode rightly, or refused by its name.

EXIF's orientation as an independent table has it.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from headbench.core.errors import UserError
from headbench.data import DATASETS
from headbench.data.formats.decoding import open_rgb
from headbench.data.formats.image_files import decode, image_set
from headbench.data.loading.streamed import Streamed
from headbench.data.registry import FileSet
from tests.data.helpers import images_of, random_images, save, write_parquet

RAMP = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format_, **options)
    return buffer.getvalue()


def png16(pixels: np.ndarray, colour_type: int) -> bytes:
    """A PNG with 16 bits a channel, by the specification."""

    def chunk(kind: bytes, contents: bytes) -> bytes:
        return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(bits: int, photometric: int, strip: bytes, side: int) -> bytes:
    """An uncompressed grey TIFF file, by the specification."""
    tags = [
        (256, side),
        (257, side),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, side),
        (279, len(strip)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + bytes(4)


def near(found: Image.Image, levels: np.ndarray, tolerance: float = 0.5) -> bool:
    """Whether all three channels are the given levels in [0, 255], up to rounding."""
    return found.mode == "RGB" and bool((np.abs(np.asarray(found, dtype=float) - levels[..., None]) <= tolerance).all())


@pytest.mark.parametrize(
    "contents",
    [
        encoded(Image.fromarray(RAMP), "PNG"),
        png16(RAMP, 0),
        encoded(Image.fromarray(RAMP), "TIFF"),
        encoded(Image.frombytes("I;16B", (8, 8), RAMP.astype(">u2").tobytes()), "TIFF"),
        encoded(Image.fromarray(RAMP), "JPEG2000", irreversible=False),
        b"P5 8 8 65535\n" + RAMP.astype(">u2").tobytes(),
        b"P5 8 8 4095\n" + (RAMP / 65535 * 4095).round().astype(">u2").tobytes(),
    ],
)
def test_sixteen_bit_grey_is_scaled(contents: bytes) -> None:
    assert near(open_rgb(contents, "x"), RAMP / 257, 0.51)


@pytest.mark.parametrize(("channels", "colour_type"), [(2, 4), (3, 2), (4, 6)])
def test_sixteen_bit_colour_keeps_its_high_byte(channels: int, colour_type: int) -> None:
    pixels = np.repeat(RAMP[..., None], channels, axis=2)
    assert near(open_rgb(png16(pixels, colour_type), "x"), RAMP / 257, 1)


def test_twelve_bit_tiff_is_scaled_by_its_own_range() -> None:
    levels = np.linspace(0, 4095, 64).round().astype(int)
    pairs = levels.reshape(-1, 2)
    strip = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs.tolist())
    assert near(open_rgb(tiff(12, 1, strip, 8), "x"), levels.reshape(8, 8) / 4095 * 255, 0.51)


@pytest.mark.parametrize(
    ("contents", "mode"),
    [
        (encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), "TIFF images of mode I "),
        (encoded(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF"), "TIFF images of mode F "),
        (tiff(16, 0, RAMP.tobytes(), 8), "TIFF images of mode I;16 "),
        (b"Pf\n8 8\n-1.0\n" + RAMP.astype("<f4").tobytes(), "PPM images of mode F "),
    ],
)
def test_what_has_no_certain_meaning_is_refused_by_name(contents: bytes, mode: str) -> None:
    with pytest.raises(
        UserError, match=f"^a.tif: {mode}have no certain meaning in 8 bits; save it as 8-bit grey or RGB$"
    ):
        open_rgb(contents, "a.tif")


def test_other_modes_are_what_pillow_makes_of_them(recwarn: pytest.WarningsRecorder) -> None:
    pixels = random_images(1, 0, 8)[0]
    colour = Image.fromarray(pixels)
    grey = colour.convert("L")
    palette = colour.quantize(16)
    half = grey.point(lambda level: 255 * (level > 127), "1")
    shown = {
        encoded(grey, "PNG"): grey,
        encoded(half, "PNG"): half,
        encoded(palette, "PNG", transparency=bytes(range(16))): palette,
        encoded(palette, "GIF"): palette,
        encoded(Image.merge("LA", (grey, grey)), "PNG"): grey,
        encoded(Image.merge("RGBA", (*colour.split(), grey)), "PNG"): colour,
        encoded(colour.convert("CMYK"), "TIFF"): colour,
        encoded(colour, "GIF", save_all=True, append_images=[ImageOps.invert(colour)]): colour.convert(
            "P", palette=Image.Palette.ADAPTIVE
        ),
        encoded(colour, "PNG", save_all=True, append_images=[ImageOps.invert(colour)]): colour,
    }
    for contents, expected in shown.items():
        difference = np.asarray(open_rgb(contents, "x"), dtype=int) - np.asarray(expected.convert("RGB"), dtype=int)
        assert np.abs(difference).max() <= 1
    assert not [warning for warning in recwarn if "Palette" in str(warning.message)]


@pytest.mark.parametrize(
    "contents",
    [b"", b"no image", encoded(Image.fromarray(RAMP), "PNG")[:-60], tiff(16, 1, b"", 8), b"P5 8 8 99999999\n"],
)
def test_damaged_images_are_one_line(contents: bytes) -> None:
    with pytest.raises(UserError, match=r"^a: not an image, or damaged$"):
        open_rgb(contents, "a")


def test_files_that_cannot_be_read_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, why in ((tmp_path / "none.png", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=rf"^a: not an image that can be read \({why}\)$"):
            open_rgb(path, "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UserError, match=r"^a: not an image that can be read \(it has more than 40 pixels\)$"):
        open_rgb(encoded(Image.fromarray(RAMP), "PNG"), "a")


def test_a_size_that_there_is_no_memory_for_is_one_line(data_root: Path) -> None:
    save(data_root / "folder" / "train" / "a" / "0.png", random_images(1, 0, 8)[0])
    for size in (10**7, 10**9):
        with pytest.raises(
            UserError, match=rf"^size: there is no memory for 1 images of {size}x{size} pixels, [\d,]+ GiB"
        ):
            image_set(data_root / "folder" / "train", ["a/0.png"], [0], size=size)


# Where the pixels of the upright 2x3 image [[0, 1, 2], [3, 4, 5]] lie in the file, by EXIF 2.32, table of orientation:
# which edges row 0 and column 0 are.
STORED = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[2, 5], [1, 4], [0, 3]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[3, 0], [4, 1], [5, 2]],
}


def oriented(levels: Any, orientation: Any, format_: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(np.array(levels, dtype=np.uint8) * 40), format_, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_exif_brings_every_orientation_upright(orientation: int, format_: str) -> None:
    contents = oriented(STORED[orientation], orientation, format_)
    assert near(open_rgb(contents, "x", exif=True), np.array(STORED[1]) * 40.0)
    if format_ == "PNG":
        assert near(open_rgb(contents, "x"), np.array(STORED[orientation]) * 40.0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_changes_nothing(orientation: Any) -> None:
    assert near(open_rgb(oriented(STORED[1], orientation), "x", exif=True), np.array(STORED[1]) * 40.0)


def exif_entry(kind: int, count: int, value: bytes) -> bytes:
    return b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, count) + value + bytes(4)


@pytest.mark.parametrize(
    "damaged",
    [
        exif_entry(3, 1, b"\6\0\0\0")[:20],
        exif_entry(2, 2, b"6\0\0\0"),
        exif_entry(3, 2**31, b"\6\0\0\0"),
        exif_entry(12, 1, b"\xff\xff\xff\x7f"),
        b"Exif\0\0" + b"\xff" * 40,
        b"Exif\0\0",
    ],
)
def test_damaged_exif_changes_nothing(damaged: bytes, recwarn: pytest.WarningsRecorder) -> None:
    image = Image.fromarray(random_images(1, 0, 8)[0])
    contents = encoded(image, "JPEG", exif=damaged)
    shown = open_rgb(contents, "x", exif=True)
    assert not list(recwarn)
    recwarn.clear()
    assert shown.tobytes() == open_rgb(encoded(image, "JPEG"), "x").tobytes()


def write_folder(root: Path, orientation: int) -> None:
    for part in ("train", "test"):
        for number, name in enumerate(("a", "b")):
            path = root / part / name / "0.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.fromarray(random_images(1, number, 16)[0]).save(path, exif=exif)


def test_the_option_exif_of_folder_and_parquet(data_root: Path) -> None:
    write_folder(data_root / "turned", 6)
    write_folder(data_root / "plain", 1)
    load = DATASETS.get("folder").target
    upright, stored = load(data_root, path="turned"), load(data_root, path="turned", exif=False)
    plain = load(data_root, path="plain")
    assert torch.equal(images_of(upright.train), images_of(stored.train).rot90(-1, (2, 3)))
    assert (
        upright.fingerprint
        != stored.fingerprint
        == plain.fingerprint
        == load(data_root, path="plain", exif=False).fingerprint
    )
    streamed = [load(data_root, path="turned", stream=True, exif=exif) for exif in (True, False)]
    assert streamed[0].fingerprint != streamed[1].fingerprint
    shown = []
    for dataset in streamed:
        assert isinstance(dataset.train, FileSet)
        part = Streamed.of(
            dataset.train, torch.arange(2), dataset.train.labels, ((0.0,) * 3, (1.0,) * 3), torch.device("cpu")
        )
        shown.append(torch.cat(list(part.plain_batches())))
    assert (shown[0] - shown[1].rot90(-1, (2, 3))).abs().max() < 0.02
    images = [path.read_bytes() for path in sorted((data_root / "turned" / "train").rglob("*.jpg"))]
    for name in ("train", "test"):
        write_parquet(data_root / "table" / f"{name}.parquet", images, [0, 1], ["a", "b"], ("image", "label"))
    tables = [DATASETS.get("parquet").target(data_root, path="table", exif=exif) for exif in (True, False)]
    assert torch.equal(images_of(tables[0].train), images_of(upright.train))
    assert torch.equal(images_of(tables[1].train), images_of(stored.train))


def test_the_fields_own_sets_are_read_as_their_code_reads_them(data_root: Path) -> None:
    write_folder(data_root / "imagenet", 6)
    (data_root / "imagenet" / "test").rename(data_root / "imagenet" / "val")
    train = DATASETS.get("imagenet").target(data_root).train
    assert isinstance(train, FileSet)
    assert not train.exif


@pytest.mark.parametrize("level", [0, 65535])
def test_images_without_any_variation_are_refused(data_root: Path, level: int) -> None:
    for part in ("train", "test"):
        for name in ("a", "b"):
            save(data_root / "folder" / part / name / "0.png", np.full((8, 8), level, dtype=np.uint16))
    with pytest.raises(
        UserError,
        match=rf"channel 0 of the training images is {level // 257} of 255 in every pixel; nothing can be learned "
        rf"from it",
    ):
        DATASETS.get("folder").target(data_root)


def test_sixteen_bit_folders_differ_by_brightness(data_root: Path) -> None:
    for part in ("train", "test"):
        for name, level in (("dark", 10_000), ("bright", 50_000)):
            save(data_root / "folder" / part / name / "0.png", np.full((8, 8), level, dtype=np.uint16))
    images = images_of(DATASETS.get("folder").target(data_root).train)
    assert images[:, 0, 0, 0].tolist() == [195, 39]


def test_a_size_keeps_the_middle_square_as_pillow_scales_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    for upright in (noise, noise.transpose(1, 0, 2)):
        image = Image.fromarray(np.ascontiguousarray(upright))
        image.save(tmp_path / "one.png")
        box = (10, 0, 30, 20) if image.width > image.height else (0, 10, 20, 30)
        for size in (7, 20, 31):
            expected = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
            assert np.array_equal(decode(tmp_path / "one.png", size, "here").transpose(1, 2, 0), np.asarray(expected))
        stripes = np.zeros_like(noise)
        stripes[:, 10:30, 1] = 255
        Image.fromarray(stripes).save(tmp_path / "stripes.png")
        assert {tuple(pixel) for pixel in decode(tmp_path / "stripes.png", 20, "here").reshape(3, -1).T.tolist()} == {
            (0, 255, 0)
        }
