"""What banks and discriminators say of validation samples and their pasted versions, for `lsfa tune`.

Banks know nothing of pasted defects, so one set of them serves every group of kinds that is left out. Discriminators
are trained anew for every group, without its kinds. Both are those of `adapt` and `bank`: with the same settings and
seed `adapt --objective lsfa+pasted` trains the same adaptors and the same discriminators together.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lsfa_cli.artifacts.bank import read_bank
from lsfa_cli.artifacts.features import Features, SplitFeatures, open_features
from lsfa_cli.artifacts.judged import NORMAL, PASTED, write_judged
from lsfa_cli.artifacts.lineage import why_outdated
from lsfa_cli.artifacts.pasted import PastedFeatures
from lsfa_cli.artifacts.store import ArtifactWriter, create, open_artifact
from lsfa_cli.memory_bank import MemoryBank
from lsfa_cli.settings import AdaptSettings, BankSettings
from lsfa_cli.stages.adapt import adapt
from lsfa_cli.stages.adapted import fitted_adaptors, open_adaptor, score_split
from lsfa_cli.stages.bank import bank
from lsfa_cli.stages.discriminators import Judging, fitted_discriminators
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.recorded import device_of, recorded
from lsfa_cli.stages.studying.cells import remove
from lsfa_cli.stages.third_bank import bank_splits

JUDGED_VERSION = 1
"""Raised when the same features and settings give other scores."""


def adaptor_settings(settings: AdaptSettings | None) -> AdaptSettings | None:
    """The part of the settings that banks depend on: those of LSFA's adaptors, None without them."""
    if settings is None or not settings.trains_adaptors:
        return None
    return settings.model_copy(update={"objective": "lsfa"})


def discriminator_settings(settings: AdaptSettings, left_out: Sequence[str]) -> AdaptSettings:
    """The part of the settings that discriminators depend on, without the kinds of defects that are left out."""
    return settings.model_copy(update={"objective": "pasted", "leave_out": ",".join(left_out)})


def bank_part(settings: BankSettings) -> BankSettings:
    """The settings that the scores of a bank's patches depend on: the blur comes later, but for one-class SVMs."""
    if settings.ocsvm:
        return settings
    return settings.model_copy(update={"blur_sigma": BankSettings().blur_sigma})


def recorded_banks(adaptor: AdaptSettings | None, settings: BankSettings) -> dict[str, Any]:
    """What the artifact of judging banks records of its settings."""
    made = recorded("bank", settings, device=device_of(settings.device))
    trained = None if adaptor is None else recorded("adapt", adaptor, device=device_of(adaptor.device))
    return {"judged_version": JUDGED_VERSION, "adapt": trained, "bank": made}


def recorded_discriminators(adaptor: AdaptSettings, *, foreground: bool) -> dict[str, Any]:
    """The same of judging discriminators."""
    trained = recorded("adapt", adaptor, device=device_of(adaptor.device))
    return {"judged_version": JUDGED_VERSION, "adapt": trained, "rgb_foreground": foreground}


def judge_banks(
    features_file: Path,
    adaptor_file: Path,
    out: Path,
    adaptor: AdaptSettings | None,
    settings: BankSettings,
    progress: Progress,
) -> None:
    """Train adaptors, make banks, and write what the banks say. Only the adaptors stay.

    adaptor, settings: as `adaptor_settings` and `bank_part` give them.
    """
    bank_file = out.with_name("bank.h5")
    if adaptor is not None:
        adapt(features_file, adaptor_file, adaptor, progress=progress)
    bank(features_file, adaptor_file if adaptor is not None else None, bank_file, settings, progress=progress)
    with (
        open_features(features_file) as features,
        open_artifact(bank_file, "bank") as made,
        open_adaptor(adaptor_file if adaptor is not None else None, features) as trained,
        _judged(out, features, recorded_banks(adaptor, settings)) as writer,
    ):
        modalities, device = features.modalities(settings.modality), device_of(settings.device)
        adaptors = fitted_adaptors(features, trained, modalities, device, bank=made)
        for part, samples in _parts(features):
            splits = bank_splits(samples, adaptors, None, foreground=settings.rgb_foreground)
            with progress.track(f"judge {features.category}", len(samples) * len(splits)) as advance:
                for name, split in splits.items():
                    scores = score_split(split, MemoryBank(read_bank(made, name).entries), advance)
                    write_judged(writer, part, name, np.stack(scores.patches), scores.image)
        for kind in made.names("one_class"):
            writer.write(f"one_class/{kind}", made.read(f"one_class/{kind}"))
    remove(bank_file)


def judge_discriminators(
    features_file: Path,
    adaptor_file: Path,
    out: Path,
    adaptor: AdaptSettings,
    progress: Progress,
    *,
    foreground: bool,
) -> None:
    """Train discriminators and write what they say. adaptor: as `discriminator_settings` gives it."""
    adapt(features_file, adaptor_file, adaptor, progress=progress)
    with (
        open_features(features_file) as features,
        open_adaptor(adaptor_file, features) as trained,
        _judged(out, features, recorded_discriminators(adaptor, foreground=foreground)) as writer,
    ):
        modalities = features.modalities(adaptor.modality)
        found = fitted_discriminators(trained, modalities, device_of(adaptor.device))
        for modality, discriminator in found.items():
            judging = Judging(features, modality, discriminator, foreground, 0.0)
            statistics = None
            for part, samples in _parts(features):  # the normal ones first, which the statistics are of
                with progress.track(f"judge {features.category}", len(samples)) as advance:
                    patches, statistics = judging.patch_scores(samples, statistics, advance)
                write_judged(writer, part, f"{modality}_pasted", patches, None)


def is_judged(out: Path, features_file: Path, settings: dict[str, Any]) -> bool:
    """Whether the artifact is there and up to date with these features and recorded settings."""
    with open_features(features_file) as features:
        inputs = {"features": features.artifact.content_hash}
    return why_outdated(out, "judged", settings=settings, inputs=inputs) is None


@contextlib.contextmanager
def _judged(out: Path, features: Features, settings: dict[str, Any]) -> Iterator[ArtifactWriter]:
    """The artifact being written, with what is known of its samples."""
    with create(out, "judged", settings=settings, inputs={"features": features.artifact.content_hash}) as writer:
        writer.attribute("dataset", features.dataset)
        writer.attribute("category", features.category)
        for part, samples in _parts(features):
            writer.write(f"{part}/names", samples.names)
        yield writer


def _parts(features: Features) -> list[tuple[str, SplitFeatures]]:
    """The validation samples, and their pasted versions."""
    return [(NORMAL, features.split("validation")), (PASTED, PastedFeatures(features, "validation"))]
