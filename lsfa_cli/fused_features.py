"""M3DM's fused third bank: features of both modalities, taught to agree by contrast (UFF; reference notes 3).

A block a modality, LayerNorm and an MLP, gives the patches that are concatenated. In training a head maps them to 256
values, in which the image patch and the 3D patch of one place are to be nearer than those of different places.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lsfa_cli.adaptors import load_parameters
from lsfa_cli.errors import DataError
from lsfa_cli.paired_training import descend
from lsfa_cli.repeatable import NOT_REPEATABLE, draw_uniform, repeatable_kernels
from lsfa_cli.samples import MODALITIES, Modality, PatchFeatures
from lsfa_cli.standardisation import PatchSource, Standardisation, standardise
from lsfa_cli.training import BETAS, learning_rate
from lsfa_cli.training_batches import shared_positions, shared_rows

MLP_RATIO = 4
HEAD_WIDTH = 256
TEMPERATURE = 1.0
CONTRAST_ROWS = 1024  # image patches that are compared with all 3D patches at a time


@dataclass(frozen=True, kw_only=True)
class FusionOptions:
    """The settings of training; names, units and meaning are those of the adapt settings that begin with `uff_`."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str


@dataclass(frozen=True)
class FusionResult:
    """What training made.

    parameters: of the modality's block, float32 by name. curves: one value an update, NaN where a batch had no
    position to compare; "step" is their axis. notes: what training could not do as asked.
    """

    parameters: dict[Modality, dict[str, NDArray[np.float32]]]
    standardisation: dict[Modality, Standardisation]
    curves: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...]


class FusionBlock(nn.Module):
    """One modality's half: LayerNorm and an MLP, (N, D) to (N, D), and the head of training."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.norm = nn.LayerNorm(dimension)
            self.widen = nn.Linear(dimension, MLP_RATIO * dimension)
            self.narrow = nn.Linear(MLP_RATIO * dimension, dimension)
            self.head = nn.Linear(dimension, HEAD_WIDTH)

    def forward(self, patches: Tensor) -> Tensor:
        """Every patch by itself; without the head."""
        output: Tensor = self.narrow(functional.gelu(self.widen(self.norm(patches))))
        return output


def fusion_contrast(rgb: Tensor, xyz: Tensor) -> Tensor:
    """2 T times the mean cross entropy of finding row i of `xyz` from row i of `rgb`, both (N, width).

    Rows are scaled to length 1, T = 1. The N x N similarities are never held: a batch can have 50,000 rows.
    """
    rgb, xyz = functional.normalize(rgb, dim=1), functional.normalize(xyz, dim=1)
    parts = [
        checkpoint(
            _cross_entropy,
            rgb[first : first + CONTRAST_ROWS],
            xyz,
            first,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for first in range(0, len(rgb), CONTRAST_ROWS)
    ]
    return 2 * TEMPERATURE * torch.stack(parts).sum() / len(rgb)


def _cross_entropy(rows: Tensor, keys: Tensor, first: int) -> Tensor:
    """Summed over the rows, of which the first belongs to key `first`."""
    wanted = torch.arange(first, first + len(rows), device=rows.device)
    return functional.cross_entropy(rows @ keys.T / TEMPERATURE, wanted, reduction="sum")


def train_fusion(
    source: PatchSource, options: FusionOptions, *, on_step: Callable[[int, int], None] | None = None
) -> FusionResult:
    """Train both blocks on the samples of `source`, which have both modalities.

    `fusion_contrast` over the positions of the 3D grid that are valid in both, of all samples of the batch together;
    an image patch on a coarser grid stands at several. AdamW, warm-up over one epoch, then cosine. 0 epochs return
    the blocks as they start. Equal seeds give equal bytes on the CPU.
    `on_step(step, steps)` is called after every update. Raises `DataError` where there is nothing to learn from.
    """
    if len(source) == 0:
        raise DataError("there are no training samples")
    seeds = [int(seed) for seed in np.random.SeedSequence(options.seed).generate_state(len(MODALITIES) + 1)]
    with repeatable_kernels(options.device) as repeatable:
        standardisation = {modality: standardise(source, modality) for modality in MODALITIES}
        blocks = {modality: FusionBlock(source[0][modality].dimension) for modality in MODALITIES}
        for seed, block in zip(seeds, blocks.values(), strict=False):
            draw_uniform(block, torch.Generator().manual_seed(seed))
            block.to(options.device)
        weights = [weight for block in blocks.values() for weight in block.parameters()]
        losses = descend(
            source,
            standardisation,
            options,
            torch.optim.AdamW(weights, lr=options.learning_rate, betas=BETAS),
            lambda patches: [
                fusion_contrast(*(block.head(block(patches[modality])) for modality, block in blocks.items()))
            ],
            losses=1,
            generator=np.random.default_rng(seeds[-1]),
            not_finite=("the contrast", "Train with a smaller --uff-learning-rate."),
            learning_rate=lambda step, epoch, steps: learning_rate(
                step, peak=options.learning_rate, warm_up=epoch, steps=steps
            ),
            on_step=on_step,
        )
    curves = {"step": np.arange(1, len(losses) + 1, dtype=np.float64), "loss": losses[:, 0]}
    parameters = {
        modality: {name: value.detach().cpu().numpy() for name, value in block.state_dict().items()}
        for modality, block in blocks.items()
    }
    return FusionResult(parameters, standardisation, curves, () if repeatable else (NOT_REPEATABLE,))


class FittedFusion:
    """Trained blocks, ready to fuse a sample's patches."""

    def __init__(
        self, blocks: Mapping[Modality, nn.Module], standardisation: Mapping[Modality, Standardisation]
    ) -> None:
        self.blocks, self.standardisation = blocks, standardisation

    @torch.no_grad()
    def fuse(self, rgb: PatchFeatures, xyz: PatchFeatures) -> PatchFeatures:
        """Both blocks' outputs side by side, 3D first, on the 3D grid where both modalities are valid."""
        valid = np.zeros_like(xyz.valid)
        valid[shared_positions(rgb, xyz)] = True
        rows = dict(zip(MODALITIES, shared_rows(rgb, xyz), strict=True))
        parts: dict[Modality, NDArray[np.float32]] = {}
        for modality, features in zip(MODALITIES, (rgb, xyz), strict=True):
            standardised = self.standardisation[modality].apply(features.values[rows[modality]])
            block = self.blocks[modality]
            device = next(block.parameters()).device
            parts[modality] = block(torch.from_numpy(standardised).to(device)).cpu().numpy()
        return PatchFeatures(np.concatenate([parts["xyz"], parts["rgb"]], axis=1), valid, xyz.grid)


def load_fusion(
    parameters: Mapping[Modality, Mapping[str, NDArray[np.floating]]],
    standardisation: Mapping[Modality, Standardisation],
    dimensions: Mapping[Modality, int],
    *,
    device: str = "cpu",
) -> FittedFusion:
    """The blocks that `parameters` (as training returned them) make. `ValueError` where they do not fit."""
    blocks = {modality: FusionBlock(dimensions[modality]) for modality in MODALITIES}
    for modality, block in blocks.items():
        load_parameters(block, parameters[modality], device)
    return FittedFusion(blocks, standardisation)
