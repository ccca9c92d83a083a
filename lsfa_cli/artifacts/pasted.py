"""Features of samples that a defect was pasted into, as the features artifact keeps them: pasted/SPLIT/..."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import Features, Layout, PatchWriter, SplitFeatures, write_records
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.samples import BoolArray, Modality, PatchFeatures, SampleRecord, Split

PASTED_SPLITS: tuple[Split, ...] = ("train", "validation")
"""The splits whose samples defects are pasted into. Test samples are for testing."""


class PastedFeatures(SplitFeatures):
    """Pasted versions of a split's samples; `defects` are the kinds. Of a limited training split, of its samples."""

    def __init__(self, features: Features, split: Split) -> None:
        group = f"pasted/{split}"
        originals: NDArray[np.int64] = features.artifact.read(f"{group}/originals")
        chosen = np.arange(len(originals))
        if split == "train":
            chosen = np.flatnonzero(np.isin(originals, features.training))
        super().__init__(features.artifact, group, chosen)
        self.originals = originals[chosen]
        self.image_size = features.image_size

    def mask(self, index: int) -> BoolArray:
        """(S, S), the pixels that the defect of one version touches."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._artifact.rows(f"{self._split}/masks", int(self._places[index]))


def has_pasted(features: Features, split: Split) -> bool:
    """Whether there are pasted versions of a split's samples."""
    return f"pasted/{split}/names" in features.artifact


@dataclass
class PastedWriter:
    """Writes `count` pasted versions of a split's samples, one after the other. picture_size: S."""

    writer: ArtifactWriter
    split: Split
    count: int
    layouts: Mapping[Modality, Layout]
    picture_size: int
    _records: list[SampleRecord] = field(default_factory=list)
    _originals: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Reserve what the versions take."""
        self._group = f"pasted/{self.split}"
        self._patches = PatchWriter(self.writer, self._group, self.count, self.layouts)
        square = (self.count, self.picture_size, self.picture_size)
        self._masks = self.writer.reserve(f"{self._group}/masks", square, compress=True)

    def add(
        self, record: SampleRecord, original: int, patches: Mapping[Modality, PatchFeatures], mask: BoolArray
    ) -> None:
        """Write the next version. original: the place of its sample in the split. mask: (S, S), pixels touched."""
        index = len(self._records)
        if index == self.count:
            raise ValueError(f"{self.split}: more than {self.count} pasted versions")
        self._patches.patches(index, patches)
        self._masks[index] = mask
        self._records.append(record)
        self._originals.append(original)

    def close(self) -> None:
        """Write what is known only at the end."""
        if len(self._records) != self.count:
            raise ValueError(f"{self.split}: {len(self._records)} of {self.count} pasted versions were written")
        self._patches.close()
        write_records(self.writer, self._group, self._records)
        self.writer.write(f"{self._group}/originals", self._originals)
