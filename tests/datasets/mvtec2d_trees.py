"""A small made-up data set in the layout of MVTec AD."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.datasets.trees import write_png

SIDE = 72


def picture(seed: int, *, grey: bool = False, side: int = SIDE) -> NDArray[np.uint8]:
    """A woven texture with some noise."""
    rows, columns = np.mgrid[:side, :side]
    weave = 120 + 60 * np.sin(rows / 2.5) * np.cos(columns / 3.5)
    pixels = weave[..., None] + np.array([0.0, 15.0, -15.0])
    pixels = pixels + np.random.default_rng(seed).normal(0, 6, pixels.shape)
    colours = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(colours[..., 0]) if grey else colours


def defect_mask(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """255 in a square of a sixth of the side."""
    top, left = np.random.default_rng(seed).integers(side // 8, side // 2, 2)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[top : top + side // 6, left : left + side // 6] = 255
    return mask


def write_category(
    category: Path,
    *,
    grey: bool = False,
    train: int = 4,
    defects: tuple[str, ...] = ("cut", "thread"),
    side: int = SIDE,
) -> None:
    """A whole category: training samples, 2 good test samples and 2 a defect, each with a mask."""
    for number in range(train):
        write_png(category / "train" / "good" / f"{number:03}.png", picture(number, grey=grey, side=side))
    for number in range(2):
        write_png(category / "test" / "good" / f"{number:03}.png", picture(100 + number, grey=grey, side=side))
    for place, defect in enumerate(defects):
        for number in range(2):
            seed = 200 + 10 * place + number
            image, mask = picture(seed, grey=grey, side=side), defect_mask(seed, side)
            image[mask > 0] = 255 - image[mask > 0]
            write_png(category / "test" / defect / f"{number:03}.png", image)
            write_png(category / "ground_truth" / defect / f"{number:03}_mask.png", mask)
