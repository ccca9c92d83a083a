"""One score from two modalities (METHOD 4.6). The same functions serve image scores and maps.

Every function works element by element on arrays of one shape, (n,) image scores or (n, H, W) maps.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli.catalog import Entry
from lsfa_cli.errors import DataError
from lsfa_cli.samples import FloatArray

RGB_WEIGHT = 0.1
XYZ_WEIGHT = 1.0
UFF_WEIGHT = 1.0  # of the scores of M3DM's third bank


class ScoreStatistics(NamedTuple):
    """Mean and standard deviation of a score on normal samples."""

    mean: float
    deviation: float


class LinearOneClass(NamedTuple):
    """A linear one-class SVM on (RGB, 3D[, UFF]) scores in plain numbers; M3DM's input weights are in `weights`.

    The fused score is weights[0] * rgb + weights[1] * xyz [+ weights[2] * uff]. `offset` is the SVM's own decision
    threshold on that score; it moves no metric and is kept for whoever wants the decision function.
    """

    weights: tuple[float, ...]
    offset: float


def score_statistics(scores: ArrayLike) -> ScoreStatistics:
    """Mean and (population) standard deviation over all entries of `scores`, accumulated in float64."""
    values = np.asarray(scores)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("statistics need at least one score, all finite")
    mean = float(values.mean(dtype=np.float64))
    # Part by part, so that maps are never held in float64 together.
    deviations = (np.subtract(part, mean, dtype=np.float64) for part in np.atleast_1d(values))
    squares = sum(float(np.sum(deviation**2)) for deviation in deviations)
    return ScoreStatistics(mean, float(np.sqrt(squares / values.size)))


def average(
    scores: Mapping[str, FloatArray],
    statistics: Mapping[str, ScoreStatistics],
    shares: Mapping[str, float] | None = None,
) -> NDArray[Any]:
    """Mean over the modalities of (score - mean) / deviation, mean and deviation being those of normal samples.

    A modality whose normal samples all score the same has deviation 0 and no scale of its own: it is only centred,
    that is, divided by 1. shares: of each score in the mean, summing to 1; without them all share alike.
    """
    missing = [modality for modality in scores if modality not in statistics]
    if missing:
        raise ValueError(f"no score statistics for {', '.join(missing)}")
    calibrated = {modality: _calibrated(values, statistics[modality]) for modality, values in scores.items()}
    return average_raw(calibrated) if shares is None else _weighted(calibrated, shares)


def average_raw(scores: Mapping[str, FloatArray]) -> NDArray[Any]:
    """Mean of the modalities' scores as they are, the literal text of the paper."""
    arrays = _of_one_shape(scores)
    return np.asarray(sum(arrays[1:], start=arrays[0]) / len(arrays))


def _weighted(scores: Mapping[str, FloatArray], shares: Mapping[str, float]) -> NDArray[Any]:
    arrays = _of_one_shape(scores)
    if set(shares) != set(scores) or not np.isclose(sum(shares.values()), 1):
        raise ValueError(f"shares of {', '.join(scores)} must sum to 1: {dict(shares)}")
    weighted = [shares[name] * values for name, values in zip(scores, arrays, strict=True)]
    return np.asarray(sum(weighted[1:], start=weighted[0]))


def _of_one_shape(scores: Mapping[str, FloatArray]) -> list[NDArray[Any]]:
    arrays = [np.asarray(values) for values in scores.values()]
    if not arrays:
        raise ValueError("there is no modality to average")
    if len({array.shape for array in arrays}) > 1:
        raise ValueError(f"modalities differ in shape: {', '.join(str(array.shape) for array in arrays)}")
    return arrays


def fit_one_class(rgb_scores: ArrayLike, xyz_scores: ArrayLike, uff_scores: ArrayLike | None = None) -> LinearOneClass:
    """M3DM's one-class SVM on normal samples' scores, fitted by stochastic gradient with scikit-learn.

    One value a sample (or a map pixel) each, any equal shape; uff_scores: of the third bank, where there is one. 3D
    and UFF scores are weighted 1.0 and RGB scores 0.1 first. Raises `DataError` when the fit does not end in finite
    numbers.
    """
    from sklearn.linear_model import SGDOneClassSVM

    columns = _columns(rgb_scores, xyz_scores, uff_scores)
    model = SGDOneClassSVM(nu=0.5, max_iter=1000, random_state=42).fit(columns)
    xyz_weight, rgb_weight, *uff_weight = (float(value) for value in model.coef_.ravel())
    weights = (RGB_WEIGHT * rgb_weight, XYZ_WEIGHT * xyz_weight, *(UFF_WEIGHT * value for value in uff_weight))
    offset = float(np.ravel(model.offset_)[0])
    if not np.isfinite([*weights, offset]).all():
        raise DataError("the one-class SVM did not converge on these scores", hint="Use --fusion average.")
    return LinearOneClass(weights, offset)


def one_class_score(
    model: LinearOneClass, rgb: FloatArray, xyz: FloatArray, uff: FloatArray | None = None
) -> NDArray[Any]:
    """The SVM's `score_samples` of the scores it was fitted on, equal in shape, taken as anomaly score as published.

    scikit-learn means "higher is more normal"; since the weights come out positive on anomaly scores, the published
    code uses this weighted sum as it is.
    """
    scores = [np.asarray(values) for values in (rgb, xyz, uff) if values is not None]
    if len({values.shape for values in scores}) > 1:
        raise ValueError(f"scores differ in shape: {', '.join(str(values.shape) for values in scores)}")
    weighted = [float(weight) * values for weight, values in zip(model.weights, scores, strict=True)]
    return np.asarray(sum(weighted[1:], start=weighted[0]))


def _calibrated(scores: FloatArray, statistics: ScoreStatistics) -> NDArray[Any]:
    deviation = statistics.deviation if statistics.deviation > 0 else 1.0
    return np.asarray((np.asarray(scores) - statistics.mean) / deviation)


def _columns(rgb_scores: ArrayLike, xyz_scores: ArrayLike, uff_scores: ArrayLike | None) -> NDArray[np.float64]:
    """Weighted (3D, RGB[, UFF]) rows (n, 2 or 3), in the column order of the public code."""
    weighted = [(XYZ_WEIGHT, xyz_scores), (RGB_WEIGHT, rgb_scores)]
    if uff_scores is not None:
        weighted.append((UFF_WEIGHT, uff_scores))
    columns = [weight * np.asarray(scores, dtype=np.float64).ravel() for weight, scores in weighted]
    sizes = [column.size for column in columns]
    if len(set(sizes)) > 1 or not sizes[0]:
        raise ValueError(f"the SVM needs equally many scores of every bank, got {' and '.join(map(str, sizes))}")
    rows = np.stack(columns, axis=1)
    if not np.isfinite(rows).all():
        raise ValueError("scores to fit on must be finite")
    return rows


FUSIONS: dict[str, Entry] = {
    "average": Entry("lsfa_cli.fusion", "average", "Mean of scores, each calibrated on normal samples (paper)."),
    "average_raw": Entry("lsfa_cli.fusion", "average_raw", "Mean of the distances as they are."),
    "ocsvm": Entry("lsfa_cli.fusion", "one_class_score", "M3DM's linear one-class SVM.", needs="bank --ocsvm"),
}
