"""Training samples that are held out, and test samples that are not there."""

from pathlib import Path

import pytest

from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.base import RasterDataset
from lsfa_cli.datasets.held_out import HeldOut, HoldOut
from lsfa_cli.errors import DataError
from tests.datasets.trees import write_category


@pytest.fixture
def dataset(tmp_path: Path) -> RasterDataset:
    """A category with test samples."""
    write_category(tmp_path / "widget")
    found = open_dataset("mvtec3d", tmp_path)
    assert isinstance(found, RasterDataset)
    return found


def test_folds_are_disjoint_and_drawn_by_the_seed() -> None:
    hold_out = HoldOut(0.33, 3, seed=4)
    parts = [hold_out.places(10, fold) for fold in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3]
    assert len({place for part in parts for place in part}) == 9
    assert all(part == sorted(part) for part in parts)
    assert parts[0] == HoldOut(0.33, 1, seed=4).places(10, 0)  # more folds change none of those before
    assert parts != [HoldOut(0.33, 3, seed=5).places(10, fold) for fold in range(3)]


@pytest.mark.parametrize(("share", "folds", "training", "count"), [(0.5, 2, 4, 2), (0.01, 1, 4, 1), (0.0, 1, 4, 0)])
def test_so_many_are_held_out(share: float, folds: int, training: int, count: int) -> None:
    assert HoldOut(share, folds, 0).count(training) == count


@pytest.mark.parametrize(("share", "folds", "training"), [(0.5, 3, 4), (0.9, 1, 3), (0.1, 1, 1)])
def test_too_few_are_refused(share: float, folds: int, training: int) -> None:
    with pytest.raises(DataError, match="too few to hold out"):
        HoldOut(share, folds, 0).count(training)


def test_held_out_samples_are_validation_samples_and_test_samples_are_gone(dataset: RasterDataset) -> None:
    whole = dataset.records("widget")
    train = [one for one in whole if one.split == "train"]
    held = HeldOut(dataset, HoldOut(0.5, 1, seed=0))
    records = held.records("widget")
    places = HoldOut(0.5, 1, seed=0).places(len(train), 0)
    assert {one.name for one in records} == {one.name for one in whole if one.split != "test"}
    assert [one.name for one in records if one.split == "validation"][-len(places) :] == [
        train[place].name for place in places
    ]
    assert [one.name for one in records if one.split == "train"] == [
        one.name for place, one in enumerate(train) if place not in places
    ]
    assert isinstance(held, RasterDataset)
    assert (held.name, held.root, held.categories()) == (dataset.name, dataset.root, ["widget"])
    assert held.recipe("widget") == dataset.recipe("widget")
    assert held.read(records[0]).record == records[0]
    with pytest.raises(ValueError, match="is a test sample"):
        held.read(next(one for one in whole if one.split == "test"))
