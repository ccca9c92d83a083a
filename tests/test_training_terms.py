"""The terms against plain NumPy: which patches, which entries, which means."""

import itertools
import math

import numpy as np
import pytest
import torch

from lsfa_cli.adaptors import build_head
from lsfa_cli.prototypes import SampleClusters
from lsfa_cli.samples import Modality, PatchFeatures
from lsfa_cli.standardisation import Standardisation
from lsfa_cli.training_banks import TrainingBank
from lsfa_cli.training_batches import read_batch
from lsfa_cli.training_terms import (
    AdaptedBatch,
    TermInputs,
    global_alignment_term,
    global_compactness_term,
    local_alignment_term,
    local_compactness_term,
)
from tests.training_parts import RGB_DIMENSION, XYZ_DIMENSION, SmallSource, small_options

alignment_settings = pytest.mark.parametrize(("temperature", "contrast"), [(0.2, "row"), (1.0, "row"), (0.2, "pairs")])

UNIT = Standardisation(0.0, 1.0)
DIMENSIONS: dict[Modality, int] = {"rgb": RGB_DIMENSION, "xyz": XYZ_DIMENSION}


def inputs_of(source: SmallSource, samples: list[int], modalities=("rgb", "xyz"), **changes: object) -> TermInputs:
    """Terms' inputs with features as they are (identity adaptor, no scaling) and banks of all training samples."""
    options = small_options(**changes)
    scales = dict.fromkeys(modalities, UNIT)
    clusters = SampleClusters(options.prototypes, 0)
    banks = {
        "local": {key: TrainingBank(1000, DIMENSIONS[key]) for key in modalities},
        "global": {key: TrainingBank(1000, DIMENSIONS[key]) for key in modalities},
    }
    for sample in range(len(source)):
        batch = read_batch(source, [sample], scales, "cpu")
        features = AdaptedBatch(batch, batch.patches, clusters)
        for key in modalities:
            banks["local"][key].append(features.adapted[key][0], sample)
            banks["global"][key].append(features.prototypes[key][0], sample)
    batch = read_batch(source, samples, scales, "cpu")
    heads = {key: build_head(DIMENSIONS[key], 6, seed=1).requires_grad_(False) for key in modalities}
    features = AdaptedBatch(batch, batch.patches, clusters)
    return TermInputs(features, heads, banks, options, np.random.default_rng(0))


def plain_alignment(rgb: np.ndarray, xyz: np.ndarray, *, temperature: float, contrast: str) -> float:
    rgb, xyz = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (rgb, xyz))
    share = np.exp(rgb @ xyz.T / temperature)
    rows, columns = (share.sum(), share.sum()) if contrast == "pairs" else (share.sum(1), share.sum(0))
    return float(-np.log(np.diag(share) / rows).mean() / 2 - np.log(np.diag(share) / columns).mean() / 2)


def at_3d_positions(sample: dict[Modality, PatchFeatures]) -> tuple[np.ndarray, np.ndarray]:
    """Both modalities' values at the positions valid in 3D, RGB repeated 2 x 2 from 4 x 4 to 8 x 8."""
    rgb = sample["rgb"].values.astype(np.float64).reshape(4, 4, -1).repeat(2, axis=0).repeat(2, axis=1).reshape(64, -1)
    return rgb[sample["xyz"].valid], sample["xyz"].values.astype(np.float64)


def through(head: torch.nn.Module, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head(torch.from_numpy(values).float()).double().numpy()


@alignment_settings
def test_local_alignment_is_over_the_3d_positions_of_each_sample(temperature: float, contrast: str) -> None:
    source = SmallSource(4)
    settings = {"temperature": temperature, "contrast": contrast}
    inputs = inputs_of(source, [3, 1], **settings)
    expected = []
    for sample in (3, 1):
        rgb, xyz = at_3d_positions(source.samples[sample])
        heads = through(inputs.heads["rgb"], rgb), through(inputs.heads["xyz"], xyz)
        expected.append(plain_alignment(*heads, **settings))
    assert float(local_alignment_term(inputs)["L_LA"]) == pytest.approx(np.mean(expected), rel=1e-5)


def test_local_alignment_takes_a_seeded_subset_of_many_patches() -> None:
    source = SmallSource(2)
    every = float(local_alignment_term(inputs_of(source, [0]))["L_LA"])
    few = [float(local_alignment_term(inputs_of(source, [0], patches_per_sample=4))["L_LA"]) for _ in range(2)]
    assert few[0] == few[1]
    assert few[0] < every  # 4 candidates instead of 15
    inputs = inputs_of(source, [0], patches_per_sample=4)
    assert len({float(local_alignment_term(inputs)["L_LA"]) for _ in range(4)}) > 1


@alignment_settings
def test_global_alignment_is_over_the_prototypes_of_the_batch(temperature: float, contrast: str) -> None:
    source = SmallSource(4)
    settings = {"temperature": temperature, "contrast": contrast}
    inputs = inputs_of(source, [3, 1, 0], **settings)
    means = [[part.mean(0) for part in at_3d_positions(source.samples[sample])] for sample in (3, 1, 0)]
    rgb, xyz = (np.stack([pair[modality] for pair in means]) for modality in (0, 1))
    expected = plain_alignment(through(inputs.heads["rgb"], rgb), through(inputs.heads["xyz"], xyz), **settings)
    assert float(global_alignment_term(inputs)["L_GA"]) == pytest.approx(expected, rel=1e-5)


def plain_compactness(patches: list[np.ndarray], others: list[np.ndarray], power: int) -> float:
    """Mean over samples of the mean over patches of the distance to the nearest of the others, or its square."""
    values = []
    for part, bank in zip(patches, others, strict=True):
        nearest = [min(math.dist(patch, entry) for entry in bank) ** power for patch in part]
        values.append(sum(nearest) / len(nearest))
    return sum(values) / len(values)


@pytest.mark.parametrize("modality", ["rgb", "xyz"])
@pytest.mark.parametrize(("distance", "power"), [("l2", 1), ("squared", 2)])
def test_local_compactness_is_over_all_valid_patches_and_other_samples(
    modality: Modality, distance: str, power: int
) -> None:
    source = SmallSource(4)
    values = [sample[modality].values.astype(np.float64) for sample in source.samples]
    others = {held: np.concatenate([part for key, part in enumerate(values) if key != held]) for held in (3, 1)}
    expected = plain_compactness([values[3], values[1]], [others[3], others[1]], power)
    found = local_compactness_term(inputs_of(source, [3, 1], distance=distance))
    assert list(found) == ["L_LC_rgb", "L_LC_xyz"]
    assert float(found[f"L_LC_{modality}"]) == pytest.approx(expected, rel=1e-5)
    own = local_compactness_term(inputs_of(source, [3, 1], exclude_same_sample=False))
    assert float(own[f"L_LC_{modality}"]) == 0  # their own entries are in the bank


def test_global_compactness_is_over_prototypes() -> None:
    source = SmallSource(4)
    means = [at_3d_positions(sample)[0].mean(0) for sample in source.samples]
    expected = min(math.dist(means[2], means[other]) for other in (0, 1, 3))
    found = global_compactness_term(inputs_of(source, [2]))
    assert float(found["L_GC_rgb"]) == pytest.approx(expected, rel=1e-4)


def test_prototypes_with_one_modality_are_over_all_its_patches() -> None:
    source = SmallSource(2)
    inputs = inputs_of(source, [0], modalities=("rgb",))
    expected = source.samples[0]["rgb"].values.astype(np.float64).mean(0)
    (found,) = inputs.features.prototypes["rgb"]
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert list(local_compactness_term(inputs)) == ["L_LC_rgb"]


def test_several_prototypes_correspond_across_modalities() -> None:
    """Shift half of the part in both modalities: the two clusters are the halves, in the same order."""
    source = SmallSource(2)
    sample = source.samples[0]
    rgb, xyz = at_3d_positions(sample)
    far = np.flatnonzero(sample["xyz"].valid) // 8 >= 4
    native = sample["rgb"].values.copy()
    native[8:] += 100  # rows 2 and 3 of 4 are rows 4 to 7 of 8
    moved = sample["xyz"].values.copy()
    moved[far] += 50
    source.samples[0] = {
        "rgb": PatchFeatures(native, sample["rgb"].valid, 4),
        "xyz": PatchFeatures(moved, sample["xyz"].valid, 8),
    }
    found = inputs_of(source, [0], prototypes=2).features.prototypes
    halves = [far, ~far] if float(found["xyz"][0][0].mean()) > 25 else [~far, far]
    for label, half in enumerate(halves):
        shift = 1.0 if half is far else 0.0
        rgb_mean, xyz_mean = rgb[half].mean(0) + 100 * shift, xyz[half].mean(0) + 50 * shift
        np.testing.assert_allclose(found["rgb"][0][label].numpy(), rgb_mean, rtol=1e-2, atol=0.1)
        np.testing.assert_allclose(found["xyz"][0][label].numpy(), xyz_mean, rtol=1e-2, atol=0.1)
    assert len(found["rgb"][0]) == len(found["xyz"][0]) == 2


def without_3d(source: SmallSource, sample: int) -> SmallSource:
    old = source.samples[sample]["xyz"]
    source.samples[sample]["xyz"] = PatchFeatures(old.values[:0], np.zeros_like(old.valid), old.grid)
    return source


@pytest.mark.parametrize("prototypes", [1, 3])
def test_a_sample_without_3d_is_left_out_and_leaves_the_others_as_they_are(prototypes: int) -> None:
    source = without_3d(SmallSource(4), 1)
    terms = (local_alignment_term, global_alignment_term, global_compactness_term)
    together, alone = (inputs_of(source, samples, prototypes=prototypes) for samples in ([0, 1, 2], [0, 2]))
    for term in terms:
        for name, value in term(alone).items():
            assert float(term(together)[name]) == pytest.approx(float(value), rel=1e-6), name
    assert len(together.notes) == 1
    assert len(alone.notes) == 0
    local = local_compactness_term(together)
    assert all(math.isfinite(float(value)) for value in local.values())


def test_terms_that_do_not_exist_are_left_out_with_a_note() -> None:
    nothing = inputs_of(without_3d(SmallSource(3), 1), [1])
    assert local_alignment_term(nothing) == {}
    assert global_alignment_term(nothing) == {}
    assert global_compactness_term(nothing) == {}
    single = inputs_of(SmallSource(1), [0])
    assert local_compactness_term(single) == {}
    assert global_compactness_term(single) == {}
    assert set(single.notes) == {
        f"{name}_{modality}: left out where the bank holds no entry of another sample"
        for name, modality in itertools.product(("L_LC", "L_GC"), ("rgb", "xyz"))
    }
    assert float(global_alignment_term(single)["L_GA"]) == 0
    assert any("nothing to contrast" in note for note in single.notes)


@pytest.mark.parametrize("term", [local_alignment_term, global_alignment_term])
def test_alignment_needs_both_modalities(term) -> None:
    with pytest.raises(ValueError, match="both modalities"):
        term(inputs_of(SmallSource(2), [0], modalities=("rgb",)))
