"""One encoded image to 8-bit RGB: every mode that Pillow knows is converted rightly, or refused by its name."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from headbench.core.errors import UserError

EXIF_ORIENTATION = 0x0112
# What brings an image upright, by EXIF's orientation; 1 is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow gives PNG's and PGM's 16-bit grey as mode I in some of its versions; elsewhere I has no known range.
SIXTEEN_BITS = {"I;16": ("PNG", "TIFF", "JPEG2000"), "I;16B": ("PNG", "TIFF", "JPEG2000"), "I": ("PNG", "PPM")}
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0


def open_rgb(encoded: bytes | Path, place: str, exif: bool = False) -> Image.Image:
    """Return an image in RGB; 16-bit grey is scaled, transparency dropped, of an animation the first frame taken.

    Args:
        encoded: the file's contents, or its path.
        place: of the image, for messages.
        exif: bring it upright as its EXIF orientation says. Pillow does so with TIFF in any case.

    Raises:
        UserError: naming the place, if it is not an image, one that cannot be read, or one of a mode that has no
            certain meaning in 8 bits.
    """
    try:
        with warnings.catch_warnings():
            # Of transparency that is dropped, and of damaged EXIF data, which count as none.
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as opened:
                opened.load()
                image = _rgb(opened, place)
                turn = UPRIGHT.get(_orientation(opened)) if exif else None
    except (UserError, MemoryError):
        raise
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(f"{place}: not an image that can be read (it has more than {most:,} pixels)") from None
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        if isinstance(error, OSError) and error.strerror is not None:  # the file is not there, or not to be read
            raise UserError(f"{place}: not an image that can be read ({error.strerror})") from None
        raise UserError(f"{place}: not an image, or damaged") from None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image, place: str) -> Image.Image:
    if image.mode in SIXTEEN_BITS and image.format in SIXTEEN_BITS[image.mode] and _plain(image):
        levels = np.asarray(image).astype(np.float64) * (255 / (2 ** _bits(image) - 1))
        return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode.startswith(("I", "F")):
        raise _refusal(image, place)
    try:
        return image.convert("RGB")
    except ValueError:
        raise _refusal(image, place) from None


def _plain(image: Image.Image) -> bool:
    return getattr(image, "tag_v2", {}).get(PHOTOMETRIC) != WHITE_IS_ZERO


def _bits(image: Image.Image) -> int:
    """Return the bits of a sample: a TIFF file may have 12, which Pillow gives as they are."""
    return int(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0])


def _refusal(image: Image.Image, place: str) -> UserError:
    return UserError(
        f"{place}: {image.format} images of mode {image.mode} have no certain meaning in 8 bits; save it as 8-bit "
        f"grey or RGB"
    )


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 where there is none or the data are damaged."""
    try:
        found = image.getexif().get(EXIF_ORIENTATION, 1)
        return found if isinstance(found, int) else 1
    except Exception:  # Pillow's reader raises whatever damaged data lead it to
        return 1
