"""What training changed in a network's weights: whole new weights, or products of low rank that are added."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Factors(NamedTuple):
    """What is added to one weight (O, ...): left @ right, in the weight's shape. left: (O, r); right: (r, I), float32.

    I is the product of all axes after the first, as of a convolution's weight. The rank r can be 0.
    """

    left: NDArray[np.float32]
    right: NDArray[np.float32]


@dataclass(frozen=True)
class WeightChanges:
    """weights: new values by the name of a parameter. factors: what is added, by the name of a parameter."""

    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    factors: Mapping[str, Factors] = field(default_factory=dict)


@torch.no_grad()
def apply_changes(network: nn.Module, changes: WeightChanges) -> None:
    """Change the weights of a network in place; on any error none is changed.

    `ValueError` names the parameters that the network lacks, that have another shape there, or are not finite.
    """
    parameters = dict(network.named_parameters())
    problems = list(_problems(parameters, changes))
    if problems:
        raise ValueError("changed weights do not fit: " + "; ".join(problems))
    for name, values in changes.weights.items():
        parameters[name].copy_(torch.from_numpy(np.array(values, np.float32)))
    for name, (left, right) in changes.factors.items():
        added = torch.from_numpy(np.array(left, np.float32)) @ torch.from_numpy(np.array(right, np.float32))
        parameters[name].add_(added.reshape(parameters[name].shape).to(parameters[name].device))


def _problems(parameters: Mapping[str, nn.Parameter], changes: WeightChanges) -> Iterator[str]:
    for name, values in changes.weights.items():
        if name not in parameters:
            yield f"{name} is unknown"
        elif values.shape != tuple(parameters[name].shape):
            yield f"{name} has shape {values.shape}, not {tuple(parameters[name].shape)}"
        elif not np.isfinite(values).all():
            yield f"{name} is not finite"
    for name, (left, right) in changes.factors.items():
        if name not in parameters:
            yield f"{name} is unknown"
            continue
        outputs, inputs = len(parameters[name]), parameters[name][0].numel()
        if left.shape != (outputs, len(right)) or right.shape != (left.shape[-1], inputs):
            yield f"{name} takes factors of ({outputs}, r) and (r, {inputs}), not {left.shape} and {right.shape}"
        elif not (np.isfinite(left).all() and np.isfinite(right).all()):
            yield f"{name} has factors that are not finite"
