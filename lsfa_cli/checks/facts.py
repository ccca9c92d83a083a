"""Simple facts of one sample: sizes, ranges, shares. Several checks judge by them, and the table shows them."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import Sample

# Enough for percentiles, and a fraction of a second for the largest scans.
MOST_VALUES = 20_000
LOW, HIGH = 2.0, 98.0
"""Percentiles that stand for the ends of a range, so that a few wild points do not."""

Vector = tuple[float, float, float]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class ImageFacts:
    """Of an RGB image: the mean of each channel, the range of all values, and their standard deviation; 0 to 255."""

    mean: Vector
    low: float
    high: float
    deviation: float


@dataclass(frozen=True)
class PointFacts:
    """Of a cloud: how many points exist, and percentiles 2, 50 and 98 of each coordinate, metres.

    valid_share: of an organized cloud's pixels; None for unorganized ones.
    """

    count: int
    valid_share: float | None
    low: Vector
    median: Vector
    high: Vector

    @property
    def extent(self) -> Vector:
        """From the low to the high end of each coordinate, metres."""
        x, y, z = (high - low for low, high in zip(self.low, self.high, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Facts:
    """size: (H, W) of image and organized cloud. What the sample lacks is None."""

    size: tuple[int, int] | None
    image: ImageFacts | None
    points: PointFacts | None


def facts_of(sample: Sample) -> Facts:
    """The facts of an image, an organized cloud, or both."""
    image = None if sample.rgb is None else _image_facts(sample.rgb)
    points = None
    if sample.xyz is not None and sample.valid is not None:
        points = point_facts(sample.xyz[sample.valid], float(sample.valid.mean()))
    raster = sample.rgb if sample.rgb is not None else sample.valid
    return Facts(None if raster is None else (raster.shape[0], raster.shape[1]), image, points)


def point_facts(points: NDArray[np.float32], valid_share: float | None = None) -> PointFacts:
    """The facts of points (N, 3), metres. ValueError without any."""
    if not len(points):
        raise ValueError("a cloud without points has no facts")
    # In float64: differences of what a damaged file holds may be beyond float32.
    low, median, high = np.percentile(thinned(points).astype(np.float64), [LOW, 50.0, HIGH], axis=0)
    return PointFacts(len(points), valid_share, _vector(low), _vector(median), _vector(high))


def thinned(values: NDArray[T]) -> NDArray[T]:
    """At most about `MOST_VALUES` rows, evenly spread."""
    return values[:: max(1, len(values) // MOST_VALUES)]


def _image_facts(rgb: NDArray[np.uint8]) -> ImageFacts:
    pixels = rgb.reshape(-1, 3)
    some = thinned(pixels)
    low, high = np.percentile(some, [LOW, HIGH])
    mean = pixels.mean(axis=0, dtype=np.float64)
    return ImageFacts(_vector(mean), float(low), float(high), float(some.std(dtype=np.float64)))


def _vector(values: NDArray[Any]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
