"""Eq. 7: the newest entries, first in, first out."""

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli.training_banks import TrainingBank


def test_by_hand() -> None:
    bank = TrainingBank(3, 1)
    assert len(bank) == 0
    bank.append(torch.tensor([[1.0], [2.0]]), sample=7)
    assert bank.features.flatten().tolist() == [1, 2]
    bank.append(torch.tensor([[3.0], [4.0]]), sample=8)  # 1, the oldest, goes
    assert sorted(bank.features.flatten().tolist()) == [2, 3, 4]
    entries = dict(zip(bank.features.flatten().tolist(), bank.samples.tolist(), strict=True))
    assert entries == {2: 7, 3: 8, 4: 8}
    # 4 is nearest to itself, which is of sample 8; of other samples only 2 is left.
    query = [torch.tensor([[4.5]])]
    assert bank.nearest(query, [8], exclude_same_sample=True)[0].tolist() == [[2]]
    assert bank.nearest(query, [9], exclude_same_sample=True)[0].tolist() == [[4]]
    assert bank.nearest(query, [8], exclude_same_sample=False)[0].tolist() == [[4]]


@settings(max_examples=50, deadline=None)
@given(capacity=st.integers(1, 9), sizes=st.lists(st.integers(0, 12), max_size=8))
def test_equals_a_queue(capacity: int, sizes: list[int]) -> None:
    bank, queue = TrainingBank(capacity, 2), deque(maxlen=capacity)
    for sample, size in enumerate(sizes):
        features = torch.arange(size * 2, dtype=torch.float32).view(size, 2) + 100 * sample
        bank.append(features, sample)
        queue.extend((*row, sample) for row in features.tolist())
        held = [(*row, name) for row, name in zip(bank.features.tolist(), bank.samples.tolist(), strict=True)]
        assert sorted(held) == sorted(queue)
        assert len(bank) == len(queue)


def test_entries_have_no_gradient_and_do_not_change_with_their_source() -> None:
    bank = TrainingBank(4, 2)
    features = torch.ones(2, 2, requires_grad=True)
    bank.append(features * 2, sample=0)
    assert not bank.features.requires_grad
    with torch.no_grad():
        features.zero_()
    assert bank.features.tolist() == [[2, 2], [2, 2]]


def test_no_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        TrainingBank(0, 3)
