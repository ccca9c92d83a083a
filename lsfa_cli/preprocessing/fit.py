"""Constants of preprocessing for a part of any size, measured on good samples.

METHOD 1's constants are for objects of about 10 cm at half a metre. Here all lengths come from the scans themselves,
so that a scene ten times as large gives constants ten times as large and keeps the same points. The factors are such
that cable_gland of MVTec 3D-AD gives about METHOD's: 8 and 10 deviations of its cloth are the 4 and 5 mm of the
plane, and a tenth of the part is the 6 mm of a cluster.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.preprocessing import PreprocessOptions
from lsfa_cli.preprocessing.clusters import dbscan
from lsfa_cli.preprocessing.plane import Plane, border, fit_plane
from lsfa_cli.samples import BoolArray, Scan
from lsfa_cli.wording import length

INLIER_DEVIATIONS, REMOVAL_DEVIATIONS = 8.0, 10.0
# No plane is thinner than this many points apart, however little noise was measured: depth comes in steps.
INLIER_SPACINGS, REMOVAL_SPACINGS = 2.0, 2.5
CLUSTER_SHARE = 0.1  # of the part's size
CLUSTER_SPACINGS = 4.0
# A cluster's least points, as a share of those in a full disc of its distance, and their bounds.
CLUSTER_DENSITY = 0.02
CLUSTER_POINTS = (4, 100)

_FIRST_INLIER = 0.02  # of the border's extent
_REFITS = 5
_FLAT = 0.0075  # a border whose deviation is a larger share of its extent is no plane
_PLANE_SHARE = 0.5  # of the border's points that must be on the plane
_SAMPLE_SHARE = 0.8  # of the samples that must agree
_LEAST_PART = 0.005  # of the points, that removing the plane must leave
_SIZE_QUANTILES = (0.02, 0.98)
_FIRST_CLUSTER_SPACINGS = 10.0
_SIGMA = 1.4826  # from a median of absolute deviations to a standard deviation
_LIKELY_SIZES = (0.001, 3.0)  # metres
_SECOND_PIECE = 0.2
_HIGH_SHARE = 0.25

Value = bool | int | float
Scans = Callable[[], Iterable[Scan]]


@dataclass(frozen=True)
class Measured:
    """What was found on the good samples. Lengths in metres.

    spacing: median distance of neighbouring points. noise: deviation of the border's points from their plane, None
    without a plane. part_size: the diagonal of what stays. part_share: how much of all points stay. height: how far
    the part rises above the plane, None without one. second: points of the second largest cluster, as a share of the
    largest.
    """

    samples: int
    planes: int
    spacing: float
    noise: float | None
    part_size: float
    part_share: float
    height: float | None
    second: float


@dataclass(frozen=True)
class Proposal:
    """Keys of `Recipe` with proposed values, why, and what the user should look at."""

    measured: Measured
    values: Mapping[str, Value]
    reasons: Mapping[str, str]
    remarks: tuple[str, ...] = ()


class NoNeighborsError(ValueError):
    """A scan has no two points side by side, so that nothing can be measured on it."""


class _Border(NamedTuple):
    """spacing: m. noise: of the border's plane, None where the border is no plane."""

    spacing: float
    noise: float | None


class _Background(NamedTuple):
    """How the background is removed; None is not at all."""

    inlier: float
    removal: float


@dataclass
class _Parts:
    """What is left of the samples without their background."""

    shares: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)


def propose(scans: Scans, options: PreprocessOptions | None = None) -> Proposal:
    """Constants for the scans of good samples. `scans` is called a few times and gives them anew each time.

    options: width of the border, draws and seed are taken from it. Raises `NoNeighborsError`.
    """
    options = options or PreprocessOptions()
    borders = [_measure_border(scan, options) for scan in scans()]
    if not borders:
        raise ValueError("no scans")
    spacing = float(np.median([found.spacing for found in borders]))
    noises = [found.noise for found in borders if found.noise is not None]
    background = None
    if len(noises) >= _SAMPLE_SHARE * len(borders):
        noise = float(np.median(noises))
        background = _Background(
            _rounded(max(INLIER_DEVIATIONS * noise, INLIER_SPACINGS * spacing)),
            _rounded(max(REMOVAL_DEVIATIONS * noise, REMOVAL_SPACINGS * spacing)),
        )
    parts = _measure_parts(scans, background, spacing, options)
    enough = sum(share >= _LEAST_PART for share in parts.shares)
    left = background is None or enough >= _SAMPLE_SHARE * len(borders)
    if not left:
        background = None
        parts = _measure_parts(scans, background, spacing, options)
    size = float(np.median(parts.sizes))
    distance = _rounded(max(CLUSTER_SHARE * size, CLUSTER_SPACINGS * spacing))
    least = int(np.clip(round(CLUSTER_DENSITY * np.pi * (distance / spacing) ** 2), *CLUSTER_POINTS))
    alone, second = _clusters(scans, background, distance, least, options)
    measured = Measured(
        samples=len(borders),
        planes=len(noises),
        spacing=spacing,
        noise=float(np.median(noises)) if noises else None,
        part_size=size,
        part_share=float(np.median(parts.shares)),
        height=float(np.median(parts.heights)) if parts.heights else None,
        second=second,
    )
    return _proposal(measured, background, left, _Clusters(distance, least, alone))


class _Clusters(NamedTuple):
    """distance, min_points: proposed. alone: whether every sample is one cluster and nothing else."""

    distance: float
    min_points: int
    alone: bool


def _proposal(measured: Measured, background: _Background | None, left: bool, clusters: _Clusters) -> Proposal:
    values: dict[str, Value] = {"remove_plane": background is not None}
    reasons = {"remove_plane": _plane_reason(measured, background, left)}
    remarks = []
    if not _LIKELY_SIZES[0] <= measured.part_size <= _LIKELY_SIZES[1]:
        remarks.append(
            f"is the part {length(measured.part_size)} large? If not, the unit of the scans is another one: set "
            '[depth] scale (0.001 for millimetres) or [cloud] unit (such as "mm") and fit again'
        )
    if background is not None and measured.noise is not None:
        values["plane_inlier_distance"], values["plane_removal_distance"] = background
        for key, factor, spacings in (
            ("plane_inlier_distance", INLIER_DEVIATIONS, INLIER_SPACINGS),
            ("plane_removal_distance", REMOVAL_DEVIATIONS, REMOVAL_SPACINGS),
        ):
            reasons[key] = (
                f"{factor:.0f} times the border's deviation from a plane ({length(measured.noise)}), at least "
                f"{spacings:g} times the distance of the points ({length(measured.spacing)})"
            )
        if measured.height is not None and background.removal > _HIGH_SHARE * measured.height:
            remarks.append(
                f"the part rises {length(measured.height)} above the plane, and its lowest "
                f"{length(background.removal)} are taken for background: look at it (lsfa data show --preprocessed), "
                "or use a flatter background"
            )
    values["keep_largest_cluster"] = not clusters.alone
    if clusters.alone:
        reasons["keep_largest_cluster"] = "every sample is one cluster anyway"
    else:
        values["cluster_distance"], values["cluster_min_points"] = clusters.distance, clusters.min_points
        reasons["keep_largest_cluster"] = "there are points apart from the part"
        reasons["cluster_distance"] = (
            f"{CLUSTER_SHARE:.0%} of the part from corner to corner ({length(measured.part_size)}), at least "
            f"{CLUSTER_SPACINGS:g} times the distance of the points ({length(measured.spacing)})"
        )
        reasons["cluster_min_points"] = f"{CLUSTER_DENSITY:.0%} of the points that a full disc of that distance has"
        if measured.second > _SECOND_PIECE:
            remarks.append(
                f"the second largest cluster has {measured.second:.0%} of the largest one's points and is dropped: if "
                "the part has several pieces, set keep_largest_cluster = false"
            )
    return Proposal(measured, values, reasons, tuple(remarks))


def _plane_reason(measured: Measured, background: _Background | None, left: bool) -> str:
    planes = f"the image's border is a plane in {measured.planes} of {measured.samples} samples"
    if background is not None:
        return f"{planes}; without it {measured.part_share:.1%} of the points are left"
    return planes if left else f"{planes}, but without it next to nothing is left: the part itself is that flat"


def _rounded(value: float) -> float:
    """Two digits: more would claim what was not measured."""
    return float(f"{value:.2g}")


def _measure_border(scan: Scan, options: PreprocessOptions) -> _Border:
    spacing = _spacing(scan)
    height, width = scan.valid.shape
    on_border = border(height, width, options.border_width)
    points = scan.xyz[on_border & scan.valid].astype(np.float64)
    return _Border(spacing, _noise(points, spacing, options))


def _spacing(scan: Scan) -> float:
    """The median distance, metres, of points that are neighbours in a row or column."""
    gaps = []
    for axis in (0, 1):
        first, second = (slice(None, -1), slice(1, None))
        before = (first, slice(None)) if axis == 0 else (slice(None), first)
        after = (second, slice(None)) if axis == 0 else (slice(None), second)
        both = scan.valid[before] & scan.valid[after]
        difference = scan.xyz[after][both].astype(np.float64) - scan.xyz[before][both]
        gaps.append(np.sqrt((difference**2).sum(axis=1)))
    every = np.concatenate(gaps)
    spacing = float(np.median(every[every > 0])) if (every > 0).any() else 0.0
    if spacing == 0:
        raise NoNeighborsError("a scan has no two neighbouring points")
    return spacing


def _noise(points: NDArray[np.float64], spacing: float, options: PreprocessOptions) -> float | None:
    """The deviation (m) of border points (N, 3) from their plane, None when they are on none."""
    if len(points) < options.plane_sample_points:
        return None
    low, high = np.quantile(points, (0.05, 0.95), axis=0)
    extent = float(np.linalg.norm(high - low))
    inlier = _FIRST_INLIER * extent
    for _ in range(_REFITS):
        plane = _fit(points, inlier, options) if inlier > 0 else None
        if plane is None:
            return None
        distances = plane.distances(points)
        near = distances < inlier
        noise = _SIGMA * float(np.median(distances[near]))
        narrower = max(INLIER_DEVIATIONS * noise, INLIER_SPACINGS * spacing)
        if narrower >= inlier:
            break
        inlier = narrower
    return noise if near.mean() >= _PLANE_SHARE and noise <= _FLAT * extent else None


def _fit(points: NDArray[np.floating], inlier: float, options: PreprocessOptions) -> Plane | None:
    return fit_plane(
        points,
        inlier_distance=inlier,
        sample_points=options.plane_sample_points,
        draws=options.plane_draws,
        seed=options.seed,
    )


def _without_background(
    scan: Scan, background: _Background | None, options: PreprocessOptions
) -> tuple[BoolArray, Plane | None]:
    """Which points stay (H, W) when the plane is removed as `prepare` does it, and the plane."""
    if background is None:
        return scan.valid, None
    on_border = border(scan.valid.shape[0], scan.valid.shape[1], options.border_width)
    plane = _fit(scan.xyz[on_border & scan.valid], background.inlier, options)
    if plane is None:
        return scan.valid, None
    return scan.valid & (plane.distances(scan.xyz) >= background.removal), plane


def _measure_parts(scans: Scans, background: _Background | None, spacing: float, options: PreprocessOptions) -> _Parts:
    parts = _Parts()
    for scan in scans():
        stays, plane = _without_background(scan, background, options)
        points = scan.xyz[stays].astype(np.float64)
        if len(points):
            labels = dbscan(points, distance=_FIRST_CLUSTER_SPACINGS * spacing, min_points=CLUSTER_POINTS[0])
            if labels.max() >= 0:
                points = points[labels == np.bincount(labels[labels >= 0]).argmax()]
        parts.shares.append(len(points) / int(scan.valid.sum()))
        parts.sizes.append(_size(points))
        if plane is not None and len(points):
            parts.heights.append(float(np.quantile(plane.distances(points), _SIZE_QUANTILES[1])))
    return parts


def _size(points: NDArray[np.float64]) -> float:
    """The diagonal (m) of the box that holds nearly all of the points (N, 3)."""
    if not len(points):
        return 0.0
    low, high = np.quantile(points, _SIZE_QUANTILES, axis=0)
    return float(np.linalg.norm(high - low))


def _clusters(
    scans: Scans, background: _Background | None, distance: float, min_points: int, options: PreprocessOptions
) -> tuple[bool, float]:
    """Whether every sample is one cluster, and the median share of the second largest beside the largest."""
    alone, second = True, []
    for scan in scans():
        stays, _ = _without_background(scan, background, options)
        labels = dbscan(scan.xyz[stays], distance=distance, min_points=min_points)
        counts = np.sort(np.bincount(labels[labels >= 0], minlength=2))[::-1]
        alone = alone and len(labels) > 0 and int(counts[0]) == len(labels)
        second.append(float(counts[1] / counts[0]) if counts[0] else 0.0)
    return alone, float(np.median(second))
