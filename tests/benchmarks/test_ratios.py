"""Speed as ratios within one run: the code that the stages use against the plain way, which must give the same.

`nox -s bench`. Times depend on the machine and on what else it does; ratios less so.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lsfa_cli.coreset import greedy_coreset
from lsfa_cli.maps import score_maps
from lsfa_cli.projection import interpolation_matrix, pooling_matrix, projection_matrix
from tests.test_coreset import clustered_points, plain_greedy, random_points
from tests.test_maps import plain_map
from tests.test_projection import dense_public_patches, organized_cloud


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest of three runs, seconds, and the result."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def tell(what: str, plain: float, ours: float) -> None:
    print(f"\n{what}: plain {plain:.3f} s, ours {ours:.3f} s, {plain / ours:.1f} times faster")


def test_coreset() -> None:
    for name, make in (("random", random_points), ("clustered", clustered_points)):
        points = make(20_000, 64)
        plain, expected = timed(lambda points=points: plain_greedy(points, 500))
        ours, order = timed(lambda points=points: greedy_coreset(points, 500))
        np.testing.assert_array_equal(order, expected)
        tell(f"greedy coreset, 500 of 20,000 x 64, {name}", plain, ours)


def test_projection() -> None:
    xyz, valid = organized_cloud(224)
    points = xyz[:, valid].T.astype(np.float64)
    centers = points[:: len(points) // 1024][:1024]
    features = np.random.default_rng(0).normal(size=(len(centers), 384)).astype(np.float32)

    def dense() -> np.ndarray:
        return dense_public_patches(interpolation_matrix(points, centers, "public") @ features, valid, 56)

    plain, expected = timed(dense)
    ours, patches = timed(lambda: projection_matrix(points, centers, valid, 56, "public") @ features)
    np.testing.assert_allclose(patches, expected, atol=1e-4)
    assert pooling_matrix(valid, 56, "public").shape == (56 * 56, len(points))
    tell(f"Eq. 1 and pooling, {len(points):,} points, 1024 centres x 384", plain, ours)


def test_maps() -> None:
    scores = np.random.default_rng(0).uniform(size=(50, 28 * 28)).astype(np.float32)
    plain, expected = timed(lambda: np.stack([plain_map(row, 224, 4.0, 56) for row in scores]))
    ours, maps = timed(lambda: score_maps(scores))
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    tell("upsampling and blur of 50 maps", plain, ours)
