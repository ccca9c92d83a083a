"""Which patches a memory bank keeps (METHOD 4.2): greedy k-centre, random, and the projection before it."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.samples import FloatArray


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
    matrix products (see `GreedyBlocks`, also for the memory it takes). device: "cpu", or one of PyTorch's, where all of
    it happens.
    """
    if features.ndim != 2 or not 1 <= count <= len(features):
        raise ValueError(f"cannot choose {count} points of features of shape {features.shape}")
    if not 0 <= start < len(features):
        raise ValueError(f"start {start} is not the index of one of {len(features)} points")
    from lsfa_cli.greedy_blocks import GreedyBlocks  # which loads PyTorch

    greedy = GreedyBlocks(features, count, device)
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


def _as_float32(features: FloatArray) -> NDArray[np.float32]:
    return np.asarray(features, dtype=np.float32)
