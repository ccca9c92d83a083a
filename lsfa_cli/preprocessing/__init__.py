"""From a raw sample to a prepared one (METHOD 1, steps 2 to 5)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing.clusters import largest_cluster
from lsfa_cli.preprocessing.plane import border, fit_plane
from lsfa_cli.preprocessing.resize import pad_to_square, resize_mask, resize_nearest, resize_rgb
from lsfa_cli.samples import BoolArray, PreparedSample, Sample

PREPROCESSING_VERSION = 1
"""Raise it with every change that can change a prepared sample: it is part of the cache's keys."""


@dataclass(frozen=True)
class PreprocessOptions:
    """The constants of METHOD 1; their defaults and meanings are in `settings.ExtractSettings`.

    Widths and sizes in pixels, distances in metres.
    """

    image_size: int
    border_width: int
    plane_inlier_distance: float
    plane_sample_points: int
    plane_draws: int
    plane_removal_distance: float
    cluster_distance: float
    cluster_min_points: int
    seed: int


def prepare(sample: Sample, options: PreprocessOptions) -> PreparedSample:
    """Remove the background plane, pad to a square, keep the largest cluster, resize to `options.image_size`.

    The sample's arrays are not changed. Raises `DataError`, naming the cloud's file, when no point is left.
    """
    rgb, valid = sample.rgb.copy(), sample.valid.copy()
    notes = _remove_plane(rgb, sample.xyz, valid, options)
    _require_points(sample, valid, "removing the background plane")
    _keep_largest_cluster(rgb, sample.xyz, valid, options)
    _require_points(sample, valid, f"DBSCAN ({options.cluster_distance} m, {options.cluster_min_points} points)")
    size = options.image_size
    small_valid = resize_nearest(pad_to_square(valid), size)
    _require_points(sample, small_valid, f"resizing to {size} pixels")
    xyz = np.where(small_valid[..., None], resize_nearest(pad_to_square(sample.xyz), size), np.float32(0))
    return PreparedSample(
        record=sample.record,
        rgb=to_float(resize_rgb(pad_to_square(rgb), size).transpose(2, 0, 1)),
        xyz=np.ascontiguousarray(xyz.transpose(2, 0, 1)),
        valid=small_valid,
        mask=resize_mask(pad_to_square(sample.mask), size),
        notes=notes,
    )


def to_float(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An 8-bit image as float32 in [0, 1]."""
    return np.divide(rgb, np.float32(255), dtype=np.float32, order="C")


def _remove_plane(
    rgb: NDArray[np.uint8], xyz: NDArray[np.float32], valid: BoolArray, options: PreprocessOptions
) -> tuple[str, ...]:
    """Step 2, in place: points near the border's plane become invalid and black. Returns notes.

    Pixels that never had a point keep their colour, as published.
    """
    height, width = valid.shape
    points = xyz[border(height, width, options.border_width) & valid]
    plane = fit_plane(
        points,
        inlier_distance=options.plane_inlier_distance,
        sample_points=options.plane_sample_points,
        draws=options.plane_draws,
        seed=options.seed,
    )
    if plane is None:
        return (f"no plane: {len(points)} valid points on the border do not determine one",)
    background = valid & (plane.distances(xyz) < options.plane_removal_distance)
    valid &= ~background
    rgb[background] = 0
    return ()


def _keep_largest_cluster(
    rgb: NDArray[np.uint8], xyz: NDArray[np.float32], valid: BoolArray, options: PreprocessOptions
) -> None:
    """Step 4, in place: points of the rest become invalid and black."""
    keep = largest_cluster(xyz, valid, distance=options.cluster_distance, min_points=options.cluster_min_points)
    rgb[valid & ~keep] = 0
    valid &= keep


def _require_points(sample: Sample, valid: BoolArray, after: str) -> None:
    if not valid.any():
        raise DataError(
            f"{sample.record.files.get('xyz', sample.record.name)}: no point is left after {after}.",
            hint="Look at the cloud: is it in metres, and is there a part above a flat background?",
        )
