"""Reading of PNG files as published data sets have them: images, masks and depth, with errors that name the file."""

import io
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN, content_of
from lsfa_cli.samples import BoolArray

# Larger images are taken for damaged headers. Below Pillow's own limit, so that ours is the message that is seen.
MAX_PIXELS = 2**26

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END = 26
PNG_GREY, PNG_RGB = 0, 2
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


class PngHeader(NamedTuple):
    """Fields of a PNG's first chunk (IHDR). `depth` is in bits a channel."""

    width: int
    height: int
    depth: int
    colour: int

    def __str__(self) -> str:
        return f"{self.depth}-bit {_PNG_COLOURS.get(self.colour, 'unknown')}"


def read_rgb(path: Path, *, or_grey: bool = False) -> NDArray[np.uint8]:
    """An 8-bit RGB PNG as (H, W, 3) uint8. or_grey: also an 8-bit grey one, whose channel is repeated."""
    content = content_of(path)
    header = png_header(path, content)
    if (header.depth, header.colour) == (8, PNG_RGB):
        return png_pixels(path, content).astype(np.uint8, copy=False)
    if or_grey and (header.depth, header.colour) == (8, PNG_GREY):
        grey = png_pixels(path, content).astype(np.uint8, copy=False)
        return np.repeat(grey[..., None], 3, axis=2)
    kinds = "8-bit RGB or grey" if or_grey else "8-bit RGB"
    raise DataError(f"{path}: expected an {kinds} PNG, found {header}.", hint="Convert it to 8-bit RGB.")


def read_grey16(path: Path) -> NDArray[np.uint16]:
    """A 16-bit grey PNG as (H, W) uint16, such as a depth image."""
    content = content_of(path)
    header = png_header(path, content)
    if (header.depth, header.colour) != (16, PNG_GREY):
        raise DataError(f"{path}: expected a 16-bit grey PNG, found {header}.", hint=COPY_AGAIN)
    return png_pixels(path, content).astype(np.uint16, copy=False)


def read_mask(path: Path) -> BoolArray:
    """A grey PNG as (H, W) bool: True where the pixel is above 0.

    MVTec 3D-AD stores class ids (255, 254, ...), so that a test for 255 would lose most defects.
    """
    content = content_of(path)
    header = png_header(path, content)
    if header.colour != PNG_GREY:
        raise DataError(f"{path}: expected a mask with one grey channel, found {header}.", hint="Convert it to grey.")
    mask: BoolArray = np.not_equal(png_pixels(path, content), 0)
    return mask


def require_size(path: Path, height: int, width: int, limit: int = MAX_PIXELS) -> None:
    """Refuse a size that only a damaged header can have, before memory is taken for it. limit: in pixels."""
    if height < 1 or width < 1 or height * width > limit:
        raise DataError(
            f"{path}: its header says {width} x {height} pixels, at most {limit} pixels are read.",
            hint=f"The file is probably damaged. {COPY_AGAIN}",
        )


def png_header(path: Path, content: bytes) -> PngHeader:
    """The header, read without a decoder so that its size is known before memory is taken for the pixels."""
    start = content[:_PNG_HEADER_END]
    if start[:8] != PNG_SIGNATURE or start[12:16] != b"IHDR" or len(start) < _PNG_HEADER_END:
        raise DataError(f"{path} is not a PNG file, or it is cut off.", hint=COPY_AGAIN)
    header = PngHeader(*struct.unpack(">IIBB", start[16:]))
    require_size(path, header.height, header.width)
    return header


def png_pixels(path: Path, content: bytes) -> NDArray[Any]:
    """The pixels of a PNG whose header was looked at, checksums included."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.verify()  # the checksums, which decoding leaves out
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return np.array(image)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise DataError(f"{path}: damaged or cut off PNG ({error}).", hint=COPY_AGAIN) from error
