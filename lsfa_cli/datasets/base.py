"""What every data set offers: its categories, their samples, and the reading of one sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lsfa_cli.preprocessing import Recipe
from lsfa_cli.samples import CloudSample, Modality, Sample, SampleRecord


@dataclass(frozen=True)
class ReadOptions:
    """What a data set may be asked to read. light: which of the lights of Eyecandies, 0 to 5; others have one.

    test: whether there are test samples. Without, no folder of theirs is looked into, be it there or not.
    """

    light: int = 4
    test: bool = True


class Reader(Protocol):
    """What gives the samples of records: a data set, or something that changes its samples.

    name: whatever the result depends on beside the record's files and label; it is part of the prepared samples' keys.
    """

    @property
    def name(self) -> str:
        """A name that no other reader has."""
        ...

    def read(self, record: SampleRecord) -> Sample:
        """Read one sample. `DataError` names the file that cannot be used."""
        ...


class Dataset(Protocol):
    """A data set on disk. Its class takes `root` and `ReadOptions`.

    `root` holds one folder a category. `stand_in_ok` says whether backbones that merely stand in for the paper's may
    be used without a warning.
    """

    name: str
    root: Path
    stand_in_ok: bool

    def categories(self) -> list[str]:
        """The categories that exist under `root`, sorted. `DataError` when there is none."""
        ...

    def modalities(self, category: str) -> Sequence[Modality]:
        """What every sample of a category has: an image, a scan, or both."""
        ...

    def records(self, category: str) -> list[SampleRecord]:
        """All samples of all splits, train first, in an order that is the same on every machine.

        Raises `UnknownNameError` for an unknown category, `DataError` when files are missing.
        """
        ...


@runtime_checkable
class RasterDataset(Dataset, Protocol):
    """A data set of images and organized point clouds."""

    def recipe(self, category: str) -> Recipe:
        """How the samples of a category are preprocessed where the user sets nothing else."""
        ...

    def read(self, record: SampleRecord) -> Sample:
        """Read the files of one sample. `DataError` names the file that cannot be used."""
        ...


@runtime_checkable
class CloudDataset(Dataset, Protocol):
    """A data set of unorganized point clouds."""

    def read_cloud(self, record: SampleRecord) -> CloudSample:
        """Read the files of one sample. `DataError` names the file that cannot be used."""
        ...
