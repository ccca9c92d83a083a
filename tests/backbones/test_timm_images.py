import math
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from lsfa_cli.backbones import load_backbone
from lsfa_cli.backbones.base import TunableBackbone, average_neighbours
from lsfa_cli.errors import UnknownNameError, UsageError, WeightsError
from lsfa_cli.precision import products_in
from lsfa_cli.samples import PreparedSample, SampleRecord

SIZE = 64
MOBILENET = "weights/mobilenetv2_100.imagenet-keras.safetensors"
KERAS = "mobilenetv2_100?pad_type=same&mean=0.5&std=0.5"


def sample(rgb):
    rgb = np.asarray(rgb, np.float32)
    side = rgb.shape[-1]
    nothing = np.zeros((side, side), bool)
    record = SampleRecord("test/good/000", "test", "good", {})
    return PreparedSample(record, rgb, np.zeros((3, side, side), np.float32), nothing, nothing)


def noise(seed, size=SIZE):
    return np.random.default_rng(seed).random((3, size, size), dtype=np.float32)


def features(backbone, *images):
    return np.stack([patches.values for patches in backbone.patches([sample(image) for image in images])])


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """A file of random weights of a small model of timm, as a whole model with classifier saves them."""
    folder = tmp_path_factory.mktemp("weights")

    def make(model, **keywords):
        if not timm.is_model(model):
            pytest.skip(f"this version of timm has no {model}")
        path = folder / f"{model}{'-'.join(map(str, keywords.values()))}.safetensors"
        if not path.exists():
            torch.manual_seed(len(model))
            whole = timm.create_model(model, **keywords)
            # Batch norm that does something, so that a statistic left at its start shows.
            for name, value in whole.state_dict().items():
                if name.endswith("running_mean"):
                    value.normal_(0, 0.1)
                elif name.endswith("running_var"):
                    value.uniform_(0.5, 2)
            save_file(whole.state_dict(), path)
        return path

    return make


# --- numbers from outside: MobileNetV2 as Keras computes it


GOLDEN = {  # index of the map: channels, side, first value, last value, mean, standard deviation
    0: (16, 112, -8.654194, 9.124158, 0.007285, 11.184019),
    1: (24, 56, 8.107168, -17.303657, 0.698456, 8.907605),
    2: (32, 28, 4.355921, -4.825197, 0.009899, 7.049840),
    3: (96, 14, -3.284202, 4.780067, 0.332462, 2.343481),
    4: (320, 7, 0.803394, -1.056181, -0.097912, 2.069340),
}


def golden_image():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    return np.divide(pixels.transpose(2, 0, 1), np.float32(255))


@pytest.mark.parametrize("index", GOLDEN)
def test_mobilenet_gives_the_numbers_of_keras(shared, index):
    channels, side, first, last, mean, deviation = GOLDEN[index]
    backbone = load_backbone(f"{KERAS}&out_indices={index}", shared(MOBILENET))
    assert (backbone.grid, backbone.dimension) == (side, channels)
    (values,) = features(backbone, golden_image())
    assert values[0, 0] == pytest.approx(first, abs=1e-4)
    assert values[-1, -1] == pytest.approx(last, abs=1e-4)
    assert values.mean() == pytest.approx(mean, abs=1e-5)
    assert values.std() == pytest.approx(deviation, abs=1e-4)


def test_mobilenet_takes_strides_8_and_16_and_says_what_it_dropped(shared):
    backbone = load_backbone(KERAS, shared(MOBILENET))
    assert (backbone.grid, backbone.dimension, backbone.modality) == (28, 32 + 96, "rgb")
    (note,) = backbone.notes
    assert note.startswith("dropped 6 unexpected keys: ")
    assert "bn2.bias" in note
    (values,) = features(backbone, golden_image())
    assert values[0, :32].tolist()[0] == pytest.approx(4.355921, abs=1e-4)
    assert values[-1, 31] == pytest.approx(-4.825197, abs=1e-4)
    # At the corner of the finer map, a resized map has the value of its own corner.
    assert values[0, 32] == pytest.approx(-3.284202, abs=1e-4)
    assert values[-1, -1] == pytest.approx(4.780067, abs=1e-4)


def test_another_padding_gives_other_numbers(shared):
    backbone = load_backbone("mobilenetv2_100?mean=0.5&std=0.5&out_indices=2", shared(MOBILENET))
    (values,) = features(backbone, golden_image())
    assert values[0, 0] == pytest.approx(2.9976, abs=1e-3)


# --- CNNs


def plain_bilinear(maps, grid):
    """(C, h, w) at the centres of a finer raster, by the four neighbours of each, without aligned corners."""
    channels, height, width = maps.shape
    result = np.empty((channels, grid, grid))
    for row in range(grid):
        for column in range(grid):
            y = min(max((row + 0.5) * height / grid - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / grid - 0.5, 0), width - 1)
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = maps[:, top, left] * (left + 1 - x) + maps[:, top, right] * (x - left)
            below = maps[:, bottom, left] * (left + 1 - x) + maps[:, bottom, right] * (x - left)
            result[:, row, column] = above * (top + 1 - y) + below * (y - top)
    return result


def maps_by_timm(model, path, image):
    """Stride -> map (C, h, w) of an image, with the file read and the model cut by timm itself."""
    overlay = {"file": str(path)}
    twin = timm.create_model(model, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay)
    with torch.no_grad():
        maps = twin.eval()(torch.from_numpy(image[None].astype(np.float32)))
    if getattr(twin, "output_fmt", "NCHW") == "NHWC":
        maps = [values.permute(0, 3, 1, 2) for values in maps]
    return {image.shape[-1] // values.shape[-1]: values[0].numpy() for values in maps}


# timm's feature wrappers keep names, flatten them, put a prefix in front of them, or give channels last.
@pytest.mark.parametrize(
    "model", ["test_resnet", "test_efficientnet", "test_convnext", "test_nfnet", "test_byobnet", "test_mambaout"]
)
def test_a_cnn_against_its_maps_joined_by_hand(random_weights, model):
    path = random_weights(model)
    backbone = load_backbone(f"timm:{model}?mean=0.1,0.2,0.3&std=0.4,0.5,0.6", path, image_size=SIZE)
    image = noise(1)
    mean, std = np.array([0.1, 0.2, 0.3])[:, None, None], np.array([0.4, 0.5, 0.6])[:, None, None]
    maps = maps_by_timm(model, path, (image - mean) / std)
    expected = np.concatenate([maps[8], plain_bilinear(maps[16], SIZE // 8)])
    assert (backbone.grid, backbone.dimension) == (SIZE // 8, len(expected))
    (values,) = features(backbone, image)
    np.testing.assert_allclose(values, expected.reshape(len(expected), -1).T, atol=2e-5 * np.abs(expected).max())


def test_the_maps_of_a_cnn_can_be_chosen(random_weights):
    path = random_weights("test_resnet")
    image = noise(2)
    maps = maps_by_timm("test_resnet", path, (image - 0.5) / 0.5)
    (values,) = features(load_backbone("timm:test_resnet?out_indices=1-3", path, image_size=SIZE), image)
    expected = np.concatenate([maps[4], plain_bilinear(maps[16], SIZE // 4)])
    np.testing.assert_allclose(values, expected.reshape(len(expected), -1).T, atol=1e-5 * np.abs(expected).max())


def test_a_change_in_the_image_shows_at_its_place_in_the_grid(random_weights):
    image, changed = noise(3), noise(3)
    changed[:, 8:16, 40:48] = 1 - changed[:, 8:16, 40:48]  # row 1, column 5 of cells of 8 pixels
    for model, cell in (("test_resnet?out_indices=2", 8), ("test_vit", 16)):
        path = random_weights(model.partition("?")[0])
        backbone = load_backbone(f"timm:{model}", path, image_size=SIZE)
        first, second = features(backbone, image, changed)
        change = np.linalg.norm(second - first, axis=1).reshape(backbone.grid, backbone.grid)
        assert np.unravel_index(change.argmax(), change.shape) == (8 // cell, 40 // cell)


# --- transformers


@pytest.mark.parametrize(
    ("model", "keywords"),
    [("test_vit", {}), ("test_vit", {"reg_tokens": 4}), ("test_vit3", {}), ("test_vit_relpos", {})],
    ids=["class token", "class and register tokens", "layer scale", "no class token"],
)
def test_a_transformer_gives_its_patch_tokens_after_the_norm(random_weights, model, keywords):
    # The file is of this image size, so that nothing is resampled.
    path = random_weights(model, img_size=SIZE, **keywords)
    options = "&".join(f"{name}={value}" for name, value in keywords.items())
    backbone = load_backbone(f"timm:{model}?{options}", path, image_size=SIZE)
    twin = timm.create_model(model, img_size=SIZE, **keywords).eval()
    twin.load_state_dict(load_file(path))
    image = noise(4)
    with torch.no_grad():
        tokens = twin.forward_features(torch.from_numpy((image[None] - 0.5) / 0.5))[0].numpy()
    grid = SIZE // 16
    assert len(tokens) == grid * grid + twin.num_prefix_tokens
    assert (backbone.grid, backbone.dimension) == (grid, twin.num_features)
    (values,) = features(backbone, image)
    np.testing.assert_allclose(values, tokens[twin.num_prefix_tokens :], atol=1e-5)
    if model != "test_vit_relpos":  # there the norm has a place of its own
        np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(axis=1), 1, atol=1e-2)


def test_position_embeddings_are_resampled_to_the_image_size_as_timm_does(random_weights):
    path = random_weights("test_vit")  # of 160 pixels
    backbone = load_backbone("timm:test_vit", path, image_size=SIZE)
    twin = timm.create_model(
        "test_vit", img_size=SIZE, num_classes=0, pretrained=True, pretrained_cfg_overlay={"file": str(path)}
    ).eval()
    image = noise(5)
    with torch.no_grad():
        tokens = twin.forward_features(torch.from_numpy((image[None] - 0.5) / 0.5))[0, 1:].numpy()
    np.testing.assert_allclose(features(backbone, image)[0], tokens, atol=1e-5)


def test_inner_blocks_of_a_transformer_can_be_chosen(random_weights):
    path = random_weights("test_vit", img_size=SIZE)
    backbone = load_backbone("timm:test_vit?out_indices=2,4", path, image_size=SIZE)
    twin = timm.create_model("test_vit", img_size=SIZE).eval()
    twin.load_state_dict(load_file(path))
    image = noise(6)
    with torch.no_grad():
        blocks = twin.forward_intermediates(
            torch.from_numpy((image[None] - 0.5) / 0.5), indices=[2, 4], output_fmt="NLC", intermediates_only=True
        )
    np.testing.assert_allclose(features(backbone, image)[0], torch.cat(blocks, -1)[0].numpy(), atol=1e-5)


def flax_arrays(model):
    """The weights of a small ViT under the names and in the layouts of the original JAX files."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    width, heads = model.embed_dim, model.blocks[0].attn.num_heads
    arrays = {
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
    }
    for block in range(len(model.blocks)):
        ours, theirs = f"blocks.{block}", f"Transformer/encoderblock_{block}"
        for number, name in ((1, "LayerNorm_0"), (2, "LayerNorm_2")):
            arrays[f"{theirs}/{name}/scale"] = state[f"{ours}.norm{number}.weight"]
            arrays[f"{theirs}/{name}/bias"] = state[f"{ours}.norm{number}.bias"]
        attention = f"{theirs}/MultiHeadDotProductAttention_1"
        parts = zip(
            ("query", "key", "value"),
            np.split(state[f"{ours}.attn.qkv.weight"], 3),
            np.split(state[f"{ours}.attn.qkv.bias"], 3),
            strict=True,
        )
        for name, kernel, bias in parts:
            arrays[f"{attention}/{name}/kernel"] = kernel.T.reshape(width, heads, -1)
            arrays[f"{attention}/{name}/bias"] = bias.reshape(heads, -1)
        arrays[f"{attention}/out/kernel"] = state[f"{ours}.attn.proj.weight"].T.reshape(heads, -1, width)
        arrays[f"{attention}/out/bias"] = state[f"{ours}.attn.proj.bias"]
        for number in (1, 2):
            arrays[f"{theirs}/MlpBlock_3/Dense_{number - 1}/kernel"] = state[f"{ours}.mlp.fc{number}.weight"].T
            arrays[f"{theirs}/MlpBlock_3/Dense_{number - 1}/bias"] = state[f"{ours}.mlp.fc{number}.bias"]
    return arrays


def test_original_jax_files_are_read_and_checked(random_weights, tmp_path):
    path = random_weights("test_vit", img_size=SIZE)
    model = timm.create_model("test_vit", img_size=SIZE)
    model.load_state_dict(load_file(path))
    arrays = flax_arrays(model)
    np.savez(tmp_path / "vit.npz", **arrays)
    image = noise(7)
    (expected,) = features(load_backbone("timm:test_vit", path, image_size=SIZE), image)
    (values,) = features(load_backbone("timm:test_vit", tmp_path / "vit.npz", image_size=SIZE), image)
    np.testing.assert_allclose(values, expected, atol=1e-6)

    for missing in ("Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel", "embedding/bias"):
        np.savez(tmp_path / "part.npz", **{name: value for name, value in arrays.items() if name != missing})
        with pytest.raises(WeightsError, match=r"part\.npz"):
            load_backbone("timm:test_vit", tmp_path / "part.npz", image_size=SIZE)


def test_an_npz_for_a_model_that_has_none_is_refused(tmp_path):
    np.savez(tmp_path / "some.npz", x=np.zeros(2))
    with pytest.raises(WeightsError, match=r"some\.npz: timm:resnet18 cannot be loaded from \.npz"):
        load_backbone("timm:resnet18", tmp_path / "some.npz", image_size=SIZE)


# --- patches


def test_patches_are_the_samples_in_order_whatever_the_batch(random_weights):
    backbone = load_backbone("timm:test_resnet", random_weights("test_resnet"), image_size=SIZE)
    images = [noise(seed) for seed in range(3)]
    together = backbone.patches([sample(image) for image in images])
    for image, patches in zip(images, together, strict=True):
        assert patches.values.dtype == np.float32
        assert patches.valid.all()
        assert patches.grid == backbone.grid
        assert patches.dimension == backbone.dimension
        np.testing.assert_allclose(patches.values, features(backbone, image)[0], atol=1e-5)
    assert backbone.patches([]) == []


def test_products_in_bfloat16_change_a_transformer_by_less_than_a_hundredth_and_no_cnn(random_weights):
    for model, changes in (("test_vit", True), ("test_resnet", False), ("test_efficientnet", False)):
        backbone = load_backbone(f"timm:{model}", random_weights(model), image_size=SIZE)
        exact = features(backbone, noise(1))
        with products_in("bf16", "cpu"):
            rounded = features(backbone, noise(1))
        assert rounded.dtype == np.float32
        difference = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
        assert difference < 1e-2
        assert bool(difference > 0) is changes


def test_the_same_sample_gives_the_same_bytes(random_weights):
    backbone = load_backbone("timm:test_vit", random_weights("test_vit"), image_size=SIZE)
    assert features(backbone, noise(8)).tobytes() == features(backbone, noise(8)).tobytes()
    assert not any(parameter.requires_grad for parameter in backbone.network.parameters())
    assert not backbone.network.training


def test_samples_of_another_size_are_refused(random_weights):
    backbone = load_backbone("timm:test_resnet", random_weights("test_resnet"), image_size=SIZE)
    with pytest.raises(ValueError, match="64 x 64"):
        backbone.patches([sample(noise(0, 32))])


def test_the_local_average_is_the_mean_of_neighbours(random_weights):
    path = random_weights("test_resnet")
    plain = load_backbone("timm:test_resnet", path, image_size=SIZE)
    averaged = load_backbone("timm:test_resnet", path, image_size=SIZE, local_average=True)
    (values,) = features(plain, noise(9))
    maps = values.reshape(1, plain.grid, plain.grid, plain.dimension)
    np.testing.assert_array_equal(features(averaged, noise(9))[0], average_neighbours(maps).reshape(values.shape))


@pytest.mark.parametrize("model", ["test_vit", "test_resnet"])
def test_a_finer_image_lies_beside_the_other_on_the_same_patches(random_weights, model):
    path = random_weights(model)
    both = load_backbone(f"timm:{model}", path, image_size=SIZE, rgb_fine=2)
    coarse, fine = (load_backbone(f"timm:{model}", path, image_size=size) for size in (SIZE, 2 * SIZE))
    one = replace(sample(noise(3)), rgb_fine=noise(4, 2 * SIZE))
    ((found,), (expected,), (finer,)) = (
        backbone.patches([two]) for backbone, two in ((both, one), (coarse, one), (fine, sample(one.rgb_fine)))
    )
    assert fine.grid == 2 * both.grid
    np.testing.assert_array_equal(found.values[:, : coarse.dimension], expected.values)
    means = finer.values.reshape(both.grid, 2, both.grid, 2, -1).mean(axis=(1, 3)).reshape(both.grid**2, -1)
    np.testing.assert_allclose(found.values[:, coarse.dimension :], means, rtol=1e-5, atol=1e-6)


def test_mean_and_deviation_are_the_models_own_unless_given(random_weights):
    path = random_weights("test_resnet")
    own = load_backbone("timm:test_resnet", path, image_size=SIZE)  # its configuration says 0.5 and 0.5
    given = load_backbone("timm:test_resnet?mean=0&std=1", path, image_size=SIZE)
    image = noise(10)
    np.testing.assert_allclose(features(given, (image - 0.5) / 0.5), features(own, image), atol=1e-5)


# --- what is recorded


def test_the_identity_is_the_same_for_the_same_features_only(random_weights, tmp_path):
    path = random_weights("test_resnet")
    identity = load_backbone("timm:test_resnet", path, image_size=SIZE).identity
    assert identity["name"] == "timm:test_resnet"
    assert identity["arguments"] == "mean=0.5,0.5,0.5&out_indices=2,3&std=0.5,0.5,0.5"
    assert len(identity["weights"]) == 64
    spelled_out = "timm:test_resnet?std=0.5&out_indices=2-3&mean=0.5,0.5,0.5"
    assert load_backbone(spelled_out, path, image_size=SIZE).identity == identity
    for other in ("timm:test_resnet?mean=0.4", "timm:test_resnet?out_indices=2", "timm:test_resnet?output_stride=16"):
        assert load_backbone(other, path, image_size=SIZE).identity != identity
    save_file({**load_file(path), "more": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert load_backbone("timm:test_resnet", tmp_path / "other.safetensors", image_size=SIZE).identity != identity


def test_a_classifier_in_the_file_is_dropped_and_noted(random_weights):
    (note,) = load_backbone("timm:test_vit", random_weights("test_vit"), image_size=SIZE).notes
    assert note == "dropped 2 unexpected keys: head.bias, head.weight"


def test_a_file_from_training_code_is_read(random_weights, tmp_path):
    path = random_weights("test_vit", img_size=SIZE)
    state = {f"module.backbone.{name}": value for name, value in load_file(path).items()}
    torch.save({"teacher": state, "epoch": 100}, tmp_path / "checkpoint.pth")
    image = noise(11)
    expected = features(load_backbone("timm:test_vit", path, image_size=SIZE), image)
    values = features(load_backbone("timm:test_vit", tmp_path / "checkpoint.pth", image_size=SIZE), image)
    np.testing.assert_array_equal(values, expected)


def test_published_weights_are_found_and_their_tag_recorded(random_weights, monkeypatch):
    path = random_weights("test_resnet")
    asked = []

    def find(model, configuration):
        asked.append((model, configuration["hf_hub_id"]))
        return path

    monkeypatch.setattr("lsfa_cli.backbones.timm_images.find_pretrained", find)
    backbone = load_backbone("timm:test_resnet", image_size=SIZE)
    assert asked == [("test_resnet.r160_in1k", "timm/test_resnet.r160_in1k")]
    assert backbone.identity["name"] == "timm:test_resnet.r160_in1k"
    assert backbone.notes == ()
    given = load_backbone("timm:test_resnet", path, image_size=SIZE)
    np.testing.assert_array_equal(features(backbone, noise(12)), features(given, noise(12)))


# --- mistakes


def refused(error, name, weights=None, **keywords):
    with pytest.raises(error) as caught:
        load_backbone(name, weights, **{"image_size": SIZE, **keywords})
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


def test_an_unknown_model_lists_only_the_nearest():
    message = refused(UnknownNameError, "timm:resnet1")
    assert "unknown timm model 'resnet1'. Did you mean 'resnet18'?" in message
    assert len(message) < 400


def test_an_old_name_of_a_model_is_answered_with_its_new_one():
    message = refused(UnknownNameError, "timm:vit_base_patch8_224_dino")
    assert "Did you mean 'vit_base_patch8_224.dino'?" in message


def test_an_unknown_tag_lists_the_tags_of_the_model():
    message = refused(UnknownNameError, "timm:resnet18.a1_in1")
    assert "Did you mean 'resnet18.a1_in1k'?" in message


def test_an_unknown_keyword_lists_the_nearest_of_the_model(random_weights):
    message = refused(UnknownNameError, "timm:test_efficientnet?pad_typ=same", random_weights("test_efficientnet"))
    assert "unknown argument of backbone timm:test_efficientnet 'pad_typ'. Did you mean 'pad_type'?" in message


@pytest.mark.parametrize("name", ["features_only", "num_classes", "img_size", "pretrained", "checkpoint_path"])
def test_what_lsfa_sets_itself_cannot_be_set(name):
    assert f"{name} cannot be set" in refused(UsageError, f"timm:test_resnet?{name}=1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean=0.5,0.5", "mean takes one number or three"),
        ("std=0.1,0.2,0.3,0.4", "std takes one number or three"),
        ("std=0", "std must be positive"),
        ("std=0.5,-1,0.5", "std must be positive"),
    ],
)
def test_mean_and_deviation_are_one_number_or_three(text, expected):
    assert expected in refused(UsageError, f"timm:test_resnet?{text}")


def test_a_map_that_does_not_exist_is_a_usage_error(random_weights):
    assert "test_resnet" in refused(UsageError, "timm:test_resnet?out_indices=7", random_weights("test_resnet"))


def test_a_model_without_such_strides_says_which_it_has(random_weights, monkeypatch):
    monkeypatch.setattr("lsfa_cli.backbones.timm_images.STRIDES", (64,))
    message = refused(UsageError, "timm:test_convnext", random_weights("test_convnext"))
    assert "no feature map of stride 64, only 4, 8, 16, 32" in message
    assert "timm:test_convnext?out_indices=0" in message


def test_an_image_size_that_the_model_cannot_take(random_weights):
    message = refused(UsageError, "timm:test_maxvit", random_weights("test_maxvit"), image_size=72)
    assert "72" in message


def test_weights_of_another_model_are_refused(random_weights):
    message = refused(WeightsError, "timm:test_vit", random_weights("test_resnet"))
    assert "test_resnet.safetensors: no weights of timm:test_vit" in message
    message = refused(WeightsError, "timm:test_vit3", random_weights("test_vit"))
    assert "test_vit.safetensors" in message


def test_weights_of_another_width_are_refused(shared):
    message = refused(WeightsError, "timm:mobilenetv2_050", shared(MOBILENET))
    assert "conv_stem.weight has the shape 32 x 3 x 3 x 3, but timm:mobilenetv2_050 needs 16 x 3 x 3 x 3" in message


def test_a_missing_file_is_named_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("a model was built"))
    assert "none.pth: no such weights file" in refused(WeightsError, "timm:resnet18", tmp_path / "none.pth")


# --- what can be trained


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("model", ["test_vit", "test_resnet"])
def test_differentiable_patches_are_the_patches(random_weights, model, average):
    backbone = load_backbone(f"timm:{model}", random_weights(model), image_size=SIZE, local_average=average)
    assert isinstance(backbone, TunableBackbone)
    samples = [sample(noise(21)), sample(noise(22))]
    backbone.network.requires_grad_(True)
    found = backbone.differentiable_patches([backbone.network_input(one) for one in samples])
    for part, patches in zip(found, backbone.patches(samples), strict=True):
        assert part.requires_grad
        np.testing.assert_allclose(part.detach().numpy(), patches.values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "blocks"),
    [
        ("test_vit", [f"blocks.{number}" for number in range(6)]),
        ("test_vit?out_indices=2,4", [f"model.blocks.{number}" for number in range(5)]),
        ("test_resnet", ["conv1", "bn1", "layer1", "layer2", "layer3"]),
        ("test_efficientnet", ["conv_stem", "bn1", *(f"blocks.{number}" for number in range(5))]),
    ],
)
def test_blocks_first_to_last(random_weights, model, blocks):
    name = model.partition("?")[0]
    path = random_weights(name, **({"img_size": SIZE} if "vit" in name else {}))
    backbone = load_backbone(f"timm:{model}", path, image_size=SIZE)
    assert backbone.blocks == tuple(blocks)
    assert not any(weight.requires_grad for weight in backbone.network.parameters())
