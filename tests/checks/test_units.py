import numpy as np
import pytest

from lsfa_cli.checks.units import Units
from tests.checks.views import changed, clean, cloud_view, judged


def scaled(factor, count=6):
    return changed(lambda sample: {"xyz": sample.xyz * np.float32(factor)}, count)


def test_metres():
    verdict = judged(Units(), clean())
    assert verdict.findings == ()
    assert verdict.figures["extent_m"] == pytest.approx(0.12, abs=0.003)
    assert verdict.figures["distance_m"] == pytest.approx(0.5, abs=0.001)


def test_millimetres_taken_for_metres():
    (finding,) = judged(Units(), scaled(1000)).findings
    assert finding.severity == "error"
    assert "123 m across and 500 m from the camera" in finding.message
    assert "millimetres" in finding.advice


def test_metres_divided_once_too_often():
    (finding,) = judged(Units(), scaled(0.001)).findings
    assert finding.severity == "error"
    assert "leave out" in finding.advice


def test_one_wild_scan_is_no_matter_of_units():
    assert judged(Units(), [*clean(), *scaled(1000, 1)]).findings == ()


def test_a_little_too_large_is_a_warning():
    (finding,) = judged(Units(), scaled(35)).findings
    assert finding.severity == "warning"
    assert "4.31 m across" in finding.message


def test_clouds_without_a_camera_are_judged_by_their_extent():
    cube = np.random.default_rng(0).uniform(-1, 1, (5000, 3))
    assert judged(Units(), [cloud_view(cube * 0.015)]).findings == ()
    assert judged(Units(), [cloud_view(cube * 0.015)]).figures["distance_m"] is None
    (finding,) = judged(Units(), [cloud_view(cube * 0.000015)]).findings
    assert (finding.severity, "from the camera" in finding.message) == ("error", False)
    (finding,) = judged(Units(), [cloud_view(cube * 100)]).findings
    assert finding.severity == "error"
    (finding,) = judged(Units(), [cloud_view(cube * 4)]).findings
    assert finding.severity == "warning"
