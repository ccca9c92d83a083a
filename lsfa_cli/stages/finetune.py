"""Finetune: train through the backbones on the normal samples of one category, without adaptor (Tables 8 and 10)."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from lsfa_cli.artifacts.finetuned import write_changes
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.datasets.base import Dataset, RasterDataset
from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.errors import DataError, UnknownNameError, UsageError
from lsfa_cli.finetuning import FinetuningOptions, FinetuningResult, TrainingSamples, finetune, tunable_backbones
from lsfa_cli.preprocessing.cache import SampleCache, dataset_digest
from lsfa_cli.samples import SampleRecord
from lsfa_cli.settings import ExtractSettings, FinetuneSettings
from lsfa_cli.stages.adapt import TERMS
from lsfa_cli.stages.extract import BATCH, PreparedBatches, backbone_of, chosen_modalities, preprocess_options, remark
from lsfa_cli.stages.finite import require_finite
from lsfa_cli.stages.making import Mode, Outcome, make
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.read_ahead import workers_for
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.sampled import SampledRasters
from lsfa_cli.stages.sampled_training import SampledTraining
from lsfa_cli.training import FINISHED


def finetune_backbones(
    dataset: Dataset,
    category: str,
    out: Path,
    settings: FinetuneSettings,
    extraction: ExtractSettings,
    *,
    cache: SampleCache,
    jobs: int = 0,
    mode: Mode = Mode(),
    progress: Progress | None = None,
) -> Outcome:
    """Make the finetuned artifact of one category: what training changed in the weights of its backbones.

    extraction: how samples are prepared, and with which backbones training begins. cache, jobs: as in `extract`.
    Raises UsageError where nothing can be trained, DataError for raw data that is missing or cannot be used.
    """
    dataset = rasters_of(dataset)
    if extraction.rgb_fine > 1:
        raise UsageError(
            f"rgb_fine = {extraction.rgb_fine}: a backbone for two sizes of image is not trained",
            hint="Leave rgb_fine out of lsfa.toml and the environment for this.",
        )
    options = finetuning_options(settings)
    modalities = chosen_modalities(dataset, category, settings.modality)
    records = _training_records(dataset, category, settings)
    preprocessing = preprocess_options(extraction, dataset.recipe(category))
    digest = cache.digests.digest
    workers = workers_for(jobs, options.device)

    def write(writer: ArtifactWriter, progress: Progress) -> str:
        backbones = {modality: backbone_of(modality, extraction, options.device) for modality in modalities}
        tunable = tunable_backbones(backbones)  # before the samples are read
        identities = {modality: dict(backbone.identity) for modality, backbone in tunable.items()}
        remark(backbones, dataset, progress)
        samples = TrainingSamples(backbones)
        with progress.track(f"read {category}", len(records)) as advance, workers.at_work() as pool:
            for batch in PreparedBatches(dataset, preprocessing, cache, pool).batches(records):
                for sample, features in zip(batch, samples.add(batch), strict=True):
                    for note in sample.notes:
                        progress.warn(f"{sample.record.name}: {note}")
                    for modality, found in features.items():
                        require_finite(sample.record, modality, found.values)
                advance(len(batch))
        with progress.track(f"finetune {category}", options.steps) as advance:
            result = finetune(samples, options, on_step=lambda step, total, values: advance(1))
        writer.attribute("dataset", dataset.name)
        writer.attribute("category", category)
        for modality, identity in identities.items():
            changes = result.changes[modality]
            left = {name: factors.left for name, factors in changes.factors.items()}
            right = {name: factors.right for name, factors in changes.factors.items()}
            write_changes(writer, modality, changes.weights, left, right, identity)
        _write_course(writer, result, progress)
        names = " and ".join(str(identity["name"]) for identity in identities.values())
        return f"{settings.how} of {names}, {result.stopped}"

    values = recorded("finetune", settings, device=options.device)
    # Training is in float32 and without pasted defects, whatever extraction is to do.
    used = extraction.model_copy(update={**asdict(preprocessing), "precision": "fp32", "pasted": 0})
    values["extract"] = recorded("extract", used, device=options.device, digest=digest)
    return make(
        out,
        "finetuned",
        settings=values,
        inputs={"dataset": dataset_digest(records, digest)},
        write=write,
        mode=mode,
        progress=progress,
        foreseen=SampledTraining(
            SampledRasters(
                records,
                extraction.image_size,
                1,
                BATCH,
                workers,
                load=lambda: [backbone_of(modality, extraction, options.device) for modality in modalities],
                read=lambda record: prepared(dataset, record, preprocessing, None),
                products=contextlib.nullcontext,
                is_cached=lambda record: cache.holds(cache.key(record, preprocessing, dataset.name)),
            ),
            settings,
        ),
    )


def rasters_of(dataset: Dataset) -> RasterDataset:
    """The data set, where backbones can be trained on it. Raises UsageError for one of unorganized clouds."""
    if not isinstance(dataset, RasterDataset):
        raise UsageError(
            f"{dataset.name} has unorganized clouds, and training through the backbone works on images and organized "
            "scans",
            hint="Adaptors can be trained on clouds: lsfa adapt",
        )
    return dataset


def finetuning_options(settings: FinetuneSettings) -> FinetuningOptions:
    """The settings as training takes them. Raises UnknownNameError for a loss that is in no table."""
    losses = tuple(name.strip() for name in settings.losses.split(",") if name.strip())
    for name in losses:
        if name not in TERMS:
            raise UnknownNameError("loss", name, TERMS)
    names = {field.name for field in fields(FinetuningOptions)} - {"losses", "device", "learning_rate"}
    return FinetuningOptions(
        **settings.model_dump(include=names),
        losses=losses,
        learning_rate=settings.effective_learning_rate,
        device=device_of(settings.device),
    )


def _training_records(dataset: RasterDataset, category: str, settings: FinetuneSettings) -> Sequence[SampleRecord]:
    """The training samples, or as many of them as are asked for, drawn by the seed as for adaptors."""
    records = [record for record in dataset.records(category) if record.split == "train"]
    if not records:
        raise DataError(f"{dataset.name} {category} has no training samples")
    count = settings.train_samples
    if count is None or count >= len(records):
        return records
    places = np.sort(np.random.default_rng(settings.seed).choice(len(records), count, replace=False))
    return [records[place] for place in places]


def _write_course(writer: ArtifactWriter, result: FinetuningResult, progress: Progress) -> None:
    """Write how training went, and tell what it could not do as asked."""
    writer.attribute("stopped", result.stopped)
    writer.attribute("notes", json.dumps(list(result.notes)))
    for name, values in sorted(result.curves.items()):
        writer.write(f"curves/{name}", values)
    for note in result.notes:
        progress.warn(note)
    if result.stopped != FINISHED:
        progress.warn(f"training stopped: {result.stopped}")
