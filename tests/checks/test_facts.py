from dataclasses import replace

import numpy as np
import pytest

from lsfa_cli.checks.facts import MOST_VALUES, facts_of, point_facts, thinned
from tests.checks.views import scene


def test_facts_of_points_worked_by_hand():
    line = np.zeros((101, 3), np.float32)
    line[:, 0] = np.arange(101) / 100
    line[:, 2] = 0.5
    facts = point_facts(line)
    assert facts.count == 101
    assert facts.valid_share is None
    assert facts.low == pytest.approx((0.02, 0, 0.5))
    assert facts.median == pytest.approx((0.5, 0, 0.5))
    assert facts.high == pytest.approx((0.98, 0, 0.5))
    assert facts.extent == pytest.approx((0.96, 0, 0))


def test_facts_of_an_image_worked_by_hand():
    rgb = np.zeros((10, 10, 3), np.uint8)
    rgb[:5] = (200, 100, 0)
    image = facts_of(replace(scene(), rgb=rgb, xyz=None, valid=None)).image
    assert image.mean == (100, 50, 0)
    assert (image.low, image.high) == (0, 200)
    values = [200, 100, 0] * 50 + [0] * 150
    assert image.deviation == pytest.approx(np.std(values))


def test_every_channel_counts_in_the_deviation_of_large_images():
    # 400 x 400 x 3 values are thinned by a multiple of three
    rgb = np.zeros((400, 400, 3), np.uint8)
    rgb[200:] = (0, 90, 180)
    image = facts_of(replace(scene(), rgb=rgb, xyz=None, valid=None)).image
    assert image.deviation == pytest.approx(rgb.std(), rel=1e-3)


def test_missing_points_take_no_part():
    sample = scene()
    valid = np.zeros_like(sample.valid)
    valid[:, :64] = True
    points = facts_of(replace(sample, valid=valid)).points
    assert points.valid_share == 0.5
    assert points.high[0] < 0


def test_what_is_absent_is_none():
    sample = scene(height=96)
    image_alone = facts_of(replace(sample, xyz=None, valid=None))
    scan_alone = facts_of(replace(sample, rgb=None))
    assert image_alone.points is None
    assert scan_alone.image is None
    assert image_alone.size == scan_alone.size == (96, 128)


def test_no_points_have_no_facts():
    with pytest.raises(ValueError, match="without points"):
        point_facts(np.zeros((0, 3), np.float32))


def test_many_values_are_thinned_evenly():
    kept = thinned(np.arange(10 * MOST_VALUES))
    assert len(kept) == MOST_VALUES
    assert set(np.diff(kept)) == {10}
