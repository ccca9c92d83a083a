"""Choosing on one half of the test samples and measuring on the other."""

import numpy as np
import pytest

from lsfa_cli.errors import DataError
from lsfa_cli.resampling import Halves, image_auroc_sums
from lsfa_cli.stages.studying.choice import choose
from lsfa_cli.stages.studying.figures import Measured

LABELS = np.array([0] * 11 + [1] * 14)


def measured(*scores: np.ndarray) -> Measured:
    """I-AUROC of one category, one seed a row of scores."""
    figures = [image_auroc_sums(row, LABELS) for row in scores]
    return Measured(np.array([figure.values(np.ones((1, len(LABELS))))[0] for figure in figures]), [figures])


def test_halves_share_no_sample_and_split_each_class() -> None:
    halves = Halves([LABELS], seed=3, splits=200)
    counts = []
    for number in range(len(LABELS)):
        member = np.zeros(len(LABELS))
        member[number] = 1.0
        first, other = (halves.means([[Weighed(member)]], other=other) for other in (False, True))
        np.testing.assert_array_equal(first + other, 1)
        counts.append(first)
    drawn = np.array(counts)
    assert set(drawn[LABELS == 0].sum(axis=0)) == {5, 6}
    assert set(drawn[LABELS == 1].sum(axis=0)) == {7}
    np.testing.assert_allclose(drawn.mean(axis=1), 0.5, atol=0.15)


class Weighed:
    """How often a sample is counted."""

    def __init__(self, member: np.ndarray) -> None:
        self.member = member

    def values(self, weights: np.ndarray) -> np.ndarray:
        return weights @ self.member


def test_a_variant_that_is_better_throughout_is_chosen_and_gains_its_difference() -> None:
    random = np.random.default_rng(0)
    poor = random.normal(size=(2, len(LABELS)))
    good = np.tile(LABELS.astype(float), (2, 1))
    found = choose(
        {"none": {("rgb", "i_auroc"): measured(*poor)}, "good": {("rgb", "i_auroc"): measured(*good)}},
        "none",
        "i_auroc",
        [LABELS],
    )
    assert [choice.modality for choice in found] == ["rgb"]
    assert found[0].chosen == {"good": 1.0}
    expected = 1 - measured(*poor).values.mean()
    assert found[0].gain.value == pytest.approx(expected, abs=0.01)
    assert found[0].text().startswith(f"rgb {found[0].gain.value:+.3f} (")
    assert found[0].text().endswith("most often good 100%")


def test_the_luck_of_many_equal_variants_does_not_gain() -> None:
    random = np.random.default_rng(1)
    variants = {
        f"variant {number}": {("xyz", "i_auroc"): measured(random.normal(size=len(LABELS)))} for number in range(30)
    }
    best = max(found["xyz", "i_auroc"].values[0] for found in variants.values())
    typical = min(variants, key=lambda name: abs(variants[name]["xyz", "i_auroc"].values[0] - 0.5))
    choice = choose(variants, typical, "i_auroc", [LABELS])[0]
    naive = best - variants[typical]["xyz", "i_auroc"].values[0]
    assert naive > 0.2
    assert choice.gain.value < naive / 2
    assert sum(choice.chosen.values()) == pytest.approx(1)


def test_the_baseline_may_be_chosen_and_gains_nothing() -> None:
    perfect, poor = measured(LABELS.astype(float)), measured(-LABELS.astype(float))
    key = ("rgb+xyz", "i_auroc")
    choice = choose({"none": {key: perfect}, "worse": {key: poor}}, "none", "i_auroc", [LABELS])[0]
    assert (choice.gain.value, choice.gain.low, choice.gain.high) == (0, 0, 0)
    assert choice.chosen == {"none": 1.0}


@pytest.mark.parametrize("labels", [np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1])])
def test_one_sample_of_a_kind_makes_no_halves(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="at least 2 good and 2 defective"):
        choose({"none": {}}, "none", "i_auroc", [labels])


def test_a_metric_that_was_not_measured_is_told() -> None:
    with pytest.raises(DataError, match="no variant has AUPRO"):
        choose({"none": {}}, "none", "aupro", [LABELS])
