"""Pasted versions of training samples, in balanced and seeded order, each readable as a data set's samples are."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import scipy

from lsfa_cli.pasting import PASTING_VERSION
from lsfa_cli.pasting.paste import paste
from lsfa_cli.pasting.scene import Scene, scene_of
from lsfa_cli.preprocessing import PreprocessOptions
from lsfa_cli.samples import GOOD, Sample, SampleRecord

_SCENES = 4  # that wait for further versions of their samples


class Reader(Protocol):
    """What versions take of a data set of images and organized clouds."""

    @property
    def name(self) -> str:
        """The data set's name."""
        ...

    def read(self, record: SampleRecord) -> Sample:
        """The sample of a record."""
        ...


@dataclass(frozen=True)
class PastedVersion:
    """One sample with one defect, made when it is read.

    record: of the pasted sample, such as train/good/003#bump-0, whose files are those of `original`. seed: what it is
    drawn from, beside its name. reader: the data set's name.
    """

    record: SampleRecord
    original: SampleRecord
    kind: str
    seed: int
    reader: str
    scene: Callable[[], Scene]

    @property
    def name(self) -> str:
        """What reading depends on, beside the files: part of the key that a prepared sample is kept under."""
        made_by = f"pasting {PASTING_VERSION}, scipy {scipy.__version__}"
        return f"{self.reader}; {self.record.name}, seed {self.seed}, {made_by}"

    def read(self, record: SampleRecord) -> Sample:
        """The pasted sample of `self.record`, the only one there is. Errors as of reading, `scene_of` and `paste`."""
        if record.name != self.record.name:
            raise ValueError(f"{record.name} asked of the version {self.record.name}")
        return paste(self.scene(), self.kind, self.generator(), name=self.record.name).sample

    def generator(self) -> np.random.Generator:
        """A new generator, determined by the seed and the name."""
        digest = hashlib.sha256(f"{self.seed}/{self.record.name}".encode()).digest()
        return np.random.default_rng(np.frombuffer(digest[:16], dtype="<u4").tolist())


def pasted_versions(
    reader: Reader,
    records: Sequence[SampleRecord],
    total: int,
    options: PreprocessOptions,
    *,
    kinds: Sequence[str],
    seed: int,
) -> list[PastedVersion]:
    """`total` versions of the good samples `records`: of each sample, and of each kind, equally many or one more.

    kinds: such as `kinds_for` gives. The order of kinds is drawn from the seed; no sample gets a kind twice before it
    has had all. options: of preprocessing, which finds the part; prepare the versions with the same. Nothing is read
    here. ValueError for defective samples, or without kinds.
    """
    if not kinds:
        raise ValueError("no kind of defect to paste")
    defective = [record.name for record in records if record.defect != GOOD]
    if defective:
        raise ValueError(f"{defective[0]} is defective already")

    @lru_cache(maxsize=_SCENES)
    def scene(index: int) -> Scene:
        return scene_of(reader.read(records[index]), options)

    order = np.random.default_rng(seed).permutation(len(kinds))
    versions = []
    for index, original in enumerate(records):
        had: Counter[str] = Counter()
        for place in range(total * index // len(records), total * (index + 1) // len(records)):
            kind = kinds[int(order[place % len(kinds)])]
            record = replace(original, name=f"{original.name}#{kind}-{had[kind]}", defect=kind)
            had[kind] += 1

            def own(index: int = index) -> Scene:
                return scene(index)

            versions.append(PastedVersion(record, original, kind, seed, reader.name, own))
    return versions
