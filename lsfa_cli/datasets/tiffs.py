"""Reading of the first page of a TIFF: organized point clouds, or whatever it holds with what its numbers mean."""

import contextlib
import io
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from lsfa_cli.datasets.files import MAX_PIXELS, require_size
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN, content_of
from lsfa_cli.samples import BoolArray
from lsfa_cli.wording import size_of

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of one decoded page: three float32 a pixel at the largest size.
_MAX_BYTES = MAX_PIXELS * 12
_ORIENTATION = 274
_JPEG = 7

# What tifffile has to say about a damaged file is in our message, or harmless. A program may still add a handler.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffPage(NamedTuple):
    """A decoded page. pixels: (H, W) or (H, W, C), in the machine's byte order, of the type that is stored.

    photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, others. bits: a sample. colours: (N, 3) uint8 of a
    palette. orientation: 1 is upright. jpeg: decoded from JPEG, which turns its colours into RGB.
    """

    pixels: NDArray[Any]
    photometric: int
    bits: int
    colours: NDArray[np.uint8] | None
    orientation: int
    jpeg: bool


def read_tiff(path: Path, max_pixels: int = MAX_PIXELS) -> TiffPage:
    """The first page of a TIFF. `DataError` when it is damaged, too large, or holds no plain numbers."""
    with _first_page(path) as (page, length):
        _require_plain(path, page, max_pixels)
        _require_whole(path, page, length)
        pixels = page.asarray(maxworkers=1)
        colours = None if page.colormap is None else (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        return TiffPage(
            _channels_last(pixels, page).astype(pixels.dtype.newbyteorder("="), copy=False),
            int(page.photometric),
            int(page.bitspersample),
            colours,
            int(page.tags.valueof(_ORIENTATION, default=1)),
            int(page.compression) == _JPEG,
        )


def read_cloud(path: Path) -> tuple[NDArray[np.float32], BoolArray]:
    """A float32 TIFF as an organized point cloud (H, W, 3), metres, and its validity (H, W).

    A pixel has a point when its coordinates are finite and not all 0; elsewhere the cloud is set to 0.
    Only the first page is read: HALCON adds a mask as a sub-image, which says the same and needs a codec.
    """
    xyz = read_cloud_pixels(path, (4,)).astype(np.float32, copy=False)
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    valid: BoolArray = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & ((x != 0) | (y != 0) | (z != 0))
    if not valid.any():
        raise DataError(f"{path}: the cloud has no valid point, all are 0 or not finite.", hint=COPY_AGAIN)
    xyz[~valid] = 0
    return xyz, valid


def read_cloud_pixels(path: Path, itemsizes: tuple[int, ...]) -> NDArray[np.floating]:
    """The first page of a TIFF as (H, W, 3), of floating-point numbers of one of the given sizes in bytes."""
    with _first_page(path) as (page, length):
        dtype = _require_cloud(path, page, itemsizes)
        _require_whole(path, page, length)
        return np.ascontiguousarray(page.asarray(maxworkers=1), dtype=dtype.newbyteorder("="))


def is_cloud(path: Path) -> bool:
    """Whether a TIFF holds three floating-point numbers a pixel, by its header alone."""
    with _first_page(path) as (page, _):
        return page.dtype is not None and page.dtype.kind == "f" and page.samplesperpixel == 3


@contextlib.contextmanager
def _first_page(path: Path) -> Iterator[tuple[tifffile.TiffPage, int]]:
    """The first page, and the length of the file in bytes; what goes wrong with the page means a damaged file."""
    content = content_of(path)
    try:
        with tifffile.TiffFile(io.BytesIO(content), name=path.name) as file:
            page = file.pages.first
            if not isinstance(page, tifffile.TiffPage):
                raise DataError(f"{path}: the first page of this TIFF has no image.", hint=COPY_AGAIN)
            yield page, len(content)
    except (MemoryError, DataError):
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        if "imagecodecs" in str(error):
            raise DataError(f"{path}: {error}.", hint="Install it: pip install imagecodecs") from error
        raise DataError(f"{path}: damaged or cut off TIFF ({error}).", hint=COPY_AGAIN) from error


def _require_plain(path: Path, page: tifffile.TiffPage, max_pixels: int) -> None:
    """Refuse what is no image, before memory is taken for it."""
    dtype = page.dtype
    if len(page.shape) not in (2, 3) or dtype is None or dtype.kind not in "fiub":
        raise DataError(
            f"{path}: expected an image, found {size_of(page.shape)} {dtype}.", hint="Save one page a file."
        )
    require_size(path, page.imagelength, page.imagewidth, max_pixels)
    if math.prod(page.shape) * dtype.itemsize > _MAX_BYTES:
        raise DataError(f"{path}: its pixels take more than {_MAX_BYTES} bytes.", hint=COPY_AGAIN)


def _require_cloud(path: Path, page: tifffile.TiffPage, itemsizes: tuple[int, ...]) -> np.dtype[np.floating]:
    """Refuse what is no organized point cloud, before memory is taken for it; the type of its numbers."""
    dtype = page.dtype
    if (
        len(page.shape) != 3
        or page.shape[2] != 3
        or dtype is None
        or dtype.kind != "f"
        or dtype.itemsize not in itemsizes
    ):
        types = " or ".join(f"float{8 * itemsize}" for itemsize in itemsizes)
        raise DataError(
            f"{path}: expected H x W x 3 {types} (x, y, z in metres), found {size_of(page.shape)} {dtype}.",
            hint="This is no organized point cloud as MVTec 3D-AD has it.",
        )
    require_size(path, page.shape[0], page.shape[1], MAX_PIXELS * 4 // dtype.itemsize)
    return dtype


def _require_whole(path: Path, page: tifffile.TiffPage, length: int) -> None:
    """Refuse a page whose pixels are not all in the file of so many bytes: tifffile would fill them with zeros."""
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(segments) != math.prod(page.chunked) or any(not count or at + count > length for at, count in segments):
        raise DataError(f"{path}: damaged or cut off TIFF (its pixels are not all there).", hint=COPY_AGAIN)


def _channels_last(pixels: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """(H, W) or (H, W, C), also where the file stores one channel after the other."""
    if pixels.ndim == 3 and page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, 2)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
