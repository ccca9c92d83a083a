import numpy as np
import pytest

from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.pasting import KINDS, kinds_for
from lsfa_cli.pasting.paste import TRIES, NoPlaceError, paste
from lsfa_cli.pasting.scene import scene_of
from lsfa_cli.samples import Sample
from tests.pasting.scans import OPTIONS, WITHOUT_PLANE, record, sample, scene


def texture(side=96):
    """An image that a texture fills."""
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3))
    return Sample(record(), noise.astype(np.uint8), None, None, None)


def test_the_record_says_what_was_pasted():
    pasted = paste(scene(), "bump", np.random.default_rng(0))
    assert pasted.sample.record.name == "train/good/000#bump"
    assert pasted.sample.record.defect == pasted.kind == "bump"
    assert pasted.sample.record.label == 1
    assert pasted.sample.record.split == "train"
    assert 1 <= pasted.tries <= TRIES


def test_a_name_of_ones_own():
    assert paste(scene(), "dent", np.random.default_rng(0), name="x#dent-1").sample.record.name == "x#dent-1"


def test_an_unknown_kind():
    with pytest.raises(UnknownNameError, match=r"unknown kind of defect 'scrach'. Did you mean 'scratch'\?"):
        paste(scene(), "scrach", np.random.default_rng(0))


def test_a_stain_on_a_scan_alone():
    with pytest.raises(DataError, match="train/good/000 has no image") as caught:
        paste(scene(has="xyz"), "stain", np.random.default_rng(0))
    assert "stain" not in caught.value.hint


def test_a_texture_has_no_silhouette_to_bite_into():
    of = scene_of(texture(), OPTIONS)
    assert of.part.all()
    with pytest.raises(NoPlaceError, match="no place for a defect of the kind missing_piece in 40 draws"):
        paste(of, "missing_piece", np.random.default_rng(0))


@pytest.mark.parametrize("kind", [kind for kind in kinds_for(image=True, scan=False) if kind != "missing_piece"])
def test_other_defects_on_a_texture(kind):
    pasted = paste(scene_of(texture(), OPTIONS), kind, np.random.default_rng(0)).sample
    assert (pasted.rgb != texture().rgb).any(axis=2)[pasted.mask].any()


def test_the_part_of_an_image_on_a_plain_background():
    of, true = scene(has="rgb"), scene()
    both = (of.part & true.part).sum()
    assert both > 0.95 * true.part.sum()
    assert both > 0.9 * of.part.sum()


def test_the_part_of_a_scan_is_what_preprocessing_keeps():
    of = scene()
    assert 0.2 < of.points.mean() < 0.5
    assert not (of.points & ~of.sample.valid).any()
    assert (of.part & ~of.points).any()  # gaps of the sensor
    assert of.gaps
    assert of.pitch == pytest.approx(0.5e-3, rel=0.2)
    # An oval of 0.66 x 0.72 of 120 x 96 pixels.
    assert of.size == pytest.approx(np.sqrt(np.pi / 4 * 0.66 * 120 * 0.72 * 96), rel=0.03)
    assert of.metres(1.0) == pytest.approx(1e-3 * of.size * of.pitch / 0.04)


def test_the_light_is_found_from_the_image():
    # The image of `scans` is brighter where the surface comes nearer from left to right: it faces left.
    assert abs(scene().light[1]) < 0.2
    assert scene().light[0] < -0.2
    assert np.linalg.norm(scene().light) == pytest.approx(1.0)


def test_a_sample_without_a_part():
    nothing = sample()
    flat = nothing.xyz.copy()
    flat[..., 2] = 0.5
    with pytest.raises(DataError, match="no point is left after"):
        scene_of(Sample(record(), nothing.rgb, flat, np.ones_like(nothing.valid), None), OPTIONS)


def test_a_part_of_a_few_pixels():
    few = np.zeros((40, 40), dtype=bool)
    few[3:8, 3:8] = True
    rows, columns = np.mgrid[:40, :40] * 1e-3
    xyz = np.where(few[..., None], np.stack([columns, rows, 0.4 + rows], axis=-1), 0)

    with pytest.raises(DataError, match="25 pixels show the part"):
        scene_of(Sample(record(), None, xyz.astype(np.float32), few, None), WITHOUT_PLANE)


def test_a_sample_of_nothing():
    with pytest.raises(ValueError, match="neither image nor scan"):
        scene_of(Sample(record(), None, None, None, None), OPTIONS)


def test_what_suits_which_data():
    assert kinds_for(image=True, scan=True) == list(KINDS)
    assert kinds_for(image=True, scan=False) == list(KINDS)
    assert set(KINDS) - set(kinds_for(image=False, scan=True)) == {"stain", "print_fault"}
    assert kinds_for(image=False, scan=False) == []
