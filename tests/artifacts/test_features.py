"""Features of unorganized clouds: what was written is read, sample by sample."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from lsfa_cli.artifacts.features import CloudWriter, open_features
from lsfa_cli.artifacts.store import create, verify
from lsfa_cli.errors import ArtifactError
from tests.artifacts import clouds


def test_clouds_are_read_as_written(tmp_path: Path) -> None:
    train, test = clouds.train_clouds(), clouds.scored_clouds()
    path = clouds.write_clouds(tmp_path / "features.h5", train, test)
    assert verify(path)
    with open_features(path) as features:
        assert features.is_cloud
        assert features.modalities("both") == ("xyz",)
        for split, expected in (("train", train), ("test", test)):
            samples = features.split(split)  # type: ignore[arg-type]  # one of two literals
            assert samples.names == [one.record.name for one in expected]
            assert samples.counts("xyz").tolist() == [len(one.values) for one in expected]
            for index, one in enumerate(expected):
                patches = samples.patches(index, "xyz")
                assert patches.grid == 0
                assert patches.valid.all()
                assert patches.valid.shape == (len(one.values),)
                np.testing.assert_array_equal(patches.values, one.values.astype(np.float16))
        offsets = features.point_offsets()
        for index, one in enumerate(test):
            points = features.points(slice(offsets[index], offsets[index + 1]))
            np.testing.assert_array_equal(points.defect, one.defect)
            np.testing.assert_array_equal(points.group, one.group)
            depth, shown = clouds.picture(len(one.group))
            picture = features.cloud_picture(index)
            np.testing.assert_array_equal(picture.depth, depth)
            np.testing.assert_array_equal(picture.point, shown)


def test_clouds_give_the_same_bytes_twice(tmp_path: Path) -> None:
    first, second = (
        clouds.write_clouds(tmp_path / name, clouds.train_clouds(), clouds.scored_clouds()) for name in ("a.h5", "b.h5")
    )
    assert first.read_bytes() == second.read_bytes()


def test_points_must_fit_their_groups_and_pictures(tmp_path: Path) -> None:
    one = clouds.cloud("test", 0)
    depth, shown = clouds.picture(len(one.group))
    with create(tmp_path / "f.h5", "features", settings={}, inputs={}) as writer:
        train = CloudWriter(writer, "train", [one.record], clouds.DIMENSION, clouds.SIZE)
        with pytest.raises(ValueError, match="not every one of 1 samples"):
            train.close()
        train.groups(one.values)
        train.close()
        test = CloudWriter(writer, "test", [one.record], clouds.DIMENSION, clouds.SIZE)
        test.groups(one.values)
        with pytest.raises(ValueError, match="one of 40 groups"):
            test.points(one.defect, one.group + 1, depth, shown)
        with pytest.raises(ValueError, match="one of 40 groups"):
            test.points(one.defect, one.group[1:], depth, shown)
        with pytest.raises(ValueError, match="one of 500 points a pixel"):
            test.points(one.defect, one.group, depth, shown + 101)
        with pytest.raises(ValueError, match="not every one"):
            test.close()
        test.points(one.defect, one.group, depth, shown)
        test.close()


def test_offsets_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = clouds.write_clouds(tmp_path / "features.h5", clouds.train_clouds(), clouds.scored_clouds())
    with h5py.File(path, "r+") as file:
        file["test/points/offsets"][-1] += 1
    with open_features(path) as features, pytest.raises(ArtifactError, match="does not fit the points"):
        features.point_offsets()
