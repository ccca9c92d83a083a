"""The background plane: a robust fit to the points on the image's border, and its removal (METHOD 1, step 2)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import BoolArray

# Draws are compared on at most this many border points, the best few on all of them.
_SCORING_POINTS = 2048
_FINALISTS = 8
_REFITS = 10
# A second spread below this, relative to the first, is a line: no plane is determined.
_LINE_RATIO = 1e-6

_Points = NDArray[np.float64]


class Plane(NamedTuple):
    """The points p with normal . p + offset = 0. normal: (3,) float64 of length 1. offset: metres."""

    normal: NDArray[np.float64]
    offset: float

    def distances(self, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distances of points (..., 3) to the plane, metres, not negative."""
        x, y, z = self.normal
        # Not a matrix product: its rounding may depend on the number of threads.
        signed: NDArray[np.float64] = xyz[..., 0] * x + xyz[..., 1] * y + xyz[..., 2] * z + self.offset
        return np.abs(signed)


def border(height: int, width: int, border_width: int) -> BoolArray:
    """(height, width) bool: True on the outermost `border_width` rows and columns."""
    inside = np.zeros((height, width), dtype=bool)
    inside[border_width : height - border_width, border_width : width - border_width] = True
    return ~inside


def fit_plane(
    points: NDArray[np.floating], *, inlier_distance: float, sample_points: int, draws: int, seed: int
) -> Plane | None:
    """The plane with most of `points` (N, 3) within `inlier_distance` (metres): RANSAC.

    Each draw is a least-squares plane of `sample_points` random points. The best draws are refitted to their
    inliers until these stay the same, which also saves a draw that some outliers have tilted; the largest set of
    inliers wins, then the smaller mean distance. None when there are fewer than `sample_points` points or they
    determine no plane.
    """
    if len(points) < max(sample_points, 3):
        return None
    centre = points.mean(axis=0, dtype=np.float64)
    centred = points.astype(np.float64) - centre
    random = np.random.default_rng(seed)
    samples = centred[random.integers(len(centred), size=(draws, sample_points))]
    normals, offsets, _ = _least_squares(samples)
    scored = centred
    if len(centred) > _SCORING_POINTS:
        scored = centred[random.choice(len(centred), _SCORING_POINTS, replace=False)]
    counts = _inlier_counts(scored, normals, offsets, inlier_distance)
    best: tuple[int, float] = (0, 0.0)
    plane: Plane | None = None
    for index in np.argsort(-counts, kind="stable")[:_FINALISTS]:
        candidate = _refit(centred, Plane(normals[index], float(offsets[index])), inlier_distance)
        if candidate is None:
            continue
        distances = candidate.distances(centred)
        inliers = distances < inlier_distance
        score = (int(inliers.sum()), -float(distances[inliers].mean()))
        if plane is None or score > best:
            best, plane = score, candidate
    if plane is None:
        return None
    return Plane(plane.normal, plane.offset - float(plane.normal @ centre))


def _least_squares(samples: _Points) -> tuple[_Points, _Points, BoolArray]:
    """Planes of sets of points (B, N, 3): unit normals (B, 3), offsets (B,), and which sets determine a plane."""
    centres = samples.mean(axis=1)
    centred = samples - centres[:, None, :]
    spread, directions = np.linalg.eigh(np.matmul(centred.transpose(0, 2, 1), centred))
    normals = directions[:, :, 0]
    return normals, -(normals * centres).sum(axis=1), spread[:, 1] > _LINE_RATIO * spread[:, 2]


def _inlier_counts(points: _Points, normals: _Points, offsets: _Points, distance: float) -> NDArray[np.int64]:
    """For each of B planes, how many of the points (N, 3) are nearer than `distance`: (B,)."""
    signed = normals.astype(np.float32) @ points.T.astype(np.float32)
    signed += offsets.astype(np.float32)[:, None]
    counts: NDArray[np.int64] = np.count_nonzero(np.abs(signed, out=signed) < distance, axis=1)
    return counts


def _refit(points: _Points, plane: Plane, distance: float) -> Plane | None:
    """The least-squares plane of the inliers, repeated until they stay the same; None when they fit no plane."""
    inliers = plane.distances(points) < distance
    for _ in range(_REFITS):
        if inliers.sum() < 3:
            return None
        normals, offsets, planar = _least_squares(points[None, inliers])
        if not planar[0]:
            return None
        plane = Plane(normals[0], float(offsets[0]))
        previous, inliers = inliers, plane.distances(points) < distance
        if np.array_equal(previous, inliers):
            break
    return plane
