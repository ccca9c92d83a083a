"""Resampled figures against the metrics measured anew, SciPy's bootstrap, and tests counted by hand."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lsfa_cli.metrics import aupro, image_auroc, pixel_auroc
from lsfa_cli.resampling import (
    Figure,
    Interval,
    Resampling,
    aupro_sums,
    image_auroc_sums,
    interval,
    mean_ratio_sums,
    owner_weights,
    part_auroc_sums,
    pixel_auroc_sums,
    sample_weights,
    sign_flip_p_value,
    standard_error,
)

LABELS = np.array([0, 0, 0, 1, 1, 1, 1])


@pytest.fixture
def maps() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Seven maps of 24 x 24 with two components in some masks, scores rounded so that there are ties."""
    random = np.random.default_rng(3)
    masks = np.zeros((7, 24, 24), dtype=bool)
    masks[3, 2:7, 3:9] = masks[4, 10:14, 4:8] = masks[5, 1:3, 1:4] = masks[5, 15:20, 15:20] = masks[6, 8:20, 2:5] = True
    scores = np.round(random.normal(0, 1, masks.shape) + 1.2 * masks, 1).astype(np.float32)
    return scores, masks


def repeated(values: NDArray[np.generic], weights: NDArray[np.float64]) -> NDArray[np.generic]:
    """The samples, each as often as its weight says."""
    return np.repeat(values, weights.astype(int), axis=0)


def test_sums_give_the_figures_of_samples_drawn_anew(maps: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    scores, masks = maps
    image = np.round(np.random.default_rng(0).normal(0, 1, 7) + LABELS, 1)
    weights = sample_weights(LABELS, 20, np.random.default_rng(1))
    weights[0] = 1
    i_auroc, p_auroc = image_auroc_sums(image, LABELS).values(weights), pixel_auroc_sums(scores, masks).values(weights)
    overlap = aupro_sums(scores, masks).values(weights)
    for row, drawn in enumerate(weights):
        assert i_auroc[row] == pytest.approx(image_auroc(repeated(image, drawn), repeated(LABELS, drawn)), abs=1e-12)
        both = repeated(scores, drawn), repeated(masks, drawn)
        assert p_auroc[row] == pytest.approx(pixel_auroc(*both), abs=1e-12)
        assert overlap[row] == pytest.approx(aupro(*both), abs=1e-3)


def test_parts_that_are_neither_have_no_part_in_an_auroc() -> None:
    scores = np.array([[1.0, 2.0, 9.0, np.nan], [3.0, 2.0, 0.0, 5.0]])
    positives = np.array([[False, True, False, False], [True, False, False, False]])
    negatives = np.array([[True, False, False, False], [False, True, True, False]])
    sums = part_auroc_sums(scores, positives, negatives)
    # positives 2 and 3 against negatives 1, 2 and 0: five wins and a tie
    assert sums.values(np.ones((1, 2)))[0] == pytest.approx(5.5 / 6)
    # the first sample twice: positives 2, 2, 3 against 1, 1, 2, 0
    assert sums.values(np.array([[2.0, 1.0]]))[0] == pytest.approx((2 * 3.5 + 4) / 12)


def test_ratio_of_means_counted_by_hand() -> None:
    values = np.array([[1.0, 4.0, np.nan], [3.0, 2.0, 8.0]], dtype=np.float32)
    upper = np.array([[False, True, False], [False, False, True]])
    lower = np.array([[True, False, False], [True, True, False]])
    sums = mean_ratio_sums(values, upper, lower)
    weights = np.array([[1.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(sums.values(weights), [(12 / 2) / (6 / 3), (16 / 3) / (7 / 4), 8 / 2.5])
    measured = np.array([True, False, True])
    spread = sums.among(measured).values(np.array([[1.0, 7.0, 1.0]]))
    np.testing.assert_allclose(spread, sums.values(weights[:1]))


def test_ratio_without_either_mean_is_nan() -> None:
    some, none = np.array([[True, False]]), np.zeros((1, 2), dtype=bool)
    for upper, lower in ((some, none), (none, some)):
        assert np.isnan(mean_ratio_sums(np.ones((1, 2)), upper, lower).values(np.ones((1, 1)))).all()


def test_samples_that_were_not_measured_have_no_part(maps: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    scores, masks = maps
    measured = np.array([True, False, True, True, True, True, False])
    for sums in (pixel_auroc_sums, aupro_sums):
        alone = sums(scores[measured], masks[measured])
        weights = sample_weights(LABELS, 10, np.random.default_rng(1))
        weights[:, measured] += 1
        np.testing.assert_allclose(alone.among(measured).values(weights), alone.values(weights[:, measured]))


def test_weights_draw_good_and_defective_samples_apart() -> None:
    weights = sample_weights(LABELS, 500, np.random.default_rng(0))
    assert (weights[:, LABELS == 0].sum(axis=1) == 3).all()
    assert (weights[:, LABELS == 1].sum(axis=1) == 4).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)


def test_a_figure_that_does_not_exist_is_nan() -> None:
    assert np.isnan(image_auroc_sums([1.0, 2.0], [1, 1]).values(np.ones((1, 2)))).all()


class Mean:
    """The weighted mean, whose bootstrap is known elsewhere."""

    def __init__(self, data: NDArray[np.float64]) -> None:
        self.data = data

    def values(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ self.data / weights.sum(axis=1)


def bootstrap(*categories: list[Figure], size: int, resamples: int = 2000, confidence: float = 0.95) -> Interval:
    """The interval of figures of one class of `size` samples, by category and seed."""
    labels = [np.zeros(size, dtype=int)] * len(categories)
    draws = Resampling(labels, len(categories[0]), seed=0, resamples=resamples)
    return interval(draws.means(categories), confidence)


def test_interval_is_that_of_scipy() -> None:
    data = np.random.default_rng(5).exponential(1, 40)
    ours = bootstrap([Mean(data)], size=40, resamples=20_000)
    theirs = stats.bootstrap((data,), np.mean, n_resamples=20_000, method="percentile", random_state=1)
    assert ours.value == pytest.approx(data.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_intervals_of_an_auroc_and_of_a_paired_difference_are_those_of_scipy() -> None:
    """SciPy draws the places of good and of defective samples, and both figures are measured anew on what was drawn."""
    random = np.random.default_rng(6)
    labels = np.repeat([0, 1], [12, 18])
    hard = random.normal(0, 1, 30)  # what is hard for both
    one, other = (labels * gain + hard + random.normal(0, 0.5, 30) for gain in (1.5, 1.0))

    def auroc(scores: NDArray[np.float64], good: NDArray[np.int64], bad: NDArray[np.int64]) -> NDArray[np.float64]:
        return (scores[bad][..., :, None] > scores[good][..., None, :]).mean(axis=(-2, -1))

    draws = Resampling([labels], 1, seed=0, resamples=20_000)
    first, second = (draws.means([[image_auroc_sums(scores, labels)]]) for scores in (one, other))
    places = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    for ours, statistic in (
        (interval(first), lambda good, bad, axis: auroc(one, good, bad)),
        (interval(first - second), lambda good, bad, axis: auroc(one, good, bad) - auroc(other, good, bad)),
    ):
        theirs = stats.bootstrap(
            places, statistic, n_resamples=20_000, method="percentile", vectorized=True, batch=2000, random_state=1
        ).confidence_interval
        assert ours.low == pytest.approx(theirs.low, abs=0.006)
        assert ours.high == pytest.approx(theirs.high, abs=0.006)
        assert ours.high - ours.low > 0.1


def test_interval_of_a_case_counted_by_hand() -> None:
    """Two samples 0 and 1: a resample's mean is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4."""
    pair: list[Figure] = [Mean(np.array([0.0, 1.0]))]
    assert bootstrap(pair, size=2) == Interval(0.5, 0.0, 1.0)
    assert bootstrap(pair, size=2, confidence=0.4) == Interval(0.5, 0.5, 0.5)


def test_what_is_hard_for_both_cancels_in_the_difference() -> None:
    data = np.random.default_rng(2).normal(0, 1, 50)
    draws = Resampling([np.zeros(50, dtype=int)], 1, seed=0)
    first, second = draws.means([[Mean(data + 0.1)]]), draws.means([[Mean(data)]])
    alone, paired = interval(first), interval(first - second)
    assert alone.high - alone.low > 0.4
    assert paired == pytest.approx((0.1, 0.1, 0.1))


def test_seeds_widen_the_interval_and_categories_are_averaged() -> None:
    seeds: list[Figure] = [Mean(np.full(5, value)) for value in (0.0, 1.0)]
    assert bootstrap(seeds, size=5) == Interval(0.5, 0.0, 1.0)
    assert bootstrap([Mean(np.full(5, 0.25))], [Mean(np.full(5, 0.75))], size=5) == Interval(0.5, 0.5, 0.5)


def test_equal_seeds_give_equal_draws() -> None:
    image = image_auroc_sums(np.random.default_rng(0).normal(0, 1, 7), LABELS)
    first, second, other = (Resampling([LABELS], 1, seed=seed).means([[image]]) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_p_value_of_patterns_counted_by_hand() -> None:
    assert sign_flip_p_value([0.1, 0.2, 0.3, 0.4, 0.5]) == 2 / 32
    assert sign_flip_p_value([0.3, -0.1, 0.2]) == 4 / 8  # |0.4| is reached by +++ (0.4), and +-+ (0.6), and mirrored
    assert sign_flip_p_value([0.0, 0.0]) == 1.0


def test_p_value_is_that_of_scipy() -> None:
    values = np.random.default_rng(8).normal(0.3, 1, 11)
    reference = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p_value(values) == pytest.approx(reference.pvalue)


def test_p_value_of_many_pairs_is_drawn_and_repeatable() -> None:
    values = np.random.default_rng(9).normal(0.4, 1, 18)
    exact = [abs(np.dot(signs, values)) for signs in itertools.product((1, -1), repeat=18)]
    expected = float((np.array(exact) >= abs(values.sum()) * (1 - 1e-12)).mean())
    assert sign_flip_p_value(values, seed=1) == pytest.approx(expected, abs=0.01)
    assert sign_flip_p_value(values, seed=1) == sign_flip_p_value(values, seed=1)


@pytest.mark.parametrize("wrong", [[], [np.nan], [[1.0, 2.0]]])
def test_no_p_value_of_anything_but_a_row_of_numbers(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="finite differences"):
        sign_flip_p_value(wrong)


def test_samples_of_one_owner_are_drawn_together() -> None:
    owners = np.array([7, 3, 7, 3, 9])
    weights = owner_weights(owners, 500, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 3]).all()
    # three owners are drawn with replacement in each row
    np.testing.assert_array_equal(weights[:, [0, 1, 4]].sum(axis=1), 3)
    assert weights.mean(axis=0) == pytest.approx(1.0, abs=0.15)


def test_versions_of_one_sample_say_no_more_than_one_of_them() -> None:
    random = np.random.default_rng(5)
    scores, labels = random.normal(0, 1, 20), np.repeat([0, 1], 10)
    scores[10:] += 0.5
    once = image_auroc_sums(scores, labels)
    owners = np.tile(np.arange(10), 2)
    alone = Resampling([labels], 1, seed=0, owners=[owners]).means([[once]])
    # each defective sample three times over
    places = np.concatenate([np.arange(20), np.arange(10, 20), np.arange(10, 20)])
    thrice = image_auroc_sums(scores[places], labels[places])
    together = Resampling([labels[places]], 1, seed=0, owners=[owners[places]]).means([[thrice]])
    np.testing.assert_allclose(together, alone)
    assert standard_error(together) == pytest.approx(alone[1:].std(ddof=1))


def test_standard_error_without_draws_is_nan() -> None:
    assert np.isnan(standard_error(np.array([0.5, np.nan, 0.4])))
    assert standard_error(np.array([9.0, 1.0, np.nan, 3.0])) == pytest.approx(np.sqrt(2))
