"""CFM: networks, loss, distances and scores against numbers worked by hand, and training on a mapping that exists."""

import math

import numpy as np
import pytest
import torch

from lsfa_cli.crossmodal import (
    CrossModalMapping,
    MappingNetwork,
    MappingOptions,
    load_mapping,
    mapped_image_scores,
    mapping_distance,
    mapping_loss,
    train_mapping,
)
from lsfa_cli.errors import DataError
from lsfa_cli.samples import MODALITIES, PatchFeatures
from lsfa_cli.standardisation import Standardisation
from tests.training_parts import RGB_DIMENSION, XYZ_DIMENSION, XYZ_GRID, SmallSource

DIMENSIONS = {"rgb": RGB_DIMENSION, "xyz": XYZ_DIMENSION}
PLAIN = {modality: Standardisation(0.0, 1.0) for modality in MODALITIES}


def options(**changes: object) -> MappingOptions:
    values: dict[str, object] = {
        "network": "small",
        "epochs": 2,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "seed": 0,
        "device": "cpu",
    }
    return MappingOptions(**{**values, **changes})


@pytest.mark.parametrize(("size", "layers"), [("small", 3), ("big", 7)])
def test_widths_are_those_of_the_publication(size: str, layers: int) -> None:
    network = MappingNetwork(768, 1152, size)
    shapes = [(layer.in_features, layer.out_features) for layer in network.layers]
    assert shapes == [(768, 960), *[(960, 960)] * (layers - 2), (960, 1152)]


def test_network_of_known_weights() -> None:
    network = MappingNetwork(1, 3, "small")  # inner width 2
    values = {
        "layers.0.weight": [[1.0], [-1.0]],
        "layers.0.bias": [0.0, 0.0],
        "layers.1.weight": [[1.0, 0.0], [0.0, 2.0]],
        "layers.1.bias": [0.0, 1.0],
        "layers.2.weight": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
        "layers.2.bias": [0.0, 0.0, -1.0],
    }
    network.load_state_dict({name: torch.tensor(value) for name, value in values.items()})

    def gelu(x: float) -> float:
        return x * (1 + math.erf(x / math.sqrt(2))) / 2

    first, second = gelu(gelu(2.0)), gelu(2 * gelu(-2.0) + 1)
    with torch.no_grad():
        predicted = network(torch.tensor([[2.0]])).numpy()
    np.testing.assert_allclose(predicted, [[first, second, first + second - 1]], rtol=1e-6)


def test_loss_by_hand() -> None:
    predicted = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, -3.0]])
    observed = torch.tensor([[5.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # cosines 1, 1 / sqrt(2) and -1
    assert float(mapping_loss(predicted, observed)) == pytest.approx(1 - (1 + math.sqrt(0.5) - 1) / 3)


def test_distances_by_hand() -> None:
    predicted = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.0, 0.0]])
    observed = torch.tensor([[7.0, 0.0], [4.0, 0.0], [6.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(mapping_distance(predicted, observed), [0, math.sqrt(2), 2, 1], atol=1e-7)


def test_image_scores_by_hand() -> None:
    maps = np.zeros((3, 2, 2), dtype=np.float32)
    maps[0, 0] = [9, 7]  # mean of the non-zero 8
    maps[1] = 4
    np.testing.assert_allclose(mapped_image_scores(maps), [9 / math.sqrt(8), 4 / math.sqrt(4), 0])


class Constant(torch.nn.Module):
    """Predicts the same patch everywhere, plus the mean of its input in the first place."""

    def __init__(self, *patch: float) -> None:
        super().__init__()
        self.patch = torch.nn.Parameter(torch.tensor(patch), requires_grad=False)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        predicted = self.patch.expand(len(patches), -1).clone()
        predicted[:, 0] += patches.mean(dim=1)
        return predicted


def test_a_sample_is_compared_at_the_positions_valid_in_both() -> None:
    # Image patches 2 x 2, the last invalid; the scan 4 x 4 with three points, one of them under the invalid patch.
    rgb = PatchFeatures(
        np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float16), np.array([True, True, True, False]), grid=2
    )
    valid = np.zeros(16, dtype=bool)
    valid[[1, 6, 15]] = True
    xyz = PatchFeatures(np.array([[0, 2], [4, 0], [3, 3]], dtype=np.float16), valid, grid=4)
    # The image is predicted from the scan's means 1 and 2: (1, 1) and (2, 1); the scan from 0.5 and 0.5: (0.5, 0).
    mapping = CrossModalMapping({"rgb": Constant(0.0, 1.0), "xyz": Constant(0.0, 0.0)}, PLAIN)
    found = mapping.distances(rgb, xyz)
    expected = {"rgb": np.zeros(16), "xyz": np.zeros(16)}
    expected["rgb"][1] = math.sqrt(2 - 2 * (1 / math.sqrt(2)))  # (1, 1) against (1, 0)
    expected["rgb"][6] = math.sqrt(2 - 2 * (1 / math.sqrt(5)))  # (2, 1) against (0, 1)
    expected["xyz"][1] = math.sqrt(2)  # (1, 0) against (0, 1)
    expected["xyz"][6] = 0.0  # (1, 0) against (1, 0)
    for modality in MODALITIES:
        np.testing.assert_allclose(found[modality], expected[modality], rtol=1e-6, atol=1e-7)


def test_without_a_common_position_nothing_is_found() -> None:
    rgb = PatchFeatures(np.ones((4, 2), dtype=np.float32), np.ones(4, dtype=bool), grid=2)
    xyz = PatchFeatures(np.ones((0, 2), dtype=np.float32), np.zeros(16, dtype=bool), grid=4)
    found = CrossModalMapping({"rgb": Constant(0.0, 1.0), "xyz": Constant(0.0, 0.0)}, PLAIN).distances(rgb, xyz)
    assert not found["rgb"].any()
    assert not found["xyz"].any()


def trained(source: SmallSource, **changes: object) -> tuple[CrossModalMapping, np.ndarray]:
    result = train_mapping(source, options(**changes))
    mapping = load_mapping(
        changes.get("network", "small"),
        result.parameters,
        result.standardisation,
        DIMENSIONS,  # type: ignore[arg-type]
    )
    return mapping, result.curves["loss"]


def test_a_mapping_that_exists_is_learned_and_its_breach_found() -> None:
    source = SmallSource(6)
    # Only every fourth 3D patch has the latent values of its image patch; those are left.
    for sample in source.samples:
        kept = np.zeros((XYZ_GRID, XYZ_GRID), dtype=bool)
        kept[::2, ::2] = True
        kept &= sample["xyz"].valid.reshape(XYZ_GRID, XYZ_GRID)
        rows = np.flatnonzero(kept.ravel()[sample["xyz"].valid])
        sample["xyz"] = PatchFeatures(sample["xyz"].values[rows], kept.ravel(), XYZ_GRID)
    mapping, losses = trained(source, epochs=150, learning_rate=1e-2)
    assert losses[-3:].mean() < 0.2 * losses[:3].mean()
    rgb, xyz = source[0]["rgb"], source[0]["xyz"]
    good = mapping.distances(rgb, xyz)
    broken = PatchFeatures(np.concatenate([-xyz.values[:1], xyz.values[1:]]), xyz.valid, xyz.grid)
    place = int(np.flatnonzero(xyz.valid)[0])
    product = {
        name: one["rgb"] * one["xyz"] for name, one in {"good": good, "bad": mapping.distances(rgb, broken)}.items()
    }
    assert product["bad"].argmax() == place
    assert product["bad"][place] > 4 * product["good"].max()


def test_curves_are_the_sum_of_both_losses() -> None:
    result = train_mapping(SmallSource(5), options(epochs=3))
    curves = result.curves
    np.testing.assert_array_equal(curves["step"], np.arange(1, 10))
    np.testing.assert_allclose(curves["loss"], curves["loss_rgb"] + curves["loss_xyz"])
    assert np.isfinite(curves["loss"]).all()


def test_equal_seeds_give_equal_bytes_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again = (train_mapping(SmallSource(4), options()) for _ in range(2))
    other = train_mapping(SmallSource(4), options(seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    for modality in MODALITIES:
        for name, values in first.parameters[modality].items():
            assert values.tobytes() == again.parameters[modality][name].tobytes()
            assert values.tobytes() != other.parameters[modality][name].tobytes()


def test_no_epochs_return_the_start() -> None:
    start = train_mapping(SmallSource(4), options(epochs=0))
    after = train_mapping(SmallSource(4), options(epochs=1))
    assert len(start.curves["loss"]) == 0
    for modality in MODALITIES:
        for name, values in start.parameters[modality].items():
            assert np.abs(values - after.parameters[modality][name]).max() > 0
    bound = 1 / math.sqrt(XYZ_DIMENSION)
    drawn = np.abs(start.parameters["rgb"]["layers.0.weight"])
    assert 0.5 * bound < drawn.max() <= bound


def test_a_batch_without_common_positions_is_passed_over() -> None:
    source = SmallSource(3)
    source.samples[1]["xyz"] = PatchFeatures(
        np.zeros((0, XYZ_DIMENSION), dtype=np.float16), np.zeros(XYZ_GRID**2, dtype=bool), XYZ_GRID
    )
    curves = train_mapping(source, options(batch_size=1, epochs=2)).curves
    assert np.isnan(curves["loss"]).sum() == 2


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="no training samples"):
        train_mapping(SmallSource(0), options())
    source = SmallSource(2)
    for sample in source.samples:
        image = sample["rgb"]
        sample["rgb"] = PatchFeatures(image.values[:1], np.arange(image.valid.size) == image.valid.size - 1, image.grid)
    with pytest.raises(DataError, match="valid in both"):
        train_mapping(source, options())


def test_parameters_that_do_not_fit_are_named() -> None:
    result = train_mapping(SmallSource(2), options(epochs=0))
    with pytest.raises(ValueError, match=r"layers\.3\.weight is missing"):
        load_mapping("big", result.parameters, result.standardisation, DIMENSIONS)
