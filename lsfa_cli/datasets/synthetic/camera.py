"""The camera, the plane that parts lie on, and the pose of a part: geometry without any randomness.

Camera frame: x right, y down, z away, as in MVTec 3D-AD. Lengths are millimetres here; files are in metres.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Matrix = NDArray[np.float64]

FOCAL_MM = 10.3
"""Focal length of the lens."""
PIXEL_MM = 0.00393
"""Side of a sensor element at 400 x 400: 0.25 mm in the object at the working distance."""
WORKING_DISTANCE_MM = 655.0
"""Distance from the camera to the middle of the background plane."""
REFERENCE_SIZE = 400


@dataclass(frozen=True)
class Camera:
    """A pinhole camera of `size` x `size` pixels that always sees the same field, 0.1 m wide."""

    size: int

    @property
    def focal_pixels(self) -> float:
        """Focal length in pixels."""
        return FOCAL_MM / PIXEL_MM * self.size / REFERENCE_SIZE

    @property
    def centre(self) -> float:
        """Principal point in pixels, the same in both directions."""
        return (self.size - 1) / 2

    def rays(self) -> Array:
        """Viewing rays (size, size, 3) with z = 1, so that a ray's parameter is the depth in millimetres."""
        offset = (np.arange(self.size) - self.centre) / self.focal_pixels
        x, y = np.meshgrid(offset, offset)
        return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)

    def calibration(self) -> dict[str, str | float | int]:
        """The numbers of `calibration/camera_parameters.json`: a division model without distortion, metres."""
        pixel = PIXEL_MM * REFERENCE_SIZE / self.size * 1e-3
        return {
            "camera_type": "area_scan_division",
            "focus": FOCAL_MM * 1e-3,
            "kappa": 0.0,
            "sx": pixel,
            "sy": pixel,
            "cx": self.centre,
            "cy": self.centre,
            "image_width": self.size,
            "image_height": self.size,
        }


@dataclass(frozen=True)
class Frame:
    """A frame in the camera's: `origin` (3,) mm, and `axes` (3, 3) whose columns are its x, y and z."""

    origin: Matrix
    axes: Matrix

    def points_to(self, points: Array) -> Array:
        """Camera points (..., 3) in this frame's coordinates."""
        return self.directions_to(points - self.origin.astype(np.float32))

    def directions_to(self, directions: Array) -> Array:
        """Camera directions (..., 3) in this frame's coordinates."""
        result: Array = directions @ self.axes.astype(np.float32)
        return result


def rotation(axis: int, angle: float) -> Matrix:
    """The rotation by `angle` radians about coordinate axis 0, 1 or 2."""
    matrix = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first] = np.sin(angle)
    matrix[first, second] = -np.sin(angle)
    return matrix


def background_frame(tilt_x: float, tilt_y: float, distance_mm: float = WORKING_DISTANCE_MM) -> Frame:
    """The background plane: origin where the optical axis meets it, x right, y up in the image, z towards the camera.

    `tilt_x` and `tilt_y` (radians) turn it about the camera's x and y axes.
    """
    facing = np.diag([1.0, -1.0, -1.0])
    axes = rotation(1, tilt_y) @ rotation(0, tilt_x) @ facing
    return Frame(np.array([0.0, 0.0, distance_mm]), axes)


def part_frame(plane: Frame, shift_mm: tuple[float, float], turn: float, lean: tuple[float, float]) -> Frame:
    """The frame of a part on `plane`: moved by `shift_mm` in it, turned about its normal, leaning a little."""
    local = rotation(2, turn) @ rotation(0, lean[0]) @ rotation(1, lean[1])
    origin = plane.origin + plane.axes @ np.array([shift_mm[0], shift_mm[1], 0.0])
    return Frame(origin, plane.axes @ local)


def plane_depth(plane: Frame, rays: Array) -> Array:
    """Depth in millimetres where each viewing ray meets the plane."""
    normal = plane.axes[:, 2]
    result: Array = (float(normal @ plane.origin) / (rays @ normal.astype(np.float32))).astype(np.float32)
    return result
