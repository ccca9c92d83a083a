"""From a depth image of Eyecandies to an organized point cloud without background, as published figures have it.

The steps are those of the conversion script that M3DM and CFM share (reference notes 1.2), so that clouds are the same:
in the scene's frame as that script understands the pose, axes 1 and 2 swapped, a tenth of the true scale. Unlike the
script's, a removed point is marked by a mask and is 0 in the cloud.
"""

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import BoolArray

SIDE = 512
"""Width and height of all published images, pixels; the focal length holds for these alone."""
FOCAL_LENGTH = 711.11
"""Pixels. The principal point is the middle, (256, 256)."""

# Which points belong to the part, in metres and in a frame whose x-z plane is the conveyor and whose origin is on it,
# at the image's lower edge.
_HEIGHT = 0.02
_LENGTH = 1.8
_HALF_WIDTH = 1.0

_SCALE = 0.1
"""Of the published clouds, about that of MVTec 3D-AD's parts."""


def depth_in_metres(pixels: NDArray[np.uint16], nearest: float, farthest: float) -> NDArray[np.float32]:
    """The depth (H, W) in metres; 0 and 65535 stand for `nearest` and `farthest`. In float32, as published."""
    return pixels.astype(np.float32) / np.float32(65535) * np.float32(farthest - nearest) + np.float32(nearest)


def part_of_scene(depth: NDArray[np.float32], pose: NDArray[np.float64]) -> tuple[NDArray[np.float32], BoolArray]:
    """The organized cloud (H, W, 3) of what stands on the conveyor, 0 elsewhere, and its validity (H, W).

    depth: (H, W), metres. pose: (4, 4), rigid, as published. Coordinates are a tenth of metres. The conveyor is the
    line through the middle pixels of the first and last row. Raises `ValueError` where these show the same place.
    """
    x, y, z = scene_points(depth, pose)
    middle = depth.shape[1] // 2
    at_y, at_z = y[-1, middle], z[-1, middle]
    rise, run = y[0, middle] - at_y, z[0, middle] - at_z
    norm = np.hypot(rise, run)
    if norm == 0:
        raise ValueError("the first and last row show the same place")
    cos, sin = run / norm, rise / norm
    across, along = cos * (y - at_y) - sin * (z - at_z), sin * (y - at_y) + cos * (z - at_z)
    background = (across > -_HEIGHT) | (along > _LENGTH) | (np.abs(x) > _HALF_WIDTH)
    cloud = np.stack([_SCALE * x, -_SCALE * z, _SCALE * y], axis=-1).astype(np.float32)
    cloud[background] = 0
    return cloud, ~background


def scene_points(depth: NDArray[np.float32], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points (3, H, W) of all pixels, metres: d * inverse(K pose) (u, v, 1, 1/d), by the published formula.

    The data set's authors later corrected it to pose * inverse(K), which differs by a rigid motion.
    """
    height, width = depth.shape
    camera = np.diag([FOCAL_LENGTH, FOCAL_LENGTH, 1.0, 1.0])
    camera[0, 2], camera[1, 2] = width / 2, height / 2
    inverse = np.linalg.inv(camera @ pose)
    columns, rows = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    points = np.empty((3, height, width))
    for axis in range(3):
        along_column = inverse[axis, 1] * rows + inverse[axis, 2]
        points[axis] = depth * (inverse[axis, 0] * columns + along_column[:, None]) + inverse[axis, 3]
    return points
