"""AUROC and AUPRO against the reference numbers, slow twins, and properties."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from lsfa_cli import metrics
from lsfa_cli.errors import UndefinedMetricError
from lsfa_cli.metrics import (
    METRICS,
    aupro,
    aupro_limits,
    image_auroc,
    object_auroc,
    object_average_precision,
    pixel_auroc,
    point_auroc,
    point_average_precision,
    pro_curve,
)

SETS = ("all", "no_ties", "ties", "diagonal")
LIMITS = (0.3, 0.05, 1.0)


class Reference(NamedTuple):
    maps: np.ndarray
    masks: np.ndarray
    facts: dict[str, Any]


@pytest.fixture
def arrays(shared: Callable[[str], Path]) -> dict[str, np.ndarray]:
    with np.load(shared("vectors/aupro.npz")) as stored:
        return dict(stored)


@pytest.fixture
def facts(shared: Callable[[str], Path]) -> dict[str, Any]:
    return json.loads(shared("vectors/aupro.json").read_text())


@pytest.fixture(params=SETS)
def reference(request: pytest.FixtureRequest, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> Reference:
    chosen = facts["sets"][request.param]
    return Reference(arrays["maps"][chosen["images"]], arrays["masks"][chosen["images"]], chosen)


def plain_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Every distinct score as a threshold, one by one, trapezia to an interpolated end."""
    components = []
    for image, mask in enumerate(masks):
        labels, count = ndimage.label(mask != 0, structure=np.ones((3, 3)))
        components += [(image, labels == component) for component in range(1, count + 1)]
    normal = maps[masks == 0]
    rate, overlap = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        rate.append(np.mean(normal >= threshold))
        overlap.append(np.mean([np.mean(maps[image][inside] >= threshold) for image, inside in components]))
    area = 0.0
    for left in range(len(rate) - 1):
        x0, x1, y0, y1 = rate[left], rate[left + 1], overlap[left], overlap[left + 1]
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit


@pytest.mark.parametrize("limit", LIMITS)
def test_exact_aupro_equals_the_reference(reference: Reference, limit: float) -> None:
    expected = reference.facts["aupro"][str(limit)]
    value = aupro(reference.maps, reference.masks, limit=limit)
    assert value == pytest.approx(expected["every_distinct_score"], abs=1e-9)
    if reference.facts["components"] != reference.facts["components_if_4_connected"]:
        assert abs(value - expected["wrong_4_connected_every_distinct_score"]) > 1e-3


@pytest.mark.parametrize("limit", LIMITS)
def test_published_protocol_equals_the_public_code(reference: Reference, limit: float) -> None:
    expected = reference.facts["aupro"][str(limit)]
    hundred = aupro(reference.maps, reference.masks, limit=limit, thresholds=100)
    every = aupro(reference.maps, reference.masks, limit=limit, thresholds=reference.facts["ok_pixels"])
    assert hundred == pytest.approx(expected["reference_100_thresholds"], abs=1e-9)
    assert every == pytest.approx(expected["reference_thresholds_at_every_ok_pixel"], abs=1e-9)


def test_published_curve_equals_the_public_code(arrays: dict[str, np.ndarray]) -> None:
    rate, overlap = pro_curve(arrays["maps"], arrays["masks"], 100)
    np.testing.assert_allclose(rate, arrays["curve_all_100_fpr"], atol=1e-9)
    np.testing.assert_allclose(overlap, arrays["curve_all_100_pro"], atol=1e-9)


def test_aurocs_equal_the_reference(reference: Reference) -> None:
    highest = reference.maps.max(axis=(1, 2))
    labels = reference.masks.any(axis=(1, 2))
    np.testing.assert_allclose(highest, reference.facts["image_scores_max"], atol=1e-9)
    assert labels.astype(int).tolist() == reference.facts["image_labels"]
    assert image_auroc(highest, labels) == pytest.approx(reference.facts["image_auroc"], abs=1e-9)
    assert pixel_auroc(reference.maps, reference.masks) == pytest.approx(reference.facts["pixel_auroc"], abs=1e-9)


def test_image_auroc_counts_a_tie_one_half(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    value = image_auroc(arrays["tie_scores"], arrays["tie_labels"])
    assert value == pytest.approx(facts["image_auroc_with_ties"]["auroc"], abs=1e-9)
    assert image_auroc([1.0, 1.0], [0, 1]) == 0.5
    assert image_auroc([2.0, 1.0, 1.0], [1, 0, 1]) == 0.75


def test_many_limits_equal_one_limit_at_a_time(arrays: dict[str, np.ndarray]) -> None:
    limits = [0.3, 0.01, 1.0, 0.05]
    for thresholds in (None, 100):
        together = aupro_limits(arrays["maps"], arrays["masks"], limits, thresholds=thresholds)
        alone = [aupro(arrays["maps"], arrays["masks"], limit=limit, thresholds=thresholds) for limit in limits]
        np.testing.assert_allclose(together, alone, atol=1e-12)
    assert aupro_limits(arrays["maps"], arrays["masks"], []) == []


def test_aupro_worked_by_hand() -> None:
    # Four normal pixels 1, 2, 3, 4; components of one pixel (5) and of two (2.5 and 0).
    maps = np.array([[[5.0, 1.0, 2.5, 2.0], [3.0, 4.0, 0.0, 0.0]]])
    masks = np.array([[[1, 0, 1, 0], [0, 0, 1, 0]]])
    maps[0, 1, 3] = -1.0
    # Overlap by rate: 1/2 from 0, 3/4 once 2 of the 5 normal pixels are above, 1 once 4 of 5 are.
    assert aupro(maps, masks, limit=1.0) == pytest.approx((0.4 * 0.5) + (0.4 * 0.75) + (0.2 * 1.0))
    assert aupro(maps, masks, limit=0.4) == pytest.approx(0.5)
    assert aupro(maps, masks, limit=0.6) == pytest.approx((0.4 * 0.5 + 0.2 * 0.75) / 0.6)


def test_constant_and_perfect_maps() -> None:
    masks = np.zeros((2, 8, 8), dtype=np.uint8)
    masks[0, 2:4, 2:4] = 255
    # All tied: the exact curve is the diagonal, so the area up to 0.3 is 0.045; the rank-based one is 0.
    assert aupro(np.zeros((2, 8, 8)), masks) == pytest.approx(0.15)
    assert aupro(np.zeros((2, 8, 8)), masks, limit=1.0) == pytest.approx(0.5)
    assert aupro(np.zeros((2, 8, 8)), masks, thresholds=100) == pytest.approx(0.0)
    assert aupro(masks.astype(float), masks) == 1.0
    assert aupro(masks.astype(float), masks, thresholds=100) == pytest.approx(1.0)
    assert pixel_auroc(np.zeros((2, 8, 8)), masks) == 0.5


def test_components_of_one_mask_are_joined_by_corners_and_not_across_images() -> None:
    maps = np.zeros((2, 3, 3))
    maps[0, 0, 0] = 1.0
    masks = np.zeros((2, 3, 3), dtype=bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[1, 1, 1] = True
    # Components {found, missed} and {missed}: overlap 1/4 before any normal pixel, a ramp to 1 with the ties at 0.
    assert aupro(maps, masks, limit=0.3) == pytest.approx(0.25 + 0.75 * 0.3 / 2)


def test_mask_values_do_not_matter_and_do_not_split(arrays: dict[str, np.ndarray]) -> None:
    masks = arrays["masks"].astype(np.uint8)
    ids = np.where(masks > 0, 253, 0).astype(np.uint8)
    ids[:, ::2] = np.where(masks[:, ::2] > 0, 255, 0)
    assert aupro(arrays["maps"], ids) == aupro(arrays["maps"], masks)


score_values = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32).map(lambda value: 0.0 if value == 0 else value)
)
images = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6)), elements=score_values
)


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    maps = draw(images)
    masks = draw(hnp.arrays(np.bool_, maps.shape))
    masks.flat[0], masks.flat[-1] = True, False
    return maps, masks


@given(maps_and_masks(), st.floats(0.01, 1.0))
@settings(max_examples=150, deadline=None)
def test_exact_aupro_equals_the_plain_twin(case: tuple[np.ndarray, np.ndarray], limit: float) -> None:
    maps, masks = case
    value = aupro(maps, masks, limit=limit)
    assert 0.0 <= value <= 1.0
    assert value == pytest.approx(plain_aupro(maps, masks, limit), abs=1e-9)


@given(maps_and_masks(), st.floats(0.01, 1.0), st.sampled_from([None, 2, 7, 100]))
@settings(max_examples=100, deadline=None)
def test_only_the_order_of_scores_matters(
    case: tuple[np.ndarray, np.ndarray], limit: float, thresholds: int | None
) -> None:
    maps, masks = case
    ranks = np.unique(maps, return_inverse=True)[1].reshape(maps.shape).astype(np.float64)
    value = aupro(maps, masks, limit=limit, thresholds=thresholds)
    assert 0.0 <= value <= 1.0
    for transformed in (ranks, 3.0 * ranks - 7.0, np.exp(ranks / 10.0)):
        assert aupro(transformed, masks, limit=limit, thresholds=thresholds) == value
        assert pixel_auroc(transformed, masks) == pixel_auroc(maps, masks)


@given(maps_and_masks())
@settings(max_examples=60, deadline=None)
def test_pixel_auroc_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    maps, masks = case
    assert pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-9)


@given(
    values=hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-2, 2, width=16)),
    scores=hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(-3, 3, width=16)),
    steps=st.sampled_from([1, 2, 7, 64]),
    scale=st.sampled_from([1.0, 1e-30, 1e30]),
)
def test_values_that_are_counted_are_counted_as_if_sorted(
    values: np.ndarray, scores: np.ndarray, steps: int, scale: float
) -> None:
    """With few coarse steps, and parts of seven values, as well as none at all."""
    values, scores = (values * np.float32(scale), scores * np.float32(scale))
    ordered = np.sort(values)
    with pytest.MonkeyPatch.context() as patch:
        for name, number in (("_MANY", 1), ("_STEPS", steps), ("_PART", 7)):
            patch.setattr(metrics, name, number)
        below, not_above = metrics._counts_below(values, scores)
    np.testing.assert_array_equal(below, np.searchsorted(ordered, scores, side="left"))
    np.testing.assert_array_equal(not_above, np.searchsorted(ordered, scores, side="right"))


@pytest.mark.parametrize("odd", [np.inf, -np.inf, 1e38, 5e-45])
def test_many_values_of_any_width_are_counted(odd: float) -> None:
    values = np.random.default_rng(0).standard_normal(metrics._MANY).astype(np.float32)
    values[::1000] = odd
    scores = np.array([-np.inf, odd, 0.0, 1.0, np.inf, *values[:50]], dtype=np.float32)
    ordered = np.sort(values)
    below, not_above = metrics._counts_below(values, scores)
    np.testing.assert_array_equal(below, np.searchsorted(ordered, scores, side="left"))
    np.testing.assert_array_equal(not_above, np.searchsorted(ordered, scores, side="right"))


@pytest.mark.parametrize("looked_at", ["low", "high"])
@pytest.mark.parametrize("count", [1, 100, 3000, 6100])
def test_the_highest_are_all_there_whatever_was_guessed(looked_at: str, count: int) -> None:
    """Also where every value that the guess looks at is among the highest: then it is too high, and not used."""
    values = np.random.default_rng(1).integers(0, 500, 6100).astype(np.float32)
    values[:: metrics._EVERY] += 1000 if looked_at == "high" else -1000
    found = np.sort(metrics._at_least_highest(values, count))
    assert found.size >= count
    np.testing.assert_array_equal(found, np.sort(values[values >= found[0]]))


def test_infinite_scores_have_an_order() -> None:
    maps = np.array([[[np.inf, 1.0, -np.inf, 0.0]]])
    masks = np.array([[[1, 0, 1, 0]]])
    # One component found before any normal pixel, one only after both.
    assert aupro(maps, masks, limit=1.0) == pytest.approx(0.5)


def test_float16_and_integer_scores() -> None:
    maps = np.arange(18).reshape(2, 3, 3)
    masks = maps > 14
    assert aupro(maps, masks) == aupro(maps.astype(np.float16), masks) == 1.0
    assert image_auroc(np.array([3, 1]), np.array([True, False])) == 1.0


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_image_auroc_needs_both_classes(labels: list[int]) -> None:
    missing = "defective" if labels[0] == 0 else "good"
    with pytest.raises(UndefinedMetricError, match=f"there is no {missing} sample among 3"):
        image_auroc([1.0, 2.0, 3.0], labels)


def test_figures_that_cannot_exist() -> None:
    maps = np.ones((2, 4, 4))
    with pytest.raises(UndefinedMetricError, match="2 masks have no defect"):
        aupro(maps, np.zeros((2, 4, 4)))
    with pytest.raises(UndefinedMetricError, match="every pixel is a defect"):
        aupro(maps, np.ones((2, 4, 4)))
    with pytest.raises(UndefinedMetricError, match="no defect pixel in 2 masks"):
        pixel_auroc(maps, np.zeros((2, 4, 4)))
    with pytest.raises(UndefinedMetricError, match="no normal pixel in 2 masks"):
        pixel_auroc(maps, np.ones((2, 4, 4)))


def test_bad_input_is_refused() -> None:
    maps, masks = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    masks[0, 0, 0] = 1
    spoiled = maps.copy()
    spoiled[1, 2, 3] = np.nan
    for metric in (aupro, pixel_auroc):
        with pytest.raises(ValueError, match="NaN"):
            metric(spoiled, masks)
        with pytest.raises(ValueError, match=r"\(2, 4, 4\) and \(2, 4, 5\)"):
            metric(maps, np.zeros((2, 4, 5)))
        with pytest.raises(ValueError, match=r"\(n, H, W\)"):
            metric(maps[0], masks[0])
    with pytest.raises(ValueError, match="NaN"):
        image_auroc([np.nan, 1.0], [0, 1])
    with pytest.raises(ValueError, match="equal length"):
        image_auroc([1.0, 2.0], [0, 1, 1])
    with pytest.raises(ValueError, match=r"0 \(good\) or 1"):
        image_auroc([1.0, 2.0], [0, 2])
    for limit in (0.0, 1.1, -0.3, float("nan")):
        with pytest.raises(ValueError, match="limit"):
            aupro(maps, masks, limit=limit)
    with pytest.raises(ValueError, match="at least 2 thresholds"):
        aupro(maps, masks, thresholds=1)


def test_the_table_names_the_functions() -> None:
    loaded = {name: entry.load() for name, entry in METRICS.items()}
    assert loaded == {
        "i_auroc": image_auroc,
        "p_auroc": pixel_auroc,
        "aupro": aupro,
        "o_auroc": object_auroc,
        "o_aupr": object_average_precision,
        "p_auroc (points)": point_auroc,
        "p_aupr": point_average_precision,
    }
