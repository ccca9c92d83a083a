"""What every data set offers: its categories, their samples, and the reading of one sample."""

from pathlib import Path
from typing import Protocol

from lsfa_cli.samples import Sample, SampleRecord


class Dataset(Protocol):
    """A data set on disk. `root` holds one folder a category.

    `stand_in_ok` says whether backbones that merely stand in for the paper's may be used without a warning:
    True for generated data only.
    """

    name: str
    root: Path
    stand_in_ok: bool

    def categories(self) -> list[str]:
        """The categories that exist under `root`, sorted. `DataError` when there is none."""
        ...

    def records(self, category: str) -> list[SampleRecord]:
        """All samples of all splits, train first, in an order that is the same on every machine.

        Raises `UnknownNameError` for an unknown category, `DataError` when files are missing.
        """
        ...

    def read(self, record: SampleRecord) -> Sample:
        """Read the files of one sample. `DataError` names the file that cannot be used."""
        ...
