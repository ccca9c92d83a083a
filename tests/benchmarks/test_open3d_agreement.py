"""What is kept of every real sample, against Open3D's DBSCAN: too long for the tests (`nox -s bench`)."""

from collections.abc import Callable
from pathlib import Path

from tests.preprocessing.test_clusters import kept_otherwise_by_open3d, open3d_or_skip


def test_every_real_sample_keeps_the_points_that_open3d_keeps(shared: Callable[[str], Path]) -> None:
    open3d = open3d_or_skip()
    paths = sorted(shared("data/mvtec3d/cable_gland").rglob("xyz/*.tiff"))
    counts = [kept_otherwise_by_open3d(open3d, path) for path in paths]
    different, total = (sum(column) for column in zip(*counts, strict=True))
    print(f"\n{len(paths)} real samples: {different} of {total:,} points are kept by one DBSCAN alone")
    assert different <= 0.001 * total
