"""What flows from the data sets to the stages: records, samples, prepared samples and patch features.

These are plain containers without behaviour, so that every room can name them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
Modality = Literal["rgb", "xyz"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MODALITIES: tuple[Modality, ...] = ("rgb", "xyz")
GOOD = "good"

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class SampleRecord:
    """One sample as listed by a data set, before any file is read.

    `name` is unique in its category and the same on every machine: "test/hole/003".
    `files` maps a role ("rgb", "xyz", "mask", ...) to a file; a role that a sample lacks is absent. Every file that
    reading the sample depends on has a role, because their content decides whether features are up to date.
    """

    name: str
    split: Split
    defect: str
    files: Mapping[str, Path]

    @property
    def label(self) -> int:
        """1 for a defective part, 0 for a good one."""
        return int(self.defect != GOOD)


@dataclass(frozen=True)
class Sample:
    """One sample as read from its files.

    rgb: (H, W, 3) uint8; None without an image. xyz: (H, W, 3) float32, metres, camera frame, and valid: (H, W), where
    there is a point; both None without a scan. mask: (H, W), defect pixels, all False on good parts; None where
    nobody has marked them.
    """

    record: SampleRecord
    rgb: NDArray[np.uint8] | None
    xyz: NDArray[np.float32] | None
    valid: BoolArray | None
    mask: BoolArray | None


@dataclass(frozen=True)
class CloudSample:
    """One unorganized point cloud, as read or as registered.

    points: (N, 3) float32, metres, in the order of the file. defect: (N,), which of them are on a defect.
    """

    record: SampleRecord
    points: NDArray[np.float32]
    defect: BoolArray


@dataclass(frozen=True)
class PreparedSample:
    """One sample after preprocessing (METHOD 1): square, of `size` pixels, background removed.

    rgb: (3, size, size) float32 in [0, 1]. xyz: (3, size, size) float32, metres, 0 where invalid.
    valid, mask: (size, size). What the sample lacks is None, as in `Sample`.
    notes: what preprocessing could not do ("no plane: ..."), for the run's record.
    rgb_fine: the image at a multiple of `size`, where it was asked for.
    """

    record: SampleRecord
    rgb: NDArray[np.float32] | None
    xyz: NDArray[np.float32] | None
    valid: BoolArray | None
    mask: BoolArray | None
    notes: tuple[str, ...] = ()
    rgb_fine: NDArray[np.float32] | None = None


class Scan(NamedTuple):
    """The 3D half of a prepared sample: xyz (3, size, size) and valid (size, size)."""

    xyz: NDArray[np.float32]
    valid: BoolArray


def image_of(sample: PreparedSample) -> NDArray[np.float32]:
    """The image (3, size, size) of a sample that must have one."""
    if sample.rgb is None:
        raise ValueError(f"{sample.record.name} has no image")
    return sample.rgb


def scan_of(sample: PreparedSample) -> Scan:
    """The scan of a sample that must have one."""
    if sample.xyz is None or sample.valid is None:
        raise ValueError(f"{sample.record.name} has no 3D scan")
    return Scan(sample.xyz, sample.valid)


@dataclass(frozen=True)
class PatchFeatures:
    """Patch features of one sample and one modality on a `grid` x `grid` raster, row by row.

    valid: (grid * grid,), which patches have a feature. values: (number of valid patches, D), in raster order.
    Of an unorganized cloud: m groups of points, on no raster. grid is 0, valid (m,) all True, values (m, D).
    """

    values: FloatArray
    valid: BoolArray
    grid: int

    @property
    def dimension(self) -> int:
        """D, the length of one patch feature."""
        return int(self.values.shape[1])
