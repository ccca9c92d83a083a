"""Prepared samples with an exact surface, for the tests of the 3D backbones."""

from pathlib import Path

import numpy as np

from lsfa_cli.samples import PreparedSample, SampleRecord

SPACING = 4.5e-4  # metres between pixels, as MVTec 3D-AD at 224 x 224


def grid_of(side):
    """x and y of the pixels in metres, (side, side) each, with the origin in the middle."""
    axis = (np.arange(side) - side // 2) * SPACING
    return np.meshgrid(axis, axis)


def scan(height, valid, *, name="test/good/000", files=None):
    """The sample of a height map (side, side), metres towards the camera, on a plane 0.6 m away."""
    x, y = grid_of(len(height))
    xyz = np.where(valid, np.stack([x, y, 0.6 - height]), 0).astype(np.float32)
    return PreparedSample(
        record=SampleRecord(name=name, split="test", defect="good", files=files or {}),
        rgb=np.zeros((3, *height.shape), dtype=np.float32),
        xyz=xyz,
        valid=valid,
        mask=np.zeros(height.shape, dtype=bool),
    )


def wavy_scan(side=48, *, name="test/good/000", **files):
    """A wavy round part with a hole."""
    x, y = grid_of(side)
    valid = (np.hypot(x, y) < 0.42 * side * SPACING) & (np.hypot(x - 3e-3, y) > 1e-3)
    height = 1e-3 * np.sin(600 * x) * np.cos(400 * y)
    return scan(height, valid, name=name, files={role: Path(file) for role, file in files.items()})


def moved(sample, offset):
    """The sample with every valid point moved by `offset`, metres."""
    xyz = sample.xyz + np.where(sample.valid, np.asarray(offset, dtype=np.float32)[:, None, None], 0)
    return with_cloud(sample, xyz.astype(np.float32), sample.valid)


def with_cloud(sample, xyz, valid):
    return PreparedSample(
        record=sample.record,
        rgb=np.zeros((3, *valid.shape), dtype=np.float32),
        xyz=xyz,
        valid=valid,
        mask=np.zeros(valid.shape, dtype=bool),
    )


def padded(sample, width):
    """The sample with `width` invalid pixels on every side."""
    xyz = np.pad(sample.xyz, ((0, 0), (width, width), (width, width)))
    return with_cloud(sample, xyz, np.pad(sample.valid, width))


def with_garbage(sample, seed=0):
    """The sample with arbitrary numbers at its invalid pixels, NaN and infinity among them."""
    rng = np.random.default_rng(seed)
    garbage = rng.standard_normal(sample.xyz.shape).astype(np.float32)
    garbage[rng.random(garbage.shape) < 0.2] = np.nan
    garbage[rng.random(garbage.shape) < 0.2] = np.inf
    return with_cloud(sample, np.where(sample.valid, sample.xyz, garbage), sample.valid)


def few_points(count, **files):
    """A sample of 48 x 48 pixels with `count` valid ones."""
    full = wavy_scan(48, **files)
    valid = np.zeros((48, 48), dtype=bool)
    valid.flat[np.flatnonzero(full.valid)[:count]] = True
    return PreparedSample(
        record=full.record,
        rgb=full.rgb,
        xyz=np.where(valid, full.xyz, 0).astype(np.float32),
        valid=valid,
        mask=full.mask,
    )
