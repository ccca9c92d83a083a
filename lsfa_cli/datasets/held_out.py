"""A data set without test samples, in which some of the training samples are validation samples: to choose settings on.

Whoever is given this cannot look at a test sample: there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsfa_cli.datasets.base import RasterDataset
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import Recipe
from lsfa_cli.samples import Modality, Sample, SampleRecord


@dataclass(frozen=True)
class HoldOut:
    """Which training samples are held out: `share` of them, drawn by the seed; `folds` disjoint draws of them."""

    share: float
    folds: int
    seed: int

    def count(self, training: int) -> int:
        """How many of so many training samples are held out. Raises DataError where too few are left."""
        count = max(1, round(self.share * training)) if self.share > 0 else 0
        if count >= training or count * self.folds > training:
            raise DataError(
                f"{training} training samples are too few to hold out {count} of them"
                + (f" {self.folds} times." if self.folds > 1 else "."),
                hint="Hold fewer out (--held-out 0.2, --folds 1), or add good samples to the training set.",
            )
        return count

    def places(self, training: int, fold: int) -> list[int]:
        """The places of the training samples that are held out in a fold, ascending."""
        count = self.count(training)
        order = np.random.default_rng(self.seed).permutation(training)
        return sorted(int(place) for place in order[fold * count : (fold + 1) * count])


class HeldOut:
    """The samples of `dataset` but for its test samples; those held out in `fold` are validation samples.

    It has the data set's name, so that prepared samples are shared.
    """

    def __init__(self, dataset: RasterDataset, hold_out: HoldOut, fold: int = 0) -> None:
        self.name, self.root, self.stand_in_ok = dataset.name, dataset.root, dataset.stand_in_ok
        self._dataset, self._hold_out, self._fold = dataset, hold_out, fold

    def categories(self) -> list[str]:
        """As of the data set."""
        return self._dataset.categories()

    def modalities(self, category: str) -> Sequence[Modality]:
        """As of the data set."""
        return self._dataset.modalities(category)

    def recipe(self, category: str) -> Recipe:
        """As of the data set."""
        return self._dataset.recipe(category)

    def records(self, category: str) -> list[SampleRecord]:
        """Training samples, then validation samples, those that were held out at the end.

        Raises DataError where too few training samples are left, or there is no validation sample.
        """
        found = self._dataset.records(category)
        train = [record for record in found if record.split == "train"]
        validation = [record for record in found if record.split == "validation"]
        held = set(self._hold_out.places(len(train), self._fold))
        if not held and not validation:
            raise DataError(
                f"{self.name} {category} has no validation samples, and none are held out of its training samples.",
                hint="Hold some out: --held-out 0.33.",
            )
        kept = [record for place, record in enumerate(train) if place not in held]
        return [*kept, *validation, *(_for_validation(train[place]) for place in sorted(held))]

    def read(self, record: SampleRecord) -> Sample:
        """As of the data set. A test sample is refused."""
        if record.split == "test":
            raise ValueError(f"{record.name} is a test sample")
        return self._dataset.read(record)


def _for_validation(record: SampleRecord) -> SampleRecord:
    return SampleRecord(record.name, "validation", record.defect, record.files)
