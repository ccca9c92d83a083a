"""Padding to a square, and the three ways to resize (METHOD 1, steps 3 and 5)."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lsfa_cli.samples import BoolArray

Scalar = TypeVar("Scalar", bound=np.generic)


def padded_side(height: int, width: int, multiple: int) -> int:
    """The larger of height and width, rounded up to the next multiple of so many pixels."""
    return -(-max(height, width) // multiple) * multiple


def pad_to_square(raster: NDArray[Scalar], multiple: int) -> NDArray[Scalar]:
    """A raster (H, W) or (H, W, C) in the middle of a square of zeros; an odd remainder's smaller half in front."""
    side = padded_side(raster.shape[0], raster.shape[1], multiple)
    square = np.zeros((side, side, *raster.shape[2:]), dtype=raster.dtype)
    top, left = ((side - length) // 2 for length in raster.shape[:2])
    square[top : top + raster.shape[0], left : left + raster.shape[1]] = raster
    return square


def resize_rgb(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(S, S, 3) to (size, size, 3): bicubic with antialiasing."""
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC))


def resize_nearest(raster: NDArray[Scalar], size: int) -> NDArray[Scalar]:
    """(S, S) or (S, S, C) to `size`, taking the source pixel floor(i * S / size), as torch's `nearest` does."""
    index = np.arange(size) * raster.shape[0] // size
    return raster[np.ix_(index, index)]


def resize_mask(mask: BoolArray, size: int) -> BoolArray:
    """(S, S) to (size, size), taking the source pixel under each pixel's centre, as Pillow's `NEAREST` does."""
    image = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.NEAREST)) > 0
