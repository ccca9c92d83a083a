from dataclasses import replace

import numpy as np

from lsfa_cli.checks.masks import Masks
from tests.checks.views import cloud_view, judged, scene, view


def masked(name, pixels, **more):
    sample = scene()
    mask = None
    if pixels is not None:
        mask = np.zeros_like(sample.mask)
        mask.ravel()[:pixels] = True
    return view(replace(sample, mask=mask), name, **more)


def findings(*views):
    return [(f.severity, f.message, f.samples) for f in judged(Masks(), views).findings]


def test_marked_defects_and_empty_masks_of_good_parts():
    verdict = judged(Masks(), [masked("test/hole/000", 1024), masked("test/good/000", 0)])
    assert verdict.findings == []
    assert verdict.figures == {"defect_share": 1024 / 128**2}


def test_a_good_part_with_marked_pixels_is_an_error():
    ((severity, message, samples),) = findings(masked("test/hole/000", 9), masked("test/good/000", 9))
    assert (severity, samples) == ("error", ("test/good/000",))
    assert "good parts mark pixels" in message


def test_empty_masks_of_defects():
    marked = [masked(f"test/hole/{number:03}", 50) for number in range(9)]
    ((severity, message, samples),) = findings(*marked, masked("test/hole/009", 0))
    assert (severity, samples) == ("note", ("test/hole/009",))
    assert "1 of 10 samples" in message
    ((severity, _, samples),) = findings(marked[0], masked("test/hole/009", 0))
    assert (severity, samples) == ("warning", ("test/hole/009",))


def test_an_inverted_mask():
    ((severity, message, samples),) = findings(masked("test/hole/000", 128**2 - 50))
    assert (severity, samples) == ("warning", ("test/hole/000",))
    assert "90%" in message


def test_class_ids_are_fine_and_shades_of_grey_are_not():
    assert findings(masked("test/hole/000", 50, mask_values=(0, 252, 253, 254, 255))) == []
    ((severity, message, samples),) = findings(masked("test/hole/000", 50, mask_values=tuple(range(40))))
    assert (severity, samples) == ("warning", ("test/hole/000",))
    assert "16 values" in message


def test_defects_that_nobody_marked_are_noted():
    ((severity, message, samples),) = findings(masked("test/hole/000", None), masked("test/good/000", None))
    assert (severity, samples) == ("note", ("test/hole/000",))
    assert "nobody" in message


def test_masks_outside_the_test_split_are_not_looked_at():
    assert Masks().measure(masked("train/good/000", 50)) is None


def test_labels_of_points():
    points = np.random.default_rng(0).normal(size=(200, 3))
    marked = np.arange(200) < 10
    assert findings(cloud_view(points, "test/bulge/000", marked), cloud_view(points, "test/good/000")) == []
    ((severity, message, samples),) = findings(cloud_view(points, "test/good/000", marked))
    assert (severity, samples) == ("error", ("test/good/000",))
    assert "mark points" in message


def test_the_files_to_look_at_are_named():
    (finding,) = judged(Masks(), [masked("test/good/000", 9)]).findings
    assert [file.rpartition("/")[2] for file in finding.files] == ["000.png"]
