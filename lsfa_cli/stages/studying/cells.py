"""One cell of a study: a variant of the method, a category and a seed, from features to figures."""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lsfa_cli.artifacts.adaptor import read_curves
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.figures import write_figure
from lsfa_cli.artifacts.lineage import why_outdated
from lsfa_cli.artifacts.scores import Scores, open_scores
from lsfa_cli.artifacts.store import ArtifactWriter, canonical_json, create, open_artifact
from lsfa_cli.datasets.base import CloudDataset, Dataset, RasterDataset
from lsfa_cli.errors import DataError, UndefinedMetricError
from lsfa_cli.maps import patch_shares
from lsfa_cli.metrics import aupro, image_auroc, pixel_auroc
from lsfa_cli.preprocessing.cache import SampleCache, dataset_digest
from lsfa_cli.resampling import (
    Auroc,
    MeanRatio,
    RegionOverlap,
    aupro_sums,
    image_auroc_sums,
    mean_ratio_sums,
    part_auroc_sums,
    pixel_auroc_sums,
)
from lsfa_cli.settings import (
    AdaptSettings,
    BankSettings,
    ExtractSettings,
    FinetuneSettings,
    ScoreSettings,
    content_of,
)
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.extract import extract, preprocess_options, recorded_extraction
from lsfa_cli.stages.extract_pasted import refuse_pasted_clouds
from lsfa_cli.stages.finetune import finetune_backbones, rasters_of
from lsfa_cli.stages.making import Mode, Outcome
from lsfa_cli.stages.places import places
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.report import MODALITY_NAMES
from lsfa_cli.stages.score import score
from lsfa_cli.studies import StudyVariant

# A patch is defective when more than this share of its pixels is, normal when none of them is.
DEFECTIVE_SHARE = 0.3

# Raised when the same artifacts give other figures or sums.
FIGURES_VERSION = 2


@dataclass(frozen=True)
class Settings:
    """The settings of all stages of one cell.

    adapt is None where there is no adaptor, finetune where backbones are as they were.
    """

    extract: ExtractSettings
    adapt: AdaptSettings | None
    bank: BankSettings
    score: ScoreSettings
    finetune: FinetuneSettings | None = None

    @property
    def of_one_seed(self) -> bool:
        """Whether the features are those of one seed: of backbones trained with it, or of defects drawn by it."""
        return self.finetune is not None or self.extract.pasted > 0

    def of(self, variant: StudyVariant, seed: int) -> "Settings":
        """These with what a variant changes, and a seed for all that is drawn: of extraction, which defects are pasted.

        Raises DataError for a value that its setting does not take.
        """

        def seeded(stage: str, settings: Any) -> Any:
            return _changed(settings, {**variant.changes(stage), "seed": seed}, variant.name)

        extracted = _changed(self.extract, variant.extract, variant.name)
        adapted = seeded("adapt", self.adapt or AdaptSettings())
        return Settings(
            extracted.model_copy(update={"seed": seed}) if extracted.pasted else extracted,
            adapted if variant.adaptor else None,
            seeded("bank", self.bank),
            seeded("score", self.score),
            None if variant.finetune is None else seeded("finetune", self.finetune or FinetuneSettings()),
        )


def _changed(settings: Any, changes: Mapping[str, Any], variant: str) -> Any:
    try:
        return type(settings).model_validate({**settings.model_dump(exclude_unset=True), **changes})
    except ValidationError as error:
        problems = "; ".join(f"{detail['loc'][0]} = {detail['input']!r}: {detail['msg']}" for detail in error.errors())
        raise DataError(f"variant {variant} of the study: {problems}.") from error


@dataclass(frozen=True)
class Surroundings:
    """What all cells share. keep: leave the artifacts of every cell on the disk, not only its figures."""

    dataset: Dataset
    work: Path
    cache: SampleCache
    jobs: int = 0
    keep: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell, where its figures are, and the files that it may have in common with other cells.

    features: those of all cells unless a variant extracts otherwise, pastes defects or trains the backbones. adaptor:
    one for all cells that train alike. finetuned: what training changed in the backbones. None for none.
    """

    variant: str
    category: str
    seed: int
    settings: Settings
    folder: Path
    features: Path
    adaptor: Path | None
    finetuned: Path | None

    @property
    def figures(self) -> Path:
        """The figures artifact, which is all that stays."""
        return self.folder / "figures.h5"

    @property
    def passing(self) -> tuple[Path, ...]:
        """What goes after the last cell that needs it: features of one seed, which are large, and what was trained."""
        files = (self.features if self.settings.of_one_seed else None, self.finetuned, self.adaptor)
        return tuple(file for file in files if file is not None)


def cell(around: Surroundings, category: str, variant: StudyVariant, seed: int, base: Settings) -> Cell:
    """The cell of a variant. Its folder is named by its settings, so that studies share what they have in common."""
    settings = base.of(variant, seed)
    recorded_all = _recorded(settings, with_extract=True)
    folder = _study_folder(around, category)

    def shared(name: str, *stages: str) -> Path:
        made_by = {stage: recorded_all[stage] for stage in stages if stage in recorded_all}
        return folder / f"{name}-{_name(made_by)}" / f"{name}.h5"

    finetuned = None if settings.finetune is None else shared("finetuned", "extract", "finetune")
    if finetuned is not None:
        features = shared("features", "extract", "finetune")
    elif settings.extract != base.extract or settings.of_one_seed:
        features = folder / f"features-{_name(content_of(settings.extract))}" / "features.h5"
    else:
        features = places(around.work, around.dataset.name, category).features
    adaptor = None if settings.adapt is None else shared("adaptor", "extract", "finetune", "adapt")
    return Cell(variant.name, category, seed, settings, folder / _name(recorded_all), features, adaptor, finetuned)


def _name(content: Mapping[str, Any]) -> str:
    """A folder name for settings: equal for equal ones alone."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]


def run_cell(around: Surroundings, one: Cell, progress: Progress, *, rerun: bool = False) -> bool:
    """Make the figures of a cell; False when they are up to date and `rerun` does not ask for them anew.

    A cell that was killed goes on with its finished stages. What other cells may need stays (`Cell.passing`).
    """
    if not one.settings.of_one_seed:
        extract_cell(around, one, progress)  # its figures are compared with the features
    settings, inputs = _made_from(around, one)
    if not rerun and why_outdated(one.figures, "figures", settings=settings, inputs=inputs) is None:
        return False
    if one.finetuned is not None and one.settings.finetune is not None:
        finetune_backbones(
            around.dataset,
            one.category,
            one.finetuned,
            one.settings.finetune,
            one.settings.extract,
            cache=around.cache,
            jobs=around.jobs,
            progress=progress,
        )
    if one.settings.of_one_seed:
        extract_cell(around, one, progress)
    bank_file, scores = (one.folder / f"{name}.h5" for name in ("bank", "scores"))
    if one.settings.adapt is not None and one.adaptor is not None:
        adapt(one.features, one.adaptor, one.settings.adapt, progress=progress)
    bank(one.features, one.adaptor, bank_file, one.settings.bank, progress=progress)
    score(one.features, one.adaptor, bank_file, scores, one.settings.score, progress=progress)
    with create(one.figures, "figures", settings=settings, inputs=inputs) as writer, open_scores(scores) as opened:
        _measure(writer, opened)
        _copy_curves(writer, one)
    if not around.keep:
        remove(bank_file)
        remove(scores)
    return True


def extract_cell(around: Surroundings, one: Cell, progress: Progress, mode: Mode = Mode()) -> Outcome:
    """Extract the features that a cell needs, unless they are up to date."""
    return extract(
        around.dataset,
        one.category,
        one.features,
        one.settings.extract,
        cache=around.cache,
        jobs=around.jobs,
        finetuned=one.finetuned,
        mode=mode,
        progress=progress,
    )


def is_measured(around: Surroundings, one: Cell) -> bool:
    """Whether the figures of a cell are there and up to date with its settings and its features or their samples."""
    settings, inputs = _made_from(around, one)
    return why_outdated(one.figures, "figures", settings=settings, inputs=inputs) is None


def _made_from(around: Surroundings, one: Cell) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings and the inputs that the figures of a cell record.

    Features of one seed do not stay, so that samples and settings of the extraction take their place.
    """
    settings = _recorded(one.settings)
    if not one.settings.of_one_seed:
        with open_features(one.features) as opened:
            return settings, {"features": opened.artifact.content_hash}
    dataset, extraction, digest = _rasters_of(around, one), one.settings.extract, around.cache.digests.digest
    options = preprocess_options(extraction, dataset.recipe(one.category))
    settings["extract"] = recorded_extraction(extraction, options, device_of(extraction.device), digest)
    return settings, {"dataset": dataset_digest(dataset.records(one.category), digest)}


def _rasters_of(around: Surroundings, one: Cell) -> RasterDataset:
    """The data set, which is one of pixels. Raises `LsfaError` when it has none to paste into or to train on."""
    if isinstance(around.dataset, CloudDataset):
        refuse_pasted_clouds(around.dataset, one.settings.extract)
    return rasters_of(around.dataset)


def remove(path: Path) -> None:
    """Delete an artifact and the record of its run, and the folder where nothing else is in it."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.stem}.run.json").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is not empty, or was never made
        path.parent.rmdir()


def _study_folder(around: Surroundings, category: str) -> Path:
    return around.work / around.dataset.name / category / "study"


def _recorded(settings: Settings, *, with_extract: bool = False) -> dict[str, Any]:
    """What the figures depend on beside the features: the settings of the stages as their artifacts record them."""
    parts: dict[str, Any] = {"figures_version": FIGURES_VERSION}
    for stage in ("adapt", "bank", "score"):
        model = getattr(settings, stage)
        parts[stage] = None if model is None else recorded(stage, model, device=device_of(model.device))
    if settings.finetune is not None:  # cells that were measured when there was no such stage stay up to date
        device = device_of(settings.finetune.device)
        parts["finetune"] = recorded("finetune", settings.finetune, device=device)
    if with_extract:
        parts["extract"] = content_of(settings.extract)
    return parts


def _copy_curves(writer: ArtifactWriter, one: Cell) -> None:
    """The curves of what was trained last."""
    trained = one.adaptor or one.finetuned
    if trained is None:
        return
    with open_artifact(trained, "finetuned" if one.adaptor is None else "adaptor") as artifact:
        for name, values in sorted(read_curves(artifact).items()):
            writer.write(f"curves/{name}", values)


def _measure(writer: ArtifactWriter, scores: Scores) -> None:
    """Write every figure that exists for these test samples."""
    writer.attribute("dataset", scores.dataset)
    writer.attribute("category", scores.category)
    writer.attribute("backbones", scores.artifact.attributes["backbones"])
    writer.attribute("remarks", json.dumps(scores.remarks))
    writer.write("labels", scores.labels)
    for name in (name for name in scores.image if name in MODALITY_NAMES):
        for metric, value, sums in _figures(scores, name):
            arrays = {field.name: getattr(sums, field.name) for field in dataclasses.fields(sums)}
            arrays.pop("limit", None)
            write_figure(writer, MODALITY_NAMES[name], metric, value, arrays)


def _figures(scores: Scores, name: str) -> Iterator[tuple[str, float, Auroc | RegionOverlap | MeanRatio]]:
    """(metric, value, sums) of one score, as far as they exist. Those of pixels are over samples that have a mask."""
    images, labels = scores.image[name], scores.labels
    with contextlib.suppress(UndefinedMetricError):
        yield "i_auroc", image_auroc(images, labels), image_auroc_sums(images, labels)
    if name not in scores.maps:
        return
    marked = scores.masked
    maps, masks = scores.maps[name][marked], scores.masks[marked]
    with contextlib.suppress(UndefinedMetricError):
        yield "p_auroc", pixel_auroc(maps, masks), pixel_auroc_sums(maps, masks).among(marked)
    with contextlib.suppress(UndefinedMetricError):
        yield "aupro", aupro(maps, masks), aupro_sums(maps, masks).among(marked)
    distances = scores.distances(name)
    if distances is not None:
        yield from _separation(distances[marked], masks, marked)


def _separation(
    distances: NDArray[np.float32], masks: NDArray[np.bool_], marked: NDArray[np.bool_]
) -> Iterator[tuple[str, float, Auroc | MeanRatio]]:
    """How far defective patches lie from the bank beside normal ones; those in between are left out."""
    shares = patch_shares(masks, math.isqrt(distances.shape[1]))
    there = ~np.isnan(distances)
    defective, normal = there & (shares > DEFECTIVE_SHARE), there & (shares == 0)
    ratio = mean_ratio_sums(distances, defective, normal)
    overlap = part_auroc_sums(distances, defective, normal)
    for metric, sums in (("patch_auroc", overlap), ("distance_ratio", ratio)):
        value = float(sums.values(np.ones((1, len(distances))))[0])
        if not math.isnan(value):
            yield metric, value, sums.among(marked)
