"""LoRA and AdaLoRA on chosen layers of a network (Table 8), by the library peft, which is an extra of ours.

W becomes W + s B A with A (r, I) and B (O, r) learning in place of W. LoRA: s = alpha / r. AdaLoRA: A's rows are scaled
by values E that learn too, A and B are kept near orthogonal, and the least important of all layers' triplets are set
to 0 until the average rank is the one asked for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.weight_changes import Factors

LowRankKind = Literal["lora", "adalora"]

_ADAPTER = "default"
# AdaLoRA's authors start with one and a half times the final budget.
_START_BUDGET = 1.5
# Shares of all updates: before the first cut of ranks, and after the last one.
_BEFORE_CUTS, _AFTER_CUTS = 0.1, 0.3


@dataclass(frozen=True)
class LowRankOptions:
    """rank: r, of AdaLoRA the average at the end. alpha: the scale is alpha / r. updates: how many there will be."""

    kind: LowRankKind
    rank: int
    alpha: float
    updates: int


class LowRankLayers:
    """Layers of a network with low-rank factors beside them, which are put in place when this is made.

    The network's own weights stay as they are. At first the factors change nothing. Equal seeds, equal factors; torch's
    global generator is left alone. `MissingDependencyError` without peft.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], options: LowRankOptions, seed: int) -> None:
        """layers: names of linear layers and of convolutions that are not grouped."""
        peft = require_peft()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            wrapped = peft.get_peft_model(network, _configuration(peft, layers, options), adapter_name=_ADAPTER)
        self._allocator = wrapped.base_model if options.kind == "adalora" else None
        self._layers: dict[str, Any] = {name: network.get_submodule(name) for name in layers}
        self._updates = 0

    def weights(self) -> list[nn.Parameter]:
        """What learns, in the order of the layers."""
        return [weight for name in self._layers for weight in self._of_layer(name)]

    def _of_layer(self, name: str) -> list[nn.Parameter]:
        return [weight for weight in self._layers[name].parameters() if weight.requires_grad]

    def penalty(self) -> Tensor | None:
        """AdaLoRA's: how far A and B are from orthogonal, the mean of ||P P' - I|| over them, weighted as in peft."""
        if self._allocator is None:
            return None
        distances = []
        for layer in self._layers.values():
            for rows in (layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER].T):
                unit = torch.eye(len(rows), device=rows.device)
                distances.append(torch.linalg.matrix_norm(rows @ rows.T - unit))
        weight: float = self._allocator.peft_config[_ADAPTER].orth_reg_weight
        return weight * torch.stack(distances).mean()

    def updated(self) -> None:
        """To be called after each update, with its gradients: AdaLoRA measures importance and cuts ranks."""
        if self._allocator is None:
            return
        for weight in self.weights():
            if weight.grad is None:  # of a layer that this update did not reach; peft expects one
                weight.grad = torch.zeros_like(weight)
        self._updates += 1
        self._allocator.update_and_allocate(self._updates)

    @torch.no_grad()
    def factors(self) -> dict[str, Factors]:
        """What is added to the weight of each layer, by the weight's name in the network as it was.

        Of AdaLoRA the triplets that were cut are left out, so layers differ in rank.
        """
        result = {}
        for name, layer in self._layers.items():
            left, right = _adaptive(layer) if self._allocator is not None else _plain(layer)
            result[f"{name}.weight"] = Factors(left.cpu().numpy(), right.cpu().numpy())
        return result


def require_peft() -> Any:
    """The library peft. `MissingDependencyError` where it is not installed."""
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError(
            f"LoRA and AdaLoRA need the package peft, which cannot be imported ({error}).",
            hint='Install it: pip install "peft>=0.20". Or train weights of the backbone themselves: --how last_1',
        ) from error
    return peft


def low_rank_layers(network: nn.Module, blocks: Sequence[str]) -> list[str]:
    """Names of the layers inside `blocks` that can have factors: linear layers, and convolutions.

    Grouped convolutions are left out: a depthwise one has fewer weights than its factors would have. So are
    subclasses, such as convolutions that pad by themselves, whose forward pass peft does not repeat.
    """
    return [
        name
        for name, layer in network.named_modules()
        if any(name == block or name.startswith(f"{block}.") for block in blocks)
        and (type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1))
    ]


def _configuration(peft: Any, layers: Sequence[str], options: LowRankOptions) -> Any:
    # As an expression, since peft takes a plain name for the end of any layer's name.
    exactly = "|".join(re.escape(name) for name in layers)
    if options.kind == "lora":
        return peft.LoraConfig(target_modules=exactly, r=options.rank, lora_alpha=options.alpha)
    start = max(options.rank + 1, round(_START_BUDGET * options.rank))
    # peft measures importance before the last cut, so it takes two updates at least.
    total = max(2, options.updates)
    return peft.AdaLoraConfig(
        target_modules=exactly,
        init_r=start,
        target_r=options.rank,
        # peft divides AdaLoRA's scale by the rank at the start.
        lora_alpha=options.alpha * start / options.rank,
        tinit=int(_BEFORE_CUTS * total),
        tfinal=int(_AFTER_CUTS * total),
        total_step=total,
    )


def _plain(layer: Any) -> tuple[Tensor, Tensor]:
    left = layer.lora_B[_ADAPTER].weight.flatten(1) * layer.scaling[_ADAPTER]
    return left, layer.lora_A[_ADAPTER].weight.flatten(1)


def _adaptive(layer: Any) -> tuple[Tensor, Tensor]:
    values = layer.lora_E[_ADAPTER]
    kept = values.flatten() != 0
    scale = layer.scaling[_ADAPTER] / (layer.ranknum[_ADAPTER] + 1e-5)  # as peft divides
    return layer.lora_B[_ADAPTER][:, kept] * scale, (layer.lora_A[_ADAPTER] * values)[kept]
