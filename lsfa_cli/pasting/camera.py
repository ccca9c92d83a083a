"""Where the camera of an organized cloud is, found from the cloud itself.

Readers give clouds in different frames: MVTec 3D-AD has its camera at the origin, Eyecandies (as M3DM converts it) has
not, and other scanners see along parallel rays. All are cameras of one kind: a 3 x 4 matrix P that takes a point X to
its pixel, s (column, row, 1) = P (X, 1), found by the direct linear transformation from points and their pixels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import BoolArray, FloatArray

Points = NDArray[np.float64]

# A simpler camera is taken where it explains the pixels this well (pixels, root of the mean square), or nearly as
# well as the best one does.
_CLOSE = 0.06
_NEARLY = 3.0
_FITTED = 3000  # points that a camera is fitted to
# A camera farther away than this many times the cloud's extent is one with parallel rays: its place is not determined.
_FAR = 300.0
# Where the second smallest eigenvalue is below this share of the largest, the points determine no camera (a plane).
_FLAT = 1e-9


@dataclass(frozen=True)
class Camera:
    """`matrix`: P, (3, 4) float64, from points in metres to (column, row, 1) times a factor."""

    matrix: Points

    @cached_property
    def _centre(self) -> Points:
        """The homogeneous point (4,) that P takes to 0: the camera's place, or the direction of parallel rays."""
        centre: Points = np.linalg.svd(self.matrix)[2][3]
        return np.asarray(centre if centre[3] >= 0 else -centre)

    @cached_property
    def _inverse(self) -> Points:
        return np.asarray(np.linalg.pinv(self.matrix), dtype=np.float64)

    @cached_property
    def _parallel(self) -> Points | None:
        """The direction (3,) of the rays where they are parallel; None for a camera at a place."""
        centre = self._centre
        if centre[3] > 1e-12 * np.linalg.norm(centre[:3]):
            return None
        direction: Points = centre[:3] / np.linalg.norm(centre[:3])
        return direction if direction[2] >= 0 else -direction  # z points away in the camera's frame

    def away(self, points: FloatArray) -> Points:
        """Unit vectors (..., 3) from the camera to points (..., 3): the viewing rays."""
        if self._parallel is not None:
            return np.broadcast_to(self._parallel, points.shape)
        rays = points - self._centre[:3] / self._centre[3]
        length = np.linalg.norm(rays, axis=-1, keepdims=True)
        return np.asarray(rays / np.where(length > 0, length, 1.0))

    def meet(self, rows: FloatArray, columns: FloatArray, normal: Points, offset: FloatArray | float) -> Points:
        """Where the rays of pixels (n,) meet the plane normal . X + offset = 0, (n, 3). offset: one or (n,)."""
        pixels = np.stack([columns, rows, np.ones(len(rows))], axis=-1).astype(np.float64)
        # X(t) = P+ x + t C runs over all points that P takes to the pixel x.
        near = np.einsum("ij,kj->ik", pixels, self._inverse)
        centre = self._centre
        step = centre[:3] @ normal + centre[3] * offset
        t = -(np.einsum("ij,j->i", near[:, :3], normal) + near[:, 3] * offset) / step
        found = near + t[:, None] * centre
        return np.asarray(found[:, :3] / found[:, 3:])

    def error(self, points: Points, pixels: Points) -> float:
        """Root of the mean square of the distance (pixels) between `pixels` (n, 2) and where P takes points (n, 3)."""
        seen = np.einsum("ij,kj->ik", points, self.matrix[:, :3]) + self.matrix[:, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = seen[:, :2] / seen[:, 2:] - pixels
        distance = np.sqrt(np.mean((difference**2).sum(axis=1)))
        return float(distance) if np.isfinite(distance) else float("inf")


def camera_of(xyz: FloatArray, known: BoolArray) -> Camera:
    """The camera of an organized cloud (H, W, 3), from its points where `known` (H, W).

    At the origin where that explains the pixels, else along z, else wherever they say. A cloud that determines none
    (all points in one plane) is taken as seen from the origin when it lies in front of it, else along z. ValueError
    without 6 points.
    """
    rows, columns = np.nonzero(known)
    if len(rows) < 6:
        raise ValueError(f"{len(rows)} points determine no camera")
    taken = slice(None, None, max(len(rows) // _FITTED, 1))
    points = xyz[rows[taken], columns[taken]].astype(np.float64)
    pixels = np.stack([columns[taken], rows[taken]], axis=1).astype(np.float64)
    in_front = bool((points[:, 2] > 0).all())
    # The simplest first: the most general one has enough factors to fit a nearly flat cloud from anywhere.
    candidates = [_at_origin(points, pixels) if in_front else None, _along_z(points, pixels), _anywhere(points, pixels)]
    cameras = [(camera.error(points, pixels), camera) for camera in candidates if camera is not None]
    least = min(error for error, _ in cameras)
    return next(camera for error, camera in cameras if error <= max(_CLOSE, _NEARLY * least))


def _least_squares(values: Points, target: Points) -> Points:
    """The rows (2, k) of factors that take values (n, k) nearest to target (n, 2)."""
    # No matrix product of BLAS here or below: its rounding may depend on the number of threads.
    squares = np.einsum("ij,ik->jk", values, values)
    inverse = np.linalg.pinv(squares, hermitian=True)  # points on one line leave some factors open
    return np.asarray(np.einsum("ij,jk->ki", inverse, np.einsum("ij,ik->jk", values, target)))


def _at_origin(points: Points, pixels: Points) -> Camera:
    """Columns and rows as affine functions of x / z and y / z."""
    ones = np.ones(len(points))
    factors = _least_squares(np.stack([points[:, 0] / points[:, 2], points[:, 1] / points[:, 2], ones], 1), pixels)
    matrix = np.zeros((3, 4))
    matrix[:2, :3] = factors
    matrix[2, 2] = 1.0
    return Camera(matrix)


def _along_z(points: Points, pixels: Points) -> Camera:
    """Columns and rows as affine functions of x and y: parallel rays along z."""
    factors = _least_squares(np.stack([points[:, 0], points[:, 1], np.ones(len(points))], 1), pixels)
    matrix = np.zeros((3, 4))
    matrix[:2, :2], matrix[:2, 3] = factors[:, :2], factors[:, 2]
    matrix[2, 3] = 1.0
    return Camera(matrix)


def _anywhere(points: Points, pixels: Points) -> Camera | None:
    """The direct linear transformation; None where the points determine no camera, or one that is endlessly far."""
    middle, scale = points.mean(axis=0), float(points.std()) or 1.0
    centre, spread = pixels.mean(axis=0), float(pixels.std()) or 1.0
    u, v = ((pixels - centre) / spread).T
    homogeneous = np.concatenate([(points - middle) / scale, np.ones((len(points), 1))], axis=1)
    zero = np.zeros_like(homogeneous)
    equations = np.concatenate(
        [
            np.concatenate([homogeneous, zero, -u[:, None] * homogeneous], axis=1),
            np.concatenate([zero, homogeneous, -v[:, None] * homogeneous], axis=1),
        ]
    )
    eigenvalues, vectors = np.linalg.eigh(np.einsum("ij,ik->jk", equations, equations))
    if eigenvalues[1] < _FLAT * eigenvalues[-1]:
        return None
    matrix = vectors[:, 0].reshape(3, 4)
    place = np.linalg.svd(matrix)[2][3]
    if abs(place[3]) * _FAR < np.linalg.norm(place[:3]):
        return _parallel(homogeneous, pixels, middle, scale)
    to_unit = np.diag([1 / scale, 1 / scale, 1 / scale, 1.0])
    to_unit[:3, 3] = -middle / scale
    to_pixels = np.array([[spread, 0.0, centre[0]], [0.0, spread, centre[1]], [0.0, 0.0, 1.0]])
    return Camera(to_pixels @ matrix @ to_unit)


def _parallel(homogeneous: Points, pixels: Points, middle: Points, scale: float) -> Camera:
    """Parallel rays in any direction: columns and rows as affine functions of the points."""
    factors = _least_squares(homogeneous, pixels)
    matrix = np.zeros((3, 4))
    matrix[:2, :3] = factors[:, :3] / scale
    matrix[:2, 3] = factors[:, 3] - matrix[:2, :3] @ middle
    matrix[2, 3] = 1.0
    return Camera(matrix)
