"""Detection and localisation figures (METHOD 5): AUROC of images, objects, pixels and points, AUPRO, and AUPR.

Scores are higher where a defect is more likely. Nothing depends on more than their order.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from lsfa_cli.catalog import Entry
from lsfa_cli.errors import UndefinedMetricError

_EIGHT_CONNECTED = np.ones((3, 3), dtype=int)

# How values are counted that are too many to sort (`_counts_below`), and how the highest of them are found.
_MANY = 2**16
_STEPS = 2**20
_PART = 2**22  # values at a time, so that what is computed of them stays small beside them
_EVERY = 61  # of so many values one is looked at for a guess; a prime, so that it is no multiple of a map's side
_MARGIN = 0.01  # of the share, by which the guess is low


def image_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve of image scores (n,) against labels (n,), 1 defective and 0 good.

    It is the chance that a defective image scores higher than a good one; a tie counts one half.
    Raises `UndefinedMetricError` when all images are good or all are defective.
    """
    return _chance_of_higher(*_by_label(scores, labels, "image AUROC"))


def object_auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """`image_auroc` of object scores (n,), as it is called where the samples are point clouds."""
    return _chance_of_higher(*_by_label(scores, labels, "object AUROC"))


def object_average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the precision-recall curve of object scores (n,) against labels (n,), 1 defective and 0 good.

    The mean over the defective objects of the precision at their score, which is the area under the steps of the
    curve (average precision); objects with equal scores enter together. Raises `UndefinedMetricError` when no object
    is defective, or all are.
    """
    return _average_precision(*_by_label(scores, labels, "object AUPR"))


def pixel_auroc(score_maps: ArrayLike, masks: ArrayLike) -> float:
    """Area under the ROC curve of all pixels of all maps (n, H, W) against masks (n, H, W), non-zero on defects.

    Raises `UndefinedMetricError` when no pixel, or every pixel, is a defect.
    """
    maps, defects = _as_maps(score_maps, masks)
    if defects.all() or not defects.any():
        missing = "normal" if defects.any() else "defect"
        raise UndefinedMetricError(f"pixel AUROC does not exist: there is no {missing} pixel in {len(maps)} masks")
    return _chance_of_higher(maps[defects], maps[~defects])


class PointFigures(NamedTuple):
    """Figures of points: area under the ROC curve, and under the precision-recall curve (average precision)."""

    auroc: float
    average_precision: float


def point_figures(scores: ArrayLike, defects: ArrayLike) -> PointFigures:
    """AUROC and AUPR of all points of all clouds: scores (P,) against defects (P,) bool, for one sort of them.

    As `image_auroc` and `object_average_precision`, of points. Takes about twice the memory of the scores beside
    them. Raises `UndefinedMetricError` when no point, or every point, is on a defect.
    """
    values, on_defect = _as_scores(scores, "scores"), np.asarray(defects)
    if values.ndim != 1 or values.shape != on_defect.shape or on_defect.dtype != bool:
        raise ValueError(
            f"points need one score and one bool each, got {values.shape} and {on_defect.shape} {on_defect.dtype}"
        )
    count = np.count_nonzero(on_defect)
    if count in (0, on_defect.size):
        missing = "normal" if count else "defect"
        raise UndefinedMetricError(f"AUROC and AUPR do not exist: there is no {missing} point among {values.size}")
    upper, lower = values[on_defect], values[~on_defect]
    upper.sort()
    lower.sort()
    return PointFigures(_chance_of_higher(upper, lower), _average_precision(upper, lower))


def point_auroc(scores: ArrayLike, defects: ArrayLike) -> float:
    """The first of `point_figures`."""
    return point_figures(scores, defects).auroc


def point_average_precision(scores: ArrayLike, defects: ArrayLike) -> float:
    """The second of `point_figures`."""
    return point_figures(scores, defects).average_precision


def aupro(score_maps: ArrayLike, masks: ArrayLike, *, limit: float = 0.3, thresholds: int | None = None) -> float:
    """Area under the per-region overlap curve of maps (n, H, W) against masks (n, H, W), in [0, 1].

    The share of a component (8-connected, in one mask) at or above a threshold, averaged over all components,
    against the false-positive rate over the pixels of no component; area up to `limit`, divided by `limit`.
    `thresholds=None` is exact: every distinct score is a threshold, tied pixels enter together.
    A number reproduces the published protocol with that many ranks (see `pro_curve`); papers use 100.
    Raises `UndefinedMetricError` when the masks have no component or no normal pixel.
    """
    return aupro_limits(score_maps, masks, [limit], thresholds=thresholds)[0]


def aupro_limits(
    score_maps: ArrayLike, masks: ArrayLike, limits: Sequence[float], *, thresholds: int | None = None
) -> list[float]:
    """`aupro` at several limits, for the cost of the largest."""
    for limit in limits:
        if not 0 < limit <= 1:
            raise ValueError(f"a limit of the false-positive rate lies in (0, 1], got {limit}")
    if not limits:
        return []
    pixels = _split_pixels(*_as_maps(score_maps, masks))
    if thresholds is None:
        areas = _exact_areas(pixels, limits)
    else:
        rate, overlap = _curve_at_ranks(pixels, thresholds, max(limits))
        areas = [_area_up_to(limit, rate, overlap) for limit in limits]
    return [min(area / limit, 1.0) for area, limit in zip(areas, limits, strict=True)]  # 1 + 1e-16 is rounding


def pro_curve(
    score_maps: ArrayLike, masks: ArrayLike, thresholds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The published per-region overlap curve: false-positive rate and mean overlap, (thresholds + 1,) each.

    Thresholds are the scores at equidistant ranks of the sorted normal pixels; a pixel is positive when its score is
    greater; the rate is taken from the rank, 1 - (rank + 1) / n, not counted, so that with ties it is too high.
    The last point is (1, 1).
    """
    return _curve_at_ranks(_split_pixels(*_as_maps(score_maps, masks)), thresholds, 1.0)


class _Pixels(NamedTuple):
    """Scores of the pixels of no component, and of component pixels with their share of the mean overlap."""

    normal: NDArray[Any]
    component: NDArray[Any]  # ascending
    weight: NDArray[np.float64]  # 1 / (size of the component x number of components); sums to 1


def _as_scores(values: ArrayLike, name: str) -> NDArray[Any]:
    scores = np.asarray(values)
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32 if scores.dtype == np.float16 else np.float64)
    if scores.size and np.isnan(scores.min()):  # NaN is the least of any array that holds one
        raise ValueError(f"{name} contain NaN, which has no place in an order")
    return scores


def _by_label(scores: ArrayLike, labels: ArrayLike, what: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The scores of defective and of good samples."""
    values, marks = _as_scores(scores, "scores"), np.asarray(labels)
    if values.ndim != 1 or values.shape != marks.shape:
        raise ValueError(f"scores and labels must be one row each of equal length, got {values.shape}, {marks.shape}")
    if not np.isin(marks, (0, 1)).all():
        raise ValueError("labels must be 0 (good) or 1 (defective)")
    defective = marks.astype(bool)
    if defective.all() or not defective.any():
        missing = "good" if defective.any() else "defective"
        raise UndefinedMetricError(f"{what} does not exist: there is no {missing} sample among {marks.size}")
    return values[defective], values[~defective]


def _as_maps(score_maps: ArrayLike, masks: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    maps, defects = _as_scores(score_maps, "score maps"), np.asarray(masks) != 0
    if maps.ndim != 3 or maps.shape != defects.shape:
        raise ValueError(f"score maps and masks must be (n, H, W) and equal, got {maps.shape} and {defects.shape}")
    return maps, defects


def _chance_of_higher(upper: NDArray[Any], lower: NDArray[Any]) -> float:
    """Mann-Whitney: P(a > b) + P(a = b) / 2 for a from `upper` and b from `lower`, exact in integers."""
    wins, wins_or_ties = (int(counts.sum(dtype=np.int64)) for counts in _counts_below(lower, upper))
    return (wins + wins_or_ties) / (2 * upper.size * lower.size)


def _counts_below(values: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of `values` are below each of `scores`, and how many are not above it; exact, as by sorting `values`.

    Where values are many they are not sorted: they are counted by fine steps from the least to the highest, which
    rounding keeps in order, and only those that share a step with one of `scores` are.
    """
    step = _step(values)
    if step is None:
        ordered = _ascending(values)
        return np.searchsorted(ordered, scores, side="left"), np.searchsorted(ordered, scores, side="right")
    least, highest, per_unit = step
    wanted = ((np.clip(scores, least, highest) - least) * per_unit).astype(np.int32)
    shared = np.zeros(_STEPS, dtype=bool)
    shared[wanted] = True
    counts: NDArray[np.int64] = np.zeros(_STEPS, dtype=np.int64)
    sharing = []
    for first in range(0, values.size, _PART):
        part = values[first : first + _PART]
        places = ((part - least) * per_unit).astype(np.int32)
        counts += np.bincount(places, minlength=_STEPS)
        sharing.append(part[shared[places]])
    near = np.sort(np.concatenate(sharing))
    elsewhere = np.cumsum(np.where(shared, 0, counts))[wanted]  # of the steps below that share nothing
    return (
        elsewhere + np.searchsorted(near, scores, side="left"),
        elsewhere + np.searchsorted(near, scores, side="right"),
    )


def _step(values: NDArray[Any]) -> tuple[Any, Any, Any] | None:
    """The least and the highest value, and steps a unit; None where values are few or of no finite width."""
    if values.size < _MANY:
        return None
    least, highest = values.min(), values.max()
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        per_unit = values.dtype.type((_STEPS - 1) / (highest - least))
    return (least, highest, per_unit) if np.isfinite(per_unit) and per_unit > 0 else None


def _average_precision(upper: NDArray[Any], lower: NDArray[Any]) -> float:
    """Mean over `upper` of the share of `upper` among all scores at or above each of them."""
    upper, lower = _ascending(upper), _ascending(lower)
    first = np.flatnonzero(np.append(True, upper[1:] > upper[:-1]))  # of each distinct score
    positive = upper.size - first  # all that are not below it
    negative = lower.size - np.searchsorted(lower, upper[first], side="left")
    ties = np.diff(first, append=upper.size)
    return math.fsum(ties * (positive / (positive + negative))) / upper.size


def _ascending(values: NDArray[Any]) -> NDArray[Any]:
    """The values in order; many that are in order already are not copied."""
    return values if bool((values[:-1] <= values[1:]).all()) else np.sort(values)


def _split_pixels(maps: NDArray[Any], defects: NDArray[np.bool_]) -> _Pixels:
    scores, weights, components = [], [], 0
    for scored, defect in zip(maps, defects, strict=True):
        rows, columns = np.flatnonzero(defect.any(axis=1)), np.flatnonzero(defect.any(axis=0))
        if rows.size == 0:
            continue
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        labels, count = ndimage.label(defect[box], structure=_EIGHT_CONNECTED)
        inside = labels[defect[box]]
        scores.append(scored[box][defect[box]])
        weights.append(1.0 / np.bincount(inside)[inside])
        components += count
    if not components:
        raise UndefinedMetricError(f"AUPRO does not exist: {len(maps)} masks have no defect")
    normal = maps[~defects]
    if not normal.size:
        raise UndefinedMetricError("AUPRO does not exist: every pixel is a defect, so there is no false-positive rate")
    component = np.concatenate(scores)
    order = np.argsort(component)
    return _Pixels(normal, component[order], np.concatenate(weights)[order] / components)


def _at_least_highest(values: NDArray[Any], count: int) -> NDArray[Any]:
    """The `count` highest values, all that tie with the least of them, and perhaps some more, in no order.

    The least of them is guessed from some of the values: to select by a bound is faster than to partition.
    """
    some = values[::_EVERY]
    rank = max(int(some.size * (1 - count / values.size) - _MARGIN * some.size), 0)
    chosen = values[values >= np.partition(some, rank)[rank]]
    if chosen.size >= count:
        return np.asarray(chosen)
    least = np.partition(values, values.size - count)[values.size - count]
    return np.asarray(values[values >= least])


def _exact_areas(pixels: _Pixels, limits: Sequence[float]) -> list[float]:
    """The exact area up to each limit, without the curve.

    With the normal pixels in descending order, a component pixel becomes positive after the `above` normal pixels
    that score higher, and is counted as a straight ramp across those that tie with it (`above` to `not_below`), which
    is the trapezium of the curve. Each pixel's area up to `limit` normal pixels is then known, and only the highest
    normal pixels matter: below them, `above` is at least the limit.
    """
    total = pixels.normal.size
    highest = _at_least_highest(pixels.normal, math.ceil(max(limits) * total))
    below, not_above = _counts_below(highest, pixels.component)
    above = (highest.size - not_above).astype(np.float64)
    not_below = (highest.size - below).astype(np.float64)
    tied = not_below - above
    areas = []
    for limit in limits:
        end = limit * total
        on_ramp = np.clip(end - above, 0.0, tied)
        area = np.maximum(end - not_below, 0.0) + on_ramp**2 / (2.0 * np.maximum(tied, 1.0))
        areas.append(float(pixels.weight @ area) / total)
    return areas


def _curve_at_ranks(pixels: _Pixels, thresholds: int, limit: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve of `pro_curve` from rate 0 to the first point beyond `limit`, then (1, 1)."""
    if thresholds < 2:
        raise ValueError(f"at least 2 thresholds are needed, got {thresholds}")
    total = pixels.normal.size
    ranks = np.linspace(0, total - 1, num=thresholds, dtype=np.int64)[::-1]
    rate = 1.0 - (ranks + 1) / total
    used = min(int(np.count_nonzero(rate <= limit)) + 1, ranks.size)
    ranks, rate = ranks[:used], rate[:used]
    highest = np.sort(_at_least_highest(pixels.normal, total - int(ranks[-1])))
    below = np.concatenate([[0.0], np.cumsum(pixels.weight)])
    at_threshold = highest[highest.size - (total - ranks)]
    overlap = below[-1] - below[np.searchsorted(pixels.component, at_threshold, side="right")]
    return np.append(rate, 1.0), np.append(overlap, 1.0)


def _area_up_to(limit: float, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Trapezia under (x, y), x ascending from 0, with a linear end point at `limit`."""
    inside = x <= limit
    end = np.interp(limit, x, y)
    x, y = np.append(x[inside], limit), np.append(y[inside], end)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


METRICS: dict[str, Entry] = {
    "i_auroc": Entry("lsfa_cli.metrics", "image_auroc", "Good against defective images, by image score."),
    "p_auroc": Entry("lsfa_cli.metrics", "pixel_auroc", "Normal against defect pixels, all maps together."),
    "aupro": Entry("lsfa_cli.metrics", "aupro", "Overlap with each defect, up to a false-positive rate (0.3)."),
    "o_auroc": Entry("lsfa_cli.metrics", "object_auroc", "Clouds: good against defective objects, by object score."),
    "o_aupr": Entry("lsfa_cli.metrics", "object_average_precision", "Clouds: precision of object scores."),
    "p_auroc (points)": Entry("lsfa_cli.metrics", "point_auroc", "Clouds: normal against defect points, all together."),
    "p_aupr": Entry("lsfa_cli.metrics", "point_average_precision", "Clouds: precision of scores of points."),
}
