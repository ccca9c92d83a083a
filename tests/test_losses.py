"""The losses: numbers by hand, plain twins, gradients in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lsfa_cli import nearest_entries
from lsfa_cli.losses import (
    CLC_LOSSES,
    IFC_LOSSES,
    LOSSES,
    cross_modal_consistency,
    global_alignment,
    global_compactness,
    intra_modal_compactness,
    local_alignment,
    local_compactness,
    nearest_entry,
    total_loss,
)

alignments = pytest.mark.parametrize("alignment", [local_alignment, global_alignment])
compactnesses = pytest.mark.parametrize("compactness", [local_compactness, global_compactness])
contrasts = pytest.mark.parametrize("contrast", ["row", "pairs"])
distances = pytest.mark.parametrize("distance", ["l2", "squared"])


def tensor(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@alignments
def test_alignment_of_two_patches_by_hand(alignment) -> None:
    # Unit vectors (1, 0), (0, 1) against (1, 0), (0.6, 0.8); of other lengths, since they are normalised.
    rgb, xyz = tensor([[2, 0], [0, 5]]), tensor([[3, 0], [6, 8]])
    # Inner products over T = 0.5: [[1, 0.6], [0, 0.8]] / 0.5 = [[2, 1.2], [0, 1.6]].
    rows = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))) / 2  # each RGB patch among the 3D ones
    columns = (math.log(1 + math.exp(0 - 2)) + math.log(1 + math.exp(1.2 - 1.6))) / 2  # each 3D patch among the RGB
    found = alignment(rgb, xyz, temperature=0.5, contrast="row")
    assert float(found) == pytest.approx((rows + columns) / 2, abs=1e-12)
    assert float(found) == pytest.approx(0.298737, abs=1e-6)
    # As printed: one denominator, the sum over all four pairs; minus the mean of the matching 2 and 1.6.
    pairs = math.log(math.exp(2) + math.exp(1.2) + math.exp(0) + math.exp(1.6)) - 1.8
    assert float(alignment(rgb, xyz, temperature=0.5, contrast="pairs")) == pytest.approx(pairs, abs=1e-12)


@alignments
@contrasts
def test_alignment_equals_plain_loops(alignment, contrast: str) -> None:
    rgb, xyz = random(5, 3), random(5, 3, seed=1)
    unit = [(part / np.linalg.norm(part, axis=1, keepdims=True)) for part in (rgb.numpy(), xyz.numpy())]
    expected = 0.0
    for first, second in (unit, unit[::-1]):
        for j in range(5):
            numerator = math.exp(first[j] @ second[j] / 0.2)
            rows = [j] if contrast == "row" else range(5)
            denominator = sum(math.exp(first[i] @ second[k] / 0.2) for i in rows for k in range(5))
            expected += -math.log(numerator / denominator) / 10
    assert float(alignment(rgb, xyz, temperature=0.2, contrast=contrast)) == pytest.approx(expected, rel=1e-12)


@alignments
@contrasts
def test_alignment_is_symmetric_in_the_modalities_and_least_when_they_agree(alignment, contrast: str) -> None:
    rgb, xyz = random(6, 4), random(6, 4, seed=1)
    options = {"temperature": 0.3, "contrast": contrast}
    assert float(alignment(rgb, xyz, **options)) == pytest.approx(float(alignment(xyz, rgb, **options)), rel=1e-12)
    assert float(alignment(torch.eye(4), torch.eye(4), **options)) < float(alignment(rgb, xyz, **options))


@alignments
@contrasts
def test_gradient_of_alignment(alignment, contrast: str) -> None:
    rgb, xyz = random(4, 3).requires_grad_(), random(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: alignment(a, b, temperature=0.5, contrast=contrast), (rgb, xyz))


def test_alignment_at_a_low_temperature_does_not_overflow() -> None:
    rgb = torch.eye(3).requires_grad_()
    loss = local_alignment(rgb, -torch.eye(3), temperature=1e-4, contrast="row")
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(rgb.grad).all())


def test_alignment_of_zero_vectors_has_a_finite_gradient() -> None:
    rgb, xyz = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3)
    loss = local_alignment(rgb, xyz, temperature=0.2, contrast="row")
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-6)
    assert bool(torch.isfinite(rgb.grad).all())


@alignments
def test_alignment_of_one_pair_is_0(alignment) -> None:
    assert float(alignment(random(1, 3), random(1, 3, seed=1), temperature=0.2, contrast="row")) == 0


def test_alignment_refuses_what_does_not_correspond() -> None:
    for first, second in ((random(2, 3), random(3, 3)), (random(0, 3), random(0, 3)), (random(3), random(3))):
        with pytest.raises(ValueError, match="n pairs"):
            local_alignment(first, second, temperature=0.2, contrast="row")
    with pytest.raises(ValueError, match="contrast"):
        local_alignment(random(2, 3), random(2, 3), temperature=0.2, contrast="column")


@compactnesses
def test_compactness_of_two_patches_by_hand(compactness) -> None:
    patches, bank = tensor([[0, 0], [3, 4]]), tensor([[0, 1], [3, 0], [6, 8]])
    # (0, 0) is 1 from (0, 1). (3, 4) is sqrt(18), 4 and 5 from the three: 4.
    assert float(compactness(patches, bank, distance="l2")) == pytest.approx((1 + 4) / 2, abs=1e-12)
    assert float(compactness(patches, bank, distance="squared")) == pytest.approx((1 + 16) / 2, abs=1e-12)
    # Without the second entry (3, 4)'s neighbour is (0, 1) at sqrt(9 + 9).
    allowed = torch.tensor([True, False, True])
    found = compactness(patches, bank, distance="l2", allowed=allowed)
    assert float(found) == pytest.approx((1 + math.sqrt(18)) / 2, abs=1e-12)


@compactnesses
@distances
def test_gradient_of_compactness(compactness, distance: str) -> None:
    patches = random(5, 3).requires_grad_()
    bank = random(7, 3, seed=1)
    allowed = torch.arange(7) != 2
    assert torch.autograd.gradcheck(lambda a: compactness(a, bank, distance=distance, allowed=allowed), (patches,))


@distances
def test_the_bank_gets_no_gradient(distance: str) -> None:
    patches, bank = random(5, 3).requires_grad_(), random(7, 3, seed=1).requires_grad_()
    local_compactness(patches, bank, distance=distance).backward()
    assert bank.grad is None
    assert patches.grad is not None


@distances
def test_gradient_at_distance_0_is_0(distance: str) -> None:
    patches = tensor([[1, 2], [0, 0]]).requires_grad_()
    local_compactness(patches, tensor([[1, 2], [0, 4]]), distance=distance).backward()
    assert patches.grad.tolist()[0] == [0, 0]
    assert bool(torch.isfinite(patches.grad).all())
    assert float(patches.grad[1].abs().sum()) > 0


def test_distance_is_taken_by_differences() -> None:
    """Far from the origin the expanded square loses all digits in float32; the value must not."""
    patches = torch.full((1, 8), 1000.0)
    bank = patches + 0.01
    expected = float(torch.linalg.vector_norm(patches.double() - bank.double()))
    assert float(local_compactness(patches, bank, distance="l2")) == pytest.approx(expected, rel=1e-6)


def test_compactness_refuses_what_has_no_neighbour() -> None:
    with pytest.raises(ValueError, match="no bank entry"):
        local_compactness(random(2, 3), random(4, 3), distance="l2", allowed=torch.zeros(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="no bank entry"):
        local_compactness(random(2, 3), random(0, 3), distance="l2")
    with pytest.raises(ValueError, match="at least one feature"):
        local_compactness(random(0, 3), random(4, 3), distance="l2")
    with pytest.raises(ValueError, match="distance"):
        local_compactness(random(2, 3), random(4, 3), distance="cosine")


@settings(max_examples=30, deadline=None)
@given(
    queries=st.integers(1, 12),
    entries=st.integers(1, 30),
    block=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    seed=st.integers(0, 99),
)
def test_nearest_entry_in_blocks_equals_all_distances(queries, entries, block, seed) -> None:
    points, bank = random(queries, 3, seed=seed), random(entries, 3, seed=seed + 1)
    allowed = torch.rand(entries, generator=torch.Generator().manual_seed(seed)) < 0.7
    allowed[seed % entries] = True
    every = torch.cdist(points, bank).masked_fill(~allowed, math.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_entries, "SEARCH_QUERIES", block[0])
        patch.setattr(nearest_entries, "SEARCH_ENTRIES", block[1])
        found = nearest_entry(points, bank, allowed)
    assert torch.equal(found, every.argmin(dim=1))


def test_nearest_entry_takes_the_lowest_index_of_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_entries, "SEARCH_ENTRIES", 2)
    bank = tensor([[9, 9], [0, 1], [0, 1], [1, 0], [0, 1]])
    assert nearest_entry(tensor([[0, 0]]), bank).tolist() == [1]


class LargestTensor(TorchDispatchMode):
    """Remembers the most values that any operation's result had."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else (result,)
        self.values = max([self.values, *(part.numel() for part in parts if isinstance(part, torch.Tensor))])
        return result


def test_search_never_holds_all_distances() -> None:
    """3,136 patches against 50,000 entries are 157 million distances; at most 2 million are held at once."""
    with LargestTensor() as largest:
        nearest_entry(torch.zeros(3136, 2), torch.zeros(50_000, 2))
    assert largest.values <= 1024 * 2048


def test_sums_by_hand() -> None:
    clc = cross_modal_consistency([tensor(1.5), tensor(0.25)])  # Eq. 4
    ifc = intra_modal_compactness([tensor(2), tensor(0.5), tensor(1), tensor(0.125)])  # Eq. 8, two modalities
    assert (float(clc), float(ifc)) == (1.75, 3.625)
    assert float(total_loss(ifc, clc, clc_weight=0.6)) == pytest.approx(3.625 + 0.6 * 1.75, abs=1e-15)  # Eq. 9
    assert float(total_loss(None, clc, clc_weight=0.6)) == pytest.approx(1.05, abs=1e-15)
    assert float(total_loss(ifc, None, clc_weight=0.6)) == 3.625
    assert total_loss(None, None, clc_weight=0.6) is None


def test_gradient_of_the_sums() -> None:
    def total(first: torch.Tensor, second: torch.Tensor, third: torch.Tensor) -> torch.Tensor:
        ifc = intra_modal_compactness([first, second * second])
        found = total_loss(ifc, cross_modal_consistency([third, first * third]), clc_weight=0.6)
        assert found is not None
        return found

    assert torch.autograd.gradcheck(total, tuple(tensor(value).requires_grad_() for value in (0.3, 0.7, 1.1)))


def test_table_loads_and_says_what_each_term_needs() -> None:
    assert list(LOSSES) == ["L_LA", "L_GA", "L_LC", "L_GC"]
    assert all(callable(entry.load()) for entry in LOSSES.values())
    assert all(entry.needs == "both modalities" for entry in CLC_LOSSES.values())
    assert all(entry.needs == "nothing" for entry in IFC_LOSSES.values())
