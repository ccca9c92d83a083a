import numpy as np
import pytest

from lsfa_cli.figures import Limits, map_limits
from lsfa_cli.figures.panels import Box, _coloured, _ramp, _ticks, high_scores, luminance, part_box


def present(*box, size=100):
    top, bottom, left, right = box
    mask = np.zeros((size, size), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_part_is_shown_in_a_square_with_a_margin():
    assert part_box(present(40, 60, 30, 80)) == Box(22, 78, 27, 83)


def test_a_box_stays_within_the_picture():
    assert part_box(present(0, 50, 60, 100)) == Box(0, 56, 44, 100)
    assert part_box(present(0, 100, 0, 100)) == Box(0, 100, 0, 100)
    assert part_box(present(2, 99, 10, 20)) == Box(0, 100, 0, 100)


def test_a_speck_is_not_blown_up_without_end():
    box = part_box(present(50, 51, 50, 51))
    assert (box.bottom - box.top, box.right - box.left) == (25, 25)


def test_nothing_to_show_and_pictures_that_are_not_square_are_not_cropped():
    assert part_box(np.zeros((100, 100), bool)) == Box(0, 100, 0, 100)
    assert part_box(np.ones((50, 100), bool)) == Box(0, 50, 0, 100)


@pytest.mark.parametrize("seed", range(20))
def test_a_box_shows_everything(seed):
    generator = np.random.default_rng(seed)
    mask = np.zeros((64, 64), bool)
    mask[tuple(generator.integers(0, 64, size=(2, 5)))] = True
    box = part_box(mask)
    assert mask[box.top : box.bottom, box.left : box.right].sum() == mask.sum()
    assert box.bottom - box.top == box.right - box.left
    assert min(box) >= 0
    assert max(box) <= 64


def test_limits_are_the_median_and_the_highest_thousandth():
    maps = np.arange(1001.0).reshape(1, 7, 143)
    assert map_limits(maps) == pytest.approx((500.0, 999.0))


def test_limits_of_constant_maps_are_not_empty():
    assert map_limits(np.full((2, 4, 4), 3.0)) == Limits(3.0, 4.0)


def test_high_scores_are_those_above_two_fifths_of_the_scale():
    assert high_scores(np.array([2.0, 5.9, 6.1]), Limits(2.0, 12.0)).tolist() == [False, False, True]


def test_the_colour_scale_grows_lighter_with_the_score():
    grey = _ramp() @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(grey) >= -1e-3).all()
    assert grey[0] < 0.05 < 0.8 < grey[-1]


def test_low_scores_let_the_image_through_and_high_ones_cover_it():
    black, white = (_coloured(np.array([0.0, 1.0]), np.full(2, level)) for level in (0.0, 1.0))
    through = (white - black).max(axis=1)
    assert through[0] > 0.8
    assert through[1] < 0.06


def test_luminance_is_stretched_but_never_beyond_white():
    image = np.full((4, 4, 3), 100, np.uint8)
    grey = luminance(image)
    assert grey == pytest.approx(np.full((4, 4), 100 / 255 * 0.85 / 0.4), abs=1e-9)
    assert luminance(np.full((4, 4, 3), 255, np.uint8)).max() == pytest.approx(0.85)
    assert luminance(np.zeros((4, 4, 3), np.uint8)).max() == 0.0


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (Limits(0.0, 4.6), ["0", "1", "2", "3", "4"]),
        (Limits(0.0, 4.0), ["0", "1", "2", "3", "4"]),
        (Limits(-0.0001, 0.001), ["0", "0.00025", "0.0005", "0.00075", "0.001"]),
        (Limits(0.0, 1e4), ["0", "2000", "4000", "6000", "8000", "10000"]),
    ],
)
def test_ticks_are_round_and_within_the_limits(limits, names):
    assert _ticks(limits)[1] == names
