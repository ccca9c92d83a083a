"""Figures of clouds: objects and points, AUROC and AUPR, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lsfa_cli.errors import UndefinedMetricError
from lsfa_cli.metrics import (
    image_auroc,
    object_auroc,
    object_average_precision,
    point_auroc,
    point_average_precision,
    point_figures,
)


def test_average_precision_by_hand() -> None:
    # In falling order: 1 0 1 0. At the first defective one precision is 1, at the second 2 / 3.
    assert object_average_precision([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    # Ties enter together: both of 0.8, then all.
    assert object_average_precision([0.8, 0.8, 0.7, 0.7], [1, 0, 1, 0]) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert object_average_precision([3, 2, 1], [1, 1, 0]) == 1
    assert object_average_precision([1, 1, 1, 1], [1, 0, 0, 0]) == 0.25


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: 0 < sum(bad for _, bad in rows) < len(rows)
    )
)
@settings(max_examples=200, deadline=None)
def test_figures_with_many_ties_are_those_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, bad = np.array([score for score, _ in rows], dtype=np.float32), np.array([bad for _, bad in rows])
    found = point_figures(scores, bad)
    assert found.auroc == pytest.approx(roc_auc_score(bad, scores), abs=1e-12)
    assert found.average_precision == pytest.approx(average_precision_score(bad, scores), abs=1e-12)
    assert object_auroc(scores, bad) == image_auroc(scores, bad) == found.auroc == point_auroc(scores, bad)
    assert object_average_precision(scores, bad) == found.average_precision == point_average_precision(scores, bad)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_many_points_with_scores_of_few_groups(share: float) -> None:
    generator = np.random.default_rng(4)
    groups = generator.normal(size=300).astype(np.float32)
    scores = groups[generator.integers(0, 300, 50_000)]
    bad = generator.random(50_000) < share * (1 + 0.03 * scores)
    kept = scores.copy()
    found = point_figures(scores, bad)
    np.testing.assert_array_equal(scores, kept)
    assert found.auroc == pytest.approx(roc_auc_score(bad, scores), abs=1e-12)
    assert found.average_precision == pytest.approx(average_precision_score(bad, scores), abs=1e-12)


def test_figures_that_do_not_exist_say_why() -> None:
    with pytest.raises(UndefinedMetricError, match="object AUROC does not exist: there is no good sample among 2"):
        object_auroc([1, 2], [1, 1])
    with pytest.raises(UndefinedMetricError, match="object AUPR does not exist: there is no defective sample among 2"):
        object_average_precision([1, 2], [0, 0])
    with pytest.raises(UndefinedMetricError, match="no defect point among 3"):
        point_figures([1, 2, 3], np.zeros(3, dtype=bool))
    with pytest.raises(UndefinedMetricError, match="no normal point among 3"):
        point_figures([1, 2, 3], np.ones(3, dtype=bool))
    with pytest.raises(UndefinedMetricError, match="no defect point among 0"):
        point_figures(np.zeros(0, dtype=np.float32), np.zeros(0, dtype=bool))


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        point_figures([1, np.nan], np.array([True, False]))
    with pytest.raises(ValueError, match="one bool each"):
        point_figures([1, 2], np.array([1, 0]))
    with pytest.raises(ValueError, match="equal length"):
        object_average_precision([1, 2, 3], [1, 0])
