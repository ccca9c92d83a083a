"""The feature adaptors of Table 7: what training changes and what scoring applies.

Every adaptor maps standardised patch features of one modality, D values a patch, to D values a patch. There is
no positional code: patches are a set, so a native 28 x 28 grid gives what its 56 x 56 repetition gives.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lsfa_cli.catalog import Entry, lookup
from lsfa_cli.samples import PatchFeatures
from lsfa_cli.standardisation import Standardisation

Start = Literal["identity", "random"]

LARGEST_HEAD_COUNT = 12
MLP_RATIO = 4
# CUDA's attention kernels whose memory grows with the number of patches, not with its square, want heads of such width.
CUDA_HEAD_WIDTH = 8


def head_count(dimension: int) -> int:
    """Attention heads for features of length `dimension`: its largest divisor up to 12."""
    return max(count for count in range(1, LARGEST_HEAD_COUNT + 1) if dimension % count == 0)


def _torch_generator_kept() -> AbstractContextManager[None]:
    """Torch's layers draw from its global generator when they are made; inside this context it is set back."""
    return torch.random.fork_rng(devices=[])


def _draw(layer: nn.Linear, generator: torch.Generator) -> None:
    """Weights uniform by Glorot and Bengio's rule, biases 0."""
    bound = math.sqrt(6 / (layer.in_features + layer.out_features))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()


def _clear(layer: nn.Linear) -> None:
    """Weights and biases 0."""
    with torch.no_grad():
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()


class Adaptor(nn.Module, ABC):
    """What all adaptors share: invalid patches neither enter nor leave."""

    def forward(self, patches: Tensor, valid: Tensor | None = None) -> Tensor:
        """Adapt (B, N, D) patches to (B, N, D); valid (B, N) bool, None when all patches are valid.

        Invalid patches have no influence on others, whatever they hold, and are 0 in the output.
        """
        if valid is None:
            return self.transform(patches, None)
        hidden = ~valid.unsqueeze(-1)
        return self.transform(patches.masked_fill(hidden, 0.0), valid).masked_fill(hidden, 0.0)

    @abstractmethod
    def transform(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Adapt (B, N, D) patches whose invalid ones are 0; the output there does not matter."""

    @abstractmethod
    def initialise(self, start: Start, generator: torch.Generator) -> None:
        """Set every parameter: the identity, or a seeded random start."""


class LinearAdaptor(Adaptor):
    """One linear layer a patch."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dimension, dimension)

    def transform(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Every patch by itself."""
        output: Tensor = self.linear(patches)
        return output

    def initialise(self, start: Start, generator: torch.Generator) -> None:
        """Identity: the unit matrix."""
        _draw(self.linear, generator)
        if start == "identity":
            with torch.no_grad():
                nn.init.eye_(self.linear.weight)


class ConvolutionAdaptor(Adaptor):
    """Two 1 x 1 convolutions, D to D to D, with ReLU between them and a residual path.

    A 1 x 1 convolution on patches is a linear layer a patch. The residual path is there for both starts, so
    that one architecture has one meaning.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.convolution_1 = nn.Linear(dimension, dimension)
        self.convolution_2 = nn.Linear(dimension, dimension)

    def transform(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Every patch by itself."""
        change: Tensor = self.convolution_2(functional.relu(self.convolution_1(patches)))
        return patches + change

    def initialise(self, start: Start, generator: torch.Generator) -> None:
        """Identity: the second convolution starts at 0."""
        _draw(self.convolution_1, generator)
        _draw(self.convolution_2, generator)
        if start == "identity":
            _clear(self.convolution_2)


def attend(query: Tensor, key: Tensor, value: Tensor, keys: Tensor | None, *, width_multiple: int = 1) -> Tensor:
    """Scaled dot-product attention of (B, heads, N, w) queries, keys and values; keys (B, N) as in `SelfAttention`.

    The N x N weights are never held: a cloud has 15,000 groups, and those of four clouds would take 40 GB. For kernels
    that ask for it, heads are widened by zeros to a multiple of `width_multiple`, which changes no product.
    """
    mask = None if keys is None else keys[:, None, None, :]
    width = query.shape[-1]
    missing = -width % width_multiple
    if missing == 0:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    query, key, value = (functional.pad(part, (0, missing)) for part in (query, key, value))
    wide = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1 / math.sqrt(width))
    return wide[..., :width]


class SelfAttention(nn.Module):
    """Multi-head self-attention over the patches of a sample, without query, key and value biases."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.heads = head_count(dimension)
        self.query_key_value = nn.Linear(dimension, 3 * dimension, bias=False)
        self.output = nn.Linear(dimension, dimension)

    def forward(self, patches: Tensor, keys: Tensor | None) -> Tensor:
        """(B, N, D) to (B, N, D); keys (B, N) bool says which patches may be attended to, None all."""
        batch, count, dimension = patches.shape
        stacked = self.query_key_value(patches).view(batch, count, 3, self.heads, dimension // self.heads)
        query, key, value = stacked.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attend(query, key, value, keys, width_multiple=CUDA_HEAD_WIDTH if patches.is_cuda else 1)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, count, dimension))
        return output


class EncoderLayer(nn.Module):
    """One pre-norm transformer encoder layer: attention, then an MLP with GELU, both on residual paths."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dimension)
        self.attention = SelfAttention(dimension)
        self.mlp_norm = nn.LayerNorm(dimension)
        self.mlp_hidden = nn.Linear(dimension, MLP_RATIO * dimension)
        self.mlp_output = nn.Linear(MLP_RATIO * dimension, dimension)

    def forward(self, patches: Tensor, keys: Tensor | None) -> Tensor:
        """(B, N, D) to (B, N, D); keys (B, N) bool as in `SelfAttention`."""
        patches = patches + self.attention(self.attention_norm(patches), keys)
        change: Tensor = self.mlp_output(functional.gelu(self.mlp_hidden(self.mlp_norm(patches))))
        return patches + change

    def initialise(self, start: Start, generator: torch.Generator) -> None:
        """Identity: the output projections of attention and MLP start at 0."""
        for layer in (self.attention.query_key_value, self.attention.output, self.mlp_hidden, self.mlp_output):
            _draw(layer, generator)
        self.attention_norm.reset_parameters()
        self.mlp_norm.reset_parameters()
        if start == "identity":
            _clear(self.attention.output)
            _clear(self.mlp_output)


class EncoderAdaptor(Adaptor):
    """Transformer encoder layers over the patches of a sample, the paper's adaptor with one layer."""

    def __init__(self, dimension: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dimension) for _ in range(depth))

    def transform(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Every patch attends to the valid patches of its sample."""
        keys = valid
        if valid is not None:
            # A softmax over no key is 0 / 0. A sample without a valid patch may attend to all, which are 0.
            keys = valid | ~valid.any(dim=1, keepdim=True)
        for layer in self.layers:
            patches = layer(patches, keys)
        return patches

    def initialise(self, start: Start, generator: torch.Generator) -> None:
        """Every layer in turn."""
        for layer in self.modules():
            if isinstance(layer, EncoderLayer):
                layer.initialise(start, generator)


def build_head(dimension: int, width: int, *, seed: int) -> nn.Linear:
    """A projection head H of training, one linear layer of `dimension` to `width` values, seeded, on the CPU."""
    with _torch_generator_kept():
        head = nn.Linear(dimension, width)
    _draw(head, torch.Generator().manual_seed(seed))
    return head


def encoder_1(dimension: int) -> EncoderAdaptor:
    """One encoder layer."""
    return EncoderAdaptor(dimension, depth=1)


def encoder_2(dimension: int) -> EncoderAdaptor:
    """Two encoder layers."""
    return EncoderAdaptor(dimension, depth=2)


def _new_adaptor(name: str, dimension: int) -> Adaptor:
    """The adaptor before its parameters are set."""
    make = lookup(ADAPTORS, "adaptor", name).load()
    if dimension < 1:
        raise ValueError(f"an adaptor needs features of at least one value, not {dimension}")
    with _torch_generator_kept():
        adaptor: Adaptor = make(dimension)
    return adaptor


def build_adaptor(name: str, dimension: int, *, start: Start, seed: int) -> Adaptor:
    """A new adaptor of `dimension` values a patch, on the CPU. Equal seeds give equal parameters.

    start: "identity" gives the input back until training changes a weight, "random" draws every weight.
    `UnknownNameError` when no adaptor has this name.
    """
    if start not in ("identity", "random"):
        raise ValueError(f"start must be identity or random, not {start!r}")
    adaptor = _new_adaptor(name, dimension)
    adaptor.initialise(start, torch.Generator().manual_seed(seed))
    return adaptor


@torch.no_grad()
def _transform(module: Adaptor, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Adapt the (n, D) valid patches of one sample; with invalid ones left out there is nothing to mask."""
    device = next(module.parameters()).device
    adapted: Tensor = module(torch.from_numpy(values).to(device).unsqueeze(0))
    output: NDArray[np.float32] = adapted.squeeze(0).cpu().numpy()
    return output


class FittedAdaptor:
    """What a sample goes through before bank and scores: standardisation, then the adaptor if there is one."""

    def __init__(self, module: Adaptor | None, mean: float, deviation: float) -> None:
        self.module = module
        self.standardisation = Standardisation(mean, deviation)

    def adapt(self, patches: PatchFeatures) -> PatchFeatures:
        """The adapted patches on the same grid, values float32; without a module the baseline, standardised only."""
        values = self.standardisation.apply(patches.values)
        if self.module is not None and len(values) > 0:
            values = _transform(self.module, values)
        return PatchFeatures(values, patches.valid, patches.grid)


def load_parameters(module: nn.Module, parameters: Mapping[str, NDArray[np.floating]], device: str) -> None:
    """Give a module parameters by name, as training returned them, and make it ready for use on a device.

    `ValueError` names the parameters that are missing, unknown, misshapen or not finite.
    """
    expected = module.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in parameters]
    for name, array in parameters.items():
        if name not in expected:
            problems.append(f"{name} is unknown")
        elif tuple(array.shape) != tuple(expected[name].shape):
            problems.append(f"{name} has shape {tuple(array.shape)}, not {tuple(expected[name].shape)}")
        elif not np.isfinite(array).all():
            problems.append(f"{name} is not finite")
    if problems:
        raise ValueError("adaptor parameters do not fit: " + "; ".join(problems))
    module.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in parameters.items()})
    module.to(device).eval()


def load_adaptor(
    name: str,
    dimension: int,
    parameters: Mapping[str, NDArray[np.floating]],
    standardisation: Standardisation,
    *,
    device: str = "cpu",
) -> FittedAdaptor:
    """The adaptor that `parameters` (by name, as training returned them) make, ready to adapt samples.

    `ValueError` names the parameters that are missing, unknown, misshapen or not finite.
    """
    adaptor = _new_adaptor(name, dimension)
    load_parameters(adaptor, parameters, device)
    return FittedAdaptor(adaptor, standardisation.mean, standardisation.deviation)


def _entry(attribute: str, help_text: str) -> Entry:
    return Entry("lsfa_cli.adaptors", attribute, help_text)


ADAPTORS: dict[str, Entry] = {
    "linear": _entry("LinearAdaptor", "one linear layer a patch"),
    "conv1x1": _entry("ConvolutionAdaptor", "two 1 x 1 convolutions with ReLU between them, residual"),
    "encoder_1": _entry("encoder_1", "one transformer encoder layer over the patches of a sample (the paper's choice)"),
    "encoder_2": _entry("encoder_2", "two transformer encoder layers"),
}
