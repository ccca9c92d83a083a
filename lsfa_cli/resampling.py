"""How sure a figure is: bootstrap over test samples, and a paired test over repetitions.

Resampling test samples must not mean measuring every map again. The figures are made of sums over samples, so the sums
are taken once and a resample only weighs them: the AUROCs are quadratic in the samples' weights, the per-region
overlap and the false-positive rate at a fixed threshold are linear in them. A thousand resamples then cost a few
matrix products.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Weights = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
SPLITS = 1000
_EIGHT_CONNECTED = np.ones((3, 3), dtype=int)
_RATES = 600  # false-positive rates at which the overlap is known
_HIGHEST_RATE = 1.5  # of them, over the limit: a resample's rate at a threshold differs from that of all samples
_EXACT_PAIRS = 14  # up to so many pairs every pattern of signs is counted
_SIGN_PATTERNS = 10_000  # drawn where there are more


class Figure(Protocol):
    """A figure of n test samples as a function of how often each of them is counted."""

    def values(self, weights: Weights) -> NDArray[np.float64]:
        """The figure (R,) for each row of weights (R, n), NaN where it does not exist. Ones give the figure itself."""
        ...


@dataclass(frozen=True)
class Auroc:
    """The sums of an AUROC over n samples.

    wins: (n, n), how often positives of sample i score higher than negatives of sample j, ties counted one half.
    positives, negatives: (n,), how many of each a sample has.
    """

    wins: NDArray[np.float64]
    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]

    def values(self, weights: Weights) -> NDArray[np.float64]:
        """Area under the ROC curve for each row of weights (R, n)."""
        won: NDArray[np.float64] = ((weights @ self.wins) * weights).sum(axis=1)
        pairs = (weights @ self.positives) * (weights @ self.negatives)
        return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), np.nan)

    def among(self, measured: NDArray[np.bool_]) -> "Auroc":
        """The same sums where these samples are the `measured` ones (m,) of m, and the others have no part."""
        wins = _spread(_spread(self.wins, measured).T, measured).T
        return Auroc(wins, _spread(self.positives, measured), _spread(self.negatives, measured))


@dataclass(frozen=True)
class MeanRatio:
    """The sums of a ratio of two means over n samples, of which each has some terms above and some below.

    upper, lower: (n,), the sum of a sample's terms. upper_count, lower_count: (n,), how many there are.
    """

    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper_count: NDArray[np.float64]
    lower_count: NDArray[np.float64]

    def values(self, weights: Weights) -> NDArray[np.float64]:
        """The ratio for each row of weights (R, n), NaN where either mean does not exist or the lower one is 0."""
        above = (weights @ self.upper) * (weights @ self.lower_count)
        below = (weights @ self.lower) * (weights @ self.upper_count)
        exists = (below > 0) & (weights @ self.lower_count > 0)
        return np.where(exists, above / np.where(exists, below, 1.0), np.nan)

    def among(self, measured: NDArray[np.bool_]) -> "MeanRatio":
        """The same sums where these samples are the `measured` ones (m,) of m, and the others have no part."""
        return MeanRatio(*(_spread(getattr(self, field.name), measured) for field in fields(self)))


@dataclass(frozen=True)
class RegionOverlap:
    """The sums of AUPRO over n samples, at T thresholds from high to low.

    false_positives: (n, T). overlaps: (n, T), the sum over a sample's components of their share at or above the
    threshold.
    normals, components: (n,), how many of each a sample has.
    """

    false_positives: NDArray[np.float64]
    overlaps: NDArray[np.float64]
    normals: NDArray[np.float64]
    components: NDArray[np.float64]
    limit: float

    def values(self, weights: Weights) -> NDArray[np.float64]:
        """Area under the overlap curve up to the limit, divided by it, for each row of weights (R, n).

        Trapezia between the thresholds: within 1e-3 of the exact area.
        """
        normals, components = weights @ self.normals, weights @ self.components
        exists = (normals > 0) & (components > 0)
        rates = weights @ self.false_positives / np.where(exists, normals, 1.0)[:, None]
        overlaps = weights @ self.overlaps / np.where(exists, components, 1.0)[:, None]
        return np.where(exists, _areas(rates, overlaps, self.limit) / self.limit, np.nan)

    def among(self, measured: NDArray[np.bool_]) -> "RegionOverlap":
        """The same sums where these samples are the `measured` ones (m,) of m, and the others have no part."""
        return RegionOverlap(
            _spread(self.false_positives, measured),
            _spread(self.overlaps, measured),
            _spread(self.normals, measured),
            _spread(self.components, measured),
            self.limit,
        )


def _spread(values: NDArray[np.float64], measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Rows (n, ...) put where `measured` (m,) is true, zeros elsewhere."""
    rows = np.zeros((len(measured), *values.shape[1:]))
    rows[measured] = values
    return rows


def image_auroc_sums(scores: ArrayLike, labels: ArrayLike) -> Auroc:
    """The sums of I-AUROC from image scores (n,) and labels (n,), 1 on defective samples."""
    values, defective = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    wins = (values[:, None] > values[None, :]) + 0.5 * (values[:, None] == values[None, :])
    wins *= defective[:, None] & ~defective[None, :]
    return Auroc(wins, defective.astype(np.float64), (~defective).astype(np.float64))


def pixel_auroc_sums(score_maps: NDArray[np.floating], masks: NDArray[np.bool_]) -> Auroc:
    """The sums of P-AUROC from maps (n, H, W) and masks (n, H, W), True on defects."""
    count = len(score_maps)
    return part_auroc_sums(score_maps.reshape(count, -1), masks.reshape(count, -1), ~masks.reshape(count, -1))


def part_auroc_sums(scores: NDArray[np.floating], positives: NDArray[np.bool_], negatives: NDArray[np.bool_]) -> Auroc:
    """The sums of an AUROC over the parts of n samples, all (n, P); parts that are neither have no part in it."""
    count = len(scores)
    marked = positives.sum(axis=1)
    positive, owner = scores[positives], np.repeat(np.arange(count), marked)
    wins = np.zeros((count, count))
    for column in range(count):
        normal = np.sort(scores[column][negatives[column]])
        twice = np.searchsorted(normal, positive, side="left") + np.searchsorted(normal, positive, side="right")
        wins[:, column] = np.bincount(owner, weights=twice, minlength=count) / 2
    return Auroc(wins, marked.astype(np.float64), negatives.sum(axis=1).astype(np.float64))


def mean_ratio_sums(values: NDArray[np.floating], upper: NDArray[np.bool_], lower: NDArray[np.bool_]) -> MeanRatio:
    """The sums of the mean of the `upper` values over that of the `lower` ones, all (n, P)."""
    exact = values.astype(np.float64)
    above, below = (np.where(chosen, exact, 0.0).sum(axis=1) for chosen in (upper, lower))
    return MeanRatio(above, below, upper.sum(axis=1).astype(np.float64), lower.sum(axis=1).astype(np.float64))


def aupro_sums(score_maps: NDArray[np.floating], masks: NDArray[np.bool_], *, limit: float = 0.3) -> RegionOverlap:
    """The sums of AUPRO from maps (n, H, W) and masks (n, H, W), True on defects.

    Thresholds lie at equidistant false-positive rates of all samples together.
    """
    normal = np.sort(score_maps[~masks])[::-1]
    highest = min(1.0, _HIGHEST_RATE * limit)
    places = np.linspace(0, highest * len(normal), _RATES).astype(np.int64).clip(0, max(0, len(normal) - 1))
    thresholds = np.unique(normal[places])[::-1] if len(normal) else np.zeros(1)
    rows = [_overlaps(scored, mask, thresholds) for scored, mask in zip(score_maps, masks, strict=True)]
    return RegionOverlap(
        np.stack([_at_or_above(scored[~mask], thresholds) for scored, mask in zip(score_maps, masks, strict=True)]),
        np.stack([overlap for overlap, _ in rows]),
        (~masks).sum(axis=(1, 2)).astype(np.float64),
        np.array([count for _, count in rows], dtype=np.float64),
        limit,
    )


def _overlaps(
    scored: NDArray[np.floating], mask: NDArray[np.bool_], thresholds: NDArray[Any]
) -> tuple[NDArray[np.float64], int]:
    """The summed overlap (T,) of one sample's components, and their number."""
    labels, count = ndimage.label(mask, structure=_EIGHT_CONNECTED)
    total = np.zeros(len(thresholds))
    for number in range(1, count + 1):
        inside = scored[labels == number]
        total += _at_or_above(inside, thresholds) / len(inside)
    return total, int(count)


def _at_or_above(values: NDArray[np.floating], thresholds: NDArray[Any]) -> NDArray[np.float64]:
    return (len(values) - np.searchsorted(np.sort(values), thresholds, side="left")).astype(np.float64)


def _areas(rates: NDArray[np.float64], overlaps: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Trapezia (R,) under curves (R, T) from (0, 0) to `limit`; from the last threshold they go straight to (1, 1)."""
    x, y = (np.pad(values, ((0, 0), (1, 1)), constant_values=(0.0, 1.0)) for values in (rates, overlaps))
    length = np.diff(x, axis=1)
    inside = np.clip(limit - x[:, :-1], 0.0, length)
    slope = np.diff(y, axis=1) / np.where(length > 0, length, 1.0)
    return np.asarray((inside * (y[:, :-1] + slope * inside / 2)).sum(axis=1))


class Interval(NamedTuple):
    """A mean over categories and seeds, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class Resampling:
    """The draws of a bootstrap, the same for everything that is compared, so that what is hard for all cancels.

    A draw takes, in each category, test samples with replacement from the good and from the defective ones, and seeds
    with replacement. The categories are those of the data set and are not drawn: an interval speaks of them alone.

    labels: of each category (n,), 1 on defective samples. repetitions: how many seeds each category was measured with.
    owners: of each category (n,), what its samples were made from; those of one owner are drawn together, and good and
    defective ones are then not drawn apart. Without it every sample is drawn by itself.
    """

    def __init__(
        self,
        labels: Sequence[ArrayLike],
        repetitions: int,
        *,
        seed: int,
        resamples: int = RESAMPLES,
        owners: Sequence[ArrayLike] | None = None,
    ) -> None:
        generator = np.random.default_rng(seed)
        shares = np.full(repetitions, 1 / repetitions)
        self._weights, self._seeds = [], []
        for place, classes in enumerate(labels):
            if owners is None:
                self._weights.append(sample_weights(classes, resamples, generator))
            else:
                self._weights.append(owner_weights(owners[place], resamples, generator))
            self._seeds.append(generator.multinomial(repetitions, shares, size=resamples).T / repetitions)

    def means(self, figures: Sequence[Sequence[Figure]]) -> NDArray[np.float64]:
        """The mean over categories and seeds in each draw, (1 + resamples,); the first is that of the whole sample.

        figures: for each category the figure of each seed. Subtract two results for a paired difference.
        """
        total = np.zeros(1 + len(self._weights[0]))
        for weights, seeds, repetitions in zip(self._weights, self._seeds, figures, strict=True):
            drawn = np.stack([figure.values(weights) for figure in repetitions])
            whole = [figure.values(np.ones((1, weights.shape[1])))[0] for figure in repetitions]
            total += np.append(np.mean(whole), (drawn * seeds).sum(axis=0))
        return total / len(figures)


def standard_error(means: NDArray[np.float64]) -> float:
    """The standard error of what `Resampling.means` gives, or of a difference of two such results.

    It is the deviation of the draws. Draws in which a figure does not exist are left out; NaN where fewer than two
    are left.
    """
    drawn = means[1:][~np.isnan(means[1:])]
    return float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")


class Halves:
    """Random splits of the test samples into two halves, the same for everything that is compared.

    labels: of each category (n,), 1 on defective samples; good and defective ones are split apart, and of an odd
    number the larger part falls to either half.
    """

    def __init__(self, labels: Sequence[ArrayLike], *, seed: int, splits: int = SPLITS) -> None:
        generator = np.random.default_rng(seed)
        self._first = [_half_weights(np.asarray(classes), splits, generator) for classes in labels]

    def means(self, figures: Sequence[Sequence[Figure]], *, other: bool) -> NDArray[np.float64]:
        """The mean over categories and seeds on the first half of every split, or on the `other` one, (splits,).

        figures: for each category the figure of each seed.
        """
        total = np.zeros(len(self._first[0]))
        for first, repetitions in zip(self._first, figures, strict=True):
            weights = 1 - first if other else first
            total += np.mean([figure.values(weights) for figure in repetitions], axis=0)
        return total / len(figures)


def _half_weights(classes: NDArray[Any], splits: int, generator: np.random.Generator) -> Weights:
    """1 where a sample is in the first half of a split, else 0, (splits, n)."""
    weights = np.zeros((splits, len(classes)))
    for row in weights:
        for value in np.unique(classes):
            members = generator.permutation(np.flatnonzero(classes == value))
            row[members[: (len(members) + generator.integers(2)) // 2]] = 1.0
    return weights


def interval(means: NDArray[np.float64], confidence: float = CONFIDENCE) -> Interval:
    """The percentile bootstrap interval of what `Resampling.means` gives, or of a difference of two such results."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(means[1:], [tail, 1 - tail])
    return Interval(float(means[0]), float(low), float(high))


def sample_weights(labels: ArrayLike, resamples: int, generator: np.random.Generator) -> Weights:
    """How often each of n samples is drawn, (resamples, n): with replacement, good and defective ones apart."""
    classes = np.asarray(labels)
    weights = np.zeros((resamples, len(classes)))
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        weights[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return weights


def owner_weights(owners: ArrayLike, resamples: int, generator: np.random.Generator) -> Weights:
    """How often each of n samples is drawn, (resamples, n), where owners (n,) are drawn with all of their samples."""
    _, places = np.unique(np.asarray(owners), return_inverse=True)
    count = int(places.max(initial=-1)) + 1
    drawn = generator.multinomial(count, np.full(count, 1 / count), resamples)
    return drawn[:, places].astype(np.float64)


def sign_flip_p_value(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p-value of paired differences (m,) under the null hypothesis that their signs are arbitrary.

    The share of sign patterns whose absolute sum is at least that observed; all 2^m patterns up to 14 pairs, beyond
    that 10,000 drawn ones and the observed. With m pairs it is never below 2 / 2^m: five seeds cannot reach 0.05.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"a row of finite differences is needed, got shape {values.shape}")
    if len(values) <= _EXACT_PAIRS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        drawn = np.random.default_rng(seed).choice((1.0, -1.0), size=(_SIGN_PATTERNS, len(values)))
        signs = np.concatenate([np.ones((1, len(values))), drawn])
    sums = np.abs(signs @ values)
    return float((sums >= sums[0] * (1 - 1e-12)).mean())
