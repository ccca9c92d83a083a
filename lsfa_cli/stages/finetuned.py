"""Finetuned weights, from their artifact to the backbones that features are extracted with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsfa_cli.artifacts.finetuned import finetuned_modalities, read_changes, read_identity
from lsfa_cli.artifacts.lineage import command_for
from lsfa_cli.artifacts.store import Artifact, open_artifact
from lsfa_cli.backbones.base import Backbone, TunableBackbone
from lsfa_cli.datasets.base import CloudDataset
from lsfa_cli.errors import ArtifactError, StaleArtifactError, UsageError
from lsfa_cli.samples import Modality
from lsfa_cli.training import FINISHED
from lsfa_cli.weight_changes import Factors, WeightChanges, apply_changes


def input_of(finetuned: Path | None) -> dict[str, str]:
    """The artifact as an input of features: its role and content hash."""
    if finetuned is None:
        return {}
    with open_artifact(finetuned, "finetuned") as artifact:
        return {"finetuned": artifact.content_hash}


def refuse_clouds(dataset: CloudDataset, finetuned: Path | None) -> None:
    """UsageError where finetuned weights are to be used on unorganized clouds."""
    if finetuned is not None:
        raise UsageError(
            f"{finetuned}: training through the backbone works on images and organized scans, and {dataset.name} has "
            "unorganized clouds",
            hint="Leave the file out.",
        )


def apply_finetuned(path: Path, backbones: Mapping[Modality, Backbone], dataset: str, category: str) -> None:
    """Give the backbones the weights of a finetuned artifact, and identities that say so.

    A modality that was trained and is not among the backbones is passed over. Raises ArtifactError for an artifact of
    another data set or category, StaleArtifactError for one that was made from another backbone or other weights.
    """
    with open_artifact(path, "finetuned") as artifact:
        made_for = (artifact.attributes["dataset"], artifact.attributes["category"])
        mend = command_for("finetune", dataset, category)
        if made_for != (dataset, category):
            raise ArtifactError(
                f"{path} was trained on {' '.join(made_for)}, not on {dataset} {category}", hint=f"Run: {mend}"
            )
        for modality in finetuned_modalities(artifact):
            if modality in backbones:
                _apply(artifact, modality, backbones[modality], mend)


def _apply(artifact: Artifact, modality: Modality, backbone: Backbone, mend: str) -> None:
    trained = read_identity(artifact, modality)
    if trained != json.loads(json.dumps(backbone.identity)):
        raise StaleArtifactError(
            f"{artifact.path} was trained from another {modality} backbone: {_difference(trained, backbone.identity)}",
            hint=f"Give the backbone and weights of that run, or run: {mend}",
        )
    if not isinstance(backbone, TunableBackbone):
        raise TypeError(f"{backbone.identity['name']} was trained, and cannot be")
    left, right = (read_changes(artifact, modality, kind) for kind in ("left", "right"))
    if set(left) != set(right):
        raise ArtifactError(f"{artifact.path}: the factors of the {modality} backbone are not in pairs")
    factors = {name: Factors(left[name], right[name]) for name in left}
    try:
        apply_changes(backbone.network, WeightChanges(read_changes(artifact, modality, "weights"), factors))
    except ValueError as error:
        raise ArtifactError(f"{artifact.path}: {error}", hint=f"Run: {mend}") from error
    backbone.identity["name"] = f"{backbone.identity['name']}, finetuned ({artifact.settings['how']})"
    backbone.identity["finetuned"] = artifact.content_hash
    if artifact.attributes["stopped"] != FINISHED:
        backbone.identity["stopped"] = artifact.attributes["stopped"]


def _difference(trained: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The first part of the identities that is not the same, hashes shortened."""
    name = next(name for name in sorted({*trained, *given}) if trained.get(name) != given.get(name))
    old, new = (str(identity.get(name))[:60] for identity in (trained, given))
    return f"{name} {old}, now {new}"
