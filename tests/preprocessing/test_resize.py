"""Padding and resizing against loops, torch and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from lsfa_cli.preprocessing.resize import pad_to_square, padded_side, resize_mask, resize_nearest, resize_rgb


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(400, 400, 400), (900, 400, 900), (600, 800, 800), (401, 300, 500), (1, 1, 100), (224, 224, 300), (99, 101, 200)],
)
def test_side_is_the_larger_one_rounded_up_to_hundreds(height: int, width: int, side: int) -> None:
    assert padded_side(height, width, 100) == side
    assert pad_to_square(np.ones((height, width), dtype=bool), 100).shape == (side, side)


@pytest.mark.parametrize(("height", "width", "top", "left"), [(90, 40, 5, 30), (97, 60, 1, 20), (100, 95, 0, 2)])
def test_smaller_half_of_an_odd_remainder_is_in_front(height: int, width: int, top: int, left: int) -> None:
    raster = np.random.default_rng(0).uniform(1, 2, (height, width, 3)).astype(np.float32)
    square = pad_to_square(raster, 100)
    assert square.dtype == np.float32
    np.testing.assert_array_equal(square[top : top + height, left : left + width], raster)
    assert (square != 0).any(axis=2).sum() == height * width


@pytest.mark.parametrize(("side", "size"), [(400, 224), (900, 224), (100, 224), (500, 37), (100, 100)])
def test_cloud_takes_the_pixel_that_torch_takes(side: int, size: int) -> None:
    values = np.arange(side * side, dtype=np.float32).reshape(side, side)
    resized = resize_nearest(values, size)
    expected = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size=size, mode="nearest")[0, 0]
    np.testing.assert_array_equal(resized, expected.numpy())
    for i in (0, 1, size // 2, size - 1):
        assert resized[i, size - 1 - i] == values[i * side // size, (size - 1 - i) * side // size]


@pytest.mark.parametrize(("side", "size"), [(400, 224), (900, 224), (100, 224), (500, 37)])
def test_mask_takes_the_pixel_under_the_centre(side: int, size: int) -> None:
    mask = np.random.default_rng(1).uniform(size=(side, side)) < 0.3
    index = ((np.arange(size) + 0.5) * side / size).astype(int)
    np.testing.assert_array_equal(resize_mask(mask, size), mask[np.ix_(index, index)])


def test_mask_and_cloud_are_sampled_at_different_places() -> None:
    mask = np.zeros((400, 400), dtype=bool)
    mask[:, 3] = True
    assert np.flatnonzero(resize_nearest(mask, 224)[0]).tolist() == [2]  # floor(2 * 400 / 224) = 3
    assert np.flatnonzero(resize_mask(mask, 224)[0]).tolist() == []  # floor(1.5 * 400 / 224) = 2, floor(2.5 ...) = 4


def test_rgb_is_bicubic_with_antialiasing() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    resized = resize_rgb(rgb, 224)
    assert resized.shape == (224, 224, 3)
    np.testing.assert_array_equal(resized, Image.fromarray(rgb).resize((224, 224), Image.BICUBIC))
    assert resized.std() < 0.75 * rgb.std()  # noise is averaged, not picked
