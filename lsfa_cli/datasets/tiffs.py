"""Reading of the first page of a TIFF, whatever it holds, with the facts that say what its numbers mean."""

import io
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from lsfa_cli.datasets.files import COPY_AGAIN, MAX_PIXELS, content_of, require_size
from lsfa_cli.errors import DataError

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of one decoded page: three float32 a pixel at the largest size.
_MAX_BYTES = MAX_PIXELS * 12
_ORIENTATION = 274
_JPEG = 7


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
    content = content_of(path)
    try:
        with tifffile.TiffFile(io.BytesIO(content), name=path.name) as file:
            page = _first_page(path, file)
            _require_whole(path, page, len(content), max_pixels)
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
    except (MemoryError, DataError):
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise _damaged(path, error) from error


def is_cloud(path: Path) -> bool:
    """Whether a TIFF holds three floating-point numbers a pixel, by its header alone."""
    content = content_of(path)
    try:
        with tifffile.TiffFile(io.BytesIO(content), name=path.name) as file:
            page = _first_page(path, file)
            return page.dtype is not None and page.dtype.kind == "f" and page.samplesperpixel == 3
    except (MemoryError, DataError):
        raise
    except Exception as error:  # as above
        raise _damaged(path, error) from error


def _first_page(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPage:
    page = file.pages.first
    if not isinstance(page, tifffile.TiffPage):
        raise DataError(f"{path}: the first page of this TIFF has no image.", hint=COPY_AGAIN)
    return page


def _require_whole(path: Path, page: tifffile.TiffPage, size: int, max_pixels: int) -> None:
    """Refuse what is no image, or not all there, before memory is taken for it. size: of the file, bytes."""
    dtype = page.dtype
    if len(page.shape) not in (2, 3) or dtype is None or dtype.kind not in "fiub":
        shape = " x ".join(str(length) for length in page.shape)
        raise DataError(f"{path}: expected an image, found {shape} {dtype}.", hint="Save one page a file.")
    require_size(path, page.imagelength, page.imagewidth, max_pixels)
    if math.prod(page.shape) * dtype.itemsize > _MAX_BYTES:
        raise DataError(f"{path}: its pixels take more than {_MAX_BYTES} bytes.", hint=COPY_AGAIN)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(segments) != math.prod(page.chunked) or any(not count or at + count > size for at, count in segments):
        # tifffile would fill the missing part of an image with zeros.
        raise DataError(f"{path}: damaged or cut off TIFF (its pixels are not all there).", hint=COPY_AGAIN)


def _channels_last(pixels: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """(H, W) or (H, W, C), also where the file stores one channel after the other."""
    if pixels.ndim == 3 and page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, 2)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _damaged(path: Path, error: Exception) -> DataError:
    if "imagecodecs" in str(error):
        return DataError(f"{path}: {error}.", hint="Install it: pip install imagecodecs")
    return DataError(f"{path}: damaged or cut off TIFF ({error}).", hint=COPY_AGAIN)
