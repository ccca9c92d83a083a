"""The guard's quantities, and when it says stop."""

import math

import numpy as np
import pytest
import torch

from lsfa_cli.adaptors import build_adaptor
from lsfa_cli.collapse_guard import CollapseGuard, GuardMeasures, GuardPatches, effective_rank, measure
from lsfa_cli.learners import AdaptorLearner
from lsfa_cli.standardisation import standardise
from tests.training_parts import SmallSource


def test_effective_rank_by_hand() -> None:
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.ones(6, 4)) == pytest.approx(1, abs=1e-6)  # all the same point
    assert effective_rank(torch.zeros(6, 4)) == 0
    # Singular values 3 and 1: shares 3/4 and 1/4.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(entropy))
    assert math.isnan(effective_rank(torch.tensor([[1.0, math.nan]])))
    assert math.isnan(effective_rank(torch.tensor([[1.0, math.inf]])))


def test_measure_by_hand() -> None:
    # Norms 5, 5, 13; nearest others at 6, 6, and from (5, 12) to (3, 4): sqrt(4 + 64).
    found = measure(torch.tensor([[3.0, 4.0], [-3.0, 4.0], [5.0, 12.0]]))
    assert found.mean_norm == pytest.approx(23 / 3)
    assert found.neighbor_distance == pytest.approx((6 + 6 + math.sqrt(68)) / 3 / (23 / 3))


def test_measure_of_a_single_feature_and_of_zeros() -> None:
    single = measure(torch.tensor([[3.0, 4.0]]))
    assert (single.effective_rank, single.mean_norm) == (pytest.approx(1), 5)
    assert math.isnan(single.neighbor_distance)
    assert measure(torch.zeros(3, 2))[:2] == (0, 0)
    assert math.isnan(measure(torch.zeros(3, 2)).neighbor_distance)


def test_reason() -> None:
    guard = CollapseGuard({"rgb": GuardMeasures(10, 1, 1), "xyz": GuardMeasures(4, 1, 1)}, 0.5)
    fine = {"rgb": GuardMeasures(5, 0.1, 0.1), "xyz": GuardMeasures(2, 1, 1)}
    assert guard.reason(fine) is None
    fallen = guard.reason({**fine, "xyz": GuardMeasures(1.99, 1, 1)})
    assert fallen == "effective rank of xyz fell from 4 to 1.99"
    broken = guard.reason({**fine, "rgb": GuardMeasures(math.nan, 1, 1)})
    assert broken == "rgb features are not finite"


def test_shrinking_is_noted_although_the_rank_is_as_it_was() -> None:
    guard = CollapseGuard({"rgb": GuardMeasures(10, 4, 1)}, 0.5)
    assert guard.shrinking({"rgb": GuardMeasures(10, 2, 0.5)}) == []
    assert guard.shrinking({"rgb": GuardMeasures(10, 1.9, 1)}) == ["rgb features shrank: mean norm from 4 to 1.9"]
    (drawn,) = guard.shrinking({"rgb": GuardMeasures(10, 4, 0.4)})
    assert "drew together" in drawn


def test_patches_are_fixed_by_the_seed_and_follow_the_adaptors() -> None:
    source = SmallSource(6)
    scales = {"rgb": standardise(source, "rgb"), "xyz": standardise(source, "xyz")}
    identity = {
        key: AdaptorLearner(build_adaptor("encoder_1", size, start="identity", seed=0))
        for key, size in (("rgb", 8), ("xyz", 5))
    }
    found, again, other = (GuardPatches(source, scales, seed, "cpu").measure(identity) for seed in (0, 0, 1))
    assert found == again
    assert found != other
    random = {
        key: AdaptorLearner(build_adaptor("encoder_1", size, start="random", seed=0))
        for key, size in (("rgb", 8), ("xyz", 5))
    }
    assert GuardPatches(source, scales, 0, "cpu").measure(random) != found


def test_samples_without_a_valid_patch_are_passed_over() -> None:
    source = SmallSource(3)
    empty = source.samples[0]["xyz"]
    source.samples[0]["xyz"] = type(empty)(empty.values[:0], np.zeros_like(empty.valid), empty.grid)
    patches = GuardPatches(source, {"xyz": standardise(source, "xyz")}, 0, "cpu")
    adaptor = build_adaptor("linear", 5, start="identity", seed=0)
    found = patches.measure({"xyz": AdaptorLearner(adaptor)})
    assert math.isfinite(found["xyz"].effective_rank)
