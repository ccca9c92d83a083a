"""Which patches a memory bank keeps (METHOD 4.2): greedy k-centre, random, and the projection before it."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.product_rounding import FLOAT32_ROUNDING, FLOAT64_ROUNDING, ExpansionBound, squared_distances
from lsfa_cli.samples import FloatArray

BLOCK_SIZE = 512  # candidates a block; more means fewer passes over all points and longer ones over the block
CHUNK_ROWS = 4096  # points a matrix product, so that its result stays in the cache


def coreset_count(total: int, ratio: float) -> int:
    """How many of `total` patches a coreset of `ratio` keeps: rounded down, at least one."""
    if total < 1 or not 0 < ratio <= 1:
        raise ValueError(f"a coreset needs patches and a ratio in (0, 1], got {total} and {ratio}")
    return max(1, math.floor(total * ratio + 1e-9))  # 1e-9: 0.29 * 100 is a little less than 29


def random_coreset(total: int, count: int, seed: int) -> NDArray[np.int64]:
    """`count` different indices below `total` in the order of drawing, (count,)."""
    if not 1 <= count <= total:
        raise ValueError(f"cannot choose {count} of {total} patches")
    return np.random.default_rng(seed).permutation(total)[:count].astype(np.int64)


def random_projection(
    total: int, dimension: int, seed: int, eps: float = 0.9
) -> Callable[[FloatArray], NDArray[np.float32]]:
    """A sparse random projection that keeps the distances of `total` points to 1 +- `eps` (Johnson-Lindenstrauss).

    Returns a function from (n, dimension) to (n, K) float32, K by scikit-learn's bound for `total`; where that bound is
    not below `dimension` it changes only the type. Rows are projected alone, so blocks give what the whole gives.
    """
    from sklearn.random_projection import SparseRandomProjection, johnson_lindenstrauss_min_dim

    target = int(johnson_lindenstrauss_min_dim(total, eps=eps)) if total > 0 else 0
    if not 0 < target < dimension:
        return _as_float32
    projection = SparseRandomProjection(n_components=target, random_state=seed)
    projection.fit(np.zeros((1, dimension), dtype=np.float32))  # looks at the shape and type only
    return lambda features: _as_float32(projection.transform(_as_float32(features)))


def greedy_coreset(
    features: FloatArray,
    count: int,
    *,
    start: int = 0,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int64]:
    """Greedy k-centre: `start`, then again and again the point farthest from its nearest pick.

    features: (N, D). Returns at most `count` indices, in the order of choice, ties taking the lowest index; fewer
    when every remaining point is a copy of a pick. `progress(made, count)` is called now and then.

    The order is that of the plain loop with distances by differences in float64, but most of the work is done by
    matrix products (see `_BlockGreedy`). Needs memory for one more copy of the features in float32, or in float64
    where points lie too close together for float32. device: "cpu", or one of PyTorch's, where all of it happens.
    """
    if features.ndim != 2 or not 1 <= count <= len(features):
        raise ValueError(f"cannot choose {count} points of features of shape {features.shape}")
    if not 0 <= start < len(features):
        raise ValueError(f"start {start} is not the index of one of {len(features)} points")
    greedy = _greedy_on(device, features)
    picks, block, exhausted = [], [start], False
    while not exhausted:
        if block:
            picks.extend(block)
            greedy.add(np.array(block, dtype=np.int64))
            if progress is not None:
                progress(len(picks), count)
        if len(picks) == count:
            break
        block, exhausted = greedy.next_picks(count - len(picks))
    return np.array(picks, dtype=np.int64)


class _Greedy(Protocol):
    """What makes the picks, many at a time."""

    def add(self, picks: NDArray[np.int64]) -> None:
        """Take new picks."""
        ...

    def next_picks(self, limit: int) -> tuple[list[int], bool]:
        """The next picks, at most `limit`, possibly none; and whether every point is a copy of a pick."""
        ...


def _greedy_on(device: str, features: FloatArray) -> _Greedy:
    if device == "cpu":
        return _BlockGreedy(features)
    from lsfa_cli.device_coreset import DeviceGreedy

    return DeviceGreedy(features, power_of_two_scale(features), device)


class _BlockGreedy:
    """The picks of the plain greedy loop, many at a time.

    Every point keeps an upper bound on its squared distance to the nearest pick. A block is made of the points with
    the highest bounds; `rival` is the highest bound outside. The plain greedy runs inside the block, on distances by
    differences in float64: as long as its best is above `rival`, no point outside can be the true maximum, for
    distances only fall. Then all bounds are brought up to date by one product with the block's picks.

    Products only bound (`ExpansionBound`). Which pick is nearest is also only known up to their rounding: the
    second-nearest tells when it is certain, otherwise all picks within the rounding are measured. Products are in
    float32 until that is needed for most of a block, as between points much closer together than to the centre;
    then in float64. A block without a pick has replaced bounds by distances, so the next one differs and the loop ends.
    """

    def __init__(self, features: FloatArray) -> None:
        self.features = features
        self.scale = power_of_two_scale(features)
        self.picks = np.empty(0, dtype=np.int64)
        self.upper = np.full(len(features), np.inf)
        self._compute_in(np.float32)

    def _compute_in(self, kind: type[np.float32] | type[np.float64]) -> None:
        """Choose the type of the products, and find the nearest of the picks so far again."""
        total, dimension = self.features.shape
        self.bound = ExpansionBound(dimension, FLOAT32_ROUNDING if kind is np.float32 else FLOAT64_ROUNDING)
        # One more column, of ones, so that one product gives |b|^2 - 2 a.b (see `_targets`).
        self.centred: FloatArray = np.ones((total, dimension + 1), dtype=kind)
        self.norm: FloatArray = np.empty(total, dtype=kind)
        # Centring keeps the rounding of the products small; differences need none.
        centre = self.features.mean(axis=0, dtype=np.float64) * self.scale
        for rows in _chunks(total):
            points = self.exact_rows(rows) - centre
            self.centred[rows, :-1] = points
            self.norm[rows] = np.einsum("ij,ij->i", points, points)
        self.near: FloatArray = np.full(total, np.inf, dtype=kind)
        self.second: FloatArray = np.full(total, np.inf, dtype=kind)
        self.nearest = np.zeros(total, dtype=np.int64)
        for first in range(0, len(self.picks), BLOCK_SIZE):
            self._update(self.picks[first : first + BLOCK_SIZE])

    def exact_rows(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Points in float64, scaled by a power of two, which loses nothing and can neither overflow nor vanish."""
        return self.features[rows].astype(np.float64) * self.scale

    def add(self, picks: NDArray[np.int64]) -> None:
        """Take new `picks` and bring the bounds of all points up to date."""
        self.picks = np.concatenate([self.picks, picks])
        self.upper[picks] = 0.0
        self._update(picks)

    def _update(self, picks: NDArray[np.int64]) -> None:
        targets = self._targets(picks)
        product = np.empty((len(picks), min(CHUNK_ROWS, len(self.norm))), dtype=targets.dtype)
        for rows in _chunks(len(self.norm)):
            points = self.centred[rows]
            distances = np.matmul(targets, points.T, out=product[:, : len(points)])
            lowest = distances.min(axis=0) + self.norm[rows]
            changed = np.flatnonzero(lowest < self.second[rows])
            if changed.size:
                self._merge(changed + rows.start, distances[:, changed], picks)

    def _targets(self, picks: NDArray[np.int64]) -> FloatArray:
        targets = self.centred[picks]
        targets *= -2.0
        targets[:, -1] = self.norm[picks]
        return targets

    def _merge(self, points: NDArray[np.int64], distances: FloatArray, picks: NDArray[np.int64]) -> None:
        """Nearest and second-nearest pick of `points` (n,) from `distances` (picks, n), less the points' norms."""
        columns = np.arange(len(points))
        first = distances.argmin(axis=0)
        norm = self.norm[points]
        lowest = distances[first, columns] + norm
        distances[first, columns] = np.inf
        next_lowest = distances.min(axis=0) + norm
        near, second = self.near[points], self.second[points]
        closer = lowest < near
        self.second[points] = np.where(closer, np.minimum(near, next_lowest), np.minimum(second, lowest))
        self.nearest[points] = np.where(closer, picks[first], self.nearest[points])
        self.near[points] = np.minimum(near, lowest)
        self.upper[points] = np.minimum(self.upper[points], self.bound.upper(self.near[points], norm))

    def next_picks(self, limit: int) -> tuple[list[int], bool]:
        """The next picks, at most `limit`, possibly none; and whether every point is a copy of a pick."""
        block, rival = self._block()
        rows = self.exact_rows(block)
        distance = self._measure(block, rows)
        picks: list[int] = []
        while block.size and len(picks) < limit:
            best = int(distance.argmax())  # the lowest index of equal ones, since the block is sorted
            if (float(distance[best]), -int(block[best])) < rival:
                break
            if distance[best] == 0.0:
                return picks, not picks
            picks.append(int(block[best]))
            np.minimum(distance, squared_distances(rows, rows[best]), out=distance)
            alive = distance >= rival[0]
            if 2 * np.count_nonzero(alive) < len(alive):
                block, rows, distance = block[alive], rows[alive], distance[alive]
        return picks, False

    def _block(self) -> tuple[NDArray[np.int64], tuple[float, int]]:
        """The points of highest bound, ascending, and the best outside as (bound, minus index): lower is later."""
        total = len(self.upper)
        if total <= BLOCK_SIZE:
            return np.arange(total), (-1.0, 0)
        least = np.partition(self.upper, total - BLOCK_SIZE)[total - BLOCK_SIZE]
        above, tied = np.flatnonzero(self.upper > least), np.flatnonzero(self.upper == least)
        taken = BLOCK_SIZE - len(above)
        outside = int(tied[taken]) if taken < len(tied) else total
        return np.sort(np.concatenate([above, tied[:taken]])), (float(least), -outside)

    def _measure(self, block: NDArray[np.int64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """True squared distances of the block's points to their nearest picks, which also become their bounds."""
        distance = squared_distances(rows, self.exact_rows(self.nearest[block]))
        unsure = np.flatnonzero(distance > self.bound.lower(self.second[block], self.norm[block]))
        if 2 * unsure.size > block.size and self.norm.dtype == np.float32:
            self._compute_in(np.float64)
            return self._measure(block, rows)
        if unsure.size:
            distance[unsure] = self._measure_all(block[unsure], rows[unsure], distance[unsure])
        self.upper[block] = distance
        return distance

    def _measure_all(
        self, points: NDArray[np.int64], rows: NDArray[np.float64], distance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The least of `distance` and the distances to all picks that may be nearer, as far as the products know."""
        reach = self.bound.highest_approximation(distance, self.norm[points]) - self.norm[points]
        least = distance.copy()
        for part in _chunks(len(self.picks)):
            picks = self.picks[part]
            pick, point = np.nonzero(self._targets(picks) @ self.centred[points].T <= reach)
            for pairs in _chunks(len(pick)):
                measured = squared_distances(rows[point[pairs]], self.exact_rows(picks[pick[pairs]]))
                np.minimum.at(least, point[pairs], measured)
        return least


def _chunks(total: int) -> Iterator[slice]:
    for first in range(0, total, CHUNK_ROWS):
        yield slice(first, min(first + CHUNK_ROWS, total))


def _as_float32(features: FloatArray) -> NDArray[np.float32]:
    return np.asarray(features, dtype=np.float32)


def power_of_two_scale(features: FloatArray) -> float:
    """The power of two that brings the largest absolute value to (1/2, 1]; raises ValueError when one is not finite."""
    largest = 0.0
    for rows in _chunks(len(features)):
        largest = max(largest, float(np.abs(features[rows]).max(initial=0.0)))
        if not np.isfinite(features[rows]).all():
            raise ValueError("features hold NaN or infinite values")
    return 2.0 ** min(-math.frexp(largest)[1], 1000)  # beyond, the scale itself would overflow
