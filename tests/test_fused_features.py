"""M3DM's fused features: block and contrast against numbers worked by hand and a plain twin, and training."""

import math

import numpy as np
import pytest
import torch

from lsfa_cli.errors import DataError
from lsfa_cli.fused_features import (
    FittedFusion,
    FusionBlock,
    FusionOptions,
    FusionResult,
    fusion_contrast,
    load_fusion,
    train_fusion,
)
from lsfa_cli.samples import MODALITIES, PatchFeatures
from lsfa_cli.standardisation import Standardisation
from lsfa_cli.training import learning_rate
from tests.training_parts import RGB_DIMENSION, XYZ_DIMENSION, XYZ_GRID, SmallSource

DIMENSIONS = {"rgb": RGB_DIMENSION, "xyz": XYZ_DIMENSION}


def options(**changes: object) -> FusionOptions:
    values: dict[str, object] = {"epochs": 2, "batch_size": 2, "learning_rate": 3e-3, "seed": 0, "device": "cpu"}
    return FusionOptions(**{**values, **changes})


def test_block_has_the_published_shapes() -> None:
    shapes = {name: tuple(value.shape) for name, value in FusionBlock(768).state_dict().items()}
    assert shapes == {
        "norm.weight": (768,),
        "norm.bias": (768,),
        "widen.weight": (3072, 768),
        "widen.bias": (3072,),
        "narrow.weight": (768, 3072),
        "narrow.bias": (768,),
        "head.weight": (256, 768),
        "head.bias": (256,),
    }


def test_block_of_known_weights() -> None:
    block = FusionBlock(2)
    with torch.no_grad():
        block.widen.weight.zero_()
        block.widen.weight[0, 0] = 1.0
        block.widen.weight[7, 1] = 2.0
        block.widen.bias.zero_()
        block.narrow.weight.zero_()
        block.narrow.weight[0, 0] = 3.0
        block.narrow.weight[1, 7] = -1.0
        block.narrow.bias.copy_(torch.tensor([0.5, 0.0]))
        found = block(torch.tensor([[4.0, 8.0]])).numpy()  # normalised: (-1, 1)

    def gelu(x: float) -> float:
        return x * (1 + math.erf(x / math.sqrt(2))) / 2

    np.testing.assert_allclose(found, [[3 * gelu(-1) + 0.5, -gelu(2)]], rtol=1e-4)


def test_contrast_by_hand() -> None:
    rgb = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    xyz = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    # cosines: row 1 (1, 1), row 2 (0, 0): either way the right one has probability 1/2
    assert float(fusion_contrast(rgb, xyz)) == pytest.approx(2 * math.log(2))
    xyz = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    assert float(fusion_contrast(rgb, xyz)) == pytest.approx(2 * math.log(1 + math.exp(-1)))


def test_contrast_in_parts_is_that_of_all_similarities() -> None:
    generator = torch.Generator().manual_seed(0)
    rgb, xyz = (torch.randn((2500, 6), generator=generator, requires_grad=True) for _ in range(2))
    unit_rgb, unit_xyz = (values / values.norm(dim=1, keepdim=True) for values in (rgb, xyz))
    plain = -2 * torch.log_softmax(unit_rgb @ unit_xyz.T, dim=1).diagonal().mean()
    parts = fusion_contrast(rgb, xyz)
    assert float(parts.detach()) == pytest.approx(float(plain.detach()), rel=1e-6)
    for found, expected in zip(
        torch.autograd.grad(parts, [rgb, xyz]), torch.autograd.grad(plain, [rgb, xyz]), strict=True
    ):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-8)


class Scaled(torch.nn.Module):
    """Its input times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor), requires_grad=False)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return self.factor * patches


def test_fused_patches_stand_where_both_are_valid() -> None:
    rgb = PatchFeatures(
        np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float16), np.array([True, True, True, False]), grid=2
    )
    valid = np.zeros(16, dtype=bool)
    valid[[1, 6, 15]] = True  # under the image patches 0, 1 and the invalid 3
    xyz = PatchFeatures(np.array([[7], [8], [9]], dtype=np.float16), valid, grid=4)
    standardisation = {"rgb": Standardisation(1.0, 2.0), "xyz": Standardisation(0.0, 1.0)}
    fused = FittedFusion({"rgb": Scaled(2.0), "xyz": Scaled(-1.0)}, standardisation).fuse(rgb, xyz)
    assert (fused.grid, list(np.flatnonzero(fused.valid))) == (4, [1, 6])
    np.testing.assert_array_equal(fused.values, [[-7, 0, 1], [-8, 2, 3]])


def trained(**changes: object) -> FusionResult:
    return train_fusion(SmallSource(5), options(**changes))


def test_the_contrast_falls_and_places_are_told_apart() -> None:
    source = SmallSource(6)
    result = train_fusion(source, options(epochs=60, batch_size=6))
    losses = result.curves["loss"]
    assert losses[-1] < losses[0] - 0.3
    fused = load_fusion(result.parameters, result.standardisation, DIMENSIONS).fuse(source[0]["rgb"], source[0]["xyz"])
    assert fused.values.shape == (len(source[0]["xyz"].values), RGB_DIMENSION + XYZ_DIMENSION)
    assert np.isfinite(fused.values).all()


def test_the_rate_warms_up_for_an_epoch_and_falls() -> None:
    # 3 batches an epoch, 6 steps: the first update is made with a third of the peak, so halving it matters.
    rates = [learning_rate(step, peak=3e-3, warm_up=3, steps=6) for step in range(1, 7)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == rates[2] == pytest.approx(3e-3)
    slow, fast = (trained(learning_rate=rate).curves["loss"] for rate in (1e-9, 3e-3))
    assert len(slow) == len(fast) == 6
    assert slow[0] == fast[0]
    assert slow[1] != fast[1]


def test_equal_seeds_give_equal_bytes_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = trained(), trained(), trained(seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for modality in MODALITIES:
        for name, values in first.parameters[modality].items():
            assert values.tobytes() == again.parameters[modality][name].tobytes()
            assert values.tobytes() != other.parameters[modality][name].tobytes()


def test_no_epochs_return_the_start() -> None:
    start = trained(epochs=0)
    assert len(start.curves["loss"]) == 0
    assert (start.parameters["rgb"]["norm.weight"] == 1).all()
    bound = 1 / math.sqrt(RGB_DIMENSION)
    assert 0.5 * bound < np.abs(start.parameters["rgb"]["widen.weight"]).max() <= bound


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="no training samples"):
        train_fusion(SmallSource(0), options())
    source = SmallSource(2)
    source.samples[0]["xyz"] = PatchFeatures(
        np.zeros((0, XYZ_DIMENSION), dtype=np.float16), np.zeros(XYZ_GRID**2, dtype=bool), XYZ_GRID
    )
    assert np.isnan(train_fusion(source, options(batch_size=1)).curves["loss"]).sum() == 2
    for sample in source.samples:
        image = sample["rgb"]
        sample["rgb"] = PatchFeatures(image.values[:1], np.arange(image.valid.size) == image.valid.size - 1, image.grid)
    with pytest.raises(DataError, match="valid in both"):
        train_fusion(source, options())


def test_parameters_that_do_not_fit_are_named() -> None:
    result = trained(epochs=0)
    del result.parameters["xyz"]["norm.bias"]
    with pytest.raises(ValueError, match=r"norm\.bias is missing"):
        load_fusion(result.parameters, result.standardisation, DIMENSIONS)
