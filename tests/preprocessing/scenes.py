"""A made-up sample: a part on a tilted background."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.preprocessing import PreprocessOptions
from lsfa_cli.samples import Sample, SampleRecord

OPTIONS = PreprocessOptions(
    image_size=48,
    border_width=4,
    plane_inlier_distance=0.004,
    plane_sample_points=50,
    plane_draws=100,
    plane_removal_distance=0.005,
    cluster_distance=0.006,
    cluster_min_points=30,
    seed=0,
)
RECORD = SampleRecord("test/hole/000", "test", "hole", {"xyz": Path("somewhere/test/hole/xyz/000.tiff")})


def background(height: int, width: int, spacing: float = 0.001) -> NDArray[np.float64]:
    """A tilted plane 0.6 m away, (H, W, 3) in metres, with noise of 0.3 mm."""
    y, x = np.mgrid[:height, :width] * spacing
    noise = np.random.default_rng(height + width).normal(0, 3e-4, x.shape)
    return np.stack([x, y, 0.6 + 0.2 * x - 0.1 * y + noise], axis=2)


def part_on_background(height: int = 70, width: int = 90) -> Sample:
    """A round part 30 mm above the plane, a smaller block beside it, specks, missing points, and a defect mask."""
    random = np.random.default_rng(7)
    xyz = background(height, width)
    rgb = random.integers(1, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    part = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 4) ** 2
    xyz[part, 2] -= 0.03
    block = (slice(8, 16), slice(8, 18))
    xyz[block][..., 2] -= 0.05
    specks = random.choice(height * width, 12, replace=False)
    xyz.reshape(-1, 3)[specks, 2] -= random.uniform(0.1, 0.3, 12)
    xyz[random.uniform(size=part.shape) < 0.1] = 0
    mask = part & (x < width / 2 - 5)
    cloud = xyz.astype(np.float32)
    return Sample(RECORD, rgb, cloud, (cloud != 0).any(axis=2), mask)
