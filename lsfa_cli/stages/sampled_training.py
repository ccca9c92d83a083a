"""What training through the backbones takes, measured on one sample beside what `sampled` measures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lsfa_cli.backbones.base import TunableBackbone
from lsfa_cli.collapse_guard import GUARD_SAMPLES
from lsfa_cli.finetuning import tunable_backbones
from lsfa_cli.samples import PreparedSample
from lsfa_cli.settings import AdaptSettings, FinetuneSettings, LearningSettings
from lsfa_cli.stages.costs import training_cost
from lsfa_cli.stages.estimates import START_SECONDS, Estimate, estimate, peak_so_far, timed
from lsfa_cli.stages.sampled import SampledRasters

# Its cost is next to nothing beside a backbone's, so what remains is that of the losses, the banks and the guard.
_LEAST_ADAPTOR = "linear"


@dataclass(frozen=True)
class SampledTraining:
    """Training through the backbones on the samples of `rasters`, all of which are training samples."""

    rasters: SampledRasters
    settings: FinetuneSettings

    def require(self) -> None:
        """As of extraction, nothing is known before the backbones run."""

    def estimate(self) -> Estimate:
        """As of extraction, and a gradient of one sample. Raises UsageError where nothing can be trained."""
        tunable = tunable_backbones({backbone.modality: backbone for backbone in self.rasters.load()})
        reading = self.rasters.estimate()
        sample = self.rasters.read(self.rasters.records[0])
        before = peak_so_far()
        for _ in range(2):  # the first one is slower
            learning, _ = timed(lambda: [_gradient(backbone, sample) for backbone in tunable.values()])
        activations = peak_so_far() - before
        count, settings = len(self.rasters.records), self.settings
        batch, updates = min(settings.batch_size, count), settings.steps * (1 + (settings.update == "alternating"))
        guarded = GUARD_SAMPLES * (1 + math.ceil(settings.steps / settings.guard_interval))
        passes = guarded + (count if settings.steps else 0)
        rest = Estimate(START_SECONDS, 0.0)
        if reading.sizes is not None:
            rest = estimate(training_cost(reading.sizes, _as_adaptor(settings)))
        seconds = reading.seconds + passes * reading.sample_seconds + batch * updates * learning
        memory = max(reading.memory, rest.memory) + batch * activations
        return Estimate(seconds + rest.seconds - START_SECONDS, memory, reading.sizes, reading.sample_seconds)


def _gradient(backbone: TunableBackbone, sample: PreparedSample) -> Sequence[Tensor | None]:
    """One sample's share of a training step of all weights. The backbone is not of use afterwards."""
    weights = [weight.requires_grad_(True) for weight in backbone.network.parameters()]
    patches = backbone.differentiable_patches([backbone.network_input(sample)])[0]
    return torch.autograd.grad(patches.sum(), weights, allow_unused=True)


def _as_adaptor(settings: FinetuneSettings) -> AdaptSettings:
    """The same training of the adaptor that costs least."""
    common = settings.model_dump(include=set(LearningSettings.model_fields))
    return AdaptSettings.model_validate({**common, "adaptor": _LEAST_ADAPTOR})
