"""Fusion of modalities against numbers worked by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import SGDOneClassSVM

from lsfa_cli.fusion import (
    FUSIONS,
    LinearOneClass,
    ScoreStatistics,
    average,
    average_raw,
    fit_one_class,
    one_class_score,
    score_statistics,
)


def test_average_worked_by_hand() -> None:
    scores = {"rgb": np.array([1.0, 5.0]), "xyz": np.array([10.0, 40.0])}
    statistics = {"rgb": ScoreStatistics(1.0, 2.0), "xyz": ScoreStatistics(20.0, 10.0)}
    np.testing.assert_allclose(average(scores, statistics), [(0.0 - 1.0) / 2, (2.0 + 2.0) / 2])
    np.testing.assert_allclose(average_raw(scores), [5.5, 22.5])


def test_average_by_shares_worked_by_hand() -> None:
    scores = {"rgb": np.array([1.0, 5.0]), "xyz": np.array([10.0, 40.0]), "third": np.array([7.0, 8.0])}
    statistics = {"rgb": ScoreStatistics(1.0, 2.0), "xyz": ScoreStatistics(20.0, 10.0), "third": ScoreStatistics(7, 1)}
    shares = {"rgb": 0.5, "xyz": 0.3, "third": 0.2}
    np.testing.assert_allclose(average(scores, statistics, shares), [0.3 * -1, 0.5 * 2 + 0.3 * 2 + 0.2 * 1])
    alike = dict.fromkeys(scores, 1 / 3)
    np.testing.assert_allclose(average(scores, statistics, alike), average(scores, statistics))


def test_average_does_not_depend_on_the_unit_of_a_modality() -> None:
    rng = np.random.default_rng(0)
    normal = {"rgb": rng.random(50), "xyz": rng.random(50)}
    test = {"rgb": rng.random((3, 4, 4)), "xyz": rng.random((3, 4, 4))}
    fused = average(test, {name: score_statistics(values) for name, values in normal.items()})
    scaled_normal = {"rgb": 1000.0 * normal["rgb"] + 7.0, "xyz": normal["xyz"]}
    scaled_test = {"rgb": 1000.0 * test["rgb"] + 7.0, "xyz": test["xyz"]}
    scaled = average(scaled_test, {name: score_statistics(values) for name, values in scaled_normal.items()})
    np.testing.assert_allclose(scaled, fused, atol=1e-9)


def test_one_modality_alone() -> None:
    scores = {"xyz": np.array([1.0, 3.0])}
    np.testing.assert_allclose(average(scores, {"xyz": ScoreStatistics(1.0, 4.0)}), [0.0, 0.5])
    np.testing.assert_allclose(average_raw(scores), [1.0, 3.0])


def test_a_modality_without_spread_is_only_centred() -> None:
    scores = {"rgb": np.array([2.0, 3.0]), "xyz": np.array([0.0, 4.0])}
    statistics = {"rgb": ScoreStatistics(2.0, 0.0), "xyz": ScoreStatistics(0.0, 2.0)}
    np.testing.assert_allclose(average(scores, statistics), [0.0, 1.5])


def test_maps_keep_their_type() -> None:
    maps = {"rgb": np.ones((2, 3, 3), np.float32), "xyz": np.ones((2, 3, 3), np.float32)}
    statistics = {"rgb": ScoreStatistics(0.0, 1.0), "xyz": ScoreStatistics(0.0, 1.0)}
    model = LinearOneClass((0.5, 0.25), 0.0)
    for fused in (average(maps, statistics), average_raw(maps), one_class_score(model, maps["rgb"], maps["xyz"])):
        assert fused.dtype == np.float32
        assert fused.shape == (2, 3, 3)


def test_inputs_are_left_as_they_are() -> None:
    scores = {"rgb": np.array([1.0, 2.0]), "xyz": np.array([3.0, 4.0])}
    average(scores, {"rgb": ScoreStatistics(1.0, 2.0), "xyz": ScoreStatistics(1.0, 2.0)})
    average_raw(scores)
    np.testing.assert_array_equal(scores["rgb"], [1.0, 2.0])
    np.testing.assert_array_equal(scores["xyz"], [3.0, 4.0])


@pytest.mark.parametrize("shape", [(40,), (3, 5, 5)])
def test_score_statistics_equal_numpy(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(100.0, 0.01, shape).astype(np.float32)
    statistics = score_statistics(values)
    assert statistics.mean == pytest.approx(values.astype(np.float64).mean(), rel=1e-12)
    assert statistics.deviation == pytest.approx(values.astype(np.float64).std(), rel=1e-9)
    assert score_statistics([2.0]) == ScoreStatistics(2.0, 0.0)


@pytest.mark.parametrize("shape", [(60,), (4, 6, 6)])
def test_one_class_equals_scikit_learn(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    rgb, xyz = rng.gamma(4.0, 2.0, shape), rng.gamma(4.0, 0.5, shape)
    model = fit_one_class(rgb, xyz)
    pairs = np.stack([1.0 * xyz.ravel(), 0.1 * rgb.ravel()], axis=1)
    expected = SGDOneClassSVM(nu=0.5, max_iter=1000, random_state=42).fit(pairs)
    np.testing.assert_allclose(one_class_score(model, rgb, xyz).ravel(), expected.score_samples(pairs), rtol=1e-10)
    decision = one_class_score(model, rgb, xyz).ravel() - model.offset
    np.testing.assert_allclose(decision, expected.decision_function(pairs), atol=1e-10)
    assert all(type(value) is float for value in (*model.weights, model.offset))
    assert min(model.weights) > 0  # larger distances, larger score


def test_one_class_of_three_banks_equals_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    rgb, xyz, uff = rng.gamma(4.0, 2.0, (4, 50)), rng.gamma(4.0, 0.5, (4, 50)), rng.gamma(4.0, 0.7, (4, 50))
    model = fit_one_class(rgb, xyz, uff)
    rows = np.stack([1.0 * xyz.ravel(), 0.1 * rgb.ravel(), 1.0 * uff.ravel()], axis=1)
    expected = SGDOneClassSVM(nu=0.5, max_iter=1000, random_state=42).fit(rows)
    np.testing.assert_allclose(one_class_score(model, rgb, xyz, uff).ravel(), expected.score_samples(rows), rtol=1e-10)
    assert len(model.weights) == 3
    by_hand = LinearOneClass((0.5, 2.0, 3.0), 0.0)
    assert one_class_score(by_hand, np.array([2.0]), np.array([1.0]), np.array([10.0])) == [33.0]


def test_one_class_is_repeatable() -> None:
    rng = np.random.default_rng(3)
    rgb, xyz = rng.random(30), rng.random(30)
    assert fit_one_class(rgb, xyz) == fit_one_class(rgb, xyz)


def test_bad_input_is_refused() -> None:
    ones = np.ones(3)
    with pytest.raises(ValueError, match="no score statistics for xyz"):
        average({"rgb": ones, "xyz": ones}, {"rgb": ScoreStatistics(0.0, 1.0)})
    for shares in ({"rgb": 0.5, "xyz": 0.6}, {"rgb": 1.0}):
        with pytest.raises(ValueError, match="must sum to 1"):
            average({"rgb": ones, "xyz": ones}, dict.fromkeys(("rgb", "xyz"), ScoreStatistics(0.0, 1.0)), shares)
    with pytest.raises(ValueError, match="no modality"):
        average_raw({})
    with pytest.raises(ValueError, match="differ in shape"):
        average_raw({"rgb": ones, "xyz": np.ones(4)})
    with pytest.raises(ValueError, match="differ in shape"):
        one_class_score(LinearOneClass((1.0, 1.0), 0.0), ones, np.ones(4))
    with pytest.raises(ValueError, match="differ in shape"):
        one_class_score(LinearOneClass((1.0, 1.0, 1.0), 0.0), ones, ones, np.ones(4))
    with pytest.raises(ValueError, match="equally many"):
        fit_one_class(ones, np.ones(4))
    with pytest.raises(ValueError, match="equally many"):
        fit_one_class(ones, ones, np.ones(4))
    with pytest.raises(ValueError, match="equally many"):
        fit_one_class([], [])
    with pytest.raises(ValueError, match="finite"):
        fit_one_class(ones, [1.0, np.nan, 1.0])
    for values in ([], [1.0, np.inf]):
        with pytest.raises(ValueError, match="at least one score"):
            score_statistics(values)


def test_the_table_names_the_functions() -> None:
    loaded = {name: entry.load() for name, entry in FUSIONS.items()}
    assert loaded == {"average": average, "average_raw": average_raw, "ocsvm": one_class_score}
