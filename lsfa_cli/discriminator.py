"""A discriminator of pasted defects: a small network that tells touched patches from untouched ones.

One modality at a time. It sees a patch and the mean of its 3 x 3 neighbourhood, every channel standardised by normal
training patches, so it judges a place by what is there and how that differs from what is around it. It has learned
defects that somebody made, where a memory bank knows good parts alone: two opinions that fail on different samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from lsfa_cli.adaptors import load_parameters
from lsfa_cli.errors import DataError
from lsfa_cli.repeatable import NOT_REPEATABLE, draw_uniform, repeatable_kernels, seed_for
from lsfa_cli.samples import BoolArray, Modality, PatchFeatures
from lsfa_cli.standardisation import PatchSource

TOUCHED_PIXELS = 5
TOUCHED_SHARE = 0.3
"""A patch is positive when so many of its pixels are touched, or of a small one this share; negative when none is; the
others are left out. In pixels, because a scratch that a patch of 4 x 4 shows as well shows in one of 8 x 8."""
NEGATIVES = 3
"""Negative patches for each positive one in a batch, half of them on the part and half beside it, where both exist."""
POOL_BYTES = 384 * 2**20
"""Memory for the patches that batches are drawn from; of more, a seeded subset of every sample's is kept."""

_LEAST_DEVIATION = 1e-6  # of the largest one; a channel that hardly varies on normal patches is only centred


@dataclass(frozen=True, kw_only=True)
class DiscriminatorOptions:
    """The settings of training; names, units and meaning are those of the adapt settings that begin with `pasted_`.

    shuffled: the control. Every pasted sample learns from the mask of another one, drawn by the seed.
    """

    steps: int
    batch_size: int
    width: int
    dropout: float
    learning_rate: float
    shuffled: bool
    seed: int
    device: str


class PastedPatches(Protocol):
    """Pasted samples of one modality, read one at a time."""

    def __len__(self) -> int:
        """Number of pasted samples."""
        ...

    def __getitem__(self, index: int) -> PatchFeatures:
        """The patches of one pasted sample."""
        ...

    def shares(self, index: int) -> NDArray[np.float64]:
        """(G * G,), the share of each patch's pixels that its defect touches."""
        ...

    @property
    def least_share(self) -> float:
        """The share from which on a patch is touched (see `least_touched`)."""
        ...

    def on_part(self, index: int) -> BoolArray:
        """(G * G,), which patches touch the part; all, where nothing tells."""
        ...


class ChannelStatistics(NamedTuple):
    """Mean and deviation (D,) of every channel over normal training patches."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


@dataclass(frozen=True)
class DiscriminatorResult:
    """What training made: parameters by name, channel statistics, curves (T,) by name, and what could not be done."""

    parameters: dict[str, NDArray[np.float32]]
    statistics: ChannelStatistics
    curves: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...]


class DiscriminatorNetwork(nn.Module):
    """Two hidden layers with GELU and dropout, one logit a patch: (N, 2 D) to (N,)."""

    def __init__(self, dimension: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.first = nn.Linear(2 * dimension, width)
            self.second = nn.Linear(width, width)
            self.last = nn.Linear(width, 1)
        self._dropout = dropout

    def forward(self, patches: Tensor, generator: np.random.Generator | None = None) -> Tensor:
        """Every patch by itself. generator: of the dropout while training; None does not drop."""
        hidden = _dropped(functional.gelu(self.first(patches)), self._dropout, generator)
        hidden = _dropped(functional.gelu(self.second(hidden)), self._dropout, generator)
        logits: Tensor = self.last(hidden).squeeze(1)
        return logits


def _dropped(values: Tensor, share: float, generator: np.random.Generator | None) -> Tensor:
    """Dropout by an explicit generator, on the CPU so that all devices drop alike.

    16 random bits a value, several times faster than drawing floats, put the share on a grid of 1 / 65536.
    """
    least = round(share * 2**16)
    if generator is None or least == 0:
        return values
    kept = generator.integers(2**16, size=tuple(values.shape), dtype=np.uint16) >= least
    return values * (torch.from_numpy(kept).to(values.device) / (1 - least / 2**16))


def neighbourhood_means(patches: PatchFeatures) -> NDArray[np.float32]:
    """(n, D), for each valid patch the mean over the valid ones of its 3 x 3 neighbourhood, itself included."""
    grid = patches.grid
    if grid < 1:
        raise ValueError("groups of an unorganized cloud have no neighbours on a raster")
    raster = np.zeros((grid + 2, grid + 2, patches.values.shape[1]), dtype=np.float32)
    count = np.zeros((grid + 2, grid + 2), dtype=np.float32)
    inside = np.zeros((grid, grid, raster.shape[2]), dtype=np.float32)
    inside.reshape(grid * grid, -1)[patches.valid] = patches.values
    raster[1:-1, 1:-1] = inside
    count[1:-1, 1:-1] = patches.valid.reshape(grid, grid)
    # Rows first, then columns: the sum over 3 x 3 in 2 x 3 additions.
    rows, counted = raster[:-2] + raster[1:-1] + raster[2:], count[:-2] + count[1:-1] + count[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    numbers = counted[:, :-2] + counted[:, 1:-1] + counted[:, 2:]
    valid = patches.valid
    means: NDArray[np.float32] = sums.reshape(grid * grid, -1)[valid] / numbers.reshape(-1)[valid][:, None]
    return means


def least_touched(size: int, grid: int) -> float:
    """The share of a patch's pixels from which on it is touched; size: of the image, pixels; grid: patches a side."""
    return min(TOUCHED_PIXELS * (grid / size) ** 2, TOUCHED_SHARE)


def patch_labels(shares: NDArray[np.floating], least: float) -> NDArray[np.int8]:
    """1 for patches that are touched, 0 for those that are not at all, -1 for those in between, from `shares` (n,).

    least: as `least_touched` gives it.
    """
    return np.where(shares >= least, 1, np.where(shares == 0, 0, -1)).astype(np.int8)


def channel_statistics(source: PatchSource, modality: Modality) -> ChannelStatistics:
    """Mean and deviation of every channel over the valid patches of `source`, one sample in memory at a time.

    A channel that does not vary has deviation 1. Raises `DataError` when no sample has a valid patch.
    """
    number = 0
    mean: NDArray[np.float64] | None = None
    squares: NDArray[np.float64] = np.zeros(0)
    for index in range(len(source)):
        values = np.asarray(source[index][modality].values, dtype=np.float64)
        if not len(values):
            continue
        own = values.mean(axis=0)
        spread = np.square(values - own).sum(axis=0)
        if mean is None:
            number, mean, squares = len(values), own, spread
            continue
        shift, total = own - mean, number + len(values)
        squares = squares + spread + np.square(shift) * number * len(values) / total
        mean, number = mean + shift * len(values) / total, total
    if mean is None:
        raise DataError(f"no training sample has a valid {modality} patch")
    deviation = np.sqrt(squares / number)
    deviation[deviation <= _LEAST_DEVIATION * deviation.max(initial=0.0)] = 1.0
    return ChannelStatistics(mean.astype(np.float32), deviation.astype(np.float32))


def described(patches: PatchFeatures, statistics: ChannelStatistics) -> NDArray[np.float32]:
    """What the network sees (n, 2 D): each valid patch and the mean around it, standardised by channel."""
    values = (patches.values.astype(np.float32) - statistics.mean) / statistics.deviation
    around = neighbourhood_means(PatchFeatures(values, patches.valid, patches.grid))
    return np.concatenate([values, around], axis=1)


class _Pool(NamedTuple):
    """Patches that batches are drawn from, (n, 2 D) float16: touched by a defect, and untouched on and beside the part.

    Most patches of an image lie beside the part, where no defect is ever pasted: drawn alike, a batch would teach
    little more than where the part is.
    """

    touched: NDArray[np.float16]
    on_part: NDArray[np.float16]
    beside: NDArray[np.float16]

    def counts(self, batch_size: int) -> tuple[int, int, int]:
        """How many of each a batch has."""
        touched = max(batch_size // (1 + NEGATIVES), 1)
        negatives = touched * NEGATIVES
        if not len(self.beside):
            return touched, negatives, 0
        beside = negatives // 2 if len(self.on_part) else negatives
        return touched, negatives - beside, beside


def _pool(pasted: PastedPatches, statistics: ChannelStatistics, options: DiscriminatorOptions) -> _Pool:
    """Patches of all pasted samples; where they are too many, as many of each sample, drawn by the seed."""
    generator = np.random.default_rng(seed_for(options.seed, "pasted patches"))
    most = max(POOL_BYTES // (2 * 2 * len(statistics.mean)) // (1 + NEGATIVES) // max(len(pasted), 1), 1)
    limit = -(-NEGATIVES * most // 2)
    masks = shuffled_places(len(pasted), options.seed) if options.shuffled else np.arange(len(pasted))
    found: tuple[list[NDArray[np.float16]], ...] = ([], [], [])
    for index in range(len(pasted)):
        patches = pasted[index]
        labels = patch_labels(pasted.shares(int(masks[index])), pasted.least_share)[patches.valid]
        on_part = pasted.on_part(index)[patches.valid]
        values = described(patches, statistics)
        wanted = ((labels == 1, most), ((labels == 0) & on_part, limit), ((labels == 0) & ~on_part, limit))
        for patches_of, (which, highest) in zip(found, wanted, strict=True):
            rows = np.flatnonzero(which)
            if len(rows) > highest:
                rows = np.sort(generator.choice(rows, highest, replace=False))
            patches_of.append(np.clip(values[rows], -6e4, 6e4).astype(np.float16))
    pool = _Pool(*(np.concatenate(rows) if rows else np.zeros((0, 0), np.float16) for rows in found))
    for what, number in (("touched", len(pool.touched)), ("untouched", len(pool.on_part) + len(pool.beside))):
        if not number:
            raise DataError(
                f"no pasted sample has a patch that is {what}, so there is nothing to learn from",
                hint="Extract more of them: lsfa extract --pasted 8.",
            )
    return pool


def shuffled_places(count: int, seed: int) -> NDArray[np.int64]:
    """(count,), another place for each of `count` places, drawn by the seed: no place keeps its own.

    Raises `DataError` for fewer than two, which cannot be exchanged.
    """
    if count < 2:
        raise DataError("masks of a single pasted sample cannot be shuffled")
    order = np.random.default_rng(seed_for(seed, "shuffled masks")).permutation(count)
    places = np.empty(count, dtype=np.int64)
    places[order] = np.roll(order, 1)
    return places


def train_discriminator(
    normal: PatchSource,
    pasted: PastedPatches,
    modality: Modality,
    options: DiscriminatorOptions,
    *,
    on_step: Callable[[int], None] | None = None,
) -> DiscriminatorResult:
    """Train a discriminator of one modality on pasted samples; `normal` are the training samples as they are.

    Binary cross-entropy on batches of one positive patch to three negative ones (see `NEGATIVES`), AdamW with a
    learning rate that falls along a cosine. Equal seeds give equal bytes on the CPU. `on_step(step)` is called after
    every update. Raises `DataError` when there is nothing to learn from, or the loss is not finite.
    """
    with repeatable_kernels(options.device) as repeatable:
        statistics = channel_statistics(normal, modality)
        pool = _pool(pasted, statistics, options)
        network = DiscriminatorNetwork(len(statistics.mean), options.width, options.dropout)
        draw_uniform(network, torch.Generator().manual_seed(seed_for(options.seed, f"discriminator {modality}")))
        network.to(options.device)
        curves = _descend(network, pool, modality, options, on_step)
    parameters = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    return DiscriminatorResult(parameters, statistics, curves, () if repeatable else (NOT_REPEATABLE,))


def _descend(
    network: DiscriminatorNetwork,
    pool: _Pool,
    modality: Modality,
    options: DiscriminatorOptions,
    on_step: Callable[[int], None] | None,
) -> dict[str, NDArray[np.float64]]:
    """All updates; the loss and the share of patches told right before each."""
    drawing = np.random.default_rng(seed_for(options.seed, f"batches {modality}"))
    dropping = np.random.default_rng(seed_for(options.seed, f"dropout {modality}"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=1e-2, fused=True)
    counts = pool.counts(options.batch_size)
    drawn = [(torch.from_numpy(patches), count) for patches, count in zip(pool, counts, strict=True) if count]
    labels = torch.zeros(sum(counts), device=options.device)
    labels[: counts[0]] = 1
    curves = np.zeros((2, options.steps))
    for step in range(options.steps):
        optimizer.param_groups[0]["lr"] = options.learning_rate * 0.5 * (1 + np.cos(np.pi * step / options.steps))
        rows = [one[torch.from_numpy(drawing.integers(len(one), size=count))] for one, count in drawn]
        patches = torch.cat(rows).to(options.device).float()  # torch widens a float16 faster than NumPy
        logits = network(patches, dropping)
        loss = functional.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        curves[:, step] = float(loss.detach()), float(((logits.detach() > 0) == (labels > 0)).float().mean())
        if not np.isfinite(curves[0, step]):
            raise DataError(
                f"the discriminator's loss is not finite at step {step + 1}",
                hint="Train with a smaller --pasted-learning-rate.",
            )
        if on_step is not None:
            on_step(step + 1)
    steps = np.arange(1, options.steps + 1, dtype=np.float64)
    return {"step": steps, "loss": curves[0], "accuracy": curves[1]}


class Discriminator:
    """A trained discriminator of one modality."""

    def __init__(self, network: nn.Module, statistics: ChannelStatistics) -> None:
        self._network, self._statistics = network, statistics

    @torch.no_grad()
    def logits(self, patches: PatchFeatures) -> NDArray[np.float32]:
        """(n,), of the valid patches of one sample: above 0 it takes a patch for touched by a defect."""
        if not len(patches.values):
            return np.zeros(0, dtype=np.float32)
        rows = torch.from_numpy(described(patches, self._statistics))
        found: NDArray[np.float32] = self._network(rows.to(next(self._network.parameters()).device)).cpu().numpy()
        return found


def load_discriminator(
    parameters: Mapping[str, NDArray[np.floating]], statistics: ChannelStatistics, *, device: str = "cpu"
) -> Discriminator:
    """The discriminator that `parameters` (by name, as training returned them) make. `ValueError` if they do not."""
    width = len(parameters["first.bias"]) if "first.bias" in parameters else 1
    network = DiscriminatorNetwork(len(statistics.mean), width)
    load_parameters(network, parameters, device)
    return Discriminator(network, statistics)


def evidence(logits: ArrayLike, valid: BoolArray, mean: float, deviation: float) -> NDArray[np.float32]:
    """(G * G,) patch scores, log(1 + exp(z)) of z, the logits (n,) in deviations above the mean of normal patches.

    Far above the mean it is z; far below it is 0, and so it is where there is no patch: how sure the network is that
    nothing is there says nothing about where the defect is, and beside the part it is surest. mean, deviation: of the
    logits of normal patches on the part; a deviation of 0 does not scale.
    """
    scores = np.zeros(valid.size, dtype=np.float32)
    scores[valid] = np.logaddexp(0, (np.asarray(logits, dtype=np.float64) - mean) / (deviation if deviation > 0 else 1))
    return scores


def image_scores(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Image scores (n,) of blurred maps (n, S, S) of the evidence of patches: the highest value of each.

    A defect touches several patches beside each other, and what a discriminator takes for one on a good part is mostly
    a single patch, which the blur of the map lowers.
    """
    return np.asarray(maps.max(axis=(1, 2)), dtype=np.float64)
