import functools
from dataclasses import replace

import numpy as np
import pytest

from lsfa_cli.checks.alignment import CONFIDENT, REACH, Alignment, _correlation, confidence, peak
from lsfa_cli.datasets.eyecandies import Eyecandies
from lsfa_cli.datasets.mvtec3d import Mvtec3d
from lsfa_cli.stages.check_data import spread, view_of
from tests.checks.views import changed, clean, judged, scene, view


def rolled(rows, columns):
    return changed(lambda sample: {"rgb": np.roll(sample.rgb, (rows, columns), (0, 1))})


def test_aligned():
    verdict = judged(Alignment(), clean())
    assert verdict.findings == ()
    assert verdict.figures["shift_px"] == (0, 0)
    assert verdict.figures["confidence"] > 0.5
    assert verdict.figures["clear"] is True


@pytest.mark.parametrize(
    ("rows", "columns", "text"),
    [(6, 0, "6 px down of"), (0, -6, "6 px to the left of"), (-4, 3, "3 px to the right and 4 px up of")],
)
def test_a_shift_is_found_with_its_direction(rows, columns, text):
    verdict = judged(Alignment(), rolled(rows, columns))
    assert verdict.figures["shift_px"] == (columns, rows)
    (finding,) = verdict.findings
    assert finding.severity == "warning"
    assert text in finding.message


def test_a_shift_of_two_pixels_is_within_what_real_sets_have():
    verdict = judged(Alignment(), rolled(2, 0))
    assert verdict.figures["shift_px"] == (0, 2)
    assert verdict.findings == ()


def test_images_of_other_samples_are_no_shift():
    samples = [scene(seed) for seed in range(8)]
    generator = np.random.default_rng(1)
    noise = [generator.integers(0, 255, samples[0].rgb.shape).astype(np.uint8) for _ in samples]
    verdict = judged(Alignment(), [view(replace(sample, rgb=rgb)) for sample, rgb in zip(samples, noise, strict=True)])
    assert verdict.findings == ()
    assert verdict.figures["clear"] is False
    assert verdict.figures["confidence"] < CONFIDENT


def test_missing_points_around_a_part_are_edges_too():
    def without_floor(sample):
        return {"valid": sample.xyz[..., 2] < 0.49}

    shifted = changed(lambda s: {**without_floor(s), "rgb": np.roll(s.rgb, 5, 1)})
    assert judged(Alignment(), shifted).figures["shift_px"] == (5, 0)


def test_large_images_are_reduced_and_shifts_scaled_back():
    def enlarged(sample):
        big = {name: np.kron(getattr(sample, name), np.ones((8, 8, 1), np.uint8)) for name in ("rgb", "xyz")}
        big = {"rgb": np.roll(big["rgb"].astype(np.uint8), 32, 0), "xyz": big["xyz"].astype(np.float32)}
        return {**big, "valid": np.ones(big["rgb"].shape[:2], bool), "mask": None}

    verdict = judged(Alignment(), changed(enlarged, 2))
    assert verdict.figures["shift_px"] == (0, 32)
    assert "32 px down" in verdict.findings[0].message


def test_what_has_no_edges_or_is_small_or_lacks_one_of_the_two_says_nothing():
    sample = scene()
    flat = replace(sample, rgb=np.full_like(sample.rgb, 9))
    small = replace(sample, rgb=sample.rgb[:90], xyz=sample.xyz[:90], valid=sample.valid[:90], mask=sample.mask[:90])
    for other in (flat, small, replace(sample, rgb=None), replace(sample, xyz=None, valid=None)):
        assert Alignment().measure(view(other)) is None


def test_the_correlation_is_that_of_a_plain_double_loop():
    generator = np.random.default_rng(3)
    image, scan = generator.normal(size=(2, 52, 60))
    fast = _correlation(image, scan)
    window = np.outer(np.hanning(52), np.hanning(60))
    image, scan = (image - image.mean()) * window, (scan - scan.mean()) * window
    for row, column in ((0, 0), (3, -7), (-24, 24)):
        moved = np.roll(image, (-row, -column), (0, 1))
        expected = (moved * scan).sum() / np.sqrt((image**2).sum() * (scan**2).sum())
        assert fast[REACH + row, REACH + column] == pytest.approx(expected, abs=1e-12)


def test_confidence_worked_by_hand():
    surface = np.zeros((49, 49))
    surface[24 + 5, 24 - 3] = 0.8
    surface[2, 2] = 0.2
    assert peak(surface) == (5, -3)
    assert confidence(surface[None]) == pytest.approx(0.75)
    elsewhere = np.zeros((49, 49))
    elsewhere[40, 40] = 0.4
    # The mean has 0.4 at the peak and 0.2 elsewhere; one of the two samples agrees.
    assert confidence(np.stack([surface, elsewhere])) == pytest.approx(0.5 * 0.5)
    assert confidence(-np.ones((2, 49, 49))) == 0


@functools.cache
def real_views(dataset, root):
    source = dataset(root)
    (category,) = source.categories()
    return [view_of(source, found) for found in spread(source.records(category), 4)]


@pytest.mark.parametrize("roll", [(0, 0), (6, 0), (0, -6)])
@pytest.mark.parametrize(("dataset", "name"), [(Mvtec3d, "mvtec3d"), (Eyecandies, "eyecandies")])
def test_real_sets_are_clean_and_a_roll_of_six_pixels_is_found(shared, dataset, name, roll):
    views = real_views(dataset, shared(f"data/{name}"))
    moved = [replace(v, sample=replace(v.sample, rgb=np.roll(v.sample.rgb, roll, (0, 1)))) for v in views]
    verdict = judged(Alignment(), moved)
    across, down = verdict.figures["shift_px"]
    assert np.hypot(down - roll[0], across - roll[1]) <= 1.5
    assert [finding.check for finding in verdict.findings] == (["alignment"] if any(roll) else [])
