import copy
import json
import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from lsfa_cli.backbones import load_backbone, load_cloud_backbone
from lsfa_cli.backbones.base import TunableBackbone
from lsfa_cli.backbones.point_mae import Encoder, load_encoder
from lsfa_cli.backbones.weights import file_digest
from lsfa_cli.errors import DataError, UsageError, WeightsError
from lsfa_cli.pointcloud import farthest_point_sampling, nearest_neighbors, valid_points
from lsfa_cli.precision import products_in
from lsfa_cli.projection import interpolation_matrix, patch_validity, projection_matrix
from tests.backbones import scans

PREFIX = "module.MAE_encoder."
CASES = [(cloud, groups, size) for cloud in ("bumpy2000", "tilted700") for groups, size in ((64, 16), (128, 32))]


def recipe(key, shape):
    """Weights that any program can make again: `vectors/README.md`, section 2."""
    z = np.random.default_rng(zlib.crc32(key.encode("ascii"))).standard_normal(shape)
    name = key.rpartition(".")[2]
    if name == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if name == "running_var" or (name == "weight" and len(shape) == 1):
        z = 1 + 0.1 * abs(z)
    elif name in ("bias", "running_mean"):
        z = 0.02 * z
    else:
        z = z / np.sqrt(np.prod(shape[1:])) * (50 if key.endswith("encoder.first_conv.0.weight") else 1)
    return torch.from_numpy(np.asarray(z, dtype=np.float32))


@pytest.fixture(scope="module")
def state():
    """The encoder's weights by the recipe, under the encoder's own names."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Encoder().state_dict().items()}
    return {name: recipe(PREFIX + name, shape) for name, shape in shapes.items()}


def prefixed(state, prefix=PREFIX):
    return {prefix + name: value for name, value in state.items()}


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    """A pre-training checkpoint: the encoder, and a little of what else such a file holds."""
    rest = ("mask_token", "MAE_decoder.norm.weight", "MAE_decoder.norm.bias", "increase_dim.0.bias")
    content = prefixed(state) | {f"module.{name}": torch.zeros(4) for name in rest}
    path = tmp_path_factory.mktemp("weights") / "pretrain.pth"
    torch.save({"base_model": content, "optimizer": {}, "epoch": 300, "metrics": {"acc": 0.0}}, path)
    return path


@pytest.fixture(scope="module")
def point_mae(checkpoint):
    return load_backbone("point_mae?groups=64&group_size=16", checkpoint, image_size=48, grid=12)


@pytest.mark.parametrize(("cloud", "groups", "size"), CASES)
def test_features_equal_the_reference(shared, checkpoint, cloud, groups, size):
    with np.load(shared("vectors/point_mae.npz")) as vectors:
        points = vectors[f"{cloud}.points"]
        case = f"{cloud}.g{groups}k{size}"
        centers, features = vectors[f"{case}.centers"], vectors[f"{case}.features"]
        chosen, interpolated = vectors[f"{case}.interp_points"], vectors[f"{case}.interp_features"]
    name = f"point_mae?groups={groups}&group_size={size}&statistics=running"
    found = load_backbone(name, checkpoint).group_features(points)
    np.testing.assert_array_equal(found.centers, centers)
    np.testing.assert_allclose(found.features.T, features, rtol=0, atol=2e-5)
    by_point = interpolation_matrix(points, found.centers, "public") @ found.features
    np.testing.assert_allclose(by_point[chosen].T, interpolated, rtol=0, atol=2e-5)


def test_the_encoders_names_and_shapes_are_the_published_ones(shared, state):
    published = json.loads(shared("vectors/point_mae.json").read_text())["keys"]
    used = {entry["name"]: entry for entry in published if entry["use"]}
    assert {name: list(value.shape) for name, value in state.items()} == {
        name: entry["shape"] for name, entry in used.items()
    }
    assert len(state) == 156
    for name, entry in used.items():
        assert float(state[name].double().sum()) == pytest.approx(entry["sum"], abs=1e-6)


def plain_encoder(encoder, offsets, centers, training):
    """The published forward pass, module by module, with the batch norm's own training mode."""
    groups, size, _ = offsets.shape
    small = copy.deepcopy(encoder.encoder).double().train(training)
    points = small.first_conv(offsets.double().transpose(1, 2))
    whole = points.amax(dim=2, keepdim=True).expand(-1, -1, size)
    tokens = small.second_conv(torch.cat([whole, points], dim=1)).amax(dim=2)
    rest = copy.deepcopy(encoder).double()
    positions = rest.pos_embed(centers.double())
    outputs = []
    for number, block in enumerate(rest.blocks.blocks):
        tokens = tokens + positions
        normed = block.norm1(tokens)
        query, key, value = block.attn.qkv(normed).reshape(groups, 3, 6, 64).permute(1, 2, 0, 3)
        weights = (query @ key.transpose(1, 2) / 8).softmax(dim=2)
        tokens = tokens + block.attn.proj((weights @ value).permute(1, 0, 2).reshape(groups, 384))
        tokens = tokens + block.mlp.fc2(functional.gelu(block.mlp.fc1(block.norm2(tokens))))
        if number in (3, 7, 11):
            outputs.append(rest.norm(tokens))
    return torch.cat(outputs, dim=1)


@pytest.mark.parametrize("statistics", ["cloud", "running"])
def test_both_statistics_equal_the_plain_modules(checkpoint, statistics):
    sample = scans.wavy_scan()
    points = valid_points(sample.xyz, sample.valid)
    backbone = load_backbone(f"point_mae?groups=140&group_size=16&statistics={statistics}", checkpoint)
    encoder, _ = load_encoder(checkpoint)
    centers, features = backbone.group_features(points)
    _, members = nearest_neighbors(points, centers, 16)
    with torch.no_grad():
        expected = plain_encoder(
            encoder,
            torch.from_numpy(points[members] - centers[:, None]),
            torch.from_numpy(centers),
            training=statistics == "cloud",
        )
    np.testing.assert_allclose(features, expected.numpy(), rtol=0, atol=1e-4)


def test_statistics_and_scale_change_features_and_identity(checkpoint):
    sample = scans.wavy_scan()
    points = valid_points(sample.xyz, sample.valid)
    variants = [
        load_backbone(f"point_mae?groups=64&group_size=16&statistics={statistics}&scale={scale}", checkpoint)
        for statistics in ("cloud", "running")
        for scale in ("metres", "unit_sphere")
    ]
    assert len({variant.identity["arguments"] for variant in variants}) == 4
    features = [variant.group_features(points).features for variant in variants]
    for i in range(4):
        for j in range(i):
            assert np.abs(features[i] - features[j]).max() > 1e-3


def test_the_unit_sphere_takes_away_position_and_size(checkpoint):
    sample = scans.wavy_scan()
    points = valid_points(sample.xyz, sample.valid).astype(np.float64)
    backbone = load_backbone("point_mae?groups=64&group_size=16&statistics=running&scale=unit_sphere", checkpoint)
    centers, features = backbone.group_features(points)
    moved = backbone.group_features(points * 4 + [1.0, -2.0, 0.5])
    np.testing.assert_allclose(moved.features, features, rtol=0, atol=1e-4)
    np.testing.assert_allclose(moved.centers, centers * 4 + [1.0, -2.0, 0.5], rtol=1e-12)


def test_millimetres_are_metres_times_a_thousand(checkpoint):
    points = np.random.default_rng(1).normal(0, 0.01, (500, 3)).astype(np.float32)  # no two equally far
    name = "point_mae?groups=64&group_size=16&scale="
    millimetres = load_backbone(f"{name}millimetres", checkpoint).group_features(points)
    metres = load_backbone(f"{name}metres", checkpoint).group_features(points * np.float32(1000))
    np.testing.assert_allclose(millimetres.features, metres.features, atol=1e-4)
    np.testing.assert_allclose(millimetres.centers * 1000, metres.centers, rtol=1e-6)


def test_unorganized_clouds_need_as_many_points_as_groups(checkpoint):
    backbone = load_cloud_backbone("point_mae?groups=64&group_size=16", checkpoint)
    assert backbone.minimum_points == 64
    points = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    assert backbone.group_features(points).features.shape == (64, backbone.dimension)
    with pytest.raises(ValueError, match="64 farthest points asked of 63"):
        backbone.group_features(points[:63])


def test_patches_are_the_projected_groups(point_mae):
    sample = scans.wavy_scan()
    (patches,) = point_mae.patches([sample])
    assert patches.values.dtype == np.float32
    assert patches.dimension == point_mae.dimension == 1152
    np.testing.assert_array_equal(patches.valid, patch_validity(sample.valid, 12))
    points = valid_points(sample.xyz, sample.valid)
    centers, features = point_mae.group_features(points)
    np.testing.assert_array_equal(centers, points[farthest_point_sampling(points, 64)])
    matrix = projection_matrix(points, centers, sample.valid, 12, "public").toarray()
    np.testing.assert_allclose(patches.values, (matrix @ features)[patches.valid], rtol=0, atol=1e-5)


def test_products_in_bfloat16_change_features_by_less_than_a_hundredth(point_mae):
    sample = scans.wavy_scan()
    (exact,) = point_mae.patches([sample])
    with products_in("bf16", "cpu"):
        (rounded,) = point_mae.patches([sample])
    assert rounded.values.dtype == np.float32
    difference = np.linalg.norm(rounded.values - exact.values) / np.linalg.norm(exact.values)
    assert 0 < difference < 1e-2


def test_clouds_do_not_influence_each_other_and_bytes_repeat(point_mae):
    samples = [scans.wavy_scan(), scans.few_points(200)]
    together = point_mae.patches(samples)
    for sample, patches in zip(samples, together, strict=True):
        assert point_mae.patches([sample])[0].values.tobytes() == patches.values.tobytes()


def test_what_invalid_pixels_hold_does_not_matter(point_mae):
    sample = scans.wavy_scan()
    (expected,) = point_mae.patches([sample])
    np.testing.assert_array_equal(point_mae.patches([scans.with_garbage(sample)])[0].values, expected.values)


@pytest.mark.parametrize(("count", "arguments"), [(63, ""), (0, ""), (80, "&group_size=81")])
def test_too_few_points_name_the_file_and_both_numbers(checkpoint, count, arguments):
    name = "point_mae?groups=64" + (arguments or "&group_size=16")
    needed = 81 if arguments else 64
    backbone = load_backbone(name, checkpoint, image_size=48, grid=12)
    with pytest.raises(DataError, match=rf"scan/007\.tiff: {count} points .* point_mae needs {needed}"):
        backbone.patches([scans.few_points(count, xyz="scan/007.tiff")])
    assert backbone.patches([scans.few_points(needed)])[0].values.shape[1] == 1152


def test_without_weights_it_says_which_and_how():
    with pytest.raises(WeightsError, match=r"pretrain\.pth of Point-MAE") as caught:
        load_backbone("point_mae")
    assert "--xyz-weights FILE" in str(caught.value)
    assert "surface" in str(caught.value)


@pytest.mark.parametrize("prefix", ["module.MAE_encoder.", "MAE_encoder.", "module.", ""])
def test_every_published_form_of_the_names_is_taken(state, tmp_path, prefix):
    path = tmp_path / "weights.pth"
    torch.save({"base_model": prefixed(state, prefix)}, path)
    encoder, notes = load_encoder(path)
    assert notes == ()
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


def test_what_is_dropped_is_named(checkpoint, state, tmp_path):
    _, notes = load_encoder(checkpoint)
    assert notes == ("point_mae: left out what is not the encoder's: MAE_decoder (2), increase_dim, mask_token",)
    path = tmp_path / "finetuned.pth"
    more = {"module.cls_token": torch.zeros(1, 1, 384), "module.cls_pos": torch.zeros(1, 1, 384)}
    more["module.cls_head_finetune.0.weight"] = torch.zeros(256, 768)
    torch.save({"base_model": prefixed(state, "module.") | more}, path)
    assert load_encoder(path)[1][0].endswith(": cls_head_finetune, cls_pos, cls_token")


def test_half_precision_and_a_missing_counter_are_mended(state, tmp_path):
    path = tmp_path / "weights.pth"
    half = {name: value.half() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(half, path)
    encoder, _ = load_encoder(path)
    assert {value.dtype for value in encoder.parameters()} == {torch.float32}
    assert int(encoder.encoder.first_conv[1].num_batches_tracked) == 0
    torch.testing.assert_close(encoder.norm.weight.detach(), state["norm.weight"], rtol=1e-3, atol=1e-3)


def test_missing_names_and_other_shapes_are_refused(state, tmp_path):
    path = tmp_path / "part.pth"
    content = prefixed(state)
    missing = [PREFIX + "blocks.blocks.3.attn.qkv.weight", PREFIX + "norm.bias"]
    torch.save({"base_model": {name: value for name, value in content.items() if name not in missing}}, path)
    with pytest.raises(WeightsError, match=r"part\.pth: .*2 of 156 .*blocks\.blocks\.3\.attn\.qkv\.weight, norm\.bias"):
        load_encoder(path)
    torch.save({"base_model": content | {PREFIX + "norm.bias": torch.zeros(256)}}, path)
    with pytest.raises(WeightsError, match=r"part\.pth: norm\.bias has the shape 256, but Point-MAE needs 384"):
        load_encoder(path)


def test_another_models_file_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"base_model": {"layer.weight": torch.zeros(3)}}, path)
    with pytest.raises(WeightsError, match=r"other\.pth: .*154 of 156 names are missing: encoder\.first_conv"):
        load_backbone("point_mae", path)
    with pytest.raises(WeightsError, match="absent"):
        load_backbone("point_mae", tmp_path / "absent.pth")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = tmp_path / "harm.pth"
    torch.save({"base_model": Harm()}, path)
    with pytest.raises(WeightsError, match=r"harm\.pth"):
        load_encoder(path)
    assert not (tmp_path / "ran").exists()


def test_identity_and_the_random_generator(checkpoint):
    generator = torch.get_rng_state()
    backbone = load_backbone("point_mae", checkpoint)
    torch.testing.assert_close(torch.get_rng_state(), generator)
    assert backbone.identity == {
        "name": "point_mae",
        "arguments": "group_size=128&groups=1024&scale=metres&statistics=cloud",
        "weights": file_digest(checkpoint),
    }


def test_impossible_arguments_are_refused(checkpoint):
    with pytest.raises(UsageError, match="at least 1"):
        load_backbone("point_mae?groups=0", checkpoint)
    with pytest.raises(UsageError, match="grid of 64 patches"):
        load_backbone("point_mae", checkpoint, image_size=32, grid=64)


@pytest.mark.parametrize("projection", ["public", "paper"])
@pytest.mark.parametrize("learns", [False, True])
def test_differentiable_patches_are_the_patches(checkpoint, projection, learns):
    backbone = load_backbone(
        "point_mae?groups=64&group_size=16", checkpoint, image_size=48, grid=12, projection=projection
    )
    assert isinstance(backbone, TunableBackbone)
    samples = [scans.wavy_scan(), scans.few_points(200)]
    expected = backbone.patches(samples)
    backbone.network.requires_grad_(learns)
    found = backbone.differentiable_patches([backbone.network_input(sample) for sample in samples])
    assert [part.requires_grad for part in found] == [learns, learns]
    for part, patches in zip(found, expected, strict=True):
        np.testing.assert_allclose(part.detach().numpy(), patches.values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("statistics", [False, True])
def test_gradients_are_those_of_finite_differences(checkpoint, statistics):
    network, _ = load_encoder(checkpoint)
    network = network.double().requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    offsets, centers = (torch.randn(shape, generator=generator).double() for shape in ((8, 5, 3), (8, 3)))
    direction = torch.randn(8, 1152, generator=generator).double()

    def value():
        return (network(offsets, centers, statistics) * direction).sum()

    names = ["encoder.first_conv.0.weight", "encoder.first_conv.1.weight", "encoder.second_conv.1.bias"]
    names += ["encoder.second_conv.3.weight", "pos_embed.0.weight", "blocks.blocks.0.attn.qkv.weight", "norm.bias"]
    weights = [network.get_parameter(name) for name in names]
    for weight, gradient in zip(weights, torch.autograd.grad(value(), weights), strict=True):
        step = 1e-6 * torch.randn(weight.shape, generator=generator).double()
        with torch.no_grad():
            weight += step
            after = value()
            weight -= 2 * step
            before = value()
            weight += step
        torch.testing.assert_close((gradient * step).sum(), (after - before) / 2, rtol=1e-3, atol=1e-9)


def test_its_blocks_are_those_of_the_transformer(point_mae):
    assert point_mae.blocks == tuple(f"blocks.blocks.{number}" for number in range(12))
    assert all(isinstance(point_mae.network.get_submodule(name), torch.nn.Module) for name in point_mae.blocks)
    assert not any(weight.requires_grad for weight in point_mae.network.parameters())
