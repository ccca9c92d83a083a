"""Small data sets in the layout of MVTec 3D-AD, for the tests that read them."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 12, 10


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cloud(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """Points everywhere but in the first row."""
    points = np.random.default_rng(seed).uniform(0.1, 0.7, (height, width, 3)).astype(np.float32)
    points[0] = 0
    return points


def write_cloud(path: Path, points: NDArray[np.generic], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, points, photometric="rgb", **options)


def write_png(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_sample(folder: Path, stem: str, seed: int, mask_value: int | None = None) -> None:
    """One sample of `folder` (such as test/hole); `mask_value` is what a 2 x 3 corner of its mask holds."""
    write_png(folder / "rgb" / f"{stem}.png", picture(seed))
    write_cloud(folder / "xyz" / f"{stem}.tiff", cloud(seed))
    if mask_value is not None:
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        mask[:2, :3] = mask_value
        write_png(folder / "gt" / f"{stem}.png", mask)


def write_category(category: Path) -> None:
    """A whole category: 3 training, 1 validation and 2 + 2 + 2 test samples. Class ids as published."""
    for number in range(3):
        write_sample(category / "train" / "good", f"{number:03}", number)
    write_sample(category / "validation" / "good", "000", 10)
    for place, (defect, value) in enumerate({"good": 0, "hole": 253, "bent": 255}.items()):
        for number in range(2):
            write_sample(category / "test" / defect, f"{number:03}", 20 + 2 * place + number, value)
