"""The background plane: a robust fit to the points on the image's border (METHOD 1, step 2)."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import BoolArray

# Proposals are compared on at most this many border points, the best few of them on all.
_SCORING_POINTS = 512
_FINALISTS = 6
_REFITS = 10
# Where the middle of the three variances is below this share of the largest, the points lie on a line.
_LINE_RATIO = 1e-6
# Draws, and planes, that are handled at once.
_DRAW_BLOCK = 4096
_SCORE_BLOCK = 64
# Distances over their limit are cut here before they are squared in float32.
_FAR = 1e6

_Points = NDArray[np.float64]
Real = TypeVar("Real", np.float32, np.float64)


class Plane(NamedTuple):
    """The points p with normal . p + offset = 0. normal: (3,) float64 of length 1. offset: metres."""

    normal: NDArray[np.float64]
    offset: float

    def distances(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distances of points (..., 3) to the plane, metres, not negative."""
        # Here and below no matrix product: its rounding may depend on the number of threads.
        signed: NDArray[np.float64] = np.full(points.shape[:-1], self.offset)
        for axis in range(3):
            signed += np.multiply(points[..., axis], self.normal[axis], dtype=np.float64)
        np.abs(signed, out=signed)
        return signed


def border(height: int, width: int, border_width: int) -> BoolArray:
    """(height, width) bool: True on the outermost `border_width` rows and columns."""
    outside = np.ones((height, width), dtype=bool)
    outside[border_width : height - border_width, border_width : width - border_width] = False
    return outside


def fit_plane(
    points: NDArray[np.floating], *, inlier_distance: float, sample_points: int, draws: int, seed: int
) -> Plane | None:
    """The plane of most of the points (N, 3), metres: RANSAC, robust to a part that crosses the border.

    Each draw takes `sample_points` random points and proposes two planes: their least-squares plane, as published, and
    the plane through the first three. The former is precise, but no draw of 50 is free of outliers once the part
    crosses a third of the border; the latter is rough, but often free of them. The best proposals are refitted to
    their inliers, the points nearer than `inlier_distance`, until these stay the same.

    A plane's score is the sum of Tukey's biweights of its distances. The plain number of inliers prefers a tilted plane
    that has a bit of the background and a bit of the part.

    None when there are fewer than `sample_points` points, or when they determine no plane.
    """
    if sample_points < 3:
        raise ValueError(f"a plane takes 3 points, not {sample_points}")
    if len(points) < sample_points:
        return None
    # Near the points, so that little is lost to rounding; the mean would follow a stray point far away.
    centre = np.median(points, axis=0).astype(np.float64)
    centred = points - centre
    random = np.random.default_rng(seed)
    normals, offsets = _propose(centred, random, sample_points, draws)
    scored = centred
    if len(centred) > _SCORING_POINTS:
        scored = centred[random.choice(len(centred), _SCORING_POINTS, replace=False)]
    rough = _scores(scored, normals, offsets, inlier_distance)
    best, plane = 0.0, None
    for index in np.argsort(-rough, kind="stable")[:_FINALISTS]:
        candidate = _refit(centred, Plane(normals[index], float(offsets[index])), inlier_distance)
        if candidate is None:
            continue
        score = float(_biweight(candidate.distances(centred) / inlier_distance).sum())
        if score > best:
            best, plane = score, candidate
    if plane is None:
        return None
    return Plane(plane.normal, plane.offset - float((plane.normal * centre).sum()))


def _propose(points: _Points, random: np.random.Generator, sample_points: int, draws: int) -> tuple[_Points, _Points]:
    """Unit normals (P, 3) and offsets (P,) of the planes that the draws propose; P is at most 2 `draws`."""
    normals, offsets = [], []
    for start in range(0, draws, _DRAW_BLOCK):
        count = min(_DRAW_BLOCK, draws - start)
        samples = points[random.integers(len(points), size=(count, sample_points))]
        fitted, fitted_offsets, _ = _least_squares(samples)
        crossed = np.cross(samples[:, 1] - samples[:, 0], samples[:, 2] - samples[:, 0])
        length = np.linalg.norm(crossed, axis=1)
        through = crossed[length > 0] / length[length > 0, None]
        normals += [fitted, through]
        offsets += [fitted_offsets, -(through * samples[length > 0, 0]).sum(axis=1)]
    return np.concatenate(normals), np.concatenate(offsets)


def _least_squares(samples: _Points) -> tuple[_Points, _Points, BoolArray]:
    """Planes of sets of points (B, N, 3): unit normals (B, 3), offsets (B,), and which sets determine a plane (B,)."""
    centres = samples.mean(axis=1)
    centred = samples - centres[:, None, :]
    spread, directions = np.linalg.eigh(np.einsum("bni,bnj->bij", centred, centred))
    normals = directions[:, :, 0]
    return normals, -(normals * centres).sum(axis=1), spread[:, 1] > _LINE_RATIO * spread[:, 2]


def _scores(points: _Points, normals: _Points, offsets: _Points, distance: float) -> NDArray[np.float32]:
    """The scores (B,) of B planes on points (N, 3), in float32: they only choose what is looked at closely."""
    x, y, z = np.clip(points.T / distance, -_FAR, _FAR).astype(np.float32)
    shift = np.clip(offsets / distance, -_FAR, _FAR).astype(np.float32)
    scores = np.empty(len(normals), dtype=np.float32)
    for start in range(0, len(normals), _SCORE_BLOCK):
        block = slice(start, start + _SCORE_BLOCK)
        a, b, c = normals[block, :, None].astype(np.float32).transpose(1, 0, 2)
        signed = a * x
        signed += b * y
        signed += c * z
        signed += shift[block, None]
        scores[block] = _biweight(signed).sum(axis=1)
    return scores


def _biweight(relative: NDArray[Real]) -> NDArray[Real]:
    """Tukey's biweight (1 - r^2)^3 of distances over their limit, 0 beyond it. Overwrites its argument."""
    np.square(relative, out=relative)
    np.subtract(1, relative, out=relative)
    np.maximum(relative, 0, out=relative)
    relative *= relative * relative
    return relative


def _refit(points: _Points, plane: Plane, distance: float) -> Plane | None:
    """The least-squares plane of the inliers, repeated until they stay the same; None when they determine no plane."""
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
