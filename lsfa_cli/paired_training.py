"""Training where both modalities of a sample meet: the loop that CFM and M3DM's fused features share."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from lsfa_cli.errors import DataError
from lsfa_cli.samples import Modality
from lsfa_cli.standardisation import PatchSource, Standardisation
from lsfa_cli.training_batches import batches, epoch_length, patches_together, read_batch


class Epochs(Protocol):
    """What both methods' options have."""

    @property
    def epochs(self) -> int:
        """Passes over the training samples."""
        ...

    @property
    def batch_size(self) -> int:
        """Samples a step."""
        ...

    @property
    def device(self) -> str:
        """Where the networks are."""
        ...


def descend(
    source: PatchSource,
    standardisation: Mapping[Modality, Standardisation],
    options: Epochs,
    optimizer: Optimizer,
    losses_of: Callable[[Mapping[Modality, Tensor]], list[Tensor]],
    *,
    losses: int,
    generator: np.random.Generator,
    not_finite: tuple[str, str],
    learning_rate: Callable[[int, int, int], float] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """All updates on the sum of the losses; the losses (steps, `losses`) on which each was made, NaN where none was.

    losses_of: from both modalities' patches (n, D) at the shared positions. learning_rate: of (step from 1, steps of
    an epoch, all steps). not_finite: what a loss that is not finite is called, and what to do then. Raises
    `DataError` for such a loss, and where no training sample has a position that is valid in both modalities.
    """
    drawn = batches(len(source), options.batch_size, generator)
    epoch = epoch_length(len(source), options.batch_size)
    steps = options.epochs * epoch
    curves = np.full((steps, losses), np.nan)
    for step in range(steps):
        patches = patches_together(read_batch(source, next(drawn), standardisation, options.device))
        if len(patches["xyz"]) > 0:
            if learning_rate is not None:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step + 1, epoch, steps)
            found = losses_of(patches)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(found).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            curves[step] = [float(loss.detach()) for loss in found]
            if not np.isfinite(curves[step]).all():
                what, hint = not_finite
                raise DataError(f"{what} is not finite at step {step + 1}", hint=hint)
        if on_step is not None:
            on_step(step + 1, steps)
    if steps > 0 and np.isnan(curves).all():
        raise DataError("no training sample has a position that is valid in both modalities")
    return curves
