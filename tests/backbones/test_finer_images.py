"""Image features of two sizes side by side."""

from dataclasses import replace

import numpy as np
import pytest

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.finer_images import FinerImages
from lsfa_cli.errors import UsageError
from lsfa_cli.preprocessing import prepare
from lsfa_cli.samples import PatchFeatures, PreparedSample
from lsfa_cli.settings import ExtractSettings, content_of
from tests.preprocessing.scenes import OPTIONS, part_on_background


def sample(factor: int) -> PreparedSample:
    return prepare(part_on_background(), replace(OPTIONS, image_size=64, rgb_fine=factor))


def test_features_are_those_of_each_size_and_the_finer_ones_means_of_a_patch() -> None:
    one = sample(2)
    assert one.rgb is not None
    assert one.rgb_fine is not None
    assert one.rgb_fine.shape == (3, 128, 128)
    both = load_backbone("texture", image_size=64, rgb_fine=2)
    coarse, fine = (load_backbone("texture", image_size=size) for size in (64, 128))
    assert (both.grid, both.dimension) == (coarse.grid, coarse.dimension + fine.dimension)
    (found,) = both.patches([one])
    (expected,) = coarse.patches([one])
    (finer,) = fine.patches([replace(one, rgb=one.rgb_fine)])
    np.testing.assert_array_equal(found.values[:, : coarse.dimension], expected.values)
    step = fine.grid // coarse.grid
    for place in (0, 1, coarse.grid, coarse.grid**2 - 1):
        row, column = (number * step for number in divmod(place, coarse.grid))
        rows = [(row + down) * fine.grid + column + across for down in range(step) for across in range(step)]
        mean = finer.values[rows].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(found.values[place, coarse.dimension :], mean, rtol=1e-5, atol=1e-6)
    assert found.valid.all()
    assert both.identity == {**coarse.identity, "rgb_fine": 2}


def test_without_a_finer_image_nothing_changes() -> None:
    assert sample(1).rgb_fine is None
    assert "rgb_fine" not in load_backbone("texture", image_size=64).identity
    assert not isinstance(load_backbone("surface", rgb_fine=2), FinerImages)
    with pytest.raises(ValueError, match="without a finer image"):
        load_backbone("texture", image_size=64, rgb_fine=2).patches([sample(1)])


class Raster:
    """A backbone of so many patches a side."""

    modality = "rgb"
    dimension = 1
    notes = ()

    def __init__(self, grid: int) -> None:
        self.grid, self.identity = grid, {"name": "raster"}

    def patches(self, samples: list[PreparedSample]) -> list[PatchFeatures]:
        raise AssertionError("not asked for")


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"3 x 3 patches, and 7 x 7 of an image of 2 times the size"):
        FinerImages(Raster(3), Raster(7), 2)


def test_settings_record_a_finer_image_alone() -> None:
    assert "rgb_fine" not in content_of(ExtractSettings())
    assert content_of(ExtractSettings(rgb_fine=2))["rgb_fine"] == 2
