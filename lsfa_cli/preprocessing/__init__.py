"""From a raw sample to a prepared one (METHOD 1, steps 2 to 5)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing.clusters import largest_cluster
from lsfa_cli.preprocessing.plane import Plane, border, fit_plane
from lsfa_cli.preprocessing.resize import pad_to_square, resize_mask, resize_nearest, resize_rgb
from lsfa_cli.samples import BoolArray, PreparedSample, Sample

PREPROCESSING_VERSION = 1
"""Raise it with every change that can change a prepared sample: it is part of the cache's keys."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What preprocessing takes from the data set where the user sets nothing else; the defaults are MVTec 3D-AD's.

    pad_multiple: the square's side is rounded up to a multiple of this, pixels. Distances in metres; the meanings
    are in `settings.ExtractSettings`.
    """

    remove_plane: bool = True
    plane_inlier_distance: float = 0.004
    plane_removal_distance: float = 0.005
    pad_multiple: int = 100
    keep_largest_cluster: bool = True
    cluster_distance: float = 0.006
    cluster_min_points: int = 30


RESIZING_ALONE = Recipe(remove_plane=False, keep_largest_cluster=False, pad_multiple=1)
"""Of samples whose background is to stay, or is gone when they are read."""


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions(Recipe):
    """The constants of METHOD 1: a data set's recipe, and what is the same for all. Widths and sizes in pixels."""

    image_size: int = 224
    rgb_fine: int = 1
    border_width: int = 10
    plane_sample_points: int = 50
    plane_draws: int = 1000
    seed: int = 0


def prepare(sample: Sample, options: PreprocessOptions) -> PreparedSample:
    """Remove the background plane, pad to a square, keep the largest cluster, resize to `options.image_size`.

    What the recipe leaves out, or the sample lacks, is skipped. The sample's arrays are not changed.
    Raises `DataError`, naming the cloud's file, when no point is left.
    """
    rgb = None if sample.rgb is None else sample.rgb.copy()
    size, multiple = options.image_size, options.pad_multiple
    notes: tuple[str, ...] = ()
    xyz = small_valid = None
    if sample.xyz is not None and sample.valid is not None:
        valid = sample.valid.copy()
        _, notes = _remove_background(sample, rgb, sample.xyz, valid, options)
        small_valid = resize_nearest(pad_to_square(valid, multiple), size)
        _require_points(sample, small_valid, f"resizing to {size} pixels")
        small = resize_nearest(pad_to_square(sample.xyz, multiple), size)
        xyz = np.ascontiguousarray(np.where(small_valid[..., None], small, np.float32(0)).transpose(2, 0, 1))
    square = None if rgb is None else pad_to_square(rgb, multiple)
    return PreparedSample(
        record=sample.record,
        rgb=None if square is None else _resized_image(square, size),
        rgb_fine=None if square is None or options.rgb_fine == 1 else _resized_image(square, size * options.rgb_fine),
        xyz=xyz,
        valid=small_valid,
        mask=None if sample.mask is None else resize_mask(pad_to_square(sample.mask, multiple), size),
        notes=notes,
    )


def _remove_background(
    sample: Sample,
    rgb: NDArray[np.uint8] | None,
    xyz: NDArray[np.float32],
    valid: BoolArray,
    options: PreprocessOptions,
) -> tuple[Plane | None, tuple[str, ...]]:
    """Steps 2 and 4, in place. Returns the plane, if one was removed, and notes."""
    plane: Plane | None = None
    notes: tuple[str, ...] = ()
    _require_points(sample, valid, "reading it")
    if options.remove_plane:
        plane, notes = _remove_plane(rgb, xyz, valid, options)
        _require_points(sample, valid, "removing the background plane")
    if options.keep_largest_cluster:
        _keep_largest_cluster(rgb, xyz, valid, options)
        _require_points(sample, valid, f"DBSCAN ({options.cluster_distance} m, {options.cluster_min_points} points)")
    return plane, notes


def part_points(sample: Sample, options: PreprocessOptions) -> tuple[BoolArray, Plane | None]:
    """Which points (H, W) of a raw sample preprocessing keeps, those of the part, and the plane behind it, if any.

    ValueError without a scan; raises `DataError` as `prepare` does.
    """
    if sample.xyz is None or sample.valid is None:
        raise ValueError(f"{sample.record.name} has no 3D scan")
    valid = sample.valid.copy()
    plane, _ = _remove_background(sample, None, sample.xyz, valid, options)
    return valid, plane


def _resized_image(square: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """(S, S, 3) to (3, size, size), in [0, 1]."""
    return to_float(resize_rgb(square, size).transpose(2, 0, 1))


def to_float(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An 8-bit image as float32 in [0, 1]."""
    return np.divide(rgb, np.float32(255), dtype=np.float32, order="C")


def _remove_plane(
    rgb: NDArray[np.uint8] | None, xyz: NDArray[np.float32], valid: BoolArray, options: PreprocessOptions
) -> tuple[Plane | None, tuple[str, ...]]:
    """Step 2, in place: points near the border's plane become invalid and black. Returns the plane and notes.

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
        return None, (f"no plane: {len(points)} valid points on the border do not determine one",)
    background = valid & (plane.distances(xyz) < options.plane_removal_distance)
    valid &= ~background
    if rgb is not None:
        rgb[background] = 0
    return plane, ()


def _keep_largest_cluster(
    rgb: NDArray[np.uint8] | None, xyz: NDArray[np.float32], valid: BoolArray, options: PreprocessOptions
) -> None:
    """Step 4, in place: points of the rest become invalid and black."""
    keep = largest_cluster(xyz, valid, distance=options.cluster_distance, min_points=options.cluster_min_points)
    if rgb is not None:
        rgb[valid & ~keep] = 0
    valid &= keep


def _require_points(sample: Sample, valid: BoolArray, after: str) -> None:
    if not valid.any():
        raise DataError(
            f"{_scan_file(sample)}: no point is left after {after}.",
            hint="Look at the cloud: is it in metres, and is there a part above a flat background? "
            "For parts of your own, lsfa data fit measures the distances.",
        )


def _scan_file(sample: Sample) -> Path | str:
    files = sample.record.files
    return files.get("xyz") or files.get("depth") or sample.record.name
