import numpy as np

from lsfa_cli.checks.values import Values
from tests.checks.views import changed, clean, cloud_view, judged


def findings(views):
    return judged(Values(), views).findings


def test_an_image_of_one_colour():
    (plain,) = changed(lambda sample: {"rgb": np.full_like(sample.rgb, 77)}, 1)
    (finding,) = findings([*clean(), plain])
    assert (finding.severity, finding.samples) == ("warning", ("train/good/000",))
    assert "one colour" in finding.message


def test_images_scaled_to_one_are_nearly_black():
    dark = changed(lambda sample: {"rgb": sample.rgb // 16})
    (finding,) = findings(dark)
    assert finding.severity == "warning"
    assert "nearly black" in finding.message
    assert finding.samples == ()


def test_one_dark_image_is_no_matter_of_scale():
    assert findings([*clean(), *changed(lambda sample: {"rgb": sample.rgb // 16}, 1)]) == []


def test_a_scan_with_next_to_no_points():
    def few(sample):
        valid = np.zeros_like(sample.valid)
        valid[:5, :10] = True
        return {"valid": valid}

    (finding,) = findings([*clean(), *changed(few, 1)])
    assert (finding.severity, finding.samples) == ("warning", ("train/good/000",))


def test_an_unorganized_cloud_is_judged_by_its_number_of_points():
    many = np.random.default_rng(0).normal(0, 0.01, (1000, 3))
    assert findings([cloud_view(many)]) == []
    (finding,) = findings([cloud_view(many[:99], "train/good/001")])
    assert finding.samples == ("train/good/001",)
