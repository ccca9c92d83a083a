from dataclasses import replace

import numpy as np
import pytest

from lsfa_cli.checks.outliers import FEWEST, Outliers, deviations
from tests.checks.views import clean, cloud_view, judged, scene, view


def odd(name="train/good/099", **change):
    return view(replace(scene(50), **change), name)


def finding(*others, count=12):
    (found,) = judged(Outliers(), [*clean(count), *others]).findings
    assert found.severity == "warning"
    return found


def test_a_clean_set():
    verdict = judged(Outliers(), clean(12))
    assert verdict.findings == []
    assert verdict.figures["largest_deviation"] < 3


def test_another_light():
    sample = scene(50)
    brighter = np.minimum(sample.rgb.astype(int) + 60, 255).astype(np.uint8)
    found = finding(odd(rgb=brighter))
    assert found.samples == ("train/good/099",)
    assert "red" in found.message


def test_another_distance():
    farther = scene(50).xyz + np.float32([0, 0, 0.05])
    assert "distance (m) 0.55 (usual 0.5)" in finding(odd(xyz=farther)).message


def test_half_a_scan():
    valid = scene(50).valid.copy()
    valid[:, 60:] = False
    message = finding(odd(valid=valid)).message
    assert "share of points 0.4688 (usual 1)" in message
    assert "width" in message


def test_defective_samples_may_differ():
    assert judged(Outliers(), [*clean(12), odd("test/hole/000", rgb=scene(50).rgb // 4)]).findings == []


def test_few_samples_say_nothing_about_what_is_usual():
    views = [*clean(FEWEST - 2), odd(rgb=scene(50).rgb // 4)]
    assert judged(Outliers(), views).findings == ()
    assert len(judged(Outliers(), [*clean(FEWEST - 1), views[-1]]).findings) == 1


def test_a_cloud_with_a_tenth_of_the_points():
    generator = np.random.default_rng(0)
    clouds = [generator.uniform(-0.01, 0.01, (5000, 3)) for _ in range(9)]
    views = [cloud_view(points, f"train/good/{number:03}") for number, points in enumerate(clouds)]
    (found,) = judged(Outliers(), [*views, cloud_view(clouds[0][::10], "train/good/009")]).findings
    assert found.samples == ("train/good/009",)
    assert "number of points 500 (usual 5000)" in found.message


def test_deviations_worked_by_hand():
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    # median 3; absolute deviations 2 1 0 1 97, their median 1
    assert deviations(values, 0, 0) == pytest.approx((values - 3) / 1.4826)
    assert deviations(values, 10, 0) == pytest.approx((values - 3) / 10)
    assert deviations(values, 0, 2) == pytest.approx((values - 3) / 6)
    assert deviations(np.ones(4), 0, 0) == pytest.approx(0)
