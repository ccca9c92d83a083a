"""A small made-up part on a table, seen by cameras of several kinds."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from lsfa_cli.pasting.scene import Scene, scene_of
from lsfa_cli.preprocessing import PreprocessOptions, Recipe
from lsfa_cli.samples import GOOD, Sample, SampleRecord

DISTANCE, FOCAL = 0.5, 1000.0  # metres to the table, pixels: half a millimetre a pixel
OPTIONS = PreprocessOptions(image_size=64)
WITHOUT_PLANE = PreprocessOptions(image_size=64, remove_plane=False, keep_largest_cluster=False)


def record(name="train/good/000"):
    return SampleRecord(name, name.split("/")[0], GOOD, {})


def heights(height, width):
    """An oval part (H, W), 30 mm high, with ribs and a step; 0 on the table."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - height / 2) / (0.36 * height)) ** 2 + ((columns - width / 2) / (0.33 * width)) ** 2
    dome = 0.012 + 0.016 * np.sqrt(np.clip(1 - inside, 0, 1)) + 0.0008 * np.sin(columns / 3.0)
    return np.where(inside < 1, dome + 0.002 * (columns > width / 2), 0.0)


def scan(height=96, width=120, *, camera="origin", gaps=True, seed=0):
    """xyz (H, W, 3) and valid (H, W) of the part. camera: at the "origin", "elsewhere", or with "parallel" rays."""
    generator = np.random.default_rng(seed)
    depth = DISTANCE - heights(height, width) + generator.normal(0, 5e-5, (height, width))
    rows, columns = np.mgrid[:height, :width]
    across, down = (columns - width / 2) / FOCAL, (rows - height / 2) / FOCAL
    z = np.full_like(depth, DISTANCE) if camera == "parallel" else depth
    xyz = np.stack([across * z, down * z, depth], axis=-1)
    if camera == "elsewhere":
        angle = 0.5
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        xyz = xyz @ turn.T + np.array([0.02, 0.3, -0.01])
    valid = np.ones((height, width), dtype=bool)
    if gaps:
        lost = generator.random((height, width)) < np.where(heights(height, width) > 0, 0.01, 0.3)
        valid &= ~lost
    xyz = np.where(valid[..., None], xyz, 0).astype(np.float32)
    return xyz, valid


def image(height=96, width=120, seed=0):
    """A textured part lit from the left on a dark table."""
    generator = np.random.default_rng(seed)
    relief = heights(height, width)
    slope = np.gradient(ndimage.gaussian_filter(relief, 1.0), axis=1) / 5e-4  # metres a pixel on the table
    light = 120 + 60 * slope / np.hypot(1, slope)
    texture = 5 * ndimage.gaussian_filter(generator.standard_normal((height, width)), 1.5) / 0.2
    grey = np.where(relief > 0, light + texture, 20.0)[..., None] * np.array([1.0, 0.9, 0.8])
    noise = generator.normal(0, 2, (height, width, 3))
    return np.clip(np.rint(grey + noise), 0, 255).astype(np.uint8)


def sample(height=96, width=120, *, has="both", camera="origin", gaps=True, name="train/good/000"):
    """The part as a data set reads it. has: "both", "rgb" or "xyz"."""
    xyz, valid = scan(height, width, camera=camera, gaps=gaps)
    whole = Sample(record(name), image(height, width), xyz, valid, np.zeros((height, width), dtype=bool))
    if has == "rgb":
        return replace(whole, xyz=None, valid=None)
    return whole if has == "both" else replace(whole, rgb=None)


def scaled(options: PreprocessOptions, factor: float) -> PreprocessOptions:
    """Preprocessing of a scene that is `factor` times as large."""
    lengths = [name for name in Recipe.__dataclass_fields__ if name.endswith("_distance")]
    return replace(options, **{name: factor * getattr(options, name) for name in lengths})


def scene(**what) -> Scene:
    return scene_of(sample(**what), OPTIONS)
