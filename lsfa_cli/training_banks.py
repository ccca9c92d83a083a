"""The memory banks of training, M^L and M^G (Eq. 7): first in, first out."""

import torch
from torch import Tensor


class TrainingBank:
    """The newest `capacity` features of one modality and level, each with the sample it came from.

    A ring buffer: entries are in no particular order once it has been filled. It holds no gradient.
    """

    def __init__(self, capacity: int, dimension: int, *, device: str | torch.device = "cpu") -> None:
        if capacity < 1:
            raise ValueError(f"a bank holds at least one entry, not {capacity}")
        self._features = torch.empty((capacity, dimension), dtype=torch.float32, device=device)
        self._samples = torch.empty(capacity, dtype=torch.int64, device=device)
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        """Number of entries now."""
        return self._count

    @property
    def capacity(self) -> int:
        """Largest number of entries, n^L or n^G."""
        return len(self._features)

    @property
    def features(self) -> Tensor:
        """(m, D) entries, a view that the next append may change."""
        return self._features[: self._count]

    @property
    def samples(self) -> Tensor:
        """(m,) the sample of each entry."""
        return self._samples[: self._count]

    @torch.no_grad()
    def append(self, features: Tensor, sample: int) -> None:
        """Eq. 7: add the (n, D) features of one sample as the newest, dropping the oldest beyond capacity."""
        features = features.detach()[-self.capacity :]
        slots = (self._next + torch.arange(len(features), device=self._features.device)) % self.capacity
        self._features[slots] = features
        self._samples[slots] = sample
        self._next = (self._next + len(features)) % self.capacity
        self._count = min(self._count + len(features), self.capacity)

    def allowed(self, sample: int, *, exclude_same_sample: bool) -> Tensor:
        """(m,) bool, which entries may be neighbours of `sample`'s features: all, or those of other samples."""
        if exclude_same_sample:
            return self.samples != sample
        return torch.ones(self._count, dtype=torch.bool, device=self._samples.device)
