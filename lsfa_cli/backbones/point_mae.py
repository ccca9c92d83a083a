"""Point-MAE: a transformer over groups of points, pre-trained on ShapeNet, as M3DM and LSFA use it.

Plain PyTorch: farthest points and neighbours are ours, so that nothing has to be compiled. The modules are named as
in the published checkpoint, whose encoder is loaded strictly. Facts that decide the numbers (METHOD 2): a group's
points are relative to its centre and not scaled; the centre's position code is added before every block; the outputs
of blocks 3, 7 and 11, counted from 0, each pass the final norm; no class token.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lsfa_cli.backbones.base import BackboneArguments, GroupFeatures, IdentityValue, Projection, argument
from lsfa_cli.backbones.weights import file_digest, match, read_state_dict
from lsfa_cli.errors import UsageError, WeightsError
from lsfa_cli.pointcloud import farthest_point_sampling, nearest_neighbors, points_of
from lsfa_cli.projection import Matrix, projection_matrix, require_grid, to_patches, valid_rows
from lsfa_cli.samples import FloatArray, Modality, PatchFeatures, PreparedSample, scan_of

WIDTH = 384
DEPTH = 12
HEADS = 6
OUTPUT_BLOCKS = (3, 7, 11)
_ENCODER_PREFIX = "MAE_encoder."
# Groups whose last layer is computed at a time: its output is larger than all else and only its maximum is kept.
_BLOCK_GROUPS = 128
_BLOCK_ROWS = 2048


class Groups(NamedTuple):
    """The groups of a cloud. centers: (G, 3) as given; anchors: (G, 3) and offsets: (G, K, 3), scaled, float32."""

    centers: FloatArray
    anchors: Tensor
    offsets: Tensor


class NetworkInput(NamedTuple):
    """What the network reads of a sample, and the rows of Eq. 1 from groups to valid patches."""

    groups: Groups
    rows: Matrix


class PointMAE:
    """Features of groups of neighbouring points, brought to patches by Eq. 1.

    Needs the published `pretrain.pth`; without it, or with a file of something else, `WeightsError`. Clouds with
    fewer points than groups, or than points in a group, are a `DataError`. Evaluation mode, so without drop path.
    """

    @dataclass(frozen=True)
    class Arguments(BackboneArguments):
        """What can follow `point_mae?`."""

        groups: int = argument(1024, "Groups a cloud, around farthest points.")
        group_size: int = argument(128, "Points a group.")
        statistics: Literal["cloud", "running"] = argument(
            "cloud",
            "Batch norm of the group encoder: the statistics of the cloud in hand, as M3DM in effect, which makes up "
            "for metres being thirty times smaller than in pre-training; or those stored in the weights.",
        )
        scale: Literal["metres", "millimetres", "unit_sphere"] = argument(
            "metres",
            "Coordinates as they are, times 1000 (what the public Real3D-AD code feeds in), or centred and scaled as "
            "in pre-training (with statistics=running).",
        )

        def __post_init__(self) -> None:
            if self.groups < 1 or self.group_size < 1:
                raise UsageError("backbone point_mae: groups and group_size must be at least 1.")

    modality: Modality = "xyz"
    dimension = WIDTH * len(OUTPUT_BLOCKS)

    def __init__(
        self,
        arguments: Arguments,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        image_size: int = 224,
        grid: int = 56,
        projection: Projection = "public",
        local_average: bool = False,
    ) -> None:
        if weights is None:
            raise WeightsError(
                "backbone point_mae needs the weights pretrain.pth of Point-MAE, which are not part of lsfa.",
                hint="Give the file with --xyz-weights FILE, or use the backbone surface, which needs none.",
            )
        self.arguments = arguments
        self.grid = require_grid(grid, image_size)
        self.projection = projection
        self.minimum_points = max(arguments.groups, arguments.group_size)
        self._device = torch.device(device)
        encoder, self.notes = load_encoder(weights)
        self.network = encoder.to(self._device).eval().requires_grad_(False)
        self.blocks = tuple(f"blocks.blocks.{number}" for number in range(DEPTH))
        self.identity: dict[str, IdentityValue] = {
            "name": "point_mae",
            "arguments": arguments.canonical(),
            "weights": file_digest(weights),
        }

    def patches(self, samples: Sequence[PreparedSample]) -> list[PatchFeatures]:
        """Patch features (at most grid * grid, 1152) of each sample."""
        return [self._patches(sample) for sample in samples]

    def _patches(self, sample: PreparedSample) -> PatchFeatures:
        points = points_of(sample, self.minimum_points, "point_mae")
        centers, features = self.group_features(points)
        valid = scan_of(sample).valid
        matrix = projection_matrix(points, centers, valid, self.grid, self.projection)
        return to_patches(features, matrix, valid, self.grid)

    def group_features(self, points: FloatArray) -> GroupFeatures:
        """Centres and features of the groups of raw points (n, 3), metres; ValueError for too few points."""
        groups = self._groups(points)
        with torch.inference_mode():
            features = self._encode(groups)
        return GroupFeatures(groups.centers, features.float().cpu().numpy())

    def network_input(self, sample: PreparedSample) -> NetworkInput:
        """The groups of a sample's cloud, and where their features go."""
        points = points_of(sample, self.minimum_points, "point_mae")
        groups = self._groups(points)
        valid = scan_of(sample).valid
        matrix = projection_matrix(points, groups.centers, valid, self.grid, self.projection)
        return NetworkInput(groups, valid_rows(matrix, valid, self.grid))

    def differentiable_patches(self, inputs: Sequence[NetworkInput]) -> list[Tensor]:
        """(valid patches, 1152) features of each sample, with gradient."""
        return [self._rows(entry) @ self._encode(entry.groups) for entry in inputs]

    def _rows(self, entry: NetworkInput) -> Tensor:
        """Dense for a moment: products of sparse tensors do not repeat on every device."""
        rows = entry.rows if isinstance(entry.rows, np.ndarray) else entry.rows.toarray()
        return torch.from_numpy(rows).to(self._device)

    def _groups(self, points: FloatArray) -> Groups:
        center_index = farthest_point_sampling(points, self.arguments.groups)
        centers = points[center_index]
        _, members = nearest_neighbors(points, centers, self.arguments.group_size)
        cloud = _scaled(points, self.arguments.scale)
        anchors = torch.from_numpy(cloud[center_index].astype(np.float32))
        offsets = torch.from_numpy((cloud[members] - cloud[center_index][:, None]).astype(np.float32))
        return Groups(centers, anchors, offsets)

    def _encode(self, groups: Groups) -> Tensor:
        """(G, 1152) features, on the device."""
        features: Tensor = self.network(
            groups.offsets.to(self._device), groups.anchors.to(self._device), self.arguments.statistics == "cloud"
        )
        return features


def _scaled(points: FloatArray, scale: str) -> FloatArray:
    if scale == "unit_sphere":
        return _unit_sphere(points)
    return points * np.float32(1000) if scale == "millimetres" else points


def _unit_sphere(points: FloatArray) -> FloatArray:
    """Points (n, 3) with their mean in the origin and the farthest one at distance 1."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    radius = np.sqrt((centred**2).sum(axis=1).max())
    scaled: FloatArray = centred / (radius if radius > 0 else 1.0)
    return scaled


def load_encoder(path: Path) -> tuple["Encoder", tuple[str, ...]]:
    """The encoder with the weights of a Point-MAE checkpoint, and notes on the names of it that were dropped.

    Takes pre-training checkpoints (`base_model`, names with or without `module.`), fine-tuned ones, and files that
    hold the encoder alone. `WeightsError` names the file and the first names that are missing or misshapen.
    """
    state = {
        name.removeprefix("module."): value
        for name, value in read_state_dict(path, wrappers=("base_model", "state_dict", "model")).items()
    }
    if any(name.startswith(_ENCODER_PREFIX) for name in state):
        # What is no part of the encoder keeps its name, which the encoder does not know.
        state = {name.removeprefix(_ENCODER_PREFIX): value for name, value in state.items()}
    with torch.device("meta"):  # no random start that would move PyTorch's global generator
        encoder = Encoder()
    matched = match(state, encoder.state_dict(), file=path, model="Point-MAE")
    encoder.load_state_dict({name: _own(value) for name, value in matched.state.items()}, strict=True, assign=True)
    return encoder, _notes(matched.dropped)


def _notes(dropped: Sequence[str]) -> tuple[str, ...]:
    """Which parts of the file are not the encoder's, each with its number of tensors."""
    if not dropped:
        return ()
    parts = Counter(name.partition(".")[0] for name in dropped)
    listed = ", ".join(f"{part} ({count})" if count > 1 else part for part, count in parts.items())
    return (f"point_mae: left out what is not the encoder's: {listed}",)


def _own(value: Tensor) -> Tensor:
    """A weight as the encoder computes with it; one that the file may lack (a counter) is 0."""
    if value.is_meta:
        return torch.zeros(value.shape, dtype=value.dtype)
    return value.float() if value.is_floating_point() else value


class Encoder(nn.Module):
    """The encoder of Point-MAE: 156 entries of state, named as in the published checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = GroupEncoder()
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, WIDTH))
        self.blocks = _Blocks()
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, offsets: Tensor, centers: Tensor, cloud_statistics: bool) -> Tensor:
        """offsets: (G, K, 3), points relative to their centre. centers: (G, 3). Returns (G, 1152)."""
        # Its statistics are those of the cloud, in float32 also where matrix products are not.
        with torch.autocast(offsets.device.type, enabled=False):
            if torch.is_grad_enabled() and any(weight.requires_grad for weight in self.encoder.parameters()):
                # What its layers keep of 131,072 points for the way back is a gigabyte a cloud: computed again instead.
                tokens = checkpoint(self.encoder, offsets, cloud_statistics, use_reentrant=False)[None]
            else:
                tokens = self.encoder(offsets, cloud_statistics)[None]
        positions = self.pos_embed(centers)[None]
        outputs = []
        for number, block in enumerate(self.blocks.blocks):
            tokens = block(tokens + positions)
            if number in OUTPUT_BLOCKS:
                outputs.append(self.norm(tokens)[0])
        return torch.cat(outputs, dim=1)


class GroupEncoder(nn.Module):
    """From the points of a group to one vector: a small PointNet of two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = _Stage(3, 128, 256)
        self.second_conv = _Stage(512, 512, WIDTH)

    def forward(self, offsets: Tensor, cloud_statistics: bool) -> Tensor:
        """offsets: (G, K, 3). Returns (G, 384). cloud_statistics: batch norm over these G * K points."""
        groups, size, _ = offsets.shape
        first, second = self.first_conv, self.second_conv
        points = functional.linear(offsets.reshape(groups * size, 3), first.weight_in, first.inner.bias)
        points = _normalised(points, first.norm, cloud_statistics).relu_()
        points = functional.linear(points, first.weight_out, first.outer.bias)
        whole = points.reshape(groups, size, -1).amax(dim=1)
        # The second stage sees (maximum over the group, point) side by side. Its first layer is linear, so the
        # group's half is computed once a group and added, and the joined array never exists.
        half = whole.shape[1]
        points = functional.linear(points, second.weight_in[:, half:]).reshape(groups, size, -1)
        points += functional.linear(whole, second.weight_in[:, :half], second.inner.bias)[:, None]
        points = _normalised(points.reshape(groups * size, -1), second.norm, cloud_statistics).relu_()
        return torch.cat(
            [
                functional.linear(part, second.weight_out, second.outer.bias).reshape(-1, size, WIDTH).amax(dim=1)
                for part in torch.split(points, _BLOCK_GROUPS * size)
            ]
        )


class _Stage(nn.Sequential):
    """Two linear maps of points with batch norm and ReLU between, numbered as in the checkpoint.

    The checkpoint has them as convolutions of width 1, which are the same linear map at every point.
    """

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__(
            nn.Conv1d(inputs, inner, 1), nn.BatchNorm1d(inner), nn.ReLU(inplace=True), nn.Conv1d(inner, outputs, 1)
        )

    @property
    def inner(self) -> nn.Conv1d:
        return cast(nn.Conv1d, self[0])

    @property
    def norm(self) -> nn.BatchNorm1d:
        return cast(nn.BatchNorm1d, self[1])

    @property
    def outer(self) -> nn.Conv1d:
        return cast(nn.Conv1d, self[3])

    @property
    def weight_in(self) -> Tensor:
        return self.inner.weight[:, :, 0]

    @property
    def weight_out(self) -> Tensor:
        return self.outer.weight[:, :, 0]


def _normalised(points: Tensor, layer: nn.BatchNorm1d, cloud_statistics: bool) -> Tensor:
    """Batch norm of (n, channels), by the statistics of these points or by the stored ones; in place without gradient.

    The stored ones never change: a cloud's features do not depend on the clouds before it.
    """
    if cloud_statistics:
        mean, variance = _statistics(points)
    else:
        mean, variance = cast(Tensor, layer.running_mean), cast(Tensor, layer.running_var)
    scale = layer.weight * torch.rsqrt(variance + layer.eps)
    return torch.addcmul(layer.bias - mean * scale, points, scale, out=None if torch.is_grad_enabled() else points)


def _statistics(points: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (divided by n) of the columns of (n, channels): two passes, in parts that stay in the cache.

    `torch.var_mean` over the first dimension takes fifteen times as long.
    """
    mean = points.mean(dim=0)
    squares = torch.zeros_like(mean)
    for part in torch.split(points, _BLOCK_ROWS):
        squares += (part - mean).square_().sum(dim=0)
    return mean, squares / len(points)


class _Blocks(nn.Module):
    """The stack of blocks, under the name that the checkpoint gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block() for _ in range(DEPTH))


class _Block(nn.Module):
    """A pre-norm transformer block: (1, G, 384) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = _Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = _MLP()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        widened: Tensor = self.mlp(self.norm2(tokens))
        return tokens + widened


class _Attention(nn.Module):
    """Self-attention of 6 heads; queries, keys and values have no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, _ = tokens.shape
        query, key, value = self.qkv(tokens).reshape(batch, count, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, WIDTH))
        return projected


class _MLP(nn.Module):
    """The two layers of a block, four times as wide in between."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        widened: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return widened
