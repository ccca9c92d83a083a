"""BTF: the features of both modalities side by side, in one bank (reference notes 2.3)."""

import numpy as np

from lsfa_cli.projection import repeat_index
from lsfa_cli.samples import PatchFeatures


def concatenate(rgb: PatchFeatures, xyz: PatchFeatures) -> PatchFeatures:
    """At every position of the 3D grid the image patch and the 3D patch, as they are: neither is scaled.

    What is invalid is 0, and all positions are valid: (grid * grid, D_rgb + D_xyz) float32. An image patch on a coarser
    grid stands at several positions.
    """
    images = np.zeros((rgb.valid.size, rgb.dimension), dtype=np.float32)
    images[rgb.valid] = rgb.values
    scans = np.zeros((xyz.valid.size, xyz.dimension), dtype=np.float32)
    scans[xyz.valid] = xyz.values
    values = np.concatenate([images[repeat_index(rgb.grid, xyz.grid)], scans], axis=1)
    return PatchFeatures(values, np.ones(xyz.valid.size, dtype=bool), xyz.grid)
