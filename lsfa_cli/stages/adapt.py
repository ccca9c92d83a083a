"""Adapt: train the adaptors of one category on its normal samples (METHOD 3)."""

from dataclasses import fields
from pathlib import Path

from lsfa_cli.adaptors import ADAPTORS
from lsfa_cli.artifacts.adaptor import BTF, CFM, UFF
from lsfa_cli.artifacts.features import Features, open_features
from lsfa_cli.artifacts.store import ArtifactWriter
from lsfa_cli.catalog import lookup
from lsfa_cli.errors import UnknownNameError
from lsfa_cli.losses import LOSSES
from lsfa_cli.precision import precision_of
from lsfa_cli.settings import AdaptSettings
from lsfa_cli.stages.costs import sizes_of
from lsfa_cli.stages.crossmodal import write_mapping
from lsfa_cli.stages.discriminators import require_objective, write_discriminators, write_without_adaptors
from lsfa_cli.stages.foresee import foresee_adapt
from lsfa_cli.stages.making import Mode, Outcome, make
from lsfa_cli.stages.methods import require_modalities
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.third_bank import write_fusion, write_nothing_trained
from lsfa_cli.stages.trained import write_trained
from lsfa_cli.training import FINISHED, TrainingOptions, train


def adapt(
    features_file: Path,
    out: Path,
    settings: AdaptSettings,
    *,
    mode: Mode = Mode(),
    progress: Progress | None = None,
) -> Outcome:
    """Make the adaptor artifact from a features artifact."""
    options = training_options(settings)
    with open_features(features_file) as features:
        features.limit_training(settings.train_samples, settings.seed)
        require_modalities(features, settings.method, settings.modality)
        require_objective(features, settings)

        def write(writer: ArtifactWriter, progress: Progress) -> str:
            if settings.method == CFM:
                return write_mapping(features, settings, writer, progress)
            if settings.method == UFF:
                return write_fusion(features, settings, writer, progress)
            if settings.method == BTF:
                return write_nothing_trained(features, writer)
            if not settings.trains_adaptors:
                made = [write_without_adaptors(features, settings.modality, writer)]
            else:
                made = [_train(features, options, settings.modality, writer, progress)]
            if settings.trains_discriminators:
                made.append(write_discriminators(features, settings, writer, progress))
            return "; ".join(made)

        return make(
            out,
            "adaptor",
            settings=recorded("adapt", settings, device=options.device),
            inputs={"features": features.artifact.content_hash},
            write=write,
            mode=mode,
            progress=progress,
            foreseen=foresee_adapt(features.category, sizes_of(features), settings),
        )


def training_options(settings: AdaptSettings) -> TrainingOptions:
    """The settings as training takes them. Raises UnknownNameError for an adaptor or a loss that is in no table."""
    lookup(ADAPTORS, "adaptor", settings.adaptor)
    losses = tuple(name.strip() for name in settings.losses.split(",") if name.strip())
    for name in losses:
        if name not in TERMS:
            raise UnknownNameError("loss", name, TERMS)
    names = {field.name for field in fields(TrainingOptions)} - {"losses", "device", "precision"}
    device = device_of(settings.device)
    return TrainingOptions(
        **settings.model_dump(include=names),
        losses=losses,
        device=device,
        precision=precision_of(settings.precision, device),
    )


TERMS = tuple(name for name in LOSSES if name in ("L_LA", "L_GA", "L_LC", "L_GC"))


def _train(
    features: Features, options: TrainingOptions, choice: str, writer: ArtifactWriter, progress: Progress
) -> str:
    modalities = features.modalities(choice)
    with progress.track(f"adapt {features.category}", options.steps) as advance:
        result = train(
            features.split("train"),
            modalities,
            options,
            on_step=lambda step, total, values: advance(1),
        )
    write_trained(writer, features, result, progress, stopped=result.stopped)
    if result.stopped != FINISHED:
        progress.warn(f"training stopped: {result.stopped}")
    return f"{options.adaptor} from {options.start} start on {' and '.join(modalities)}, {result.stopped}"
