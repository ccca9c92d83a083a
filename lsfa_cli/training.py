"""Training on the normal samples of one category (Algorithm 1, Eq. 9): of adaptors, or of what else gives features.

Seeded throughout: equal seeds, data and machine give equal bytes, and torch's global generator is left alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lsfa_cli.adaptors import Start, build_adaptor, build_head
from lsfa_cli.catalog import lookup
from lsfa_cli.collapse_guard import CollapseGuard, GuardMeasures, GuardPatches
from lsfa_cli.errors import DataError, UsageError
from lsfa_cli.learners import AdaptorLearner, Learner
from lsfa_cli.losses import CLC_LOSSES, IFC_LOSSES, LOSSES, cross_modal_consistency, intra_modal_compactness, total_loss
from lsfa_cli.precision import Precision, products_in
from lsfa_cli.prototypes import SampleClusters
from lsfa_cli.repeatable import NOT_REPEATABLE, repeatable_kernels, seed_for
from lsfa_cli.samples import Modality
from lsfa_cli.standardisation import PatchSource, Standardisation, standardise
from lsfa_cli.training_banks import TrainingBank
from lsfa_cli.training_batches import LimitedPatches, batches, epoch_length, read_batch
from lsfa_cli.training_terms import AdaptedBatch, Level, Term, TermInputs, TermOptions

__all__ = [
    "LearningOptions",
    "PatchSource",
    "Standardisation",
    "TrainingOptions",
    "TrainingResult",
    "learn",
    "learning_rate",
    "standardise",
    "train",
]

FINISHED = "finished"
BETAS = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class LearningOptions(TermOptions):
    """The settings of the loop and its losses; names, units and meaning are those of the adapt settings.

    precision: of the products of what learns, and of those that the search for nearest entries begins with.
    """

    losses: tuple[str, ...]
    clc_weight: float
    update: Literal["joint", "alternating"]
    prototypes: int
    local_bank_size: int
    global_bank_size: int
    head_dimension: int
    steps: int
    batch_size: int
    learning_rate: float
    gradient_clip: float
    guard_interval: int
    guard_rank_ratio: float
    seed: int
    device: str
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(LearningOptions):
    """The settings of training adaptors."""

    adaptor: str
    start: Start
    largest_sample: int


MakeLearner = Callable[[Modality, int, Standardisation], Learner]
"""From a modality, D and the standardisation of its training patches to what learns."""


@dataclass(frozen=True)
class TrainingResult:
    """What training made.

    parameters: the learner's arrays by name, by modality; an adaptor's are float32. curves: one value a step in each,
    NaN where not measured; "step" is their axis, where 0 is the start. A loss at step s is the value that update s
    was made on; the guard's quantities at s are those after it. stopped: "finished", or why and when training stopped
    and which state was restored. notes: what training could not do as asked.
    """

    parameters: dict[Modality, dict[str, NDArray[np.float32]]]
    standardisation: dict[Modality, Standardisation]
    curves: dict[str, NDArray[np.float64]]
    stopped: str
    notes: tuple[str, ...]


def learning_rate(step: int, *, peak: float, warm_up: int, steps: int) -> float:
    """The rate of update `step` (from 1): linear over `warm_up` steps to the peak, then cosine to 0 after `steps`.

    When training ends within the warm-up the peak is not reached.
    """
    if step <= warm_up:
        return peak * step / warm_up
    return peak * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up + 1))) / 2


def train(
    source: PatchSource,
    modalities: Sequence[Modality],
    options: TrainingOptions,
    *,
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train one adaptor a modality on the samples of `source` and return their parameters and curves.

    `on_step(step, steps, values)` is called after every update. `options.steps` 0 returns the adaptors as they
    start. `UnknownNameError` for an unknown adaptor or loss, `UsageError` when the settings leave no loss to train
    on or no such device is there, `DataError` when the features cannot be standardised.
    """

    def adaptor(modality: Modality, dimension: int, standardisation: Standardisation) -> Learner:
        seed = seed_for(options.seed, f"adaptor {modality}")
        built = build_adaptor(options.adaptor, dimension, start=options.start, seed=seed)
        return AdaptorLearner(built.to(options.device))

    return learn(source, modalities, options, adaptor, largest_sample=options.largest_sample, on_step=on_step)


def learn(
    source: PatchSource,
    modalities: Sequence[Modality],
    options: LearningOptions,
    make_learner: MakeLearner,
    *,
    largest_sample: int | None = None,
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
) -> TrainingResult:
    """As `train`, of whatever learns. source: the features before training, which are standardised and never change.

    largest_sample: with one modality, larger samples take part by a subset of so many patches (`LimitedPatches`).
    """
    if len(source) == 0:
        raise DataError("there are no training samples")
    if not modalities:
        raise ValueError("training needs at least one modality")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available", hint="Use --device cpu, or auto.")
    with repeatable_kernels(options.device) as repeatable:
        training = _Training(source, modalities, options, make_learner, largest_sample)
        if not repeatable:
            training.notes[NOT_REPEATABLE] = None
        return training.run(on_step)


class _StopTrainingError(Exception):
    """Training cannot go on; the message says why."""


class _Curves:
    """Values by step, with gaps."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add values to the row of `step`, the last row or the next one."""
        if step == len(self._rows):
            self._rows.append({"step": float(step)})
        self._rows[step].update(values)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """One array a name, NaN where there was no value."""
        names = dict.fromkeys(chain.from_iterable(self._rows))
        return {name: np.array([row.get(name, math.nan) for row in self._rows]) for name in names}


def _guard_values(measures: Mapping[Modality, GuardMeasures]) -> dict[str, float]:
    return {f"{name}_{key}": value for key, found in measures.items() for name, value in found._asdict().items()}


class _Training:
    """One run: learners, heads, banks, optimiser and guard, and the steps over them."""

    def __init__(
        self,
        source: PatchSource,
        modalities: Sequence[Modality],
        options: LearningOptions,
        make_learner: MakeLearner,
        largest_sample: int | None,
    ) -> None:
        self.options = options
        self.notes: dict[str, None] = {}
        self.clc, self.ifc = self._terms(modalities)
        self.standardisation = {modality: standardise(source, modality) for modality in modalities}
        limited = None
        if largest_sample is not None:
            limited = LimitedPatches(source, modalities, largest_sample, seed_for(options.seed, "largest sample"))
        self.source = source = source if limited is None else limited
        dimensions = {modality: source[0][modality].dimension for modality in modalities}
        self.learners = {
            modality: make_learner(modality, dimension, self.standardisation[modality])
            for modality, dimension in dimensions.items()
        }
        changing = [modality for modality, learner in self.learners.items() if learner.weights()]
        self.heads: dict[Modality, nn.Module] = {
            modality: self._head(modality, dimension) for modality, dimension in dimensions.items() if self.clc
        }
        self.banks: dict[Level, dict[Modality, TrainingBank]] = {
            "local": self._banks({key: dimensions[key] for key in changing}, options.local_bank_size),
            "global": self._banks({key: dimensions[key] for key in changing}, options.global_bank_size),
        }
        self.weights = [weight for learner in self.learners.values() for weight in learner.weights()]
        self.weights += [weight for head in self.heads.values() for weight in head.parameters()]
        self.optimizer = torch.optim.AdamW(self.weights, lr=options.learning_rate, betas=BETAS, weight_decay=0.0)
        self.clusters = SampleClusters(options.prototypes, seed_for(options.seed, "clusters"))
        self.generator = np.random.default_rng(seed_for(options.seed, "patches of L_LA"))
        scales = {modality: self.standardisation[modality] for modality in changing}
        self.patches = GuardPatches(source, scales, seed_for(options.seed, "guard"), options.device)
        self.warm_up = epoch_length(len(source), options.batch_size)
        if 0 < options.steps < self.warm_up:
            self.notes[f"{options.steps} steps end within the warm-up of one epoch, {self.warm_up} steps"] = None
        if limited is not None and limited.limited:
            self.notes[f"samples of more than {largest_sample} patches train by a subset of them"] = None
        self.curves = _Curves()

    def _terms(self, modalities: Sequence[Modality]) -> tuple[list[Term], list[Term]]:
        """The terms in use, of CLC and of IFC."""
        for name in self.options.losses:
            lookup(LOSSES, "loss", name)
        clc: list[Term] = [entry.load() for name, entry in CLC_LOSSES.items() if name in self.options.losses]
        ifc: list[Term] = [entry.load() for name, entry in IFC_LOSSES.items() if name in self.options.losses]
        if clc and len(modalities) == 1:
            self.notes[f"one modality ({modalities[0]}): no CLC, training on IFC only"] = None
            clc = []
        if self.options.steps > 0 and not clc and not ifc:
            raise UsageError(
                "the settings leave no loss to train on",
                hint="CLC (L_LA, L_GA) needs both modalities; add L_LC or L_GC to the losses, or set steps to 0.",
            )
        return clc, ifc

    def _head(self, modality: Modality, dimension: int) -> nn.Module:
        head = build_head(dimension, self.options.head_dimension, seed=seed_for(self.options.seed, f"head {modality}"))
        return head.to(self.options.device)

    def _banks(self, dimensions: Mapping[Modality, int], capacity: int) -> dict[Modality, TrainingBank]:
        if not self.ifc:
            return {}
        options = self.options
        return {
            key: TrainingBank(capacity, size, device=options.device, precision=options.precision)
            for key, size in dimensions.items()
        }

    def run(self, on_step: Callable[[int, int, dict[str, float]], None] | None) -> TrainingResult:
        """All steps, or as many as the guard lets pass."""
        options = self.options
        measures = self.patches.measure(self.learners)
        guard = CollapseGuard(measures, options.guard_rank_ratio)
        self.curves.add(0, _guard_values(measures))
        good_step, good, good_measures = 0, self._snapshot(), measures
        stopped = FINISHED
        if options.steps > 0:
            self._fill_banks()
        drawn = batches(len(self.source), options.batch_size, np.random.default_rng(seed_for(options.seed, "batches")))
        for step in range(1, options.steps + 1):
            try:
                values = self._step(step, next(drawn))
                self.curves.add(step, values)
                if step % options.guard_interval == 0 or step == options.steps:
                    measures = self.patches.measure(self.learners)
                    self.curves.add(step, _guard_values(measures))
                    reason = guard.reason(measures)
                    if reason is not None:
                        raise _StopTrainingError(f"collapse at step {step}: {reason}")
                    good_step, good, good_measures = step, self._snapshot(), measures
            except _StopTrainingError as stop:
                stopped = f"{stop}; the state after step {good_step} was restored"
                break
            if on_step is not None:
                on_step(step, options.steps, values)
        self.notes.update(dict.fromkeys(guard.shrinking(good_measures)))
        parameters = {key: {name: value.cpu().numpy() for name, value in state.items()} for key, state in good.items()}
        return TrainingResult(parameters, self.standardisation, self.curves.arrays(), stopped, tuple(self.notes))

    def _snapshot(self) -> dict[Modality, dict[str, Tensor]]:
        return {modality: learner.state() for modality, learner in self.learners.items()}

    def _forward(self, samples: Sequence[int]) -> AdaptedBatch:
        batch = read_batch(self.source, samples, self.standardisation, self.options.device)
        with products_in(self.options.precision, self.options.device):
            adapted = {key: self.learners[key].features(batch.samples, parts) for key, parts in batch.patches.items()}
        return AdaptedBatch(
            batch, {key: [part.float() for part in parts] for key, parts in adapted.items()}, self.clusters
        )

    @torch.no_grad()
    def _fill_banks(self) -> None:
        """Algorithm 1's "initialize": one pass over the training samples, in order."""
        if not self.ifc:
            return
        for begin in range(0, len(self.source), self.options.batch_size):
            self._append(self._forward(range(begin, min(begin + self.options.batch_size, len(self.source)))))

    def _append(self, features: AdaptedBatch) -> None:
        """Eq. 7 for every modality and level, with the features as they were in the forward pass."""
        levels: dict[Level, Mapping[Modality, list[Tensor]]] = {
            "local": features.adapted,
            "global": features.prototypes,
        }
        for level, found in levels.items():
            for modality, bank in self.banks[level].items():
                for sample, part in zip(features.batch.samples, found[modality], strict=True):
                    bank.append(part, sample)

    def _step(self, step: int, samples: Sequence[int]) -> dict[str, float]:
        """One step: one update on Eq. 9, or with `alternating` one on L_CLC and then one on L_IFC."""
        options = self.options
        rate = learning_rate(step, peak=options.learning_rate, warm_up=self.warm_up, steps=options.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        values: dict[str, float] = {"learning_rate": rate}
        if options.update == "joint":
            self._update(step, samples, self.clc, self.ifc, values)
        else:
            if self.clc:
                self._update(step, samples, self.clc, [], values)
            if self.ifc:
                self._update(step, samples, [], self.ifc, values)
        return values

    def _update(
        self, step: int, samples: Sequence[int], clc: list[Term], ifc: list[Term], values: dict[str, float]
    ) -> None:
        """One forward pass, one update on the terms given; their values are added to `values`."""
        features = self._forward(samples)
        named: dict[str, Tensor] = {}
        loss = self._loss(features, clc, ifc, named)
        if loss is not None:
            penalties = [penalty for learner in self.learners.values() if (penalty := learner.penalty()) is not None]
            if penalties:
                penalty = torch.stack(penalties).sum()
                named["penalty"] = penalty
                loss = loss + penalty
            self._descend(step, loss, named, values)
        if ifc:
            self._append(features)

    def _loss(
        self, features: AdaptedBatch, clc: list[Term], ifc: list[Term], named: dict[str, Tensor]
    ) -> Tensor | None:
        """Eq. 4, 8 and 9 over the terms that exist for this batch, which go into `named` with their parts.

        Alone, L_CLC has no weight (Algorithm 1).
        """
        inputs = TermInputs(features, self.heads, self.banks, self.options, self.generator, self.notes)
        parts = [{name: value for term in terms for name, value in term(inputs).items()} for terms in (clc, ifc)]
        named.update({name: value for part in parts for name, value in part.items()})
        consistency = cross_modal_consistency(parts[0].values()) if parts[0] else None
        compactness = intra_modal_compactness(parts[1].values()) if parts[1] else None
        weight = self.options.clc_weight if self.options.update == "joint" else 1.0
        total = total_loss(compactness, consistency, clc_weight=weight)
        sums = {"L_CLC": consistency, "L_IFC": compactness}
        if self.options.update == "joint":
            sums["L"] = total
        named.update({name: value for name, value in sums.items() if value is not None})
        return total

    def _descend(self, step: int, loss: Tensor, named: Mapping[str, Tensor], values: dict[str, float]) -> None:
        """One AdamW update, the gradient clipped to `gradient_clip`; refuses what is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        length = nn.utils.clip_grad_norm_(self.weights, self.options.gradient_clip)
        # All figures come to the host together: on CUDA each transfer waits for what was asked for before it.
        figures = [value.detach() for value in (*named.values(), loss, length)]
        *parts, total, norm = torch.stack(figures).tolist()
        values.update(zip(named, parts, strict=True))
        if not math.isfinite(total):
            self.curves.add(step, values)
            raise _StopTrainingError(f"loss not finite at step {step}")
        # With two updates a step the larger norm is kept.
        values["gradient_norm"] = max(norm, values.get("gradient_norm", 0.0))
        if not math.isfinite(norm):
            self.curves.add(step, values)
            raise _StopTrainingError(f"gradient not finite at step {step}")
        self.optimizer.step()
        for learner in self.learners.values():
            learner.updated()
