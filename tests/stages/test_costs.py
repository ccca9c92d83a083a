"""Costs against counts by hand, and against what the memory of the real thing is."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from lsfa_cli.adaptors import ADAPTORS, build_adaptor
from lsfa_cli.artifacts.adaptor import BTF, UFF
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.coreset import random_projection
from lsfa_cli.settings import AdaptSettings, BankSettings
from lsfa_cli.stages import costs
from lsfa_cli.stages.costs import (
    Cost,
    PatchSizes,
    Sizes,
    adapt_once,
    adaptor_weights,
    bank_cost,
    mapped_cost,
    method_cost,
    score_cost,
    sizes_of,
    training_cost,
)
from tests.artifacts.rasters import write_rasters

PAPER = Sizes(
    {"train": 244, "test": 110},
    {"rgb": PatchSizes(768, 28, 784, 784), "xyz": PatchSizes(1152, 56, 1045, 1100)},
    224,
)


def test_costs_in_turn_add_up_and_hold_the_larger() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 2) == Cost(11, 22, 3)
    assert Cost(1, 2, 3).times(4) == Cost(4, 8, 3)
    assert Cost(1, 2, 3).beside(5) == Cost(1, 2, 8)


def test_sizes_of_an_artifact(tmp_path: Path) -> None:
    with open_features(write_rasters(tmp_path / "features.h5")) as features:
        sizes = sizes_of(features)
    assert sizes.samples == {"train": 4, "validation": 2, "test": 5}
    assert sizes.patches == {"rgb": PatchSizes(6, 4, 16.0, 16), "xyz": PatchSizes(5, 8, 32.0, 32)}
    assert sizes.map_side == 32
    assert list(sizes.chosen("xyz").patches) == ["xyz"]
    assert sizes.with_training(3).of("train") == 3
    assert sizes.with_training(30) == sizes.with_training(None) == sizes


@pytest.mark.parametrize("name", sorted(ADAPTORS))
def test_weights_of_every_adaptor(name: str) -> None:
    counted = sum(weight.numel() for weight in build_adaptor(name, 60, start="random", seed=0).parameters())
    assert adaptor_weights(name, 60) == pytest.approx(counted, rel=0.03)


def test_one_encoder_layer_by_hand() -> None:
    """12 D^2 weights, two operations a weight and patch; queries with keys and weights with values, 2 n^2 D each."""
    patches, size = 1000, 1152
    products = 2 * 12 * size**2 * patches + 2 * 2 * patches**2 * size
    exponentials = costs.EXPONENTIAL * 12 * patches**2
    assert adapt_once("encoder_1", patches, size).operations == products + exponentials
    assert adapt_once(None, patches, size).operations == 0


@pytest.mark.parametrize(("total", "dimension"), [(255_000, 1152), (2000, 1152), (255_000, 33)])
def test_the_width_of_the_coresets_projection_is_that_of_the_projection(total: int, dimension: int) -> None:
    from numpy import zeros

    width = random_projection(total, dimension, 0)(zeros((1, dimension), dtype="float32")).shape[1]
    assert costs._projected_width(total, dimension) == width


def test_search_and_coreset_by_hand() -> None:
    entries = 25_498  # a tenth of 244 * 1045
    bank = costs._compared(PAPER.chosen("xyz"), BankSettings(), None)[0]
    search = costs._search_cost(Cost(), bank, costs._entries(bank, BankSettings()))
    assert search.operations == 2 * 1045 * entries * 1152
    assert search.held == 4 * 4 * entries * 1152
    coreset = costs._coreset_cost(bank, entries)
    points = 244 * 1045
    assert coreset.held == pytest.approx((2 * points + entries) * 4 * 307 + 64 * points)
    narrow = costs._coreset_cost(replace(bank, dimension=33), entries)
    assert narrow.held == (2 * points + entries) * 4 * 33 + 64 * points


def test_settings_that_cost_less_cost_less() -> None:
    def bank(**changes: object) -> Cost:
        return bank_cost(PAPER, BankSettings(**changes), adaptor="encoder_1")

    assert bank(coreset_ratio=0.01).operations < bank().operations
    assert bank(coreset="random").operations < bank().operations
    assert bank(coreset="all").held > 3 * bank().held
    assert bank(rgb_foreground=True).operations < bank().operations < bank(ocsvm=True).operations
    assert bank_cost(PAPER, BankSettings(), adaptor=None).operations < bank().operations
    third = [bank_cost(PAPER, BankSettings(), adaptor=None, method=method) for method in (None, UFF, BTF)]
    assert third[0].operations < third[1].operations < third[2].operations
    few = score_cost(PAPER, BankSettings(coreset_ratio=0.01), adaptor=None)
    assert few.held < score_cost(PAPER, BankSettings(), adaptor=None).held


def test_training_by_its_settings() -> None:
    def training(**changes: object) -> Cost:
        return training_cost(PAPER, AdaptSettings(**changes))

    assert training(steps=200).operations == pytest.approx(2 * training().operations, rel=0.2)
    assert training(batch_size=4).held < training().held < training(batch_size=16).held
    assert training(local_bank_size=1000).held < training().held
    assert training(adaptor="linear").operations < training().operations < training(adaptor="encoder_2").operations
    assert training(steps=0).operations < training(steps=1).operations
    alone = training_cost(PAPER.chosen("rgb"), AdaptSettings())
    assert alone.operations < training().operations


@pytest.mark.parametrize("method", ["cfm", "uff", "btf"])
def test_other_methods_cost_by_their_epochs(method: str) -> None:
    few, many = (
        method_cost(PAPER, AdaptSettings(method=method, cfm_epochs=epochs, uff_epochs=epochs)) for epochs in (1, 9)
    )
    assert (few.operations < many.operations) is (method != "btf")
    assert few.moved > 0
    assert all(math.isfinite(value) for value in (many.operations, many.moved, many.held))


def test_maps_without_banks_grow_with_the_samples() -> None:
    assert mapped_cost(PAPER, 20).operations == pytest.approx(2 * mapped_cost(PAPER, 10).operations)


def test_unorganized_clouds_have_no_maps() -> None:
    clouds = Sizes({"train": 4, "test": 100}, {"xyz": PatchSizes(33, 0, 5000, 6000)}, 224)
    assert costs._map_cost(clouds, costs._compared(clouds, BankSettings(), None)[0], 100) == Cost()
    assert score_cost(clouds, BankSettings(), adaptor=None).held < 100 * 224**2 * 4
