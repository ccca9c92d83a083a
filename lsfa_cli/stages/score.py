"""Score: image scores and anomaly maps of one category's test samples, or scores of points of clouds (METHOD 4)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.artifacts.adaptor import (
    BTF,
    CFM,
    UFF,
    adaptor_method,
    discriminator_modalities,
    has_adaptors,
    is_trained,
    read_pair,
)
from lsfa_cli.artifacts.adaptor import LSFA as LSFA_METHOD
from lsfa_cli.artifacts.bank import bank_modalities, read_bank, write_normal
from lsfa_cli.artifacts.features import Features, open_features
from lsfa_cli.artifacts.lineage import command_for, require_made_from
from lsfa_cli.artifacts.scores import FUSED, write_mixture
from lsfa_cli.artifacts.store import Artifact, ArtifactWriter, open_artifact
from lsfa_cli.errors import ArtifactError, DataError
from lsfa_cli.fusion import LinearOneClass, ScoreStatistics, average, average_raw, one_class_score
from lsfa_cli.maps import score_maps
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.samples import MODALITIES, Modality
from lsfa_cli.searches import search_of
from lsfa_cli.settings import ScoreSettings
from lsfa_cli.source_weights import BANK_ALONE, shares, weights_text
from lsfa_cli.stages.adapted import fitted_adaptors, open_adaptor, score_split
from lsfa_cli.stages.costs import sizes_of
from lsfa_cli.stages.crossmodal import write_mapped_scores
from lsfa_cli.stages.discriminators import Combined, fitted_discriminators, write_discriminated
from lsfa_cli.stages.foresee import bank_settings, foresee_score, trained_as
from lsfa_cli.stages.making import Mode, Outcome, make
from lsfa_cli.stages.methods import require_modalities, unusual_fusion
from lsfa_cli.stages.points import write_points
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.third_bank import bank_splits, third_bank
from lsfa_cli.training import FINISHED

# What the numbers are called in tables, and what that means.
LSFA, BASELINE_METHOD, CONTROL_METHOD = "LSFA", "baseline", "control"
CFM_METHOD, CFM_CONTROL = "CFM", "CFM control"
M3DM_METHOD, M3DM_CONTROL = "M3DM", "M3DM control"
BTF_METHOD = "BTF"
FINETUNED_METHOD = "finetuned"
PASTED_METHOD, PASTED_CONTROL = "pasted", "pasted control"
TOGETHER = " + "
BANKS, DISCRIMINATORS = "bank", "pasted"  # sources of scores
METHODS: Mapping[str, str] = {
    LSFA: "trained adaptors",
    BASELINE_METHOD: "PatchCore, no adaptor",
    CONTROL_METHOD: "adaptors as they started, never trained",
    CFM_METHOD: "crossmodal feature mapping, no bank",
    CFM_CONTROL: "its networks as they started, never trained",
    M3DM_METHOD: "banks of both modalities and of fused features",
    M3DM_CONTROL: "its fused features as they started, never trained",
    BTF_METHOD: "a bank of both features side by side",
    FINETUNED_METHOD: "PatchCore on a backbone that was trained, no adaptor",
    PASTED_METHOD: "discriminators of pasted defects; beside another method, the weighted mean of both scores",
    PASTED_CONTROL: "their control, trained on the masks of other samples or not at all",
}

Arrays = Mapping[str, NDArray[np.floating]]


def score(
    features_file: Path,
    adaptor_file: Path | None,
    bank_file: Path,
    out: Path,
    settings: ScoreSettings,
    *,
    search: str = "own",
    mode: Mode = Mode(),
    progress: Progress | None = None,
) -> Outcome:
    """Make the scores artifact. The bank must have been made from these features and this adaptor.

    search: the name of what finds nearest entries (`lsfa_cli.searches`); the result does not depend on it.
    """
    with (
        open_features(features_file) as features,
        open_artifact(bank_file, "bank") as bank,
        open_adaptor(adaptor_file if "adaptor" in bank.inputs else None, features) as adaptor,
    ):
        mend = command_for("bank", features.dataset, features.category)
        require_made_from(bank, "features", features.artifact, mend)
        require_made_from(bank, "adaptor", adaptor, mend)
        if adaptor is not None:
            require_modalities(features, adaptor_method(adaptor), settings.modality)
        inputs = {"features": features.artifact.content_hash, "bank": bank.content_hash}
        if adaptor is not None:
            inputs["adaptor"] = adaptor.content_hash

        def write(writer: ArtifactWriter, progress: Progress) -> str:
            return _write(features, adaptor, bank, settings, search, writer, progress)

        return make(
            out,
            "scores",
            settings=recorded("score", settings, device=device_of(settings.device)),
            inputs=inputs,
            write=write,
            mode=mode,
            progress=progress,
            foreseen=foresee_score(
                features.category, sizes_of(features), settings, bank_settings(bank), **trained_as(adaptor)
            ),
        )


def _write(
    features: Features,
    adaptor: Artifact | None,
    bank: Artifact,
    settings: ScoreSettings,
    search: str,
    writer: ArtifactWriter,
    progress: Progress,
) -> str:
    if not features.has("test"):
        raise DataError(
            f"{features.artifact.path} has no test samples to score.",
            hint="Add test samples to the data set and run again; extract, adapt and bank need none.",
        )
    _write_samples(features, adaptor, settings, writer)
    if adaptor is not None and adaptor_method(adaptor) == CFM:
        write_mapped_scores(features, adaptor, bank, settings, writer, progress)
        return f"{len(features.split('test'))} samples, {method_name(features, adaptor)}"
    return _write_distances(features, adaptor, bank, settings, search, writer, progress)


def _write_samples(
    features: Features, adaptor: Artifact | None, settings: ScoreSettings, writer: ArtifactWriter
) -> None:
    """Write what is known of the test samples before they are scored."""
    test = features.split("test")
    writer.attribute("dataset", features.dataset)
    writer.attribute("category", features.category)
    writer.attribute("method", method_name(features, adaptor, settings.sources))
    writer.attribute("backbones", features.artifact.attributes["backbones"])
    writer.attribute("remarks", json.dumps(_remarks(features, adaptor, settings)))
    writer.write("names", test.names)
    writer.write("labels", test.labels)
    writer.write("defects", test.defects)
    if not features.is_cloud:
        writer.write("masks", features.artifact.read("test/masks"), compress=True)
        if not features.masked.all():
            writer.write("masked", features.masked)


def _write_distances(
    features: Features,
    adaptor: Artifact | None,
    bank: Artifact,
    settings: ScoreSettings,
    search: str,
    writer: ArtifactWriter,
    progress: Progress,
) -> str:
    """Write the scores of the test samples: distances to the memory banks."""
    test = features.split("test")
    modalities = _modalities(bank, settings)
    device = device_of(settings.device)
    discriminators = {} if settings.sources == BANKS else fitted_discriminators(adaptor, modalities, device)
    if settings.sources == DISCRIMINATORS and not discriminators:
        raise ArtifactError(
            f"{bank.path} was made without discriminators of pasted defects, and --sources pasted needs them",
            hint="Run: lsfa adapt --objective pasted, then lsfa bank",
        )
    foreground, sigma = bool(bank.settings["rgb_foreground"]), float(bank.settings["blur_sigma"])
    adaptors = fitted_adaptors(features, adaptor, modalities, device, bank=bank)
    splits = bank_splits(test, adaptors, third_bank(features, adaptor, device), foreground=foreground)
    if settings.sources == DISCRIMINATORS:
        splits = {}
    alone = BANK_ALONE if discriminators else ""
    image: dict[str, NDArray[np.float64]] = {}
    maps: dict[str, NDArray[np.float32]] = {}
    with progress.track(f"score {features.category}", len(test) * len(splits)) as advance:
        for name, samples in splits.items():
            memory = MemoryBank(read_bank(bank, name).entries, search_of(search, device))
            scores = score_split(samples, memory, advance)
            image[name] = scores.image
            writer.write(f"image/{name}{alone}", image[name])
            if features.is_cloud:
                write_points(writer, features, scores.patches)
                continue
            writer.write(f"distances/{name}", scores.distances(), compress=True)
            maps[name] = score_maps(np.stack(scores.patches), size=features.image_size, sigma=sigma)
            writer.write(f"maps/{name}{alone}", maps[name], compress=True)
    normal = {name: bank.read(f"normal/image/{name}") for name in splits}
    found = Combined(bank, settings.weights, image, maps, normal)
    normal_image: dict[str, NDArray[np.floating]] = {f"{name}{alone}": values for name, values in normal.items()}
    if BTF in splits and (told := unusual_fusion(settings)):
        progress.warn(f"BTF's scores are those of its third bank: {told} changes nothing")
    if len(modalities) == len(MODALITIES) and splits:
        images, pixels = _Fusing(settings, "image", bank), _Fusing(settings, "map", bank)
        writer.write(f"image/{FUSED}{alone}", images.fuse(image))
        if discriminators and settings.fusion == "average":
            write_mixture(writer, f"{FUSED}{alone}", found.mixture(list(splits)))
        else:
            writer.write(f"maps/{FUSED}{alone}", pixels.fuse(maps), compress=True)
        normal_image[f"{FUSED}{alone}"] = images.fuse(normal)
    if discriminators:
        if splits and settings.fusion != "average":
            progress.warn(f"--fusion {settings.fusion} is of banks alone; with discriminators scores are averaged")
        normal_image |= write_discriminated(writer, features, found, discriminators, progress)
    write_normal(writer, bank.text("normal/names"), normal_image)
    return f"{len(test)} samples, {method_name(features, adaptor, settings.sources)}, {' and '.join(modalities)}"


def method_name(features: Features, adaptor: Artifact | None, sources: str = "all") -> str:
    """What made the scores: LSFA, its baseline without an adaptor, a control, or another method.

    With discriminators of pasted defects both are named, as in LSFA + pasted.
    """
    if adaptor is None:
        finetuned = any("finetuned" in identity for identity in features.backbones.values())
        return FINETUNED_METHOD if finetuned else BASELINE_METHOD
    if adaptor_method(adaptor) == BTF:
        return BTF_METHOD
    trained, untrained = {CFM: (CFM_METHOD, CFM_CONTROL), UFF: (M3DM_METHOD, M3DM_CONTROL)}.get(
        adaptor_method(adaptor), (LSFA, CONTROL_METHOD)
    )
    bank = trained if is_trained(adaptor) else untrained
    if adaptor_method(adaptor) == LSFA_METHOD and not has_adaptors(adaptor):
        bank = method_name(features, None)
    if not discriminator_modalities(adaptor) or sources == BANKS:
        return bank
    taught = adaptor.settings["pasted_steps"] > 0 and not adaptor.settings["pasted_shuffled"]
    pasted = PASTED_METHOD if taught else PASTED_CONTROL
    return pasted if sources == DISCRIMINATORS else f"{bank}{TOGETHER}{pasted}"


def _remarks(features: Features, adaptor: Artifact | None, settings: ScoreSettings) -> list[str]:
    """What training, of backbones and of the adaptor, and weights have to say to a reader of the figures."""
    stopped = {identity["stopped"]: None for identity in features.backbones.values() if "stopped" in identity}
    remarks = [f"training through the backbone stopped: {reason}" for reason in stopped]
    if adaptor is not None and adaptor.attributes["stopped"] != FINISHED:
        remarks.append(f"training stopped: {adaptor.attributes['stopped']}")
    weighted = {"image scores": settings.weights.image, "maps": settings.weights.map}
    told = [f"of {what} {weights_text(weights)}" for what, weights in weighted.items() if weights]
    return [*remarks, f"weights of the sources, {'; '.join(told)}"] if told else remarks


def _modalities(bank: Artifact, settings: ScoreSettings) -> tuple[Modality, ...]:
    present = bank_modalities(bank)
    wanted = present if settings.modality == "both" else tuple(m for m in MODALITIES if m == settings.modality)
    if missing := [modality for modality in wanted if modality not in present]:
        raise ArtifactError(
            f"{bank.path} has no {missing[0]} bank, and --modality {settings.modality} needs it",
            hint=f"Use --modality {present[0]}, or run: lsfa bank --modality {settings.modality}",
        )
    if settings.fusion == "ocsvm" and len(wanted) == len(MODALITIES) and "one_class/image" not in bank:
        raise ArtifactError(
            f"{bank.path} has no one-class SVM, and --fusion ocsvm needs it", hint="Run: lsfa bank --ocsvm"
        )
    return wanted


@dataclass(frozen=True)
class _Fusing:
    """Fusion of image scores or of maps with the bank's calibration and the weights of the banks (METHOD 4, 6)."""

    settings: ScoreSettings
    kind: Literal["image", "map"]
    bank: Artifact

    def fuse(self, scores: Arrays) -> NDArray[np.floating]:
        """One score a sample, or one map a sample, from those of all banks; of BTF that of its third."""
        if BTF in scores:
            return scores[BTF]
        if self.settings.fusion == "average_raw":
            return average_raw(scores)
        if self.settings.fusion == "average":
            weights = getattr(self.settings.weights, self.kind)
            statistics = {name: self._statistics(name) for name in scores}
            return average(scores, statistics, shares(weights, scores) if weights else None)
        *weights, offset = self.bank.read(f"one_class/{self.kind}")
        return one_class_score(LinearOneClass(tuple(weights), offset), scores["rgb"], scores["xyz"], scores.get(UFF))

    def _statistics(self, name: str) -> ScoreStatistics:
        return ScoreStatistics(*read_pair(self.bank, f"{name}/{self.kind}_statistics"))
