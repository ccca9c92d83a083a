"""Greedy k-centre on one of PyTorch's devices: the blocks of `coreset`, with the picks of a block made there."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsfa_cli.samples import FloatArray
from lsfa_cli.tensor_bounds import TensorBound, exact_products

BLOCK_SIZE = 512  # candidates a block
CHUNK_ROWS = 16_384  # points a product
PICKS_TOGETHER = 64  # choices between two looks of the host whether the block has more
PAIR_ROWS = 65_536  # pairs measured at a time
DIFFERENCES = 2**24  # numbers in float64 held at once while a block's mutual distances are taken


class DeviceGreedy:
    """The picks of the plain greedy loop, as `coreset._BlockGreedy` makes them, and with its bounds.

    Points, bounds and distances stay on the device. The host looks once a block whether distances are uncertain and
    once in `PICKS_TOGETHER` choices whether a block has more of them; nothing goes back for each choice.
    Takes memory on the device for the features in their type and in float32 (or float64), and a few numbers a point.
    """

    def __init__(self, features: FloatArray, scale: float, device: str) -> None:
        self.device = torch.device(device)
        self.features = torch.from_numpy(np.ascontiguousarray(features)).to(self.device)
        self.scale = scale
        self.picks = torch.empty(0, dtype=torch.int64, device=self.device)
        self.upper = torch.full((len(features),), torch.inf, dtype=torch.float64, device=self.device)
        with torch.no_grad(), exact_products():
            self._compute_in(torch.float32)

    def add(self, picks: NDArray[np.int64]) -> None:
        """Take new `picks` and bring the bounds of all points up to date."""
        new = torch.from_numpy(picks).to(self.device)
        with torch.no_grad(), exact_products():
            self.picks = torch.cat([self.picks, new])
            self.upper[new] = 0.0
            self._update(new)

    def next_picks(self, limit: int) -> tuple[list[int], bool]:
        """The next picks, at most `limit`, possibly none; and whether every point is a copy of a pick."""
        with torch.no_grad(), exact_products():
            block, rival, after = self._block()
            rows = self._exact_rows(block)
            distance = self._measure(block, rows)
            mutual = _mutual_distances(rows)
            picks: list[int] = []
            running = torch.ones(1, dtype=torch.bool, device=self.device)
            exhausted = torch.zeros_like(running)
            while len(picks) < min(limit, len(block)):
                made = []
                for _ in range(min(PICKS_TOGETHER, limit - len(picks))):
                    # The lowest index of equal ones, since the block is sorted. Tensors of one value are no index
                    # here: PyTorch would fetch the value.
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

    def _compute_in(self, kind: torch.dtype) -> None:
        """Choose the type of the products, and find the nearest of the picks so far again."""
        total, dimension = self.features.shape
        self.bound = TensorBound.of(dimension, kind)
        self.centred = torch.ones((total, dimension + 1), dtype=kind, device=self.device)
        self.norm = torch.empty(total, dtype=kind, device=self.device)
        centre = self._mean()
        for first in range(0, total, CHUNK_ROWS):
            rows = slice(first, first + CHUNK_ROWS)
            points = self._exact_rows(rows) - centre
            self.centred[rows, :-1] = points.to(kind)
            self.norm[rows] = points.square().sum(dim=1).to(kind)
        self.near, self.second = (torch.full_like(self.norm, torch.inf) for _ in range(2))
        self.nearest = torch.zeros(total, dtype=torch.int64, device=self.device)
        for picks in torch.split(self.picks, BLOCK_SIZE):
            self._update(picks)

    def _mean(self) -> Tensor:
        parts = (self._exact_rows(slice(first, first + CHUNK_ROWS)) for first in range(0, len(self.upper), CHUNK_ROWS))
        return torch.stack([part.sum(dim=0) / len(self.upper) for part in parts]).sum(dim=0)

    def _exact_rows(self, rows: slice | Tensor) -> Tensor:
        """Points in float64, scaled by a power of two."""
        return self.features[rows].double() * self.scale

    def _targets(self, picks: Tensor) -> Tensor:
        """What one product with (a, 1) makes |b|^2 - 2 a.b of."""
        targets = -2.0 * self.centred[picks]
        targets[:, -1] = self.norm[picks]
        return targets

    def _update(self, picks: Tensor) -> None:
        if not len(picks):
            return
        targets = self._targets(picks)
        for first in range(0, len(self.norm), CHUNK_ROWS):
            rows = slice(first, first + CHUNK_ROWS)
            distances = self.centred[rows] @ targets.T
            norm, near, second = self.norm[rows], self.near[rows], self.second[rows]
            least, place = torch.topk(distances, min(2, len(picks)), dim=1, largest=False)
            lowest = least[:, 0] + norm
            following = least[:, 1] + norm if len(picks) > 1 else torch.full_like(lowest, torch.inf)
            closer = lowest < near
            self.second[rows] = torch.where(closer, torch.minimum(near, following), torch.minimum(second, lowest))
            self.nearest[rows] = torch.where(closer, picks[place[:, 0]], self.nearest[rows])
            self.near[rows] = torch.minimum(near, lowest)
            self.upper[rows] = torch.minimum(self.upper[rows], self.bound.upper(self.near[rows], norm))

    def _block(self) -> tuple[Tensor, Tensor, Tensor]:
        """The points of highest bound, ascending, and the bound and the index of the best outside: lower is later."""
        if len(self.upper) <= BLOCK_SIZE:
            every = torch.arange(len(self.upper), device=self.device)
            return every, self.upper.new_full((1,), -1.0), every[:1]
        order = torch.sort(self.upper, descending=True, stable=True).indices[: BLOCK_SIZE + 1]
        outside = order[BLOCK_SIZE:]
        # A copy of the bound: it may fall before the block ends, and another may then be the best outside.
        return order[:BLOCK_SIZE].sort().values, self.upper.index_select(0, outside), outside

    def _measure(self, block: Tensor, rows: Tensor) -> Tensor:
        """True squared distances of the block's points to their nearest picks, which also become their bounds."""
        distance = (rows - self._exact_rows(self.nearest[block])).square().sum(dim=1)
        unsure = torch.nonzero(distance > self.bound.lower(self.second[block], self.norm[block])).squeeze(1)
        if 2 * len(unsure) > len(block) and self.norm.dtype == torch.float32:
            self._compute_in(torch.float64)
            return self._measure(block, rows)
        if len(unsure):
            distance[unsure] = self._measure_all(block[unsure], rows[unsure], distance[unsure])
        self.upper[block] = distance
        return distance

    def _measure_all(self, points: Tensor, rows: Tensor, distance: Tensor) -> Tensor:
        """The least of `distance` and the distances to all picks that may be nearer, as far as the products know."""
        norm = self.norm[points]
        reach = self.bound.highest_approximation(distance, norm) - norm.double()
        least = distance.clone()
        for picks in torch.split(self.picks, CHUNK_ROWS):
            near = (self._targets(picks) @ self.centred[points].T).double() <= reach
            pick, point = torch.nonzero(near, as_tuple=True)
            for part in torch.split(torch.arange(len(pick), device=self.device), PAIR_ROWS):
                measured = (rows[point[part]] - self._exact_rows(picks[pick[part]])).square().sum(dim=1)
                least.scatter_reduce_(0, point[part], measured, "amin")
        return least


def _mutual_distances(rows: Tensor) -> Tensor:
    """Squared distances (n, n) of rows (n, D), by differences."""
    together = max(1, DIFFERENCES // rows.numel())
    return torch.cat([(part.unsqueeze(1) - rows).square().sum(dim=2) for part in torch.split(rows, together)])
