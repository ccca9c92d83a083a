"""One score from two modalities (METHOD 4.6). The same functions serve image scores and maps.

Every function works element by element on arrays of one shape, (n,) image scores or (n, H, W) maps.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lsfa_cli.catalog import Entry
from lsfa_cli.errors import DataError
from lsfa_cli.samples import FloatArray, Modality

RGB_WEIGHT = 0.1
XYZ_WEIGHT = 1.0


class ScoreStatistics(NamedTuple):
    """Mean and standard deviation of a score on normal samples."""

    mean: float
    deviation: float


class LinearOneClass(NamedTuple):
    """A linear one-class SVM on (RGB, 3D) scores in plain numbers; M3DM's input weights are already in `weights`.

    The fused score is weights[0] * rgb + weights[1] * xyz. `offset` is the SVM's own decision threshold on that
    score; it moves no metric and is kept for whoever wants the decision function.
    """

    weights: tuple[float, float]
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


def average(scores: Mapping[Modality, FloatArray], statistics: Mapping[Modality, ScoreStatistics]) -> NDArray[Any]:
    """Mean over the modalities of (score - mean) / deviation, mean and deviation being those of normal samples.

    A modality whose normal samples all score the same has deviation 0 and no scale of its own: it is only centred,
    that is, divided by 1.
    """
    missing = [modality for modality in scores if modality not in statistics]
    if missing:
        raise ValueError(f"no score statistics for {', '.join(missing)}")
    return average_raw({modality: _calibrated(values, statistics[modality]) for modality, values in scores.items()})


def average_raw(scores: Mapping[Modality, FloatArray]) -> NDArray[Any]:
    """Mean of the modalities' scores as they are, the literal text of the paper."""
    arrays = [np.asarray(values) for values in scores.values()]
    if not arrays:
        raise ValueError("there is no modality to average")
    if len({array.shape for array in arrays}) > 1:
        raise ValueError(f"modalities differ in shape: {', '.join(str(array.shape) for array in arrays)}")
    return np.asarray(sum(arrays[1:], start=arrays[0]) / len(arrays))


def fit_one_class(rgb_scores: ArrayLike, xyz_scores: ArrayLike) -> LinearOneClass:
    """M3DM's one-class SVM on normal samples' scores, fitted by stochastic gradient with scikit-learn.

    rgb_scores, xyz_scores: one value a sample (or a map pixel), any equal shape. 3D scores are weighted 1.0 and RGB
    scores 0.1 first. Raises `DataError` when the fit does not end in finite numbers.
    """
    from sklearn.linear_model import SGDOneClassSVM

    pairs = _pairs(rgb_scores, xyz_scores)
    model = SGDOneClassSVM(nu=0.5, max_iter=1000, random_state=42).fit(pairs)
    xyz_weight, rgb_weight = (float(value) for value in model.coef_.ravel())
    weights = (RGB_WEIGHT * rgb_weight, XYZ_WEIGHT * xyz_weight)
    offset = float(np.ravel(model.offset_)[0])
    if not np.isfinite([*weights, offset]).all():
        raise DataError("the one-class SVM did not converge on these scores", hint="Use --fusion average.")
    return LinearOneClass(weights, offset)


def one_class_score(model: LinearOneClass, rgb: FloatArray, xyz: FloatArray) -> NDArray[Any]:
    """The SVM's `score_samples` of scores `rgb` and `xyz`, equal in shape, taken as anomaly score as published.

    scikit-learn means "higher is more normal"; since both weights come out positive on anomaly scores, the published
    code uses this weighted sum as it is.
    """
    rgb, xyz = np.asarray(rgb), np.asarray(xyz)
    if rgb.shape != xyz.shape:
        raise ValueError(f"RGB and 3D scores differ in shape: {rgb.shape} and {xyz.shape}")
    return np.asarray(float(model.weights[0]) * rgb + float(model.weights[1]) * xyz)


def _calibrated(scores: FloatArray, statistics: ScoreStatistics) -> NDArray[Any]:
    deviation = statistics.deviation if statistics.deviation > 0 else 1.0
    return np.asarray((np.asarray(scores) - statistics.mean) / deviation)


def _pairs(rgb_scores: ArrayLike, xyz_scores: ArrayLike) -> NDArray[np.float64]:
    """Weighted (3D, RGB) pairs (n, 2), in the column order of the public code."""
    rgb = np.asarray(rgb_scores, dtype=np.float64).ravel()
    xyz = np.asarray(xyz_scores, dtype=np.float64).ravel()
    if rgb.shape != xyz.shape or not rgb.size:
        raise ValueError(f"the SVM needs equally many RGB and 3D scores, got {rgb.size} and {xyz.size}")
    pairs = np.stack([XYZ_WEIGHT * xyz, RGB_WEIGHT * rgb], axis=1)
    if not np.isfinite(pairs).all():
        raise ValueError("scores to fit on must be finite")
    return pairs


FUSIONS: dict[str, Entry] = {
    "average": Entry("lsfa_cli.fusion", "average", "Mean of scores, each calibrated on normal samples (paper)."),
    "average_raw": Entry("lsfa_cli.fusion", "average_raw", "Mean of the distances as they are."),
    "ocsvm": Entry("lsfa_cli.fusion", "one_class_score", "M3DM's linear one-class SVM.", needs="bank --ocsvm"),
}
