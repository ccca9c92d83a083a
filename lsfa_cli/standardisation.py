"""Standardisation of patch features: one mean and one deviation a modality (METHOD 3).

Scalars, not one a channel: the geometry stays as the backbone made it, so that baseline and adapted
features are compared on equal terms.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.samples import FloatArray, Modality, PatchFeatures


class PatchSource(Protocol):
    """The training samples, read one at a time. Values may be float16."""

    def __len__(self) -> int:
        """Number of training samples."""
        ...

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        """Patch features of one sample, by modality."""
        ...


class Standardisation(NamedTuple):
    """Mean and (population) standard deviation of all feature values of a modality."""

    mean: float
    deviation: float

    def apply(self, values: FloatArray) -> NDArray[np.float32]:
        """(values - mean) / deviation in float32, the shape of `values`."""
        return (values.astype(np.float32) - np.float32(self.mean)) / np.float32(self.deviation)


class _Moments(NamedTuple):
    """Number, mean and sum of squared deviations of the values seen so far."""

    number: int
    mean: float
    squares: float


def _merge(first: _Moments, second: _Moments) -> _Moments:
    """Moments of the union of two disjoint sets (the pairwise update of Chan, Golub and LeVeque)."""
    number = first.number + second.number
    shift = second.mean - first.mean
    return _Moments(
        number,
        first.mean + shift * second.number / number,
        first.squares + second.squares + shift * shift * first.number * second.number / number,
    )


def standardise(source: PatchSource, modality: Modality) -> Standardisation:
    """Mean and deviation over all entries of the valid training patches of `modality`.

    Streams in float64, one sample in memory at a time. `DataError` when no sample has a valid patch, when a
    feature is not finite, or when all values are equal, for then nothing can be told apart.
    """
    total = _Moments(0, 0.0, 0.0)
    for index in range(len(source)):
        values = np.asarray(source[index][modality].values, dtype=np.float64)
        if values.size == 0:
            continue
        mean = float(values.mean())
        if not math.isfinite(mean):
            raise DataError(f"training sample {index} has {modality} features that are not finite")
        moments = _Moments(values.size, mean, float(np.square(values - mean).sum()))
        total = moments if total.number == 0 else _merge(total, moments)
    if total.number == 0:
        raise DataError(f"no training sample has a valid {modality} patch")
    deviation = math.sqrt(total.squares / total.number)
    if np.float32(deviation) == 0:
        raise DataError(f"all {modality} features of the training samples are equal ({total.mean:g})")
    return Standardisation(total.mean, deviation)
