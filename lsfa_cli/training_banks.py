"""The memory banks of training, M^L and M^G (Eq. 7): first in, first out."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsfa_cli.nearest_entries import half_squares, nearest_entries
from lsfa_cli.precision import Precision
from lsfa_cli.rounded_search import LEAST_ENTRIES, RoundedIndex, nearest_by_rounded


class TrainingBank:
    """The newest `capacity` features of one modality and level, each with the sample it came from.

    A ring buffer: entries are in no particular order once it has been filled. It holds no gradient. precision: of the
    products that the search begins with; which entries it finds does not depend on it.
    """

    def __init__(
        self, capacity: int, dimension: int, *, device: str | torch.device = "cpu", precision: Precision = "fp32"
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a bank holds at least one entry, not {capacity}")
        # Each entry with half its squared length beside it, ready to be searched.
        self._rows = torch.empty((capacity, dimension + 1), dtype=torch.float32, device=device)
        self._rounded: RoundedIndex | None = None
        if precision == "bf16" and capacity >= LEAST_ENTRIES:
            self._rounded = RoundedIndex(capacity, dimension, device=device)
        self._samples = np.empty(capacity, dtype=np.int64)
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        """Number of entries now."""
        return self._count

    @property
    def capacity(self) -> int:
        """Largest number of entries, n^L or n^G."""
        return len(self._rows)

    @property
    def features(self) -> Tensor:
        """(m, D) entries, a view that the next append may change."""
        return self._rows[: self._count, :-1]

    @property
    def samples(self) -> NDArray[np.int64]:
        """(m,) the sample of each entry, a view that the next append may change."""
        return self._samples[: self._count]

    @torch.no_grad()
    def append(self, features: Tensor, sample: int) -> None:
        """Eq. 7: add the (n, D) features of one sample as the newest, dropping the oldest beyond capacity."""
        features = features.detach()[-self.capacity :]
        until_end = self.capacity - self._next
        for part in (features[:until_end], features[until_end:]):
            slots = slice(self._next, self._next + len(part))
            self._rows[slots, :-1] = part
            self._rows[slots, -1] = half_squares(part)
            self._samples[slots] = sample
            if self._rounded is not None:
                self._rounded.put(slots, part)
            self._next = slots.stop % self.capacity
        self._count = min(self._count + len(features), self.capacity)

    def has_neighbours(self, sample: int, *, exclude_same_sample: bool) -> bool:
        """Whether any entry may be a neighbour of `sample`'s features: all may, or those of other samples."""
        return bool((self.samples != sample).any()) if exclude_same_sample else self._count > 0

    def nearest(self, features: Sequence[Tensor], samples: Sequence[int], *, exclude_same_sample: bool) -> list[Tensor]:
        """The (n_i, D) entries nearest to the (n_i, D) features of each sample, without gradient.

        Each sample must have neighbours.
        """
        hidden = [self._slots(sample) if exclude_same_sample else [] for sample in samples]
        rows = self._rows[: self._count]
        if self._rounded is not None and self._count >= LEAST_ENTRIES:
            found = nearest_by_rounded(features, rows, self._rounded, hidden)
        else:
            found = nearest_entries(features, rows, hidden)
        return [self._rows[index, :-1] for index in found]

    def _slots(self, sample: int) -> list[slice]:
        """Where the entries of `sample` are."""
        edges = np.flatnonzero(np.diff(self.samples == sample, prepend=False, append=False))
        return [slice(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
