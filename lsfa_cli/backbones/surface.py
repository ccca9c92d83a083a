"""Local shape of an organized point cloud: an offline 3D backbone without weights and without Open3D.

Around each pixel, at several scales, it describes how the surface leaves the tangent plane. With unit direction d
from a point to a neighbour, n the normal at the point and m the normal at the neighbour, the elevations n . d and
m . d are both 0 on a plane; they have opposite signs on a smooth curved surface, and tell a dent from a bump and an
edge from a roll. These are angles of FPFH; here they are taken on the pixel raster, without a search for neighbours,
at several scales, and counted in bins that are narrow near 0, where most of a machined surface lies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.backbones.base import BackboneArguments, IdentityValue, Projection, refuse_weights
from lsfa_cli.errors import DataError
from lsfa_cli.pointcloud import points_of, valid_points
from lsfa_cli.projection import pooling_matrix, require_grid, to_patches
from lsfa_cli.samples import BoolArray, FloatArray, Modality, PatchFeatures, PreparedSample, scan_of

Float32 = NDArray[np.float32]

# Steps between the pixels of a neighbourhood of 5 x 5 without its corners.
SCALES = (1, 2, 4)
# Positions of the bins of an elevation (a sine, -1 to 1).
BINS = (-1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0)

_REACH = 2
# Radius of a neighbourhood in space over its radius in the raster: surfaces tilted by up to 48 degrees fit whole.
_SPACE = 1.5
# Offsets of a neighbourhood, and the sum of their weights on a plane that faces the camera.
_OFFSETS = tuple(
    (row, column)
    for row in range(-_REACH, _REACH + 1)
    for column in range(-_REACH, _REACH + 1)
    if 0 < row**2 + column**2 <= _REACH**2 + 1
)
_WHOLE = sum(1 - (row**2 + column**2) / (_SPACE * (_REACH + 0.5)) ** 2 for row, column in _OFFSETS)
# Stands for the points of invalid pixels: too far to be anyone's neighbour, and its square is still a float32.
_FAR = 1e6


class Surface:
    """Histograms of elevations over and under the tangent plane at three scales: 54 values a pixel, 0 to 1 each.

    The values do not change when the part is moved or turned about the camera's axis, or when cloud and raster are
    scaled together. Points across a depth edge are not neighbours: neighbourhoods are balls in space, with a radius
    in units of the distance between pixels. Clouds in which no two adjacent pixels have a point are a `DataError`.
    """

    @dataclass(frozen=True)
    class Arguments(BackboneArguments):
        """`surface` has no arguments."""

    modality: Modality = "xyz"
    dimension = 2 * len(BINS) * len(SCALES)

    def __init__(
        self,
        arguments: Arguments,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        image_size: int = 224,
        grid: int = 56,
        projection: Projection = "public",
        local_average: bool = False,
    ) -> None:
        refuse_weights("surface", weights)
        self.grid = require_grid(grid, image_size)
        self.projection = projection
        self.identity: dict[str, IdentityValue] = {"name": "surface", "arguments": arguments.canonical(), "version": 1}
        self.notes: tuple[str, ...] = ()

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Patch features (at most grid * grid, 54) of each sample."""
        return [self._patches(sample) for sample in samples]

    def _patches(self, sample: PreparedSample) -> PatchFeatures:
        points_of(sample, 2, "surface")
        xyz, valid = scan_of(sample)
        if point_spacing(xyz, valid) == 0:
            file = sample.record.files.get("xyz", sample.record.name)
            raise DataError(f"{file}: backbone surface needs adjacent pixels with points, and all of them are alone.")
        features = pixel_features(xyz, valid)
        matrix = pooling_matrix(valid, self.grid, self.projection)
        return to_patches(features, matrix, valid, self.grid)


def pixel_features(xyz: FloatArray, valid: BoolArray) -> Float32:
    """Features of the valid pixels in raster order: xyz (3, S, S), metres, valid (S, S), to (n, 54).

    Columns: for each scale the bins of n . d, then those of m . d. Each block sums to 1, and to less for a pixel with
    less than half of its neighbourhood, down to 0 without neighbours. ValueError when no two adjacent pixels are valid.
    """
    spacing = point_spacing(xyz, valid)
    if spacing == 0:
        raise ValueError("no two adjacent pixels are valid")
    raster = _Raster(valid)
    points = valid_points(xyz, valid).T.astype(np.float32)
    normals = surface_normals(points, raster, spacing)
    columns: list[Float32] = []
    for step in SCALES:
        columns += _elevation_histograms(points, normals, raster, step, spacing)
    return np.stack(columns, axis=1)


def point_spacing(xyz: FloatArray, valid: BoolArray) -> float:
    """Median distance between points of adjacent pixels, metres; 0 where no two adjacent pixels are valid."""
    squared = []
    for first, second in (((slice(1, None),), (slice(-1),)), ((slice(None), slice(1, None)), (slice(None), slice(-1)))):
        both = valid[first] & valid[second]
        apart = xyz[(slice(None), *first)][:, both] - xyz[(slice(None), *second)][:, both]
        squared.append(np.einsum("an,an->n", apart, apart, dtype=np.float64))
    together = np.concatenate(squared)
    return float(np.sqrt(np.median(together))) if len(together) else 0.0


class _Raster:
    """Where the valid pixels of an organized cloud lie, to find the pixel at an offset from each of them."""

    def __init__(self, valid: BoolArray) -> None:
        self._margin = _REACH * max(SCALES)
        self.count = int(np.count_nonzero(valid))
        rows, columns = np.nonzero(valid)
        self._width = valid.shape[1] + 2 * self._margin
        self._positions = (rows + self._margin) * self._width + columns + self._margin
        self._index = np.full((valid.shape[0] + 2 * self._margin) * self._width, self.count, dtype=np.intp)
        self._index[self._positions] = np.arange(self.count)

    def neighbors(self, step: int) -> Iterator[NDArray[np.intp]]:
        """For each offset of the neighbourhood but (0, 0), the number of each valid pixel's neighbour there, (n,).

        Numbers count valid pixels in raster order; `count` stands for a pixel that is invalid or outside.
        """
        for row, column in _OFFSETS:
            yield self._index[self._positions + (row * self._width + column) * step]


def _directions(
    points: Float32, raster: _Raster, step: int, spacing: float
) -> Iterator[tuple[NDArray[np.intp], Float32, Float32, Float32]]:
    """For each offset: neighbours (n,), differences (3, n), squared distances (n,) and weights (n,).

    Differences are in units of the ball's radius; the weight falls from 1 at its centre to 0 at the radius and is 0
    without a neighbour.
    """
    scale = np.float32(1.0 / (_SPACE * (_REACH + 0.5) * step * spacing))
    padded = np.concatenate([points, np.full((3, 1), _FAR, dtype=np.float32)], axis=1)
    for neighbors in raster.neighbors(step):
        difference = np.take(padded, neighbors, axis=1)
        difference -= points
        difference *= scale
        squared = _dot(difference, difference)
        yield neighbors, difference, squared, np.maximum(1 - squared, 0)


def _dot(first: Float32, second: Float32) -> Float32:
    """Products of the columns of two arrays (3, n)."""
    product: Float32 = first[0] * second[0]
    product += first[1] * second[1]
    product += first[2] * second[2]
    return product


def surface_normals(points: Float32, raster: _Raster, spacing: float) -> Float32:
    """Unit normals (3, n) towards the camera (negative z): the direction of least variance at the finest scale.

    Points whose neighbourhood has no plane (alone, or on a line) take the camera's axis.
    """
    total = np.ones(raster.count, dtype=np.float32)
    first = np.zeros((3, raster.count), dtype=np.float32)
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    second = np.zeros((6, raster.count), dtype=np.float32)
    for _, difference, _, weight in _directions(points, raster, 1, spacing):
        weighted = difference * weight
        total += weight
        first += weighted
        for position, (a, b) in enumerate(pairs):
            second[position] += weighted[a] * difference[b]
    mean = (first / total).astype(np.float64)
    covariance = second / total - np.stack([mean[a] * mean[b] for a, b in pairs])
    normals = least_eigenvectors(covariance)
    normals[:, normals[2] > 0] *= -1
    alone = ~np.any(normals, axis=0)
    normals[2, alone] = -1
    return normals.astype(np.float32)


def least_eigenvectors(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit eigenvectors (3, n) of the smallest eigenvalues of symmetric matrices; 0 where it is not unique.

    matrices: (6, n), entries 11, 22, 33, 12, 13, 23. In closed form: the eigenvalue from the trigonometric solution
    of the characteristic cubic, the eigenvector as the longest cross product of two rows of M - eigenvalue * 1.
    """
    xx, yy, zz, xy, xz, yz = matrices
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    safe = np.where(spread > 0, spread, 1)
    angle = np.arccos(np.clip(determinant / (2 * safe**3), -1, 1)) / 3
    least = mean + 2 * spread * np.cos(angle + 2 * np.pi / 3)
    rows = np.stack([xx - least, xy, xz]), np.stack([xy, yy - least, yz]), np.stack([xz, yz, zz - least])
    candidates = np.stack([np.cross(rows[i], rows[j], axis=0) for i, j in ((0, 1), (0, 2), (1, 2))])
    length = np.sqrt(np.einsum("kan,kan->kn", candidates, candidates))
    best = length.argmax(axis=0)
    each = np.arange(len(best))
    # Cross products are of the size of the squared spread; far below it the two smallest eigenvalues are equal.
    unique = length[best, each] > 1e-6 * spread**2
    vectors = np.zeros((3, len(best)))
    vectors[:, unique] = candidates[best, :, each].T[:, unique] / length[best, each][unique]
    return vectors


def _elevation_histograms(
    points: Float32, normals: Float32, raster: _Raster, step: int, spacing: float
) -> list[Float32]:
    """Weighted histograms of n . d and m . d over the neighbourhood of each pixel: 2 * len(BINS) arrays (n,).

    A value is shared between the two bins around it. Such a histogram is a difference of the means of min(value, bin)
    over the neighbourhood, which need no sorting of values into bins.
    """
    positions = np.array(BINS, dtype=np.float32)
    capped = np.zeros((2, len(BINS), raster.count), dtype=np.float32)
    total = np.zeros(raster.count, dtype=np.float32)
    padded = np.concatenate([normals, np.zeros((3, 1), dtype=np.float32)], axis=1)
    scratch = np.empty(raster.count, dtype=np.float32)
    for neighbors, difference, squared, weight in _directions(points, raster, step, spacing):
        difference /= np.sqrt(np.maximum(squared, np.float32(1e-12)))
        total += weight
        for sums, normal in zip(capped, (normals, np.take(padded, neighbors, axis=1)), strict=True):
            elevation = _dot(normal, difference)
            for position, mean in zip(positions, sums, strict=True):
                np.minimum(elevation, position, out=scratch)
                np.multiply(scratch, weight, out=scratch)
                np.add(mean, scratch, out=mean)
    # Below half a neighbourhood the few neighbours left are mostly noise of the part's edge: it counts for less.
    divisor = np.maximum(total, 0.5 * _WHOLE)
    capped /= divisor
    # The share of values above a bin, counted in part up to the next one: all before the first, none at the last.
    above = np.diff(capped, axis=1) / np.diff(positions)[:, None]
    everything = np.broadcast_to(total / divisor, (2, 1, raster.count))
    shares = -np.diff(np.concatenate([everything, above, np.zeros_like(everything)], axis=1), axis=1)
    return list(shares.reshape(-1, raster.count))
