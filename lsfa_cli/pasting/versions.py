"""Pasted versions of training samples, in balanced and seeded order, each readable as a data set's samples are."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

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
class SceneSource:
    """Where the scene of a good sample comes from: its files."""

    reader: Reader
    original: SampleRecord
    options: PreprocessOptions

    def __call__(self) -> Scene:
        """The scene, made anew. Errors as of reading and `scene_of`."""
        return scene_of(self.reader.read(self.original), self.options)


@dataclass(frozen=True)
class PastedVersion:
    """One sample with one defect, made when it is read.

    record: of the pasted sample, such as train/good/003#bump-0, whose files are those of the original. seed: what it is
    drawn from, beside its name. scene: of the original, perhaps kept from another version; `source` makes it anew.
    """

    record: SampleRecord
    kind: str
    seed: int
    source: SceneSource
    scene: Callable[[], Scene]

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process there are no scenes that were kept."""
        return PastedVersion, (self.record, self.kind, self.seed, self.source, self.source)

    @property
    def original(self) -> SampleRecord:
        """The good sample."""
        return self.source.original

    @property
    def name(self) -> str:
        """What reading depends on, beside the files: part of the key that a prepared sample is kept under."""
        made_by = f"pasting {PASTING_VERSION}, scipy {scipy.__version__}"
        return f"{self.source.reader.name}; {self.record.name}, seed {self.seed}, {made_by}"

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

    sources = [SceneSource(reader, record, options) for record in records]

    @lru_cache(maxsize=_SCENES)
    def scene(index: int) -> Scene:
        return sources[index]()

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

            versions.append(PastedVersion(record, kind, seed, sources[index], own))
    return versions
