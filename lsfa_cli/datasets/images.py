"""Images, masks and depth images as cameras and drawing programs write them, with errors that name the file.

A file's kind is taken from its first bytes, not from its name. Sizes in headers are looked at before memory is taken.
Decided here: grey images become three equal channels; alpha is dropped; images of 16 bits are refused, since only their
owner knows which part of the range the camera uses; so are those whose EXIF data ask for a rotation, since nobody but
the owner knows whether depth and masks were stored turned or not.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin

from lsfa_cli.datasets.exr import SIGNATURE as EXR
from lsfa_cli.datasets.exr import read_exr
from lsfa_cli.datasets.files import PNG_GREY, PNG_SIGNATURE, png_header, png_pixels, require_size
from lsfa_cli.datasets.npy import SIGNATURE as NPY
from lsfa_cli.datasets.npy import read_npy
from lsfa_cli.datasets.point_files import MAX_POINTS
from lsfa_cli.datasets.tiffs import SIGNATURES as TIFF
from lsfa_cli.datasets.tiffs import TiffPage, read_tiff
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN, content_of
from lsfa_cli.samples import BoolArray
from lsfa_cli.wording import size_of

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".exr")

_JPEG, _BMP = b"\xff\xd8\xff", b"BM"
_EXIF_ORIENTATION = 274
_UPRIGHT = 1
_YCBCR = 6
# A JPEG's compression leaves faint grey around what was drawn: only what is brighter than half counts.
_JPEG_MASK_LEVEL = 127
_EIGHT_BITS = "Convert all images of the part to 8 bits by one and the same scale."
# Opened by their classes: Image.open would warn of large images before their size can be looked at.
_OPENERS: tuple[tuple[bytes, str, Callable[[io.BytesIO], Image.Image]], ...] = (
    (PNG_SIGNATURE, "PNG", PngImagePlugin.PngImageFile),
    (_JPEG, "JPEG", JpegImagePlugin.JpegImageFile),
    (_BMP, "BMP", BmpImagePlugin.BmpImageFile),
)


class _Picture(NamedTuple):
    """Decoded pixels (H, W) or (H, W, 3), of the type that is stored, palettes resolved and alpha dropped."""

    pixels: NDArray[Any]
    lossy: bool = False


def read_image(path: Path) -> NDArray[np.uint8]:
    """An 8-bit png, jpg, tiff or bmp as (H, W, 3) uint8."""
    pixels = _picture(path).pixels
    if pixels.dtype != np.uint8:
        raise DataError(
            f"{path}: expected 8 bits a channel, found {8 * pixels.dtype.itemsize}.",
            hint=f"{_EIGHT_BITS} If it is a depth image: it belongs in depth/, or set [files] depth.",
        )
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels)


def read_mask_image(path: Path) -> BoolArray:
    """A mask as (H, W) bool from a png, tiff or bmp of any depth: True where any channel is not 0.

    From a jpg, where it is brighter than half: its compression leaves faint grey around what was drawn.
    """
    picture = _picture(path)
    marked: BoolArray = picture.pixels > _JPEG_MASK_LEVEL if picture.lossy else picture.pixels != 0
    return np.asarray(marked.any(axis=2) if marked.ndim == 3 else marked, dtype=bool)


def read_depth(path: Path) -> NDArray[np.float64]:
    """A depth image as (H, W) float64, the numbers as stored: 16-bit grey png, tiff, npy or exr of one channel."""
    content = content_of(path)
    if content.startswith(PNG_SIGNATURE):
        header = png_header(path, content)
        if (header.depth, header.colour) != (16, PNG_GREY):
            raise DataError(
                f"{path}: expected a 16-bit grey PNG, found {header}.",
                hint="An 8-bit image is a picture of the depth, not a measurement. Save the depth itself.",
            )
        raw = png_pixels(path, content)
    elif content.startswith(TIFF):
        raw = _upright(path, read_tiff(path, MAX_POINTS)).pixels
    elif content.startswith(NPY):
        raw = read_npy(path, content)
    elif content.startswith(EXR):
        raw = read_exr(path)
    else:
        raise DataError(f"{path}: expected a depth image as png, tiff, npy or exr, found neither.", hint=COPY_AGAIN)
    if raw.ndim != 2:
        raise DataError(
            f"{path}: expected one number a pixel, found {size_of(raw.shape)}.",
            hint="Save the depth alone. A cloud (H x W x 3) belongs in xyz/, or set [files] xyz.",
        )
    require_size(path, raw.shape[0], raw.shape[1], MAX_POINTS)
    with np.errstate(invalid="ignore"):  # signalling NaN, which damage may make
        return raw.astype(np.float64)


def _picture(path: Path) -> _Picture:
    content = content_of(path)
    if content.startswith(TIFF):
        return _Picture(_tiff_picture(path, _upright(path, read_tiff(path))))
    for signature, kind, opener in _OPENERS:
        if content.startswith(signature):
            if signature == PNG_SIGNATURE:
                _check_png(path, content)
            return _Picture(_pillow_pixels(path, content, kind, opener), lossy=signature == _JPEG)
    raise DataError(f"{path}: expected a png, jpg, tiff or bmp image, found none of them.", hint=COPY_AGAIN)


def _check_png(path: Path, content: bytes) -> None:
    header = png_header(path, content)
    if header.depth == 16 and header.colour != PNG_GREY:  # Pillow would drop the lower half of the bits
        raise DataError(f"{path}: expected 8 bits a channel, found {header}.", hint=_EIGHT_BITS)


def _pillow_pixels(path: Path, content: bytes, kind: str, opener: Callable[[io.BytesIO], Image.Image]) -> NDArray[Any]:
    try:
        if kind == "PNG":
            with opener(io.BytesIO(content)) as image:
                image.verify()  # the checksums, which decoding leaves out
        with opener(io.BytesIO(content)) as image:
            require_size(path, image.height, image.width)
            _require_upright(path, image.getexif().get(_EXIF_ORIENTATION, _UPRIGHT))
            return _resolved(path, image)
    except (MemoryError, DataError):
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise DataError(f"{path}: damaged or cut off {kind} ({error}).", hint=COPY_AGAIN) from error


def _resolved(path: Path, image: Image.Image) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, 3) of an image that Pillow opened."""
    if image.mode in ("L", "1", "LA"):
        return np.array(image.convert("L"))
    if image.mode == "RGB":
        return np.array(image)
    if image.mode in ("P", "PA", "RGBA", "RGBX"):
        # By way of RGBA: Pillow warns of transparent colours in a palette otherwise.
        return np.array(image.convert("RGBA").convert("RGB"))
    if image.mode == "I" or image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)
    raise DataError(f"{path}: expected grey or RGB, found {image.mode}.", hint="Convert it to 8-bit RGB.")


def _tiff_picture(path: Path, page: TiffPage) -> NDArray[Any]:
    """Pixels (H, W) or (H, W, 3) of a TIFF."""
    pixels, channels = page.pixels, page.pixels.shape[2] if page.pixels.ndim == 3 else 1
    if page.photometric == 3 and page.colours is not None and channels == 1:
        if pixels.dtype.kind != "u" or int(pixels.max()) >= len(page.colours):
            raise DataError(f"{path}: damaged TIFF (its palette lacks colours of its pixels).", hint=COPY_AGAIN)
        resolved: NDArray[np.uint8] = page.colours[pixels]
        return resolved
    if page.photometric not in ((0, 1, 2, _YCBCR) if page.jpeg else (0, 1, 2)) or channels > 4:
        raise DataError(f"{path}: expected grey or RGB, found another kind of TIFF.", hint="Convert it to 8-bit RGB.")
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype == np.uint8 and page.bits < 8:
        pixels = (pixels.astype(np.uint16) * 255 // (2**page.bits - 1)).astype(np.uint8)
    if page.photometric == 0 and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    if channels == 2:
        return pixels[..., 0]
    return pixels[..., :3] if channels == 4 else pixels


def _upright(path: Path, page: TiffPage) -> TiffPage:
    _require_upright(path, page.orientation)
    return page


def _require_upright(path: Path, orientation: object) -> None:
    if orientation in range(2, 9):
        raise DataError(
            f"{path}: its EXIF data ask for a rotation or a mirror (orientation {orientation}).",
            hint="Store the pixels upright and without that tag, the way depth and masks are stored: "
            "set the camera so, or convert (ImageMagick: mogrify -auto-orient).",
        )
