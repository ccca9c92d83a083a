"""Rows 6 to 9: coreset, search, the score of one sample, maps."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lsfa_cli.coreset import greedy_coreset
from lsfa_cli.maps import score_maps
from lsfa_cli.memory_bank import MemoryBank, Nearest
from lsfa_cli.samples import PatchFeatures
from tests.benchmarks import plain
from tests.benchmarks.cases import Case, Target
from tests.benchmarks.measuring import largest_difference


def random_points(total: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """Independent normal values: the hardest case of a nearest neighbour."""
    return np.random.default_rng(seed).standard_normal((total, dimension), dtype=np.float32)


def clustered_points(total: int, dimension: int, seed: int = 0, clusters: int = 200) -> NDArray[np.float32]:
    """Clusters of different widths, as the patches of a part are. The same seed gives the same clusters."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, dimension), dtype=np.float32)
    width = rng.uniform(0.2, 1.0, (clusters, 1)).astype(np.float32)
    member = rng.integers(0, clusters, total)
    points = rng.standard_normal((total, dimension), dtype=np.float32)
    points *= width[member]
    points += centers[member]
    return points


def queries_and_entries(queries: int, entries: int, dimension: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both drawn from the same clusters, of which every one has entries."""
    points = clustered_points(queries + entries, dimension, clusters=min(200, entries // 20))
    return points[:queries].copy(), points[queries:].copy()


def coreset_cases(tiny: bool) -> Iterator[Case]:
    """Row 6. The plain loop makes a part of the picks: each costs it the same."""
    total, dimension, count, timed = (600, 12, 60, 30) if tiny else (50_000, 300, 1_000, 50)
    for name, make in (("random", random_points), ("clustered", clustered_points)):
        points = make(total, dimension)
        yield coreset_case(points, count, timed, name, Target(kind="ratio", value=20))
    yield coreset_case(points, count, timed, f"{name}, in place", None, loop=plain.greedy_loop_in_place)
    if not tiny:
        points = clustered_points(175_000, 128)
        yield coreset_case(points, 17_500, 25, "10 % of 175,000", Target(kind="seconds", value=15))


def coreset_case(
    points: NDArray[np.float32],
    count: int,
    timed: int,
    name: str,
    target: Target | None,
    *,
    checked: int = 50,
    loop: Callable[[NDArray[np.float32], int], NDArray[np.int64]] = plain.greedy_loop,
) -> Case:
    """Greedy k-centre of `points`; the order of the first picks is compared with the plain float64 loop's."""
    total, dimension = points.shape
    published = loop is plain.greedy_loop

    def difference(_: NDArray[np.int64], ours: NDArray[np.int64]) -> float:
        right = plain.exact_greedy_loop(points, min(checked, timed))
        return largest_difference(right, ours[: len(right)])

    return Case(
        row=6,
        stage="bank",
        name=f"greedy coreset, {name}",
        work=f"{count:,} of {total:,} x {dimension}",
        reference=f"one pick a pass over all points, in {'new memory each' if published else 'the same memory'}",
        plain=lambda: loop(points, timed),
        ours=lambda: greedy_coreset(points, count),
        difference=difference,
        tolerance=0,
        agreement=f"order of the first {min(checked, timed)} picks, of float64",
        limit="fp32_gflops",
        amount=2e-9 * total * dimension * count,
        target=target,
        plain_factor=count / timed,
    )


def search_cases(tiny: bool) -> Iterator[Case]:
    """Row 7."""
    asked, held, dimension = (50, 300, 24) if tiny else (1_000, 25_000, 1_152)
    queries, entries = queries_and_entries(asked, held, dimension)
    bank = MemoryBank(entries)

    def difference(cdist: tuple[NDArray[np.float32], NDArray[np.int64]], ours: Nearest) -> float:
        theirs = plain.exact_distances(queries, entries, cdist[1])
        found = plain.exact_distances(queries, entries, ours.index)
        return max(float(np.max(found - theirs, initial=0.0)), largest_difference(ours.distance, found))

    yield Case(
        row=7,
        stage="score",
        name="nearest entry",
        work=f"{asked:,} queries, {held:,} entries, {dimension:,} values",
        reference="torch.cdist and its minimum",
        plain=lambda: plain.nearest_by_cdist(queries, entries),
        ours=lambda: bank.search(queries),
        difference=difference,
        tolerance=1e-5,
        agreement="distances; none is larger than the reference's",
        limit="fp32_gflops",
        amount=2e-9 * asked * held * dimension,
        target=Target(kind="share", value=0.75),
    )


def sample_cases(tiny: bool) -> Iterator[Case]:
    """Row 8: a 3D sample, of which a fifth of the patches is valid."""
    valid_count, kept, published, dimension = (80, 200, 900, 24) if tiny else (600, 13_000, 76_518, 1_152)
    values, entries = queries_and_entries(valid_count, kept, dimension)
    valid = np.zeros(56 * 56, dtype=bool)
    valid[1_000 : 1_000 + valid_count] = True
    every_patch = np.zeros((56 * 56, dimension), dtype=np.float32)
    every_patch[valid] = values
    every_entry = np.zeros((published, dimension), dtype=np.float32)
    every_entry[:kept] = entries
    bank, patches = MemoryBank(entries), PatchFeatures(values, valid, 56)
    yield Case(
        row=8,
        stage="score",
        name="one 3D sample",
        work=f"{valid_count:,} of 3,136 patches, {kept:,} entries, {dimension:,} values",
        reference=f"as published: all 3,136 patches, {published:,} entries with invalid ones among them",
        plain=lambda: plain.nearest_by_cdist(every_patch, every_entry)[0],
        ours=lambda: bank.score(patches).patch_scores,
        difference=lambda a, b: largest_difference(a[valid], b[valid]) / float(a[valid].max()),
        tolerance=1e-3,  # cdist's own rounding
        agreement="scores of valid patches, relative",
        limit="fp32_gflops",
        amount=2e-9 * valid_count * kept * dimension,
        target=Target(kind="ratio", value=20),
    )


def map_cases(tiny: bool) -> Iterator[Case]:
    """Row 9."""
    count, grid, size = (4, 14, 56) if tiny else (100, 56, 224)
    scores = np.random.default_rng(0).uniform(0, 5, (count, grid * grid)).astype(np.float32)

    def difference(_: NDArray[np.float32], ours: NDArray[np.float32]) -> float:
        return largest_difference(np.stack([plain.exact_map(row, size) for row in scores]), ours)

    yield Case(
        row=9,
        stage="score",
        name="upsampling and blur",
        work=f"{count} maps of {size} x {size} from {grid} x {grid}",
        reference="a map at a time: torch's bilinear, Pillow's blur of 8 bits",
        plain=lambda: np.stack([plain.eight_bit_map(row, size) for row in scores]),
        ours=lambda: score_maps(scores, size=size, base_grid=grid),
        difference=difference,
        tolerance=1e-6,
        agreement="values, of SciPy's blur in float64",
        limit="fp32_gflops",
        amount=2e-9 * count * (size * grid * grid + size * size * grid),
        target=Target(kind="ratio", value=5),
    )


def cases(tiny: bool) -> Iterator[Case]:
    """All of these rows."""
    return itertools.chain(coreset_cases(tiny), search_cases(tiny), sample_cases(tiny), map_cases(tiny))
