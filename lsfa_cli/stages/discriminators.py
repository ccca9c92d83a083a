"""Discriminators of pasted defects in the stages: trained into the adaptor, calibrated in the bank, a source of scores.

What they say of a place is a second opinion beside the memory bank's. Names of scores: `rgb_pasted` is a
discriminator's alone, `rgb_bank` the bank's alone, and `rgb` what both give together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import (
    OBJECTIVE_ADAPTORS,
    discriminator_modalities,
    read_discriminator,
    read_pair,
    write_adaptor,
    write_discriminator,
)
from lsfa_cli.artifacts.bank import write_statistics
from lsfa_cli.artifacts.features import Features, SplitFeatures
from lsfa_cli.artifacts.pasted import PastedFeatures, has_pasted
from lsfa_cli.artifacts.scores import FUSED, write_mixture
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter
from lsfa_cli.catalog import lookup
from lsfa_cli.discriminator import (
    ChannelStatistics,
    Discriminator,
    DiscriminatorOptions,
    evidence,
    image_scores,
    least_touched,
    load_discriminator,
    train_discriminator,
)
from lsfa_cli.errors import ArtifactError, DataError, UsageError
from lsfa_cli.fusion import ScoreStatistics, average, score_statistics
from lsfa_cli.maps import patch_shares, score_maps
from lsfa_cli.pasting import KINDS
from lsfa_cli.samples import MODALITIES, BoolArray, Modality, PatchFeatures, Split
from lsfa_cli.settings import AdaptSettings
from lsfa_cli.source_weights import PASTED_ALONE, SourceWeights, shares, source_of
from lsfa_cli.stages.adapted import touches_part
from lsfa_cli.stages.progress import Advance, Progress
from lsfa_cli.stages.recorded import device_of
from lsfa_cli.standardisation import standardise
from lsfa_cli.training import FINISHED


def left_out(settings: AdaptSettings) -> tuple[str, ...]:
    """The kinds of defects that training leaves out. Raises UnknownNameError for a name that is none."""
    kinds = tuple(name.strip() for name in settings.leave_out.split(",") if name.strip())
    for kind in kinds:
        lookup(KINDS, "kind of defect", kind)
    return kinds


def require_objective(features: Features, settings: AdaptSettings) -> None:
    """Raises UsageError or ArtifactError where the objective cannot be had: other methods, nothing pasted."""
    if settings.objective != OBJECTIVE_ADAPTORS and settings.method != "lsfa":
        raise UsageError(
            f"--objective {settings.objective} says what LSFA trains, and --method {settings.method} is another method",
            hint="Leave --objective or --method out.",
        )
    left_out(settings)
    if settings.trains_discriminators and features.is_cloud:
        raise ArtifactError(
            f"{features.artifact.path} is of unorganized clouds, and --objective {settings.objective} needs samples "
            "with pasted defects, which take pixels",
            hint="Leave --objective out.",
        )
    if settings.trains_discriminators and not has_pasted(features, "train"):
        raise ArtifactError(
            f"{features.artifact.path} has no samples with pasted defects, and --objective {settings.objective} "
            "needs them",
            hint=f"Run: lsfa extract --category {features.category} --pasted 4",
        )


@dataclass(frozen=True)
class PastedSplit:
    """Pasted samples of one modality, those whose defect shows in it and whose kind is not left out."""

    samples: PastedFeatures
    modality: Modality
    chosen: Sequence[int]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> PatchFeatures:
        return self.samples.patches(self.chosen[index], self.modality)

    def shares(self, index: int) -> NDArray[np.float64]:
        """(G * G,), the share of each patch's pixels that the defect touches."""
        return patch_shares(self.samples.mask(self.chosen[index])[None], self.samples.grid(self.modality)).reshape(-1)

    @property
    def least_share(self) -> float:
        """The share from which on a patch is touched."""
        return least_touched(self.samples.image_size, self.samples.grid(self.modality))

    def on_part(self, index: int) -> BoolArray:
        """(G * G,), which patches touch the part."""
        return touches_part(self.samples, self.chosen[index], self.modality)


def pasted_split(samples: PastedFeatures, modality: Modality, leave_out: Sequence[str] = ()) -> PastedSplit:
    """The pasted samples that a modality learns from. A stain is none for the scan: there is nothing to see."""
    chosen = [
        index
        for index, kind in enumerate(samples.defects)
        if kind not in leave_out and (kind not in KINDS or getattr(KINDS[kind], _SHOWS[modality]))
    ]
    if not chosen:
        raise DataError(
            f"no pasted sample is left whose defect shows in {modality}",
            hint="Leave fewer kinds out, or extract more: lsfa extract --pasted 8.",
        )
    return PastedSplit(samples, modality, chosen)


_SHOWS: Mapping[Modality, str] = {"rgb": "image", "xyz": "scan"}


def write_discriminators(
    features: Features, settings: AdaptSettings, writer: ArtifactWriter, progress: Progress
) -> str:
    """Train a discriminator for each modality and write them into the adaptor artifact."""
    options = DiscriminatorOptions(
        steps=settings.pasted_steps,
        batch_size=settings.pasted_batch_size,
        width=settings.pasted_width,
        dropout=settings.pasted_dropout,
        learning_rate=settings.pasted_learning_rate,
        shuffled=settings.pasted_shuffled,
        seed=settings.seed,
        device=device_of(settings.device),
    )
    modalities = features.modalities(settings.modality)
    samples = PastedFeatures(features, "train")
    kinds = left_out(settings)
    if unknown := [kind for kind in kinds if kind not in samples.defects]:
        progress.warn(f"no pasted sample has {' or '.join(unknown)}: leaving that out changes nothing")
    curves: dict[str, NDArray[np.float64]] = {}
    with progress.track(f"discriminate {features.category}", len(modalities) * options.steps) as advance:
        for modality in modalities:
            split = pasted_split(samples, modality, kinds)
            result = train_discriminator(
                features.split("train"), split, modality, options, on_step=lambda step: advance(1)
            )
            write_discriminator(writer, modality, result.parameters, result.statistics)
            for name, values in result.curves.items():
                curves[name if name == "step" else f"{name}_{modality}"] = values
            for note in result.notes:
                progress.warn(note)
    for name, values in sorted(curves.items()):
        writer.write(f"discriminator/curves/{name}", values)
    return f"discriminators of {' and '.join(modalities)}, {options.steps} steps on {len(samples)} pasted samples"


def write_without_adaptors(features: Features, choice: str, writer: ArtifactWriter) -> str:
    """What the adaptor artifact has without adaptors: what the bank's features are standardised by."""
    train = features.split("train")
    writer.attribute("category", features.category)
    writer.attribute("stopped", FINISHED)
    writer.attribute("notes", json.dumps([]))
    modalities = features.modalities(choice)
    write_adaptor(writer, {}, {modality: standardise(train, modality) for modality in modalities}, {})
    return "no adaptors"


def fitted_discriminators(
    adaptor: Artifact | None, modalities: Sequence[Modality], device: str
) -> dict[Modality, Discriminator]:
    """The discriminators of an adaptor artifact, as far as it has any, on a device."""
    if adaptor is None:
        return {}
    found: dict[Modality, Discriminator] = {}
    for modality in discriminator_modalities(adaptor):
        if modality in modalities:
            parameters, mean, deviation = read_discriminator(adaptor, modality)
            try:
                found[modality] = load_discriminator(parameters, ChannelStatistics(mean, deviation), device=device)
            except ValueError as error:
                raise ArtifactError(f"{adaptor.path}: {error}", hint="Run: lsfa adapt --objective pasted") from error
    return found


class Judged(NamedTuple):
    """What a discriminator says of a split: image scores (n,), maps (n, S, S), and the statistics they rest on."""

    image: NDArray[np.float64]
    maps: NDArray[np.float32]
    statistics: ScoreStatistics


@dataclass(frozen=True)
class Judging:
    """How a discriminator judges the samples of a split.

    foreground: image patches only where they touch the part. sigma: of the map's blur, pixels.
    """

    features: Features
    modality: Modality
    discriminator: Discriminator
    foreground: bool
    sigma: float

    def judge(self, split: Split, statistics: ScoreStatistics | None, advance: Advance) -> Judged:
        """Scores in deviations from normal patches on the part.

        statistics: mean and deviation of the logits of those; None measures them on this split, of normal samples.
        """
        scores, statistics = self.patch_scores(self.features.split(split), statistics, advance)
        maps = score_maps(scores, size=self.features.image_size, sigma=self.sigma)
        return Judged(image_scores(maps), maps, statistics)

    def patch_scores(
        self, samples: SplitFeatures, statistics: ScoreStatistics | None, advance: Advance
    ) -> tuple[NDArray[np.float32], ScoreStatistics]:
        """Scores of patches (n, G * G), see `evidence`, and the statistics they rest on, as of `judge`."""
        logits, valid, normal = [], [], []
        for index in range(len(samples)):
            patches = samples.patches(index, self.modality)
            found, seen = self.discriminator.logits(patches), patches.valid
            if self.foreground or statistics is None:
                on_part = touches_part(samples, index, self.modality)
                normal.append(found[on_part[seen]])
                if self.foreground:
                    found, seen = normal[-1], seen & on_part
            logits.append(found)
            valid.append(seen)
            advance(1)
        if statistics is None:
            if not sum(map(len, normal)):
                raise DataError(f"no normal sample has a {self.modality} patch that touches the part")
            statistics = score_statistics(np.concatenate(normal))
        return np.stack([evidence(one, seen, *statistics) for one, seen in zip(logits, valid, strict=True)]), statistics


def write_calibrated(
    writer: ArtifactWriter, judging: Judging, split: Split, progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Write what a bank artifact keeps of a discriminator on normal samples; returns their image scores by name."""
    features, name = judging.features, f"{judging.modality}{PASTED_ALONE}"
    with progress.track(f"calibrate {features.category} {name}", len(features.split(split))) as advance:
        judged = judging.judge(split, None, advance)
    writer.write(f"{name}/patch_statistics", judged.statistics)
    write_statistics(writer, name, score_statistics(judged.image), score_statistics(judged.maps))
    return {name: judged.image}


@dataclass
class Combined:
    """Scores of banks and discriminators by name, such as rgb and rgb_pasted, and how they are put together.

    weights: of the sources; none: all alike. image: (n,), maps: (n, S, S), of the test samples. normal: (m,), image
    scores of normal samples.
    """

    bank: Artifact
    weights: SourceWeights
    image: dict[str, NDArray[np.float64]]
    maps: dict[str, NDArray[np.float32]]
    normal: dict[str, NDArray[np.float64]]

    def images_together(self, names: Sequence[str]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Image scores of some sources, and those of normal samples: means of what each is in normal deviations."""
        statistics = self._statistics(names, "image")
        of_images = shares(self.weights.image, names)
        image, normal = ({name: found[name] for name in names} for found in (self.image, self.normal))
        return average(image, statistics, of_images), average(normal, statistics, of_images)

    def maps_together(self, names: Sequence[str]) -> NDArray[np.floating]:
        """The same of maps."""
        maps = {name: self.maps[name] for name in names}
        return average(maps, self._statistics(names, "map"), shares(self.weights.map, names))

    def mixture(self, names: Sequence[str]) -> dict[str, tuple[float, float, float]]:
        """What `maps_together` is made of, by the names that the sources' own maps are written under."""
        statistics, of_maps = self._statistics(names, "map"), shares(self.weights.map, names)
        return {source_of(name): (of_maps[name], *statistics[name]) for name in names}

    def _statistics(self, names: Sequence[str], kind: str) -> dict[str, ScoreStatistics]:
        return {name: ScoreStatistics(*read_pair(self.bank, f"{name}/{kind}_statistics")) for name in names}


def write_discriminated(
    writer: ArtifactWriter,
    features: Features,
    found: Combined,
    discriminators: Mapping[Modality, Discriminator],
    progress: Progress,
) -> dict[str, NDArray[np.floating]]:
    """Write what discriminators say alone, and together with the banks in `found`, where there are any.

    Returns the image scores of normal samples of all that was written.
    """
    foreground, sigma = bool(found.bank.settings["rgb_foreground"]), float(found.bank.settings["blur_sigma"])
    banks = list(found.image)
    written: dict[str, NDArray[np.floating]] = {}
    test = features.split("test")
    with progress.track(f"discriminate {features.category}", len(test) * len(discriminators)) as advance:
        for modality, discriminator in discriminators.items():
            name = f"{modality}{PASTED_ALONE}"
            statistics = ScoreStatistics(*read_pair(found.bank, f"{name}/patch_statistics"))
            judged = Judging(features, modality, discriminator, foreground, sigma).judge("test", statistics, advance)
            found.image[name], found.maps[name] = judged.image, judged.maps
            found.normal[name] = found.bank.read(f"normal/image/{name}")
    targets = _targets(discriminators, banks)
    *_, whole = targets
    for target, sources in targets.items():
        image: NDArray[np.floating]
        maps: NDArray[np.floating] | None
        if len(sources) == 1:  # as it is, as those of banks are
            image, maps, written[target] = (scores[sources[0]] for scores in (found.image, found.maps, found.normal))
        else:
            image, written[target] = found.images_together(sources)
            maps = None if banks and target != whole else found.maps_together(sources)
        writer.write(f"image/{target}", image)
        if maps is None:
            write_mixture(writer, target, found.mixture(sources))
        else:
            writer.write(f"maps/{target}", maps, compress=True)
    return written


def _targets(discriminators: Mapping[Modality, Discriminator], banks: Sequence[str]) -> dict[str, list[str]]:
    """The scores that are written, that of everything last, each with the sources that it is the mean of."""
    alone: dict[str, list[str]] = {modality: [f"{modality}{PASTED_ALONE}"] for modality in discriminators}
    targets: dict[str, list[str]] = {}
    if len(discriminators) == len(MODALITIES):
        alone[FUSED] = [name for names in alone.values() for name in names]
    for name, sources in alone.items():
        beside = banks if name == FUSED else [bank for bank in banks if bank == name]
        if beside:
            targets[f"{name}{PASTED_ALONE}"] = sources
        targets[name] = [*beside, *sources]
    return targets
