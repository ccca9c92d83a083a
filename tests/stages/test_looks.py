from dataclasses import replace

import numpy as np
import pytest

from lsfa_cli.checks.base import View
from lsfa_cli.samples import PreparedSample
from lsfa_cli.stages.looks import CLOUD_SIZE, fact_lines, look_of, prepared_look
from tests.checks.views import cloud_view, record, scene, view


def test_a_raster_as_it_is():
    sample = scene()
    look = look_of(view(sample))
    assert (look.image == sample.rgb).all()
    assert look.depth.shape == sample.valid.shape
    assert (look.mask == sample.mask).all()


def test_a_small_look_keeps_small_defects():
    sample = scene(height=100)
    mask = np.zeros_like(sample.mask)
    mask[99, 127] = True
    look = look_of(view(replace(sample, mask=mask)), 40)
    assert look.image.shape == (25, 32, 3)
    assert look.depth.shape == look.mask.shape == (25, 32)
    assert np.argwhere(look.mask).tolist() == [[24, 31]]


@pytest.mark.parametrize("absent", [{"rgb": None}, {"xyz": None, "valid": None}, {"mask": None}])
def test_what_is_absent_is_not_shown(absent):
    look = look_of(view(replace(scene(), **absent)), 64)
    assert (look.image is None) == ("rgb" in absent)
    assert (look.depth is None) == ("xyz" in absent)
    assert (look.mask is None) == ("mask" in absent)


def test_a_cloud_is_rendered_with_the_defect_where_its_points_are_seen():
    rows, columns = np.mgrid[:60, :60]
    points = np.stack([columns, rows, 0 * rows], axis=-1).reshape(-1, 3) / 1000
    look = look_of(cloud_view(points, "test/bulge/000", points[:, 0] > 0.0295))
    assert look.image is None
    assert look.depth.shape == look.mask.shape == (CLOUD_SIZE, CLOUD_SIZE)
    shown = look.depth > 0
    assert 0.45 < look.mask.sum() / shown.sum() < 0.55
    assert not look.mask[:, : CLOUD_SIZE // 2 - 10].any()


def test_a_view_of_files_alone_has_no_look():
    with pytest.raises(ValueError, match="not read"):
        look_of(View(record(), {}))


def test_a_preprocessed_sample():
    rgb = np.full((3, 32, 32), 0.5, np.float32)
    xyz = np.ones((3, 32, 32), np.float32)
    valid = np.zeros((32, 32), bool)
    valid[4:20] = True
    look = prepared_look(PreparedSample(record(), rgb, xyz, valid, None))
    assert look.image.shape == (32, 32, 3)
    assert set(np.unique(look.image)) == {128}
    assert ((look.depth > 0) == valid).all()


def test_facts_in_words():
    seen = view(scene())
    lines = fact_lines(seen.facts, seen.sample.mask)
    assert lines[0] == "size: 128 x 128 pixels"
    assert lines[1].startswith("RGB: 3")
    assert lines[2] == "points: 16,384, 100.0% of pixels"
    assert "z 0.4799 to 0.5002" in lines[3]
    assert lines[4] == "defect: none marked"
    assert fact_lines(seen.facts, None)[-1] == "defect: nobody has marked it"
    assert fact_lines(seen.facts, np.arange(10) < 1)[-1] == "defect: 1 pixels, 10.00%"


def test_facts_of_a_cloud_in_words():
    seen = cloud_view(np.random.default_rng(0).uniform(size=(100, 3)))
    lines = fact_lines(seen.facts, seen.cloud.defect)
    assert lines[0] == "points: 100"
    assert lines[-1] == "defect: none marked"
