"""Small parts of a user, as cameras write them, for the tests that read them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.datasets.trees import picture, write_png

HEIGHT, WIDTH = 60, 80
CAMERA = "[camera]\nfx = 120.0\nfy = 121.0\ncx = 39.5\ncy = 29.0\n\n[depth]\nscale = 0.001\n"
SAMPLES = {"good": 3, "validation": 1, "test/good": 2, "test/dent": 2}


def depth(seed: int, height: int = HEIGHT, width: int = WIDTH, part_mm: int = 60) -> NDArray[np.uint16]:
    """A block on a table 500 mm away, in millimetres, with noise and a few pixels without a measurement."""
    random = np.random.default_rng(seed)
    table = np.rint(500 + random.normal(0, 0.8, (height, width)))
    shift = int(random.integers(-3, 4))
    rows, columns = slice(height // 4, -(height // 4)), slice(width // 4 + shift, shift - width // 4)
    table[rows, columns] -= part_mm
    table[random.uniform(size=table.shape) < 0.01] = 0
    return table.astype(np.uint16)


def mask() -> NDArray[np.uint8]:
    """A defect of 6 x 8 pixels."""
    marks = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    marks[27:33, 36:44] = 255
    return marks


def write_category(part: Path) -> None:
    """A part with aligned colour and 16-bit depth, its camera, and a mask for the first of two dents."""
    for folder, count in SAMPLES.items():
        for number in range(count):
            seed = 100 * len(folder) + number
            write_png(part / folder / "rgb" / f"{number:03}.png", picture(seed, HEIGHT, WIDTH))
            write_png(part / folder / "depth" / f"{number:03}.png", depth(seed))
    write_png(part / "masks" / "dent" / "000_mask.png", mask())
    (part / "lsfa-part.toml").write_text(CAMERA)


def write_images(part: Path, suffix: str = ".jpg") -> None:
    """A part with images alone, directly in the folders."""
    for folder, count in SAMPLES.items():
        for number in range(count):
            path = part / folder / f"{number:03}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(100 * len(folder) + number, HEIGHT, WIDTH)).save(path, quality=90)
