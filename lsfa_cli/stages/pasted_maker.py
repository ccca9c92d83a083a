"""How a sample with a pasted defect is made: apart from the stage, so that a worker process loads no networks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.errors import DataError
from lsfa_cli.pasting.paste import NoPlaceError
from lsfa_cli.pasting.versions import PastedVersion
from lsfa_cli.preprocessing import PreprocessOptions
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import PreparedSample, SampleRecord


class Made(NamedTuple):
    """A version that was made. record: of the defect that it has. refused: kinds that found no place, in turn."""

    sample: PreparedSample
    record: SampleRecord
    original: SampleRecord
    refused: tuple[str, ...]


@dataclass(frozen=True)
class PastedMaker:
    """Makes pasted samples. kinds: of all versions. cache: None keeps nothing."""

    kinds: Sequence[str]
    dataset: str
    options: PreprocessOptions
    cache: SampleCache | None

    def make(self, version: PastedVersion) -> Made:
        """One version; where its kind finds no place on the sample, the next kind that does.

        Raises `DataError` when none does.
        """
        refused: list[str] = []
        for attempt in self._attempts(version):
            try:
                sample = prepared(attempt, attempt.record, self.options, self.cache)
            except NoPlaceError:
                refused.append(attempt.kind)
                continue
            return Made(sample, attempt.record, version.original, tuple(refused))
        raise DataError(
            f"{self.dataset}, {version.original.name}: no kind of defect found a place.",
            hint="Look at the sample with lsfa data show; preprocessing may leave too little of the part.",
        )

    def _attempts(self, version: PastedVersion) -> Iterator[PastedVersion]:
        """The version itself, then others with the next kinds, named after the one whose place they take."""
        yield version
        place = self.kinds.index(version.kind)
        number = version.record.name.rpartition("-")[2]
        for kind in (*self.kinds[place + 1 :], *self.kinds[:place]):
            name = f"{version.original.name}#{kind}-instead-of-{version.kind}-{number}"
            yield replace(version, record=replace(version.record, name=name, defect=kind), kind=kind)
