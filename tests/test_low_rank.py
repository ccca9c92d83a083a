"""LoRA and AdaLoRA by peft: where the factors go, what they are worth, and that AdaLoRA moves ranks between layers."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lsfa_cli.errors import MissingDependencyError
from lsfa_cli.low_rank import LowRankLayers, LowRankOptions, low_rank_layers
from lsfa_cli.weight_changes import WeightChanges, apply_changes

pytest.importorskip("peft")


class Padded(nn.Conv2d):
    """Stands for convolutions that pad by themselves."""


class Small(nn.Module):
    """Every kind of layer: the mean of the convolutions' map goes through two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.block = nn.ModuleDict(
            {
                "depthwise": nn.Conv2d(4, 4, 3, groups=4, padding=1),
                "padded": Padded(4, 4, 1),
                "pointwise": nn.Conv2d(4, 6, 1),
                "linear": nn.Linear(6, 5),
                "stem": nn.Linear(5, 5),  # the end of its name is that of another layer
            }
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.block["depthwise"](torch.tanh(self.stem(images)))
        pooled = self.block["pointwise"](self.block["padded"](maps)).mean(dim=(2, 3))
        output: torch.Tensor = self.block["stem"](torch.tanh(self.block["linear"](pooled)))
        return output


LAYERS = ["stem", "block.pointwise", "block.linear"]


def small() -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small().eval().requires_grad_(False)


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def options(kind: str, rank: int = 2, updates: int = 20) -> LowRankOptions:
    return LowRankOptions(kind, rank, 4.0, updates)


def perturb(layers: LowRankLayers) -> None:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in layers.weights():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)


def test_which_layers_can_have_factors() -> None:
    assert low_rank_layers(small(), ["block"]) == ["block.pointwise", "block.linear", "block.stem"]
    assert low_rank_layers(small(), ["stem", "block.linear"]) == ["stem", "block.linear"]
    assert low_rank_layers(small(), []) == []


@pytest.mark.parametrize("kind", ["lora", "adalora"])
def test_factors_change_nothing_at_first_and_then_what_they_say(kind: str) -> None:
    network, plain = small(), small()
    layers = LowRankLayers(network, LAYERS, options(kind), seed=0)
    assert torch.equal(network(images()), plain(images()))
    names = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert {name.partition(".lora_")[0] for name in names} == set(LAYERS)
    perturb(layers)
    factors = layers.factors()
    assert set(factors) == {f"{name}.weight" for name in LAYERS}
    apply_changes(plain, WeightChanges(factors=factors))
    assert not torch.allclose(network(images()), small()(images()), atol=1e-3)
    torch.testing.assert_close(plain(images()), network(images()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lora", "adalora"])
def test_the_scale_is_alpha_over_rank(kind: str) -> None:
    network = small()
    layers = LowRankLayers(network, ["block.linear"], options(kind, rank=3), seed=0)
    perturb(layers)
    layer = network.get_submodule("block.linear")
    if kind == "lora":
        expected = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * 4 / 3
    else:
        expected = layer.lora_B["default"] @ (layer.lora_A["default"] * layer.lora_E["default"]) * 4 / 3
    left, right = layers.factors()["block.linear.weight"]
    np.testing.assert_allclose(left @ right, expected.detach().numpy(), rtol=1e-4)


def train(layers: LowRankLayers, network: nn.Module, updates: int) -> list[list[int]]:
    """Towards a target that asks most of one layer; the ranks of the layers after each update."""
    target = copy.deepcopy(small())
    with torch.no_grad():
        target.block["linear"].weight += torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
    wanted = target(images(16))
    optimizer = torch.optim.AdamW(layers.weights(), lr=1e-2)
    ranks = []
    for _ in range(updates):
        loss = (network(images(16)) - wanted).square().mean()
        penalty = layers.penalty()
        optimizer.zero_grad(set_to_none=True)
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        layers.updated()
        ranks.append([len(right) for _, right in layers.factors().values()])
    return ranks


def test_adalora_moves_ranks_between_layers() -> None:
    network = small()
    layers = LowRankLayers(network, LAYERS, options("adalora", rank=2, updates=20), seed=0)
    ranks = train(layers, network, 20)
    assert ranks[0] == ranks[1] == [3, 3, 3]  # half as many again, until a tenth of the updates is over
    totals = [sum(row) for row in ranks]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == 2 * len(LAYERS)
    assert ranks[-1] == ranks[13] != [2, 2, 2]  # no cut in the last three tenths; layers differ


def test_lora_keeps_its_ranks_and_has_no_penalty() -> None:
    network = small()
    layers = LowRankLayers(network, LAYERS, options("lora"), seed=0)
    assert layers.penalty() is None
    assert train(layers, network, 4) == [[2, 2, 2]] * 4


@pytest.mark.parametrize("updates", [0, 1, 2, 3, 5])
def test_adalora_with_next_to_no_updates(updates: int) -> None:
    network = small()
    layers = LowRankLayers(network, LAYERS, options("adalora", rank=1, updates=updates), seed=0)
    train(layers, network, updates)
    assert all(np.isfinite(left).all() and np.isfinite(right).all() for left, right in layers.factors().values())


def test_an_update_that_misses_a_layer_is_no_error() -> None:
    network = small()
    layers = LowRankLayers(network, LAYERS, options("adalora"), seed=0)
    network.stem(images()).sum().backward()
    layers.updated()


def test_penalty_by_hand() -> None:
    network = small()
    layers = LowRankLayers(network, ["block.linear"], options("adalora"), seed=0)
    layer = network.get_submodule("block.linear")
    with torch.no_grad():
        layer.lora_A["default"].copy_(torch.eye(3, 6))  # orthogonal: distance 0
        layer.lora_B["default"].copy_(2 * torch.eye(5, 3))  # P P' = 4 I: distance sqrt(3 * 9)
    assert layers.penalty().item() == pytest.approx(0.5 * (0 + 27**0.5) / 2)


@pytest.mark.parametrize("kind", ["lora", "adalora"])
def test_equal_seeds_equal_factors_and_torchs_generator_is_left_alone(kind: str) -> None:
    before = torch.get_rng_state()
    made = [LowRankLayers(small(), LAYERS, options(kind), seed).weights() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first, second) for first, second in zip(made[0], made[1], strict=True))
    assert not all(torch.equal(first, second) for first, second in zip(made[0], made[2], strict=True))


def test_without_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match="need the package peft") as refused:
        LowRankLayers(small(), LAYERS, options("lora"), seed=0)
    assert "pip install" in str(refused.value.hint)
