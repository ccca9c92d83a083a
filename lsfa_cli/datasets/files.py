"""Reading of images, masks and organized point clouds, with errors that name the file."""

import io
import logging
import math
import stat
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from lsfa_cli.datasets.folders import folder_instead, is_folder
from lsfa_cli.errors import DataError
from lsfa_cli.samples import BoolArray

# Larger images are taken for damaged headers. Below Pillow's own limit, so that ours is the message that is seen.
MAX_PIXELS = 2**26
# Larger files are not read: a file is held in memory as a whole, beside its pixels.
MAX_BYTES = 2**30

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END = 26
PNG_GREY, PNG_RGB = 0, 2
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
COPY_AGAIN = "Copy or unpack this file again."

# What tifffile has to say about a damaged file is in our message, or harmless. A program may still add a handler.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


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


def read_cloud(path: Path) -> tuple[NDArray[np.float32], BoolArray]:
    """A float32 TIFF as an organized point cloud (H, W, 3), metres, and its validity (H, W).

    A pixel has a point when its coordinates are finite and not all 0; elsewhere the cloud is set to 0.
    Only the first page is read: HALCON adds a mask as a sub-image, which says the same and needs a codec.
    """
    xyz = tiff_pixels(path, (4,)).astype(np.float32, copy=False)
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    valid: BoolArray = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & ((x != 0) | (y != 0) | (z != 0))
    if not valid.any():
        raise DataError(f"{path}: the cloud has no valid point, all are 0 or not finite.", hint=COPY_AGAIN)
    xyz[~valid] = 0
    return xyz, valid


def content_of(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A file's bytes. `DataError` when it is not there, is no file, is longer than `limit` or cannot be read."""
    if is_folder(path):
        raise folder_instead(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever, a device never end
            raise DataError(f"{path} is a pipe or a device, expected a file.", hint=COPY_AGAIN)
        if status.st_size > limit:
            raise DataError(
                f"{path} has {status.st_size} bytes, at most {limit} are read.", hint=f"Is it this file? {COPY_AGAIN}"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.", hint=COPY_AGAIN) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error


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
    if start[:8] != _PNG_SIGNATURE or start[12:16] != b"IHDR" or len(start) < _PNG_HEADER_END:
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


def tiff_pixels(path: Path, itemsizes: tuple[int, ...]) -> NDArray[np.floating]:
    """The first page of a TIFF as (H, W, 3), of floating-point numbers of one of the given sizes in bytes."""
    content = content_of(path)
    try:
        with tifffile.TiffFile(io.BytesIO(content), name=path.name) as file:
            page = file.pages.first
            if not isinstance(page, tifffile.TiffPage):
                raise DataError(f"{path}: the first page of this TIFF has no image.", hint=COPY_AGAIN)
            dtype = _require_cloud_page(path, page, len(content), itemsizes)
            return np.ascontiguousarray(page.asarray(maxworkers=1), dtype=dtype.newbyteorder("="))
    except (MemoryError, DataError):
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        if "imagecodecs" in str(error):
            raise DataError(f"{path}: {error}.", hint="Install it: pip install imagecodecs") from error
        raise DataError(f"{path}: damaged or cut off TIFF ({error}).", hint=COPY_AGAIN) from error


def _require_cloud_page(
    path: Path, page: tifffile.TiffPage, size: int, itemsizes: tuple[int, ...]
) -> np.dtype[np.floating]:
    """Refuse what is no organized point cloud, before memory is taken for it. size: of the file, bytes."""
    dtype = page.dtype
    if (
        len(page.shape) != 3
        or page.shape[2] != 3
        or dtype is None
        or dtype.kind != "f"
        or dtype.itemsize not in itemsizes
    ):
        shape = " x ".join(str(length) for length in page.shape)
        types = " or ".join(f"float{8 * itemsize}" for itemsize in itemsizes)
        raise DataError(
            f"{path}: expected H x W x 3 {types} (x, y, z in metres), found {shape} {dtype}.",
            hint="This is no organized point cloud as MVTec 3D-AD has it.",
        )
    require_size(path, page.shape[0], page.shape[1], MAX_PIXELS * 4 // dtype.itemsize)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(segments) != math.prod(page.chunked) or any(not count or at + count > size for at, count in segments):
        # tifffile would fill the missing part of an image with zeros.
        raise DataError(f"{path}: damaged or cut off TIFF (its pixels are not all there).", hint=COPY_AGAIN)
    return dtype
