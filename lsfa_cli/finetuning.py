"""Training through the backbone with LSFA's losses and no adaptor (Tables 8 and 10), from samples.

The loop, the losses and the collapse guard are those of `training`; what learns is the backbone: some of its weights,
or factors of low rank beside them. Features are standardised by the mean and deviation that they had before training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lsfa_cli.backbones.base import Backbone, TunableBackbone
from lsfa_cli.errors import UsageError
from lsfa_cli.learners import FixedFeatures, Learner
from lsfa_cli.losses import CLC_LOSSES, IFC_LOSSES
from lsfa_cli.low_rank import LowRankLayers, LowRankOptions, low_rank_layers, require_peft
from lsfa_cli.repeatable import seed_for
from lsfa_cli.samples import Modality, PatchFeatures, PreparedSample
from lsfa_cli.standardisation import Standardisation
from lsfa_cli.training import LearningOptions, learn
from lsfa_cli.weight_changes import WeightChanges

How = Literal["lora", "adalora", "last_1", "last_2", "last_3", "all"]


@dataclass(frozen=True, kw_only=True)
class FinetuningOptions(LearningOptions):
    """The settings of training through the backbone; names and meaning are those of the finetune settings."""

    how: How
    rank: int
    alpha: float


@dataclass(frozen=True)
class FinetuningResult:
    """What training changed in each backbone that learned; the rest as in `training.TrainingResult`."""

    changes: dict[Modality, WeightChanges]
    curves: dict[str, NDArray[np.float64]]
    stopped: str
    notes: tuple[str, ...]


def tunable_backbones(backbones: Mapping[Modality, Backbone]) -> dict[Modality, TunableBackbone]:
    """Those of the backbones whose weights can be trained. `UsageError` when there is none."""
    tunable = {key: backbone for key, backbone in backbones.items() if isinstance(backbone, TunableBackbone)}
    if not tunable:
        names = " and ".join(str(backbone.identity["name"]) for backbone in backbones.values())
        raise UsageError(
            f"nothing to train: {names} {'have' if len(backbones) > 1 else 'has'} no weights",
            hint="Use --rgb-backbone timm:MODEL or a short name (lsfa list backbones), or --xyz-backbone point_mae.",
        )
    return tunable


@dataclass
class TrainingSamples:
    """The training samples as the loop takes them: features before training, and what the networks read.

    Features are kept as float16, as the features artifact keeps them; indexing is that of a `PatchSource`.
    """

    backbones: Mapping[Modality, Backbone]
    _features: list[dict[Modality, PatchFeatures]] = field(default_factory=list)
    _inputs: dict[Modality, list[Any]] = field(default_factory=dict)

    def add(self, samples: Sequence[PreparedSample]) -> list[dict[Modality, PatchFeatures]]:
        """Take some samples, in order; returns their features as the backbones gave them, float32."""
        found = {modality: backbone.patches(samples) for modality, backbone in self.backbones.items()}
        rows = [{modality: values[place] for modality, values in found.items()} for place in range(len(samples))]
        for row in rows:
            self._features.append(
                {key: PatchFeatures(one.values.astype(np.float16), one.valid, one.grid) for key, one in row.items()}
            )
        for modality, backbone in self.backbones.items():
            if isinstance(backbone, TunableBackbone):
                self._inputs.setdefault(modality, []).extend(backbone.network_input(sample) for sample in samples)
        return rows

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, index: int) -> Mapping[Modality, PatchFeatures]:
        return self._features[index]

    def inputs(self, modality: Modality) -> list[Any]:
        """What the network of a tunable backbone reads of each sample."""
        return self._inputs[modality]


def finetune(
    samples: TrainingSamples,
    options: FinetuningOptions,
    *,
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
) -> FinetuningResult:
    """Train the tunable ones of the samples' backbones; their networks are changed in place and not of use afterwards.

    A modality whose backbone has no weights keeps its features and takes part in CLC. Errors as in `training.learn`;
    `UsageError` when no backbone can be trained, `MissingDependencyError` for LoRA and AdaLoRA without peft.
    """
    tunable = tunable_backbones(samples.backbones)
    if options.how in ("lora", "adalora"):
        require_peft()
    notes = {
        f"{modality}: {backbone.identity['name']} has no weights to train; its features stay as they are": None
        for modality, backbone in samples.backbones.items()
        if modality not in tunable
    }
    learners: dict[Modality, _BackboneLearner] = {}
    updates = _updates(options, len(samples.backbones))

    def learner(modality: Modality, dimension: int, standardisation: Standardisation) -> Learner:
        if modality not in tunable:
            return FixedFeatures()
        inputs = samples.inputs(modality)
        first = next(place for place in range(len(samples)) if len(samples[place][modality].values) > 0)
        weights = _learning(tunable[modality], modality, inputs[first], options, notes, updates)
        learners[modality] = _BackboneLearner(tunable[modality], inputs, standardisation, weights)
        return learners[modality]

    result = learn(samples, tuple(samples.backbones), options, learner, on_step=on_step)
    changes = {}
    for modality, one in learners.items():
        one.restore(result.parameters[modality])
        changes[modality] = one.weights_that_learn.changes()
    return FinetuningResult(changes, result.curves, result.stopped, (*notes, *result.notes))


def _updates(options: FinetuningOptions, modalities: int) -> int:
    """How many updates there will be: two a step where L_CLC and L_IFC take turns."""
    clc = modalities > 1 and any(name in options.losses for name in CLC_LOSSES)
    ifc = any(name in options.losses for name in IFC_LOSSES)
    return options.steps * (2 if options.update == "alternating" and clc and ifc else 1)


class _NetworkWeights:
    """Some weights of a network as they are (last_1 to all)."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.named = dict(weights)
        for weight in self.named.values():
            weight.requires_grad_(True)

    def penalty(self) -> Tensor | None:
        return None

    def updated(self) -> None:
        pass

    def changes(self) -> WeightChanges:
        return WeightChanges(
            weights={name: weight.detach().cpu().numpy().copy() for name, weight in self.named.items()}
        )


class _Factors:
    """Factors of low rank beside weights of a network."""

    def __init__(self, layers: LowRankLayers) -> None:
        self._layers = layers
        self.named = {str(number): weight for number, weight in enumerate(layers.weights())}
        self.penalty = layers.penalty
        self.updated = layers.updated

    def changes(self) -> WeightChanges:
        return WeightChanges(factors=self._layers.factors())


class _BackboneLearner:
    """A backbone in the place of an adaptor: a learner whose features come from what the network reads.

    The network stays in evaluation mode. Batch norm keeps the statistics of its pre-training: those of a batch of eight
    images would make a patch's features depend on the images beside it, at every step on others, and moving averages
    over a hundred steps of them would be what extraction then uses. Its scale and shift are weights and may learn.
    Dropout is off, so that equal samples have equal features, as when they are scored.
    """

    def __init__(
        self,
        backbone: TunableBackbone,
        inputs: Sequence[Any],
        standardisation: Standardisation,
        weights_that_learn: _NetworkWeights | _Factors,
    ) -> None:
        self._backbone, self._inputs, self._standardisation = backbone, inputs, standardisation
        self.weights_that_learn = weights_that_learn

    def features(self, samples: Sequence[int], patches: Sequence[Tensor]) -> list[Tensor]:
        """Features of the network as it is now, standardised."""
        found = self._backbone.differentiable_patches([self._inputs[sample] for sample in samples])
        mean, deviation = self._standardisation
        return [(part - mean) / deviation for part in found]

    def weights(self) -> list[nn.Parameter]:
        """What learns."""
        return list(self.weights_that_learn.named.values())

    def state(self) -> dict[str, Tensor]:
        """A copy of what learns."""
        return {name: weight.detach().clone() for name, weight in self.weights_that_learn.named.items()}

    def penalty(self) -> Tensor | None:
        """AdaLoRA has one."""
        return self.weights_that_learn.penalty()

    def updated(self) -> None:
        """AdaLoRA cuts ranks."""
        self.weights_that_learn.updated()

    @torch.no_grad()
    def restore(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        """Take back a state, as `TrainingResult` has it."""
        for name, weight in self.weights_that_learn.named.items():
            weight.copy_(torch.from_numpy(state[name]))


def _learning(
    backbone: TunableBackbone,
    modality: Modality,
    entry: Any,
    options: FinetuningOptions,
    notes: dict[str, None],
    updates: int,
) -> _NetworkWeights | _Factors:
    """What `how` asks for, of the weights that the features depend on: some networks end after the last map in use."""
    network = backbone.network
    weights = dict(network.named_parameters())
    used = _reached(backbone, entry, weights)
    blocks = [block for block in backbone.blocks if any(name.startswith(f"{block}.") for name in used)]
    if options.how == "all":
        return _NetworkWeights({name: weights[name] for name in used})
    if options.how == "lora" or options.how == "adalora":
        layers = [name for name in low_rank_layers(network, blocks) if f"{name}.weight" in used]
        if not layers:
            raise UsageError(
                f"{backbone.identity['name']} has no layer that {options.how} works on",
                hint="Train weights themselves: --how last_1",
            )
        choice = LowRankOptions(options.how, options.rank, options.alpha, updates)
        factors = _Factors(LowRankLayers(network, layers, choice, seed_for(options.seed, f"low rank {modality}")))
        missed = len(factors.named) - len(_reached(backbone, entry, factors.named))
        if missed:
            notes[f"{modality}: {missed} of {len(factors.named)} low-rank factors have no gradient"] = None
        return factors
    count = int(options.how.removeprefix("last_"))
    if len(blocks) < count:
        notes[f"{modality}: the network has {len(blocks)} blocks, and {options.how} trains all of them"] = None
    last = tuple(f"{block}." for block in blocks[-count:])
    return _NetworkWeights({name: weights[name] for name in used if name.startswith(last)})


def _reached(backbone: TunableBackbone, entry: Any, weights: Mapping[str, nn.Parameter]) -> list[str]:
    """Names of the weights that have a gradient from one sample's features, in the order given."""
    asked = {name: weight.requires_grad for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(True)
    total = backbone.differentiable_patches([entry])[0].sum()
    gradients: Sequence[Tensor | None] = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    for name, weight in weights.items():
        weight.requires_grad_(asked[name])
    return [name for name, gradient in zip(weights, gradients, strict=True) if gradient is not None]
