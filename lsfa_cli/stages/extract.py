"""Extract: raw samples to patch features (METHOD 1 and 2)."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.features import Layout, SplitWriter
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.base import Backbone
from lsfa_cli.datasets.base import CloudDataset, Dataset, RasterDataset
from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.errors import DataError
from lsfa_cli.figures import shade_depth
from lsfa_cli.precision import precision_of, products_in
from lsfa_cli.preprocessing import PreprocessOptions, Recipe
from lsfa_cli.preprocessing.cache import SampleCache, dataset_digest
from lsfa_cli.samples import SPLITS, Modality, PreparedSample, SampleRecord
from lsfa_cli.settings import ExtractSettings
from lsfa_cli.stages.extract_clouds import extract_clouds
from lsfa_cli.stages.extract_pasted import (
    PastedBatches,
    pasted_settings,
    pasted_work,
    plan_pasted,
    refuse_pasted_clouds,
    write_pasted,
)
from lsfa_cli.stages.finetuned import apply_finetuned, input_of, refuse_clouds
from lsfa_cli.stages.finite import require_finite
from lsfa_cli.stages.making import Mode, Outcome, make
from lsfa_cli.stages.pasted_maker import PastedMaker
from lsfa_cli.stages.progress import Advance, Progress
from lsfa_cli.stages.read_ahead import Pool, workers_for
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.sampled import SampledRasters

BATCH = 8

# The offline defaults are stand-ins, meant for the synthetic parts.
STAND_INS: Mapping[Modality, str] = {"rgb": "texture", "xyz": "surface"}


def extract(
    dataset: Dataset,
    category: str,
    out: Path,
    settings: ExtractSettings,
    *,
    cache: SampleCache,
    jobs: int = 0,
    finetuned: Path | None = None,
    mode: Mode = Mode(),
    progress: Progress | None = None,
) -> Outcome:
    """Make the features artifact of one category.

    cache: of prepared samples; it saves time and nothing else. jobs: how many read and preprocess (`workers_for`), 0 is
    one a processor; the result does not depend on it. finetuned: an artifact of `finetune`, whose weights the backbones
    take.
    Raises DataError for raw data that is missing or cannot be used.
    """
    modalities = chosen_modalities(dataset, category, settings.modality)
    if isinstance(dataset, CloudDataset):
        refuse_clouds(dataset, finetuned)
        refuse_pasted_clouds(dataset, settings)
        return extract_clouds(dataset, category, out, settings, cache=cache, jobs=jobs, mode=mode, progress=progress)
    if not isinstance(dataset, RasterDataset):
        raise TypeError(f"{dataset.name} has neither images nor point clouds")
    records = dataset.records(category)
    options = preprocess_options(settings, dataset.recipe(category))
    device = device_of(settings.device)
    workers = workers_for(jobs, device)
    pasted = plan_pasted(dataset, records, settings, options, modalities)
    inputs = {"dataset": dataset_digest(records, cache.digests.digest)} | input_of(finetuned)

    def write(writer: ArtifactWriter, progress: Progress) -> str:
        backbones = {modality: backbone_of(modality, settings, device) for modality in modalities}
        if finetuned is not None:
            apply_finetuned(finetuned, backbones, dataset.name, category)
        remark(backbones, dataset, progress)
        writer.attribute("dataset", dataset.name)
        writer.attribute("category", category)
        for modality, backbone in backbones.items():
            writer.attribute(f"{modality}_grid", backbone.grid)
        identities = {modality: backbone.identity for modality, backbone in backbones.items()}
        writer.attribute("backbones", json.dumps(identities, sort_keys=True))
        progress.say(f"{workers} read and preprocess ahead, {_network_threads()} threads compute networks")
        if workers.processes:
            cache.try_folder()
        products = products_in(precision_of(settings.precision, device), device)
        tracked = progress.track(f"extract {category}", len(records) + pasted.total)
        with tracked as advance, products, workers.at_work() as pool:
            source = PreparedBatches(dataset, options, cache, pool)
            for split in SPLITS:
                chosen = [record for record in records if record.split == split]
                if chosen:
                    _write_split(writer, chosen, backbones, source, settings.image_size, progress, advance)
            made = PastedBatches(pasted, PastedMaker(pasted.kinds, dataset.name, options, cache), pool, BATCH)
            write_pasted(writer, made, backbones, settings.image_size, progress, advance)
        for warning in cache.warnings:
            progress.warn(warning)
        widths = ", ".join(f"{m} {b.grid} x {b.grid} x {b.dimension}" for m, b in backbones.items())
        beside = f" and {pasted.total} with pasted defects" if pasted.total else ""
        return f"{len(records)} samples{beside}, {widths}"

    return make(
        out,
        "features",
        settings=recorded_extraction(settings, options, device, cache.digests.digest),
        inputs=inputs,
        write=write,
        mode=mode,
        progress=progress,
        foreseen=SampledRasters(
            records,
            settings.image_size,
            settings.rgb_fine,
            BATCH,
            workers,
            load=lambda: [backbone_of(modality, settings, device) for modality in modalities],
            read=lambda record: prepared(dataset, record, options, None),
            products=lambda: products_in(precision_of(settings.precision, device), device),
            is_cached=lambda record: cache.holds(cache.key(record, options, dataset.name)),
            pasted=pasted_work(pasted, dataset, options, cache),
        ),
    )


def recorded_extraction(
    settings: ExtractSettings, options: PreprocessOptions, device: str, digest: Callable[[Path], str]
) -> dict[str, Any]:
    """The settings as the features artifact has them, those of preprocessing as the data set's recipe completes them.

    digest: gives the SHA-256 of a weights file.
    """
    completed = settings.model_copy(update=asdict(options))
    return recorded("extract", completed, device=device, digest=digest) | pasted_settings(settings)


def preprocess_options(settings: ExtractSettings, recipe: Recipe) -> PreprocessOptions:
    """What preprocessing takes: the settings, and the data set's recipe where they leave the choice to it."""
    values = asdict(recipe)
    for field in fields(PreprocessOptions):
        value = getattr(settings, field.name)
        if value is not None:
            values[field.name] = value
    return PreprocessOptions(**values)


def chosen_modalities(dataset: Dataset, category: str, choice: str) -> tuple[Modality, ...]:
    """The modalities that are asked for ("rgb", "xyz"), or all that the data set has ("both")."""
    present = tuple(dataset.modalities(category))
    if choice == "both":
        return present
    wanted = tuple(modality for modality in present if modality == choice)
    if not wanted:
        what = {"rgb": "images", "xyz": "3D scans"}[choice]
        raise DataError(
            f"{dataset.name} {category} has no {what}, and --modality {choice} needs them.",
            hint=f"Use --modality {' or '.join(present)}.",
        )
    return wanted


def backbone_of(modality: Modality, settings: ExtractSettings, device: str) -> Backbone:
    """The backbone of a modality. DataError where the settings name one of the other modality."""
    name, weights = (
        (settings.rgb_backbone, settings.rgb_weights)
        if modality == "rgb"
        else (settings.xyz_backbone, settings.xyz_weights)
    )
    backbone = load_backbone(
        name,
        weights,
        device,
        grid=settings.xyz_grid,
        projection=settings.projection,
        local_average=settings.local_average,
        image_size=settings.image_size,
        rgb_fine=settings.rgb_fine,
    )
    if backbone.modality != modality:
        kind = {"rgb": "an image", "xyz": "a 3D"}[backbone.modality]
        raise DataError(f"{name} is {kind} backbone and cannot be the {modality} backbone")
    return backbone


def remark(backbones: Mapping[Modality, Backbone], dataset: Dataset, progress: Progress) -> None:
    """Tell what the backbones note, and which of them are stand-ins."""
    for backbone in backbones.values():
        for note in backbone.notes:
            progress.warn(note)
    stand_ins = [name for modality, name in STAND_INS.items() if _is_named(backbones.get(modality), name)]
    if stand_ins and not dataset.stand_in_ok:
        progress.warn(f"{' and '.join(stand_ins)}: stand-ins for pretrained backbones; others: lsfa list backbones")


def _network_threads() -> int:
    """Threads of PyTorch's operations, one a processor core. Their number is part of a convolution's rounding.

    For that reason `jobs` leaves it alone: the result does not depend on it.
    """
    import torch

    return torch.get_num_threads()


def _is_named(backbone: Backbone | None, name: str) -> bool:
    return backbone is not None and str(backbone.identity["name"]).partition("?")[0] == name


class PreparedBatches:
    """Prepared samples in order, read and preprocessed ahead."""

    def __init__(self, dataset: RasterDataset, options: PreprocessOptions, cache: SampleCache, pool: Pool) -> None:
        self._pool = pool
        self._prepare = functools.partial(prepared, dataset, options=options, cache=cache)

    def batches(self, records: Sequence[SampleRecord]) -> Iterator[list[PreparedSample]]:
        """Batches in the order of the records; at most a few batches wait in memory."""
        with contextlib.closing(self._pool.ahead(self._prepare, records, beyond=2 * BATCH)) as samples:
            while batch := list(islice(samples, BATCH)):
                yield batch


def _write_split(
    writer: ArtifactWriter,
    records: Sequence[SampleRecord],
    backbones: Mapping[Modality, Backbone],
    source: PreparedBatches,
    size: int,
    progress: Progress,
    advance: Advance,
) -> None:
    layouts = {modality: Layout(backbone.grid, backbone.dimension) for modality, backbone in backbones.items()}
    split = SplitWriter(writer, records[0].split, records, layouts, size)
    index = 0
    for batch in source.batches(records):
        features = {modality: backbone.patches(batch) for modality, backbone in backbones.items()}
        for position, sample in enumerate(batch):
            for note in sample.notes:
                progress.warn(f"{sample.record.name}: {note}")
            patches = {modality: values[position] for modality, values in features.items()}
            for modality, found in patches.items():
                require_finite(sample.record, modality, found.values)
            split.patches(index, patches)
            if sample.record.split == "test":
                split.pictures(index, sample.mask, _picture(sample), _shaded(sample))
            index += 1
        advance(len(batch))
    split.close()


def _picture(sample: PreparedSample) -> NDArray[np.uint8] | None:
    """The preprocessed image (S, S, 3)."""
    if sample.rgb is None:
        return None
    return np.ascontiguousarray(np.rint(sample.rgb * 255).astype(np.uint8).transpose(1, 2, 0))


def _shaded(sample: PreparedSample) -> NDArray[np.uint8] | None:
    """The scan as a picture (S, S)."""
    if sample.xyz is None or sample.valid is None:
        return None
    return shade_depth(sample.xyz, sample.valid)
