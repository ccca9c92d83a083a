"""The loss terms as training sees them: from an adapted batch to the equations of `losses`.

A term takes a `TermInputs` and returns named values, one for CLC, one a modality for IFC; a value that does not
exist for this batch is left out and noted. Terms are mean over the samples of the batch that have a value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lsfa_cli.losses import (
    Contrast,
    Distance,
    compactness,
    global_alignment,
    local_alignment,
)
from lsfa_cli.prototypes import SampleClusters, prototypes
from lsfa_cli.samples import Modality
from lsfa_cli.training_banks import TrainingBank
from lsfa_cli.training_batches import Batch, SharedRows

Level = Literal["local", "global"]


@dataclass(frozen=True, kw_only=True)
class TermOptions:
    """The settings that terms read; the names are those of the adapt settings."""

    contrast: Contrast
    temperature: float
    patches_per_sample: int
    distance: Distance
    exclude_same_sample: bool


@dataclass
class AdaptedBatch:
    """A batch after the adaptors. adapted: (n_i, D) of each sample, with gradient, by modality."""

    batch: Batch
    adapted: Mapping[Modality, list[Tensor]]
    clusters: SampleClusters

    @cached_property
    def prototypes(self) -> dict[Modality, list[Tensor]]:
        """(k_i, D) prototypes of each sample, k_i = 0 where the sample has no patch to take them from.

        With both modalities over the positions valid in 3D, so that prototypes correspond; with one, over all
        valid patches of that modality.
        """
        result: dict[Modality, list[Tensor]] = {modality: [] for modality in self.adapted}
        for index in range(len(self.batch.samples)):
            inputs = self._aligned(self.batch.patches, index)
            outputs = self._aligned(self.adapted, index)
            count = len(next(iter(inputs.values())))
            labels = None
            if count > 0:
                side_by_side = torch.cat(list(inputs.values()), dim=1)
                labels = self.clusters.labels(self.batch.samples[index], side_by_side)
            for modality, output in outputs.items():
                result[modality].append(prototypes(output, labels) if count > 0 else output)
        return result

    def _aligned(self, patches: Mapping[Modality, list[Tensor]], index: int) -> dict[Modality, Tensor]:
        """One sample's patches of every modality at the same positions."""
        if self.batch.shared is None:
            return {modality: parts[index] for modality, parts in patches.items()}
        rows = self.batch.shared[index]
        return {
            "rgb": patches["rgb"][index].index_select(0, rows.rgb),
            "xyz": patches["xyz"][index].index_select(0, rows.xyz),
        }


@dataclass
class TermInputs:
    """All that a term may use. heads: D -> d by modality. generator: draws the subset of patches of L_LA."""

    features: AdaptedBatch
    heads: Mapping[Modality, nn.Module]
    banks: Mapping[Level, Mapping[Modality, TrainingBank]]
    options: TermOptions
    generator: np.random.Generator
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Remember once what could not be done."""
        self.notes[text] = None


Term = Callable[[TermInputs], dict[str, Tensor]]


def _subset(rows: SharedRows, count: int, generator: np.random.Generator) -> SharedRows:
    """At most `count` of the positions, drawn without replacement, in raster order."""
    if len(rows.rgb) <= count:
        return rows
    drawn = np.sort(generator.choice(len(rows.rgb), count, replace=False))
    chosen = torch.from_numpy(drawn).to(rows.rgb.device)
    return SharedRows(rows.rgb[chosen], rows.xyz[chosen])


def local_alignment_term(inputs: TermInputs) -> dict[str, Tensor]:
    """L_LA of each sample at the positions valid in 3D, RGB repeated there, a seeded subset when there are many."""
    shared = inputs.features.batch.shared
    if shared is None:
        raise ValueError("L_LA needs both modalities")
    options, adapted = inputs.options, inputs.features.adapted
    values: list[Tensor] = []
    for index, rows in enumerate(shared):
        if len(rows.rgb) == 0:
            inputs.note("L_LA: a sample has no position that is valid in both modalities and was left out")
            continue
        drawn = _subset(rows, options.patches_per_sample, inputs.generator)
        # A head is linear, so heads may come after the repetition of image patches at no other cost.
        rgb = inputs.heads["rgb"](adapted["rgb"][index].index_select(0, drawn.rgb))
        xyz = inputs.heads["xyz"](adapted["xyz"][index].index_select(0, drawn.xyz))
        values.append(local_alignment(rgb, xyz, temperature=options.temperature, contrast=options.contrast))
    return {"L_LA": torch.stack(values).mean()} if values else {}


def global_alignment_term(inputs: TermInputs) -> dict[str, Tensor]:
    """L_GA over all prototypes of the batch."""
    if inputs.features.batch.shared is None:
        raise ValueError("L_GA needs both modalities")
    found = inputs.features.prototypes
    rgb, xyz = torch.cat(found["rgb"]), torch.cat(found["xyz"])
    if len(rgb) == 0:
        inputs.note("L_GA: a batch has no prototype and was left out")
        return {}
    if len(rgb) == 1:
        inputs.note("L_GA: a batch with a single prototype has nothing to contrast; its L_GA is 0")
    options = inputs.options
    value = global_alignment(
        inputs.heads["rgb"](rgb), inputs.heads["xyz"](xyz), temperature=options.temperature, contrast=options.contrast
    )
    return {"L_GA": value}


def _compactness_term(
    inputs: TermInputs, name: str, level: Level, features: Mapping[Modality, list[Tensor]]
) -> dict[str, Tensor]:
    """Mean over samples of Eq. 5 or Eq. 6, by modality that has a bank: one that does not learn has none."""
    options = inputs.options
    result: dict[str, Tensor] = {}
    for modality, bank in inputs.banks[level].items():
        known: dict[int, Tensor] = {}
        for sample, part in zip(inputs.features.batch.samples, features[modality], strict=True):
            if len(part) == 0:
                continue
            if bank.has_neighbours(sample, exclude_same_sample=options.exclude_same_sample):
                known[sample] = part
            else:
                inputs.note(f"{name}_{modality}: left out where the bank holds no entry of another sample")
        if known:
            nearest = bank.nearest(list(known.values()), list(known), exclude_same_sample=options.exclude_same_sample)
            values = [
                compactness(part, entries, options.distance)
                for part, entries in zip(known.values(), nearest, strict=True)
            ]
            result[f"{name}_{modality}"] = torch.stack(values).mean()
    return result


def local_compactness_term(inputs: TermInputs) -> dict[str, Tensor]:
    """L_LC of every modality over all valid patches of each sample (RGB: its native grid, background included)."""
    return _compactness_term(inputs, "L_LC", "local", inputs.features.adapted)


def global_compactness_term(inputs: TermInputs) -> dict[str, Tensor]:
    """L_GC of every modality over the prototypes of each sample."""
    return _compactness_term(inputs, "L_GC", "global", inputs.features.prototypes)
