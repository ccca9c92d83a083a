"""Greedy k-centre by blocks of candidates, on the processor or another of PyTorch's devices."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsfa_cli.half_distances import distance_rows, distance_targets, pieces_of
from lsfa_cli.precision import multiplies_bfloat16
from lsfa_cli.product_rounding import ExpansionBound, squared_distances
from lsfa_cli.samples import FloatArray
from lsfa_cli.tensor_bounds import TensorBound, exact_products, rounding_residual

BLOCK_SIZE = 640  # candidates a block; more means fewer updates of bounds and longer passes over the block
POOL_SIZE = 8192  # points from which blocks are taken until others may be farther
AVERAGED = 4096  # points, of whose mean all are seen
PREPARED_ROWS = 4096  # points made ready for products at a time, so that they stay in the cache
CHUNK_ROWS = 8192  # points a product, so that its result stays in the cache
PRODUCTS = 2**22  # products of candidates and picks held at once
PAIR_ROWS = 8192  # pairs measured at a time
COARSE = 0.05  # part of a candidate's bound that may be rounding, before the next finer type is taken
PICKS_TOGETHER = 64  # choices on a device between two looks of the host whether the block has more
DIFFERENCES = 2**24  # numbers in float64 held at once while a block's mutual distances are taken on a device


class GreedyBlocks:
    """The picks of the plain greedy loop, many at a time.

    Every point keeps an upper bound on its squared distance to the nearest pick. A block is made of the points with
    the highest bounds; `rival` is the highest bound outside. The plain greedy runs inside the block, on distances by
    differences in float64: as long as its best is above `rival`, no point outside can be the true maximum, for
    distances only fall. Then bounds are brought up to date by one product with the block's picks: those of a pool of
    points with the highest bounds, from which blocks are taken. The bounds of all others wait until too few of the
    pool are above them.

    Products only bound (`TensorBound`), so they may be of any type whose rounding is small beside the distances:
    bfloat16 where the processor multiplies it, then float32, and float64 between points much closer together than to
    the centre. The candidates of a block are measured: against the picks since they were last measured, by products
    of float32 (or float64) and, where those leave open which pick is nearest, by differences. A block without a pick
    has replaced bounds by distances, so the next one differs and the loop ends.

    Takes memory for the features in the type of the products, for the picks in float32, and for a few numbers a point.
    On a device the features lie there too, and nothing goes back to the host for each choice: it looks a few times a
    block, and once in `PICKS_TOGETHER` choices whether a block has more of them.
    """

    def __init__(self, features: FloatArray, count: int, device: str) -> None:
        """count: how many picks there will be at most. Raises ValueError where a value is not finite."""
        self.device = torch.device(device)
        self.on_host = device == "cpu"
        self.features = torch.from_numpy(np.require(features, requirements=["C", "W"])).to(self.device)
        self.count = count
        self.scale = power_of_two_scale(self.features)
        # Differences of float32 and a centre of float32 are as good in it as in float64.
        small = self.features.dtype != torch.float64 and 2.0**-100 < self.scale < 2.0**100
        self.wide = torch.float32 if small else torch.float64
        self.picks = torch.empty(0, dtype=torch.int64, device=self.device)
        self.upper = torch.full((len(features),), torch.inf, dtype=torch.float64, device=self.device)
        self.known = self.upper.clone()  # distance to the nearest of the first `seen` picks
        self.seen = torch.zeros_like(self.upper, dtype=torch.int64)
        self.finer = [torch.float32, torch.float64]
        if multiplies_bfloat16(device):
            self.finer.insert(0, torch.bfloat16)
        with torch.no_grad(), exact_products():
            self.centre = self._mean()
            self._compute_in(self.finer.pop(0))

    def add(self, picks: NDArray[np.int64]) -> None:
        """Take new `picks`."""
        new, before = torch.from_numpy(picks).to(self.device), len(self.picks)
        with torch.no_grad(), exact_products():
            self.picks = torch.cat([self.picks, new])
            self.upper[new] = 0.0
            self._prepare(before)
            self._update(self.pool, self.pool_rows, before)

    def next_picks(self, limit: int) -> tuple[list[int], bool]:
        """The next picks, at most `limit`, possibly none; and whether every point is a copy of a pick."""
        with torch.no_grad(), exact_products():
            block, rival, after = self._block()
            if not len(block):
                self._update(slice(None), self.rows, self.waiting)
                self._fill_pool()
                return [], False
            if self.finer and self._is_coarse_for(block):
                self._compute_in(self.finer.pop(0))
                return [], False
            exact = self._exact(block)
            rows = distance_rows(self._fine(exact))
            distance = self._measure(block, exact, rows)
            if not self.on_host:
                return _picks_on_device(block, exact, distance, rival, after, limit)
            alive = distance >= rival  # others cannot be picked before the bounds are brought up to date
            rows, distance = rows[alive], distance[alive]
            candidates = _Candidates(
                points=block[alive].numpy(),
                exact=exact[alive].numpy(),
                distance=distance.numpy(),
                rows=rows.numpy(),
                targets=distance_targets(rows[:, :-2]).numpy(),
                norm=(2 * rows[:, -2]).numpy(),
                bound=self.fine_bound.bound,
            )
            return candidates.picks((float(rival), -int(after)), limit)

    def _exact(self, points: Tensor) -> Tensor:
        """Points in float64, scaled by a power of two, which loses nothing and can neither overflow nor vanish."""
        return self.features.index_select(0, points).double() * self.scale

    def _squared(self, left: Tensor, right: Tensor) -> Tensor:
        """Squared distances of rows, by the same sums as a block's, so that copies of a point stay equal."""
        if self.on_host:
            return torch.from_numpy(squared_distances(left.numpy(), right.numpy()))
        return (left - right).square().sum(dim=1)

    def _fine(self, exact: Tensor) -> Tensor:
        return (exact - self.centre).to(self.fine)

    def _mean(self) -> Tensor:
        """The mean of some points, (D,), about that of all: centring keeps the rounding of the products small."""
        some = self.features[:: max(1, len(self.features) // AVERAGED)]
        return some.to(self.wide).mul(self.scale).mean(dim=0)

    def _compute_in(self, kind: torch.dtype) -> None:
        """Choose the type of the products, and bound the distances to the picks so far by it."""
        total, dimension = self.features.shape
        pieces = pieces_of(kind)
        wide = torch.promote_types(kind, self.wide)
        self.fine = torch.promote_types(kind, torch.float32)
        self.bound, self.fine_bound = TensorBound.of(dimension, kind), TensorBound.of(dimension, self.fine)
        self.rows = torch.empty((total, dimension + 2 * pieces), dtype=kind, device=self.device)
        self.norm = torch.empty_like(self.upper)
        self.residual = torch.zeros_like(self.upper)
        for chunk in _chunks(total, PREPARED_ROWS):
            points = self.features[chunk].to(wide).mul(self.scale).sub_(self.centre.to(wide))
            rows = distance_rows(points.to(kind), out=self.rows[chunk])
            self.norm[chunk] = 2 * rows[:, dimension : dimension + pieces].double().sum(dim=1)
            if kind == torch.bfloat16:
                self.residual[chunk] = rounding_residual(points, rows[:, :dimension])
        self.targets = torch.empty((self.count, dimension + 2), dtype=self.fine, device=self.device)
        self._prepare(0)
        self._update(slice(None), self.rows, 0)
        self._fill_pool()

    def _prepare(self, first: int) -> None:
        """Targets of the products that measure, of the picks from `first` on."""
        for start in range(first, len(self.picks), CHUNK_ROWS):
            part = slice(start, min(start + CHUNK_ROWS, len(self.picks)))
            self.targets[part] = distance_targets(self._fine(self._exact(self.picks[part])))

    def _fill_pool(self) -> None:
        """Take the points of the highest bounds for the pool, (P,) ascending, and note the best outside it.

        All bounds must be up to date. Picks from `waiting` on change those of the pool alone.
        """
        total = len(self.upper)
        self.waiting = len(self.picks)
        if total <= POOL_SIZE:
            self.pool, self.pool_rows = torch.arange(total, device=self.device), self.rows
            self.outside, self.outside_index = self.upper.new_full((1,), -1.0), self.seen.new_zeros(1)
            return
        self.pool, self.outside_index = _highest(self.upper, POOL_SIZE)
        self.outside = self.upper[self.outside_index]  # a copy: that bound may fall
        self.pool_rows = self.rows.index_select(0, self.pool)

    def _update(self, points: slice | Tensor, rows: Tensor, first: int) -> None:
        """Bring the bounds of some points, with these rows, up to date with the picks from `first` on."""
        dimension = self.features.shape[1]
        for picks in torch.split(self.picks[first:], BLOCK_SIZE):
            if not len(picks):
                return
            targets = distance_targets(self.rows.index_select(0, picks)[:, :dimension])
            lowest = torch.empty(len(rows), dtype=rows.dtype, device=self.device)
            product = torch.empty(len(targets) * min(CHUNK_ROWS, len(rows)), dtype=rows.dtype, device=self.device)
            for chunk in _chunks(len(rows), CHUNK_ROWS):
                part = rows[chunk]
                halves = product[: len(targets) * len(part)].view(len(targets), len(part))
                torch.amin(torch.mm(targets, part.T, out=halves), dim=0, out=lowest[chunk])
            bounds = self._upper(lowest.double().mul_(2), points, picks)
            self.upper[points] = torch.minimum(self.upper[points], bounds)

    def _upper(self, squared: Tensor, points: Tensor | slice, picks: Tensor | slice) -> Tensor:
        """Bounds of the squared distances that products gave, of points to some of the picks."""
        bounds = self.bound.upper(squared, self.norm[points])
        if self.rows.dtype != torch.bfloat16:
            return bounds
        return bounds.sqrt_().add_(self.residual[points]).add_(self.residual[picks].amax()).square_()

    def _is_coarse_for(self, points: Tensor) -> bool:
        """Whether rounding may be more than a small part of most bounds of some points."""
        upper = self.upper[points]
        widened = self._upper(upper, points, slice(None))
        return bool(2 * torch.count_nonzero(widened > (1 + COARSE) * upper) > len(points))

    def _block(self) -> tuple[Tensor, Tensor, Tensor]:
        """The points of highest bound, ascending, and the bound and the index of the best outside: lower is later.

        None where few of the pool are above all outside it.
        """
        upper = self.upper[self.pool]
        above = (upper > self.outside) | ((upper == self.outside) & (self.pool < self.outside_index))
        count = int(torch.count_nonzero(above))
        if count < min(len(self.pool), max(1, BLOCK_SIZE // 8)):
            return self.pool[:0], self.outside, self.outside_index
        if count <= BLOCK_SIZE:
            return self.pool[above], self.outside, self.outside_index
        places, next_place = _highest(upper, BLOCK_SIZE)
        return self.pool[places], upper[next_place], self.pool[next_place]

    def _measure(self, block: Tensor, exact: Tensor, rows: Tensor) -> Tensor:
        """True squared distances of the block's points to their nearest picks, which also become their bounds.

        exact: (n, D) the points. rows: (n, D + 2), the same for products.
        """
        seen = self.seen[block]
        distance, norm = self.known[block], 2 * rows[:, -2].double()
        # Those last measured at about the same time have about the same picks before them.
        for places in torch.split(seen.argsort(), max(1, PRODUCTS // len(self.picks))):
            since = int(seen[places[0]])
            if since == len(self.picks):
                break
            halves = rows.index_select(0, places) @ self.targets[since : len(self.picks)].T
            own = norm[places]
            nearest = torch.minimum(self.upper[block[places]], self.fine_bound.upper(2 * halves.amin(dim=1), own))
            reach = (self.fine_bound.highest_approximation(nearest, own) / 2).to(self.fine)
            reach = torch.nextafter(reach, torch.full_like(reach, torch.inf))
            place, pick = torch.nonzero(halves <= reach.unsqueeze(1), as_tuple=True)
            for pairs in torch.split(torch.arange(len(pick), device=self.device), PAIR_ROWS):
                points, others = places[place[pairs]], self.picks[since + pick[pairs]]
                measured = self._squared(exact.index_select(0, points), self._exact(others))
                distance.scatter_reduce_(0, points, measured, "amin")
        self.known[block] = self.upper[block] = distance
        self.seen[block] = len(self.picks)
        return distance


@dataclass(frozen=True)
class _Candidates:
    """A block on the processor.

    points: (n,) which they are, ascending. exact: (n, D) their coordinates. distance: (n,) squared distances to the
    nearest pick. rows, targets: (n, D + 2), whose products are half their mutual distances, with such a bound, by
    numbers whose squared length is `norm` (n,).
    """

    points: NDArray[np.int64]
    exact: NDArray[np.float64]
    distance: NDArray[np.float64]
    rows: FloatArray
    targets: FloatArray
    norm: FloatArray
    bound: ExpansionBound

    def picks(self, rival: tuple[float, int], limit: int) -> tuple[list[int], bool]:
        """As of `GreedyBlocks.next_picks`. rival: the best outside, as (bound, minus index)."""
        distance = self.distance.copy()
        # Products up to these may be of distances that lower those so far.
        reach = self.bound.highest_approximation(distance, self.norm) / 2
        picks: list[int] = []
        while len(distance) and len(picks) < limit:
            best = int(distance.argmax())  # the lowest index of equal ones, since the block is sorted
            if (float(distance[best]), -int(self.points[best])) < rival:
                break
            if distance[best] == 0.0:
                return picks, not picks
            picks.append(int(self.points[best]))
            near = np.flatnonzero(self.rows @ self.targets[best] <= reach)
            lower = np.minimum(distance[near], squared_distances(self.exact[near], self.exact[best]))
            distance[near] = lower
            reach[near] = self.bound.highest_approximation(lower, self.norm[near]) / 2
        return picks, False


def _picks_on_device(
    block: Tensor, exact: Tensor, distance: Tensor, rival: Tensor, after: Tensor, limit: int
) -> tuple[list[int], bool]:
    """As of `GreedyBlocks.next_picks`, without a way back to the host for each choice."""
    mutual = _mutual_distances(exact)
    picks: list[int] = []
    running = torch.ones(1, dtype=torch.bool, device=block.device)
    exhausted = torch.zeros_like(running)
    while len(picks) < min(limit, len(block)):
        made = []
        for _ in range(min(PICKS_TOGETHER, limit - len(picks))):
            # The lowest index of equal ones, since the block is sorted. Tensors of one value are no index here:
            # PyTorch would fetch the value.
            best = distance.argmax(dim=0, keepdim=True)
            farthest, index = distance.gather(0, best), block.gather(0, best)
            # At a tie with the best point outside, the lower index goes first.
            first = (farthest > rival) | ((farthest == rival) & (index < after))
            exhausted |= running & first & (farthest == 0.0)
            running = running & first & (farthest > 0.0)
            made.append(torch.where(running, index, -1))
            fallen = torch.minimum(distance, mutual.index_select(0, best).squeeze(0))
            distance = torch.where(running, fallen, distance)
        found = [index for index in torch.cat(made).tolist() if index >= 0]
        picks.extend(found)
        if len(found) < len(made):
            break
    return picks, not picks and bool(exhausted)


def _highest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where the `count` highest values are, ascending, and where the highest of the others is, (1,).

    Of equal ones those that come first are taken first.
    """
    least = torch.topk(values, count + 1, sorted=False).values.amin()
    places = torch.nonzero(values >= least).squeeze(1)
    tied = values[places] == least
    taken = ~tied | (tied.cumsum(dim=0) <= count - torch.count_nonzero(~tied))
    return places[taken], places[~taken][:1]


def _chunks(total: int, size: int) -> Iterator[slice]:
    for first in range(0, total, size):
        yield slice(first, min(first + size, total))


def _mutual_distances(rows: Tensor) -> Tensor:
    """Squared distances (n, n) of rows (n, D), by differences."""
    together = max(1, DIFFERENCES // rows.numel())
    return torch.cat([(part.unsqueeze(1) - rows).square().sum(dim=2) for part in torch.split(rows, together)])


def power_of_two_scale(features: Tensor) -> float:
    """The power of two that brings the largest absolute value to (1/2, 1]; raises ValueError when one is not finite."""
    lowest, highest = torch.aminmax(features)
    largest = max(-float(lowest), float(highest))
    if not math.isfinite(largest):
        raise ValueError("features hold NaN or infinite values")
    return 2.0 ** min(-math.frexp(largest)[1], 1000)  # beyond, the scale itself would overflow
