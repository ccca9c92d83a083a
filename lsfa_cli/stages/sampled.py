"""What an extraction takes, measured on a few samples: nobody knows the cost of a backbone before it runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lsfa_cli.backbones.base import Backbone
from lsfa_cli.samples import PatchFeatures, PreparedSample, SampleRecord
from lsfa_cli.stages.costs import PatchSizes, Sizes
from lsfa_cli.stages.estimates import START_SECONDS, Estimate, peak_so_far, timed
from lsfa_cli.stages.read_ahead import Workers

MEASURED = 4  # samples
PROCESS_BYTES = 120e6  # of a worker process: the packages and the sample at hand
PREPARED_BYTES = 26  # a pixel of a prepared sample: colours, coordinates, and whether they are valid or a defect
IMAGE_BYTES = 12  # of them of the colours

Item = TypeVar("Item")


@dataclass(frozen=True)
class MorePreparation(Generic[Item]):
    """Samples that are made of others and go through the same backbones, such as those with pasted defects.

    read: such a sample from raw files. is_cached: whether it need not be made.
    """

    items: Sequence[Item]
    read: Callable[[Item], PreparedSample]
    is_cached: Callable[[Item], bool]

    def seconds(self, workers: int) -> float:
        """Of making those that are not cached, measured on a few."""
        waiting = [item for item in self.items if not self.is_cached(item)]
        if not waiting:
            return 0.0
        chosen = [waiting[index] for index in _spread(len(waiting))]
        taken, _ = timed(lambda: [self.read(item) for item in chosen])
        return len(waiting) * taken / len(chosen) / workers


@dataclass(frozen=True)
class SampledRasters:
    """Of images and scans on rasters.

    image_size: S, pixels. rgb_fine: how many times as large a second image is, 1 without one. batch: samples that run
    together. workers: who reads. load: the backbones. read: a sample from its raw files.
    products: the context that they run in. is_cached: whether a sample need not be read. pasted: samples with pasted
    defects, where there are any.
    """

    records: Sequence[SampleRecord]
    image_size: int
    rgb_fine: int
    batch: int
    workers: Workers
    load: Callable[[], Sequence[Backbone]]
    read: Callable[[SampleRecord], PreparedSample]
    products: Callable[[], AbstractContextManager[object]]
    is_cached: Callable[[SampleRecord], bool]
    pasted: MorePreparation[Any] | None = None

    def require(self) -> None:
        """Memory depends on the backbone, and not on the number of samples: nothing is known before it runs."""

    def estimate(self) -> Estimate:
        """Loads the backbones and runs them on samples that it reads itself, so that nothing is kept."""
        chosen = [self.records[index] for index in _spread(len(self.records))]
        loading, backbones = timed(self.load)
        reading, samples = timed(lambda: [self.read(record) for record in chosen])
        with self.products():
            starting, _ = timed(lambda: [backbone.patches(samples[:1]) for backbone in backbones])
            before = peak_so_far()
            running, features = timed(lambda: [backbone.patches(samples) for backbone in backbones])
        waiting = sum(not self.is_cached(record) for record in self.records)
        count = self.workers.count
        seconds = START_SECONDS + loading + starting + len(self.records) * running / len(chosen)
        seconds += waiting * reading / len(chosen) / count
        if self.pasted is not None:
            seconds += len(self.pasted.items) * running / len(chosen) + self.pasted.seconds(count)
        finer = IMAGE_BYTES * self.rgb_fine**2 if self.rgb_fine > 1 else 0
        ahead = (3 * self.batch + count) * (PREPARED_BYTES + finer) * self.image_size**2
        processes = PROCESS_BYTES * count if self.workers.processes else 0.0
        memory = before + self.batch / len(chosen) * (peak_so_far() - before) + ahead + processes
        return Estimate(seconds, memory, self._sizes(backbones, features), running / len(chosen))

    def _sizes(self, backbones: Sequence[Backbone], features: Sequence[Sequence[PatchFeatures]]) -> Sizes:
        counts = Counter(record.split for record in self.records)
        patches = {}
        for backbone, found in zip(backbones, features, strict=True):
            numbers = [len(one.values) for one in found]
            mean = sum(numbers) / len(numbers)
            patches[backbone.modality] = PatchSizes(backbone.dimension, backbone.grid, mean, max(numbers))
        return Sizes(counts, patches, self.image_size)


def _spread(total: int) -> list[int]:
    """At most `MEASURED` places, evenly over so many."""
    return sorted({place * total // MEASURED for place in range(MEASURED)})
