"""Speed of reading and preprocessing on a real scan, at its own 400 x 400 pixels and at twice that.

Targets on one core: preprocessing within 0.06 s at 400 x 400 and 0.25 s at 800 x 800.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.cluster import DBSCAN

from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.preprocessing import PreprocessOptions, prepare
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.preprocessing.clusters import dbscan
from lsfa_cli.preprocessing.plane import border, fit_plane
from lsfa_cli.samples import Sample
from tests.benchmarks.test_ratios import tell, timed
from tests.preprocessing.test_clusters import kept_otherwise_by_open3d, open3d_or_skip

Shared = Callable[[str], Path]
OPTIONS = PreprocessOptions()


@pytest.fixture
def scan(shared: Shared) -> Sample:
    dataset = open_dataset("mvtec3d", shared("data/mvtec3d"))
    return dataset.read(dataset.records("cable_gland")[1])


def doubled(sample: Sample) -> Sample:
    """Twice the rows and columns: points halfway between, where all neighbours are valid."""
    valid = zoom(sample.valid.astype(float), 2, order=1, grid_mode=True, mode="nearest") > 0.999
    axes = [zoom(sample.xyz[..., axis], 2, order=1, grid_mode=True, mode="nearest") for axis in range(3)]
    rgb, mask = (array.repeat(2, axis=0).repeat(2, axis=1) for array in (sample.rgb, sample.mask))
    xyz = np.where(valid[..., None], np.stack(axes, axis=2), 0).astype(np.float32)
    return Sample(sample.record, rgb, xyz, valid, mask)


def above_background(sample: Sample) -> NDArray[np.float64]:
    height, width = sample.valid.shape
    points = sample.xyz[border(height, width, 10) & sample.valid]
    plane = fit_plane(points, inlier_distance=0.004, sample_points=50, draws=1000, seed=0)
    assert plane is not None
    return sample.xyz[sample.valid & (plane.distances(sample.xyz) >= 0.005)].astype(np.float64)


def test_dbscan(scan: Sample) -> None:
    points = above_background(scan)
    model = DBSCAN(eps=0.006, min_samples=30, algorithm="kd_tree")
    plain, expected = timed(lambda: model.fit_predict(points))
    ours, labels = timed(lambda: dbscan(points, distance=0.006, min_points=30))
    np.testing.assert_array_equal(labels, expected)
    tell(f"DBSCAN of scikit-learn, {len(points):,} points", plain, ours)


def test_whole_preprocessing(shared: Shared, scan: Sample, tmp_path: Path) -> None:
    dataset, cache = open_dataset("mvtec3d", shared("data/mvtec3d")), SampleCache(tmp_path)
    reading, _ = timed(lambda: dataset.read(scan.record))
    small, _ = timed(lambda: prepare(scan, OPTIONS))
    twice = doubled(scan)
    large, _ = timed(lambda: prepare(twice, OPTIONS))
    first = prepared(dataset, scan.record, OPTIONS, cache)
    cached, again = timed(lambda: prepared(dataset, scan.record, OPTIONS, cache))
    np.testing.assert_array_equal(first.rgb, again.rgb)
    print(f"\nread {reading:.3f} s, preprocess {small:.3f} s at 400 x 400 and {large:.3f} s at 800 x 800")
    tell("reading and preprocessing again, from the cache", reading + small, cached)


def test_every_real_sample_keeps_the_points_that_open3d_keeps(shared: Shared) -> None:
    open3d = open3d_or_skip()
    paths = sorted(shared("data/mvtec3d/cable_gland").rglob("xyz/*.tiff"))
    counts = [kept_otherwise_by_open3d(open3d, path) for path in paths]
    different, total = (sum(column) for column in zip(*counts, strict=True))
    print(f"\n{len(paths)} real samples: {different} of {total:,} points are kept by one DBSCAN alone")
    assert different <= 0.001 * total
