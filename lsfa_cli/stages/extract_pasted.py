"""Features of pasted versions of training and validation samples: what a discriminator learns from.

Every version goes through the same preprocessing and backbones as a real sample.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from lsfa_cli.artifacts.features import Layout
from lsfa_cli.artifacts.pasted import PASTED_SPLITS, PastedWriter
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.backbones.base import Backbone
from lsfa_cli.datasets.base import CloudDataset, Dataset, RasterDataset
from lsfa_cli.errors import DataError
from lsfa_cli.pasting import PASTING_VERSION, kinds_for
from lsfa_cli.pasting.versions import PastedVersion, pasted_versions
from lsfa_cli.preprocessing import PreprocessOptions
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import Modality, SampleRecord, Split
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.finite import require_finite
from lsfa_cli.stages.pasted_maker import Made, PastedMaker
from lsfa_cli.stages.progress import Advance, Progress
from lsfa_cli.stages.read_ahead import Pool
from lsfa_cli.stages.sampled import MorePreparation


@dataclass(frozen=True)
class Pasted:
    """The pasted versions of a category. versions: by split, of each sample as many as were asked for, in its order."""

    kinds: Sequence[str]
    versions: Mapping[Split, Sequence[PastedVersion]]
    records: Mapping[Split, Sequence[SampleRecord]]

    @property
    def total(self) -> int:
        """How many versions there are."""
        return sum(len(versions) for versions in self.versions.values())

    def all(self) -> list[PastedVersion]:
        """The versions of all splits."""
        return [version for versions in self.versions.values() for version in versions]


def refuse_pasted_clouds(dataset: CloudDataset, settings: ExtractSettings) -> None:
    """Raises DataError where defects are to be pasted into unorganized clouds."""
    if settings.pasted:
        raise DataError(
            f"{dataset.name} has unorganized clouds, without pixels to paste defects into.",
            hint="Leave --pasted out. lsfa data list says which data sets have images and organized clouds.",
        )


def plan_pasted(
    dataset: RasterDataset,
    records: Sequence[SampleRecord],
    settings: ExtractSettings,
    options: PreprocessOptions,
    modalities: Sequence[Modality],
) -> Pasted:
    """The versions that are to be made of these samples. Nothing is read. Test samples are left alone."""
    kinds = kinds_for(image="rgb" in modalities, scan="xyz" in modalities)
    chosen: dict[Split, list[SampleRecord]] = {
        split: [record for record in records if record.split == split] for split in PASTED_SPLITS
    }
    versions = {
        split: pasted_versions(dataset, found, total, options, kinds=kinds, seed=settings.seed)
        for split, found in chosen.items()
        if (total := settings.versions_of(len(found), split))
    }
    return Pasted(kinds, versions, chosen)


def pasted_settings(settings: ExtractSettings) -> dict[str, int]:
    """What the artifact records beside the settings: features of defects pasted otherwise are out of date."""
    return {"pasting_version": PASTING_VERSION} if settings.pasted else {}


@dataclass(frozen=True)
class PastedBatches:
    """Pasted samples in order, made ahead."""

    pasted: Pasted
    maker: PastedMaker
    pool: Pool
    batch: int

    def batches(self, split: Split) -> Iterator[list[Made]]:
        """Batches in the order of the versions; at most a few batches wait in memory."""
        versions = self.pasted.versions[split]
        with contextlib.closing(self.pool.ahead(self.maker.make, versions, beyond=2 * self.batch)) as made:
            while batch := list(islice(made, self.batch)):
                yield batch


def pasted_work(
    pasted: Pasted, dataset: Dataset, options: PreprocessOptions, cache: SampleCache
) -> MorePreparation[PastedVersion]:
    """What an estimate of the extraction needs to know of the versions."""
    maker = PastedMaker(pasted.kinds, dataset.name, options, None)
    return MorePreparation(
        pasted.all(),
        lambda version: maker.make(version).sample,
        lambda version: cache.holds(cache.key(version.record, options, version.name)),
    )


def write_pasted(
    writer: ArtifactWriter,
    source: PastedBatches,
    backbones: Mapping[Modality, Backbone],
    size: int,
    progress: Progress,
    advance: Advance,
) -> None:
    """Write the features of all pasted versions, and tell which kinds found no place. size: S, pixels."""
    layouts = {modality: Layout(backbone.grid, backbone.dimension) for modality, backbone in backbones.items()}
    refused: Counter[str] = Counter()
    lost: list[str] = []
    for split, versions in source.pasted.versions.items():
        places = {record.name: place for place, record in enumerate(source.pasted.records[split])}
        written = PastedWriter(writer, split, len(versions), layouts, size)
        for batch in source.batches(split):
            samples = [made.sample for made in batch]
            features = {modality: backbone.patches(samples) for modality, backbone in backbones.items()}
            for position, made in enumerate(batch):
                patches = {modality: values[position] for modality, values in features.items()}
                for modality, found in patches.items():
                    require_finite(made.record, modality, found.values)
                if made.sample.mask is None:
                    raise ValueError(f"{made.record.name} has no mask")
                written.add(made.record, places[made.original.name], patches, made.sample.mask)
                refused.update(made.refused)
                if not made.sample.mask.any():
                    lost.append(made.record.name)
            advance(len(batch))
        written.close()
    for kind, count in refused.items():
        progress.warn(f"{kind} found no place on {count} of {source.pasted.total} samples; other kinds took its place")
    if lost:
        progress.warn(f"preprocessing removed the defect of {len(lost)} pasted samples, such as {lost[0]}")
