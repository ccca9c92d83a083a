"""The search on one of PyTorch's devices: all of it happens there, and results come back once a call."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsfa_cli.searches import Found, Rows
from lsfa_cli.searches.pairs import product_rows
from lsfa_cli.tensor_bounds import TensorBound, exact_products

CANDIDATES = 8  # entries a query whose distances are taken exactly
GROUP_ROWS = 128  # entries of which the least distance is found first
SCORES = 2**26  # numbers of one product's result, 256 MiB
QUERY_ROWS = 1024  # queries a product at most, for the exact distances' sake


class DeviceSearch:
    """As `GroupSearch`, without a way back to the host between the products of one call.

    Takes memory on the device for two copies of the rows.
    """

    def __init__(self, rows: Rows, device: str) -> None:
        self._device, self._count, self._total = torch.device(device), len(rows.first), len(rows.entries)
        self._rows = torch.from_numpy(product_rows(rows, GROUP_ROWS)).to(self._device)
        self._exact = torch.from_numpy(rows.entries[rows.first]).to(self._device)
        self._centre = torch.from_numpy(rows.centre).to(self._device)
        self._bound = TensorBound.of(rows.entries.shape[1], torch.float32)

    @torch.no_grad()
    def nearest(self, queries: NDArray[np.float32], entry: NDArray[np.int64]) -> Found:
        """As of `Search`."""
        if not len(queries):
            return Found(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=bool))
        asked = torch.from_numpy(queries).to(self._device)
        stands_for = torch.from_numpy(entry).to(self._device)
        hidden = torch.ones(len(self._rows), dtype=torch.bool, device=self._device)
        hidden[: self._count] = stands_for == self._total
        rows = min(QUERY_ROWS, max(1, SCORES // len(self._rows)))
        with exact_products():
            parts = [self._nearest_of_some(part, stands_for, hidden) for part in torch.split(asked, rows)]
        squared, index, settled = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
        return Found(squared, index, settled)

    @torch.no_grad()
    def approximate_from(self, row: int) -> tuple[NDArray[np.float32], np.float32]:
        """As of `Search`."""
        own = self._rows[row]
        asked = torch.cat([-2 * own[:-1], own.new_ones(1)])
        with exact_products():
            approximate = self._rows[: self._count] @ asked + own[-1]
        found = torch.cat([approximate, own[-1:]]).cpu().numpy()
        return found[:-1], found[-1]

    def _nearest_of_some(self, queries: Tensor, entry: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared distance, entry and certainty of so many queries as one product takes."""
        exact = queries.double()
        centred = (exact - self._centre).float()
        norm = centred.square().sum(dim=1)
        scores = torch.cat([-2 * centred, centred.new_ones(len(queries), 1)], dim=1) @ self._rows.T
        scores.masked_fill_(hidden, torch.inf)
        values, rows = _least(scores, CANDIDATES + 1)
        values = values + norm.unsqueeze(1)
        limit = self._bound.highest_approximation(self._bound.upper(values[:, 0], norm), norm)
        values, rows, following = values[:, :CANDIDATES], rows[:, :CANDIDATES], values[:, CANDIDATES]
        # What fills up rows or is hidden has no distance.
        entries = entry[rows.clamp(max=self._count - 1)].masked_fill(values.isinf(), self._total)
        measured = (exact.unsqueeze(1) - self._exact[rows.clamp(max=self._count - 1)].double()).square().sum(dim=2)
        measured = measured.masked_fill(values.isinf(), torch.inf)
        squared = measured.amin(dim=1)
        index = entries.masked_fill(measured > squared.unsqueeze(1), self._total).amin(dim=1)
        return squared, index, following.double() > limit


def _least(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` smallest values of each row of (n, m), ascending, and their places; m a multiple of a group."""
    groups = scores.view(len(scores), -1, GROUP_ROWS)
    # They lie in the groups of the smallest minima.
    best = groups.amin(dim=2).topk(min(count, groups.shape[1]), largest=False).indices
    inside = groups.gather(1, best.unsqueeze(2).expand(-1, -1, GROUP_ROWS)).flatten(1)
    values, places = inside.topk(count, largest=False)
    return values, best.gather(1, places // GROUP_ROWS) * GROUP_ROWS + places % GROUP_ROWS
