"""What a stage has to do and to hold, counted from the sizes of the features and the settings.

Arithmetic that is no matrix product is counted as the number of operations of a product that takes as long: the
factors below were measured beside a product, so that they hold on slower and faster processors alike. They are for
an estimate within a factor of two, not for more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lsfa_cli.adaptors import MLP_RATIO, head_count
from lsfa_cli.artifacts.adaptor import BTF, UFF
from lsfa_cli.artifacts.features import NO_GRID, Features
from lsfa_cli.collapse_guard import GUARD_PATCHES, GUARD_SAMPLES
from lsfa_cli.coreset import coreset_count
from lsfa_cli.discriminator import POOL_BYTES
from lsfa_cli.fused_features import CONTRAST_ROWS, HEAD_WIDTH
from lsfa_cli.fused_features import MLP_RATIO as FUSION_MLP_RATIO
from lsfa_cli.samples import MODALITIES, SPLITS, Modality, Split
from lsfa_cli.settings import AdaptSettings, BankSettings

FLOAT32 = 4
EXPONENTIAL = 120  # operations that one exponential of attention is worth
SPARSE = 60  # operations that one of a sparse product is worth
GUARD = 270  # operations a patch, patch and value, of the guard's distances and singular values
PICK = 100  # operations a pick and point of the greedy coreset, beside its products
READ_BYTES = 12  # bytes moved to read one value of a float16 feature and to standardise it
STATISTICS_BYTES = 40  # bytes moved to measure mean and deviation, a value
ACTIVATIONS = 18  # numbers a value of a patch that an encoder layer keeps for its gradient
PAIRED_BYTES = 600  # bytes moved a row and value by a step of CFM or M3DM on one sample
WEIGHT_COPIES = 6  # a weight, its gradient, two moments of AdamW, the last good state and the one in the making
BANK_COPIES = 4  # entries of a bank, the rows that are searched, faiss's copy of them and one on the way there


@dataclass(frozen=True)
class PatchSizes:
    """Of one modality: D values a patch, patches a side (0: none), and valid patches a sample, mean and most."""

    dimension: int
    grid: int
    mean: float
    most: int


@dataclass(frozen=True)
class Sizes:
    """How much there is to work on: samples by split, patches by modality, and S, the side of a map in pixels."""

    samples: Mapping[Split, int]
    patches: Mapping[Modality, PatchSizes]
    map_side: int

    def of(self, split: Split) -> int:
        """How many samples a split has."""
        return self.samples.get(split, 0)

    def chosen(self, modality: str) -> "Sizes":
        """With the modalities that a stage asks for."""
        patches = {key: value for key, value in self.patches.items() if modality in ("both", key)}
        return replace(self, patches=patches)

    def with_training(self, most: int | None) -> "Sizes":
        """With at most so many training samples."""
        number = self.of("train") if most is None else min(most, self.of("train"))
        return replace(self, samples={**self.samples, "train": number})


def sizes_of(features: Features) -> Sizes:
    """The sizes of a features artifact."""
    splits = {split: features.split(split) for split in SPLITS if features.has(split)}
    train = splits["train"]
    patches = {}
    for modality in train.modalities:
        counts = train.counts(modality)
        first = train.patches(0, modality)
        patches[modality] = PatchSizes(first.dimension, first.grid, float(counts.mean()), int(counts.max()))
    return Sizes({split: len(samples) for split, samples in splits.items()}, patches, features.image_size)


@dataclass(frozen=True)
class Cost:
    """operations: of matrix products, or worth as much. moved, held: bytes; held is the most at any time."""

    operations: float = 0.0
    moved: float = 0.0
    held: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """One after the other."""
        return Cost(self.operations + other.operations, self.moved + other.moved, max(self.held, other.held))

    def times(self, count: float) -> "Cost":
        """So many times in turn."""
        return Cost(self.operations * count, self.moved * count, self.held)

    def beside(self, held: float) -> "Cost":
        """While so many bytes more are held."""
        return Cost(self.operations, self.moved, self.held + held)


def adaptor_weights(name: str, dimension: int) -> int:
    """About how many weights an adaptor has, of an unknown one as many as the paper's."""
    per_layer = (4 + 2 * MLP_RATIO) * dimension**2
    return {"linear": dimension**2, "conv1x1": 2 * dimension**2, "encoder_2": 2 * per_layer}.get(name, per_layer)


def adapt_once(name: str | None, patches: float, dimension: int) -> Cost:
    """Read, standardise and adapt the patches of one sample; without an adaptor only the first two."""
    reading = Cost(moved=READ_BYTES * patches * dimension, held=3 * FLOAT32 * patches * dimension)
    if name is None:
        return reading
    operations = 2.0 * adaptor_weights(name, dimension) * patches
    if name.startswith("encoder"):
        layers = 2 if name == "encoder_2" else 1
        operations += layers * patches**2 * (4 * dimension + EXPONENTIAL * head_count(dimension))
    return reading + Cost(operations, held=(4 + MLP_RATIO) * FLOAT32 * patches * dimension)


def training_cost(sizes: Sizes, settings: AdaptSettings) -> Cost:
    """Training of LSFA's adaptors."""
    samples, batch = sizes.of("train"), min(settings.batch_size, sizes.of("train"))
    steps, total, weights, banks = settings.steps, Cost(), 0.0, 0.0
    guards = 1 + math.ceil(steps / settings.guard_interval)
    for patches in sizes.patches.values():
        size, count = patches.dimension, min(patches.mean, settings.largest_sample)
        forward = adapt_once(settings.adaptor, count, size)
        capacity = min(settings.local_bank_size, count * (samples + batch * steps))
        average = min(settings.local_bank_size, count * (samples + batch * steps / 2))
        activations = FLOAT32 * batch * min(patches.most, settings.largest_sample) * size * ACTIVATIONS
        moved = 2 * activations + 2 * FLOAT32 * batch * count * average
        step = forward.times(3 * batch) + Cost(2.0 * batch * count * average * size, moved, activations)
        guarding = forward.times(GUARD_SAMPLES) + Cost(GUARD * GUARD_PATCHES**2 * size)
        total += Cost(moved=STATISTICS_BYTES * samples * count * size) + forward.times(samples if steps else 0)
        total += step.times(steps) + guarding.times(guards)
        weights += FLOAT32 * WEIGHT_COPIES * (adaptor_weights(settings.adaptor, size) + settings.head_dimension * size)
        banks += FLOAT32 * capacity * (size + 1)
    if len(sizes.patches) > 1:
        total += _contrast_cost(sizes, settings).times(batch * steps)
    return total.beside(weights + banks)


def discriminator_cost(sizes: Sizes, settings: AdaptSettings) -> Cost:
    """Training of discriminators of pasted defects, without reading them: their number is not known beforehand."""
    total = Cost()
    for patches in sizes.patches.values():
        weights = 2 * patches.dimension * settings.pasted_width + settings.pasted_width**2
        # a patch, its neighbourhood and the values of two layers, each with a gradient
        moved = FLOAT32 * settings.pasted_batch_size * (6 * patches.dimension + 8 * settings.pasted_width)
        step = Cost(6.0 * settings.pasted_batch_size * weights, moved + FLOAT32 * WEIGHT_COPIES * weights)
        measuring = Cost(moved=STATISTICS_BYTES * sizes.of("train") * patches.mean * patches.dimension)
        total += measuring + step.times(settings.pasted_steps).beside(2 * POOL_BYTES)
    return total


def _contrast_cost(sizes: Sizes, settings: AdaptSettings) -> Cost:
    """L_LA of one sample and its gradient."""
    rows = min(settings.patches_per_sample, min(patches.mean for patches in sizes.patches.values()))
    heads = sum(2.0 * rows * patches.dimension * settings.head_dimension for patches in sizes.patches.values())
    logits = rows**2 * (2 * settings.head_dimension + 4 * EXPONENTIAL)
    return Cost(3 * (heads + logits))


def method_cost(sizes: Sizes, settings: AdaptSettings) -> Cost:
    """Training of another method: CFM's networks, M3DM's fused features; BTF only measures deviations."""
    values = sum(patches.mean * patches.dimension for patches in sizes.patches.values())
    measuring = Cost(moved=STATISTICS_BYTES * sizes.of("train") * values)
    if settings.method == BTF:
        return measuring
    return measuring + (_fusion_cost if settings.method == UFF else _mapping_cost)(sizes, settings)


def _mapping_cost(sizes: Sizes, settings: AdaptSettings) -> Cost:
    """CFM: two networks of three linear layers, as wide inside as the mean of both modalities; big: seven."""
    rows = min(patches.mean for patches in sizes.patches.values())
    width = sum(patches.dimension for patches in sizes.patches.values())
    layers = 7 if settings.cfm_network == "big" else 3
    each = Cost(3 * 2.0 * rows * layers * width**2 / 2, PAIRED_BYTES * rows * width)
    held = FLOAT32 * (WEIGHT_COPIES * layers * width**2 / 2 + settings.cfm_batch_size * rows * width * ACTIVATIONS)
    return each.times(settings.cfm_epochs * sizes.of("train")).beside(held)


def _fusion_cost(sizes: Sizes, settings: AdaptSettings) -> Cost:
    """M3DM: two blocks, and the contrast of all rows of a batch with all, which is computed twice for its gradient."""
    batch = min(settings.uff_batch_size, sizes.of("train"))
    rows = batch * min(patches.mean for patches in sizes.patches.values())
    width = sum(patches.dimension for patches in sizes.patches.values())
    weights = sum(
        2 * FUSION_MLP_RATIO * patches.dimension**2 + patches.dimension * HEAD_WIDTH
        for patches in sizes.patches.values()
    )
    contrast = rows**2 * (4 * 2.0 * HEAD_WIDTH + 3 * EXPONENTIAL)
    step = Cost(3 * 2.0 * rows * weights + contrast, PAIRED_BYTES * rows * width + 8 * FLOAT32 * rows**2)
    held = FLOAT32 * (
        WEIGHT_COPIES * weights + rows * (ACTIVATIONS * width + 6 * HEAD_WIDTH) + 10 * CONTRAST_ROWS * rows
    )
    return step.times(settings.uff_epochs * math.ceil(sizes.of("train") / batch)).beside(held)


@dataclass(frozen=True)
class _Compared:
    """The patches that go into one bank: N of them in training, D values each, n a sample; grid as in PatchSizes."""

    total: float
    dimension: int
    mean: float
    grid: int


def _compared(sizes: Sizes, settings: BankSettings, method: str | None) -> list[_Compared]:
    """What each bank is made of, the third of M3DM and BTF included."""
    if settings.rgb_foreground and len(sizes.patches) == len(MODALITIES):
        sizes = _on_the_part(sizes)
    training = sizes.of("train")
    found = [_Compared(training * one.mean, one.dimension, one.mean, one.grid) for one in sizes.patches.values()]
    if method in (UFF, BTF) and len(sizes.patches) == len(MODALITIES):
        scan, width = sizes.patches["xyz"], sum(patches.dimension for patches in sizes.patches.values())
        mean = scan.grid**2 if method == BTF else scan.mean
        found.append(_Compared(training * mean, width, mean, scan.grid))
    return found


def _on_the_part(sizes: Sizes) -> Sizes:
    """With image patches only where the scan has some: about the same share of the raster."""
    rgb, xyz = sizes.patches["rgb"], sizes.patches["xyz"]
    found = replace(rgb, mean=rgb.mean * xyz.mean / xyz.grid**2)
    return replace(sizes, patches={**sizes.patches, "rgb": found})


def bank_cost(sizes: Sizes, settings: BankSettings, *, adaptor: str | None, method: str | None = None) -> Cost:
    """Choosing the banks and calibrating them. adaptor: of LSFA; None standardises only."""
    calibration = sizes.of("validation") or sizes.of("train")
    total = Cost()
    for bank in _compared(sizes, settings, method):
        once = adapt_once(adaptor, bank.mean, bank.dimension)
        entries = _entries(bank, settings)
        choosing = once.times(sizes.of("train") * (2 if settings.coreset == "greedy" else 1))
        if adaptor is None:
            choosing += Cost(moved=STATISTICS_BYTES * bank.total * bank.dimension)
        if settings.coreset == "greedy":
            choosing += _coreset_cost(bank, entries)
        scored = calibration + (sizes.of("train") if settings.ocsvm else 0)
        maps = _map_cost(sizes, bank, calibration)
        total += choosing + _search_cost(once, bank, entries).times(scored).beside(maps.held) + maps
    return total


def score_cost(sizes: Sizes, settings: BankSettings, *, adaptor: str | None, method: str | None = None) -> Cost:
    """Scoring the test samples. settings: those of the bank, whose entries are searched."""
    test, total, maps_held = sizes.of("test"), Cost(), 0.0
    for bank in _compared(sizes, settings, method):
        once = adapt_once(adaptor, bank.mean, bank.dimension)
        maps = _map_cost(sizes, bank, test)
        total += _search_cost(once, bank, _entries(bank, settings)).times(test) + maps
        maps_held += maps.held
    fused = 3 * FLOAT32 * test * sizes.map_side**2 if len(sizes.patches) > 1 else 0
    return total.beside(maps_held + fused)


def mapped_cost(sizes: Sizes, count: int) -> Cost:
    """CFM's distances and maps of so many samples, in place of banks."""
    rows = min(patches.mean for patches in sizes.patches.values())
    width = sum(patches.dimension for patches in sizes.patches.values())
    each = Cost(2.0 * rows * 3 * width**2, READ_BYTES * rows * width, 8 * FLOAT32 * rows * width)
    maps = 3 * FLOAT32 * count * sizes.map_side**2
    return each.times(count).beside(maps) + Cost(moved=20 * maps)


def _entries(bank: _Compared, settings: BankSettings) -> int:
    total = max(1, round(bank.total))
    return total if settings.coreset == "all" else coreset_count(total, settings.coreset_ratio)


def _projected_width(total: float, dimension: int) -> int:
    """Values a patch in which the coreset is chosen: the bound of Johnson and Lindenstrauss at eps 0.9."""
    bound = int(4 * math.log(max(total, 2)) / (0.9**2 / 2 - 0.9**3 / 3))
    return bound if bound < dimension else dimension


def _coreset_cost(bank: _Compared, entries: int) -> Cost:
    width = _projected_width(bank.total, bank.dimension)
    projecting = SPARSE * 2 * bank.total * width * math.sqrt(bank.dimension) if width < bank.dimension else 0.0
    choosing = bank.total * entries * (2.0 * width + PICK)
    # the points, their centred copy and the picks again, and a few numbers a point
    return Cost(projecting + choosing, held=(2 * bank.total + entries) * FLOAT32 * width + 64 * bank.total)


def _search_cost(once: Cost, bank: _Compared, entries: int) -> Cost:
    """One sample against one bank: distances to all entries, and to all from the nearest one of the worst patch."""
    stored = FLOAT32 * entries * bank.dimension
    return once + Cost(2.0 * bank.mean * entries * bank.dimension, 2 * stored).beside(BANK_COPIES * stored)


def _map_cost(sizes: Sizes, bank: _Compared, count: int) -> Cost:
    if bank.grid == NO_GRID:
        return Cost()
    side = sizes.map_side
    operations = 4.0 * count * side * bank.grid * (side + bank.grid)  # in float64
    return Cost(operations, 40.0 * count * side**2, FLOAT32 * count * side**2)
