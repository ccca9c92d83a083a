"""The search for nearest entries with products in bfloat16, for machines that are made for them.

The products are of rounded features and only propose entries: the distances of those are taken exactly, and where the
rounding leaves open whether the nearest one is among them, the query is searched again in float32.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lsfa_cli.half_distances import ROUNDED_PIECES, distance_rows, distance_targets
from lsfa_cli.nearest_entries import hidden_in, nearest_entries
from lsfa_cli.product_rounding import BFLOAT16_ROUNDING

CANDIDATES = 8  # entries a query whose distances are taken exactly
GROUP = 64  # entries whose smallest score is found first
QUERIES = 256  # queries a product with all entries
LEAST_ENTRIES = GROUP * (CANDIDATES + 1)  # fewer are searched in float32, which is quicker then
DEVIATIONS = 8


class RoundedIndex:
    """The entries of a ring buffer in bfloat16, arranged as `half_distances` tells."""

    def __init__(self, capacity: int, dimension: int, *, device: str | torch.device = "cpu") -> None:
        padded = math.ceil(capacity / GROUP) * GROUP
        self._rows = torch.zeros((padded, dimension + 2 * ROUNDED_PIECES), dtype=torch.bfloat16, device=device)
        self._rows[:, dimension] = torch.inf  # where there is no entry yet
        self._residual = torch.zeros(padded, device=device)
        self._dimension = dimension

    def put(self, slots: slice, entries: Tensor) -> None:
        """Set the (n, D) entries of n slots."""
        rounded = entries.bfloat16()
        distance_rows(rounded, out=self._rows[slots])
        self._residual[slots] = torch.linalg.vector_norm(entries - rounded.float(), dim=1)

    def propose(self, queries: Tensor, count: int, hidden: Sequence[tuple[slice, slice]]) -> tuple[Tensor, Tensor]:
        """Entries (n, CANDIDATES) for (n, D) queries among the first `count`, -1 where there are no more, and (n,).

        The latter is the least distance that any other entry can have, so long as rounding errors are no farther from
        the mean than `DEVIATIONS` standard deviations. hidden: ranges of queries, and of entries they may not find.
        """
        rounded = queries.bfloat16()
        scores = distance_targets(rounded) @ self._rows[: math.ceil(count / GROUP) * GROUP].T
        for own, part in hidden:
            scores[own, part] = torch.inf
        groups = scores.view(len(queries), scores.shape[1] // GROUP, GROUP)
        # The smallest scores lie in the groups of the smallest minima.
        best = groups.amin(dim=2).topk(CANDIDATES + 1, largest=False).indices
        inside = groups.gather(1, best.unsqueeze(2).expand(-1, -1, GROUP)).flatten(1)
        values, places = inside.topk(CANDIDATES + 1, largest=False)
        entries = best.gather(1, places // GROUP) * GROUP + places % GROUP
        entries = entries.masked_fill(values.isinf(), -1)
        residual = torch.linalg.vector_norm(queries - rounded.float(), dim=1) + self._residual[:count].amax()
        return entries[:, :CANDIDATES], self._least(values[:, CANDIDATES].float(), residual)

    def _least(self, score: Tensor, residual: Tensor) -> Tensor:
        """The least distance that can have given a score, by the lengths of what rounding took from both features.

        |q - b|^2 differs from that of the rounded ones by at most the square of those lengths, and by twice the
        distance times their component along the difference: of D independent errors that is 1 / sqrt(D) of them.
        """
        squared = 2 * score * (1 - 2 * BFLOAT16_ROUNDING)
        along = DEVIATIONS / math.sqrt(self._dimension) * residual
        lower: Tensor = squared - residual.square() - 2 * squared.clamp(min=0).sqrt() * along.minimum(residual)
        return lower.clamp(min=0).sqrt()


@torch.no_grad()
def nearest_by_rounded(
    queries: Sequence[Tensor], rows: Tensor, index: RoundedIndex, hidden: Sequence[Sequence[slice]]
) -> list[Tensor]:
    """As `nearest_entries`, with `index` holding the entries of `rows`. On CUDA one round trip to the host."""
    sizes = [len(part) for part in queries]
    every = torch.cat([part.detach() for part in queries])
    found, sure = [], []
    for number, block in enumerate(torch.split(every, QUERIES)):
        unseen = hidden_in(number * QUERIES, len(block), sizes, hidden)
        entries, others = index.propose(block, len(rows), unseen)
        nearest, distance = _nearest_of(block, entries, rows)
        found.append(nearest)
        sure.append(distance < others)
    result = torch.cat(found)
    open_ = ~torch.cat(sure)
    if bool(open_.any()):
        again = [part[flags] for part, flags in zip(queries, torch.split(open_, sizes), strict=True)]
        result[open_] = torch.cat(nearest_entries(again, rows, hidden))
    return list(torch.split(result, sizes))


def _nearest_of(queries: Tensor, entries: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the entries (n, k) is nearest to each query (n, D), the lowest of equally near ones, and how far."""
    entries = entries.sort(dim=1).values
    differences = queries.unsqueeze(1) - rows[entries.clamp(min=0), : queries.shape[1]]
    distances = torch.linalg.vector_norm(differences, dim=2).masked_fill(entries < 0, torch.inf)
    place = distances.argmin(dim=1, keepdim=True)
    return entries.gather(1, place).squeeze(1), distances.gather(1, place).squeeze(1)
