"""Changed weights go where they belong, or nowhere."""

import numpy as np
import pytest
import torch
from torch import nn

from lsfa_cli.weight_changes import Factors, WeightChanges, apply_changes


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 2), nn.Conv2d(2, 3, (1, 2)))
    with torch.no_grad():
        for number, weight in enumerate(net.parameters()):
            weight.copy_(torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape) + 10 * number)
    return net


def test_weights_and_factors_by_hand() -> None:
    net = network()
    kernel = net[1].weight.detach().clone()
    left, right = np.array([[1], [0], [2]], np.float32), np.array([[1, 2, 3, 4]], np.float32)
    apply_changes(
        net,
        WeightChanges(
            weights={"0.bias": np.array([5, 7], np.float32)},
            factors={
                "0.weight": Factors(
                    np.array([[1, 0], [0, 2]], np.float32), np.array([[1, 1, 1], [0, 0, 1]], np.float32)
                ),
                "1.weight": Factors(left, right),
            },
        ),
    )
    assert net[0].bias.tolist() == [5, 7]
    assert net[0].weight.tolist() == [[1, 2, 3], [3, 4, 7]]  # 0 1 2 / 3 4 5 before
    added = (net[1].weight - kernel).reshape(3, 4)
    assert added.tolist() == [[1, 2, 3, 4], [0, 0, 0, 0], [2, 4, 6, 8]]


def test_rank_0_changes_nothing() -> None:
    net, same = network(), network()
    apply_changes(
        net, WeightChanges(factors={"0.weight": Factors(np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32))})
    )
    assert all(torch.equal(first, second) for first, second in zip(net.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (WeightChanges(weights={"2.bias": np.zeros(2, np.float32)}), "2.bias is unknown"),
        (WeightChanges(weights={"0.bias": np.zeros(3, np.float32)}), r"0.bias has shape \(3,\), not \(2,\)"),
        (WeightChanges(weights={"0.bias": np.array([0, np.nan], np.float32)}), "0.bias is not finite"),
        (
            WeightChanges(factors={"1.weight": Factors(np.zeros((3, 1), np.float32), np.zeros((1, 2), np.float32))}),
            r"1.weight takes factors of \(3, r\) and \(r, 4\), not \(3, 1\) and \(1, 2\)",
        ),
        (
            WeightChanges(factors={"0.weight": Factors(np.zeros((2, 2), np.float32), np.zeros((1, 3), np.float32))}),
            "0.weight takes factors",
        ),
        (
            WeightChanges(
                factors={"0.weight": Factors(np.full((2, 1), np.inf, np.float32), np.zeros((1, 3), np.float32))}
            ),
            "0.weight has factors that are not finite",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(changes: WeightChanges, problem: str) -> None:
    net = network()
    both = WeightChanges(weights={"1.bias": np.full(3, 9, np.float32), **changes.weights}, factors=changes.factors)
    with pytest.raises(ValueError, match=problem):
        apply_changes(net, both)
    assert torch.equal(net[1].bias, network()[1].bias)
