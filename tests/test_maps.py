"""Anomaly maps against the reference numbers and against scipy and torch step by step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from lsfa_cli.maps import patch_shares, score_maps


def plain_map(scores: np.ndarray, size: int, sigma: float, base_grid: int) -> np.ndarray:
    """One map, each step as METHOD 4.5 says it: repeat, torch's bilinear, scipy's Gaussian."""
    grid = int(len(scores) ** 0.5)
    raster = scores.reshape(grid, grid).astype(np.float64)
    if grid < base_grid:
        position = [i * grid // base_grid for i in range(base_grid)]
        raster = raster[position][:, position]
    upsampled = torch.nn.functional.interpolate(
        torch.from_numpy(raster)[None, None], size=(size, size), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    return ndimage.gaussian_filter(upsampled, sigma, mode="reflect", truncate=4.0) if sigma else upsampled


def test_equals_the_reference(shared: Callable[[str], Path]) -> None:
    with np.load(shared("vectors/patchcore_score.npz")) as stored:
        scores, plain, blurred = stored["min_distance"], stored["map_28"], stored["map_28_blur"]
    np.testing.assert_allclose(score_maps(scores, size=28, sigma=0, base_grid=7), plain, atol=1e-6)
    np.testing.assert_allclose(score_maps(scores, size=28, base_grid=7), blurred, atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "size", "sigma", "base_grid"),
    [(56, 224, 4.0, 56), (28, 224, 4.0, 56), (37, 224, 4.0, 56), (64, 224, 2.5, 56), (7, 32, 4.0, 14), (1, 9, 1.0, 2)],
)
def test_equals_scipy_and_torch(grid: int, size: int, sigma: float, base_grid: int) -> None:
    scores = np.random.default_rng(grid).random((3, grid * grid)).astype(np.float32)
    maps = score_maps(scores, size=size, sigma=sigma, base_grid=base_grid)
    assert maps.shape == (3, size, size)
    assert maps.dtype == np.float32
    for one, row in zip(maps, scores, strict=True):
        np.testing.assert_allclose(one, plain_map(row, size, sigma, base_grid), atol=1e-6)


def test_native_grid_gives_the_map_of_its_repetition() -> None:
    native = np.random.default_rng(0).random((2, 28 * 28)).astype(np.float32)
    repeated = native.reshape(2, 28, 28).repeat(2, axis=1).repeat(2, axis=2).reshape(2, 56 * 56)
    np.testing.assert_allclose(score_maps(native), score_maps(repeated), atol=1e-6)


def test_a_map_does_not_depend_on_its_batch() -> None:
    scores = np.random.default_rng(1).random((70, 49))
    together = score_maps(scores, size=28, base_grid=7)
    alone = np.concatenate([score_maps(row[None], size=28, base_grid=7) for row in scores])
    np.testing.assert_array_equal(together, alone)


def test_constant_scores_stay_constant_and_none_give_none() -> None:
    np.testing.assert_allclose(score_maps(np.full((1, 784), 3.0)), 3.0, atol=1e-6)
    assert score_maps(np.zeros((0, 784))).shape == (0, 224, 224)


def test_a_float64_value_is_not_lost_to_a_coarser_type() -> None:
    scores = np.full((1, 49), 1.0)
    scores[0, 24] = 1.0 + 2.0**-20
    assert score_maps(scores, size=28, sigma=0, base_grid=7).max() > 1.0


@pytest.mark.parametrize("shape", [(2, 50), (49,), (2, 7, 7), (2, 0)])
def test_scores_that_are_no_raster_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(n, grid \* grid\)"):
        score_maps(np.zeros(shape))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"sigma": -1.0}, {"base_grid": 0}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        score_maps(np.zeros((1, 49)), **wrong)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        score_maps(np.full((1, 49), np.nan))


def test_shares_of_patches_counted_by_hand() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[0:2, 0] = mask[4, 4] = True
    # pixels 0, 1, 2 of a side belong to the first patch, 3 and 4 to the second
    np.testing.assert_allclose(patch_shares(mask[None], 2), [[2 / 9, 0, 0, 1 / 4]])
    np.testing.assert_allclose(patch_shares(mask[None], 1), [[3 / 25]])
