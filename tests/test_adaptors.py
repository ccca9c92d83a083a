"""The adaptors of Table 7: start, masks, gradients, seeds, and what is applied to a sample."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lsfa_cli.adaptors import (
    ADAPTORS,
    CUDA_HEAD_WIDTH,
    Adaptor,
    FittedAdaptor,
    attend,
    build_adaptor,
    build_head,
    head_count,
    load_adaptor,
)
from lsfa_cli.errors import UnknownNameError
from lsfa_cli.samples import PatchFeatures
from lsfa_cli.standardisation import Standardisation
from lsfa_cli.training_batches import adapt_patches

every_adaptor = pytest.mark.parametrize("name", sorted(ADAPTORS))
every_dimension = pytest.mark.parametrize("dimension", [12, 33, 7])


def some_patches(dimension: int, *, samples: int = 2, count: int = 9, seed: int = 0) -> torch.Tensor:
    return torch.randn(samples, count, dimension, generator=torch.Generator().manual_seed(seed))


def state(adaptor: Adaptor) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in adaptor.state_dict().items()}


@every_adaptor
@every_dimension
def test_identity_start_gives_the_input_back_exactly(name: str, dimension: int) -> None:
    patches = some_patches(dimension)
    adaptor = build_adaptor(name, dimension, start="identity", seed=3)
    assert torch.equal(adaptor(patches), patches)


@every_adaptor
def test_random_start_differs_from_the_input(name: str) -> None:
    patches = some_patches(12)
    assert (build_adaptor(name, 12, start="random", seed=3)(patches) - patches).abs().mean() > 0.1


@every_adaptor
@pytest.mark.parametrize("start", ["identity", "random"])
def test_equal_seeds_equal_bytes_and_no_draw_from_the_global_generator(name: str, start: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (state(build_adaptor(name, 12, start=start, seed=seed)) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert list(first) == list(second)
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)
    drawn = any(first[key].tobytes() != other[key].tobytes() for key in first)
    assert drawn == ((name, start) != ("linear", "identity"))  # the unit matrix has nothing to draw


@every_adaptor
def test_invalid_patches_stay_0_and_influence_no_other(name: str) -> None:
    adaptor = build_adaptor(name, 12, start="random", seed=1)
    valid = torch.ones(2, 9, dtype=torch.bool)
    valid[0, 5:] = False
    valid[1, ::2] = False
    patches = some_patches(12)
    adapted = adaptor(patches, valid)
    assert torch.equal(adapted[~valid], torch.zeros_like(adapted[~valid]))
    for garbage in (1e6, torch.nan, torch.inf):
        assert torch.equal(adaptor(patches.masked_fill(~valid.unsqueeze(-1), garbage), valid), adapted)
    for sample in range(2):
        alone = adaptor(patches[sample : sample + 1, valid[sample]])
        torch.testing.assert_close(adapted[sample][valid[sample]], alone[0], rtol=1e-5, atol=1e-5)


@every_adaptor
def test_a_sample_without_a_valid_patch_is_0_without_nan(name: str) -> None:
    adaptor = build_adaptor(name, 12, start="random", seed=1)
    valid = torch.tensor([[False] * 9, [True] * 9])
    patches = some_patches(12)
    adapted = adaptor(patches, valid)
    assert torch.equal(adapted[0], torch.zeros(9, 12))
    torch.testing.assert_close(adapted[1:], adaptor(patches[1:]), rtol=1e-5, atol=1e-5)
    adapted.sum().backward()
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in adaptor.parameters())


@every_adaptor
@every_dimension
def test_gradient_reaches_every_weight_after_one_step(name: str, dimension: int) -> None:
    # From the identity, the layers before a zero projection get their first gradient after the first step.
    adaptor = build_adaptor(name, dimension, start="identity", seed=1)
    patches, target = some_patches(dimension), some_patches(dimension, seed=9)
    optimizer = torch.optim.SGD(adaptor.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (adaptor(patches) - target).square().mean().backward()
        optimizer.step()
    for key, weight in adaptor.named_parameters():
        assert float(weight.grad.abs().max()) > 1e-10, key


@pytest.mark.parametrize("name", ["encoder_1", "encoder_2"])
def test_native_grid_equals_its_repetition(name: str) -> None:
    """28 x 28 tokens and the same tokens repeated 2 x 2 give the same features: what METHOD 2 builds on."""
    adaptor = build_adaptor(name, 24, start="random", seed=2)
    native = some_patches(24, samples=1, count=784)
    index = torch.arange(56) // 2
    rows = (index[:, None] * 28 + index[None, :]).flatten()
    with torch.no_grad():
        torch.testing.assert_close(adaptor(native[:, rows]), adaptor(native)[:, rows], rtol=1e-5, atol=1e-5)


@every_adaptor
def test_order_of_patches_does_not_matter(name: str) -> None:
    adaptor = build_adaptor(name, 12, start="random", seed=2)
    patches = some_patches(12)
    order = torch.tensor([4, 2, 8, 0, 1, 7, 3, 6, 5])
    torch.testing.assert_close(adaptor(patches[:, order]), adaptor(patches)[:, order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("dimension", "heads"), [(768, 12), (1152, 12), (128, 8), (33, 11), (14, 7), (31, 1), (1, 1), (26, 2)]
)
def test_heads_are_the_largest_divisor_up_to_12(dimension: int, heads: int) -> None:
    assert head_count(dimension) == heads


def plain_layer_norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def plain_encoder_layer(x: np.ndarray, weights: dict[str, np.ndarray], heads: int) -> np.ndarray:
    """One pre-norm layer with loops over heads, in float64; norms and biases are at their start, 1 and 0."""
    count, dimension = x.shape
    width = dimension // heads
    stacked = plain_layer_norm(x) @ weights["attention.query_key_value.weight"].T
    query, key, value = stacked[:, :dimension], stacked[:, dimension : 2 * dimension], stacked[:, 2 * dimension :]
    mixed = np.zeros((count, dimension))
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for row in range(count):
            share = np.exp(key[:, part] @ query[row, part] / np.sqrt(width))
            mixed[row, part] = share / share.sum() @ value[:, part]
    x = x + mixed @ weights["attention.output.weight"].T
    hidden = plain_layer_norm(x) @ weights["mlp_hidden.weight"].T
    erf = torch.erf(torch.from_numpy(hidden / np.sqrt(2))).numpy()
    return x + (hidden * (1 + erf) / 2) @ weights["mlp_output.weight"].T


@pytest.mark.parametrize(("name", "depth"), [("encoder_1", 1), ("encoder_2", 2)])
def test_encoder_equals_plain_loops(name: str, depth: int) -> None:
    adaptor = build_adaptor(name, 14, start="random", seed=4)
    patches = some_patches(14, samples=1)
    expected = patches[0].numpy().astype(np.float64)
    for layer in range(depth):
        prefix = f"layers.{layer}."
        weights = {key.removeprefix(prefix): value for key, value in state(adaptor).items() if key.startswith(prefix)}
        assert weights["mlp_hidden.weight"].shape == (56, 14)
        expected = plain_encoder_layer(expected, weights, heads=7)
    np.testing.assert_allclose(adaptor(patches)[0].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dimension", [33, 48, 1152])
@pytest.mark.parametrize("counts", [(40, 40), (40, 31)])
def test_attention_never_holds_a_weight_for_every_pair(dimension: int, counts: tuple[int, int]) -> None:
    """The kernel that would is switched off, so that PyTorch refuses where no other can be used."""
    adaptor = build_adaptor("encoder_1", dimension, start="random", seed=0)
    parts = [some_patches(dimension, samples=1, count=count, seed=count)[0].requires_grad_() for count in counts]
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
        sum(part.square().sum() for part in adapt_patches(adaptor, parts)).backward()
    assert all(bool(part.grad.abs().max() > 0) for part in parts)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("width", [3, 4, 8])
def test_widened_heads_attend_as_the_narrow_ones(width: int, masked: bool) -> None:
    generator = torch.Generator().manual_seed(width)
    keys = torch.rand(2, 7, generator=generator) < 0.7 if masked else None
    results = []
    for multiple in (1, CUDA_HEAD_WIDTH):
        generator.manual_seed(1)
        given = [torch.randn(2, 5, 7, width, generator=generator).double().requires_grad_() for _ in range(3)]
        mixed = attend(*given, keys, width_multiple=multiple)
        assert mixed.shape == (2, 5, 7, width)
        mixed.square().sum().backward()
        results.append([mixed.detach(), *(part.grad for part in given)])
    for narrow, wide in zip(*results, strict=True):
        torch.testing.assert_close(wide, narrow, rtol=1e-12, atol=1e-12)


def test_conv1x1_by_hand() -> None:
    adaptor = build_adaptor("conv1x1", 2, start="identity", seed=0)
    adaptor.load_state_dict(
        {
            "convolution_1.weight": torch.tensor([[1.0, 1.0], [0.0, -1.0]]),
            "convolution_1.bias": torch.tensor([0.0, 1.0]),
            "convolution_2.weight": torch.tensor([[2.0, 0.0], [0.0, 3.0]]),
            "convolution_2.bias": torch.tensor([0.0, -1.0]),
        }
    )
    # (1, 2): first (3, -1), ReLU (3, 0), second (6, -1), plus the patch (7, 1).
    assert adaptor(torch.tensor([[[1.0, 2.0]]])).tolist() == [[[7.0, 1.0]]]


def test_unknown_names_and_starts_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="encoder_1"):
        build_adaptor("encoder1", 12, start="identity", seed=0)
    with pytest.raises(ValueError, match="start"):
        build_adaptor("linear", 12, start="zero", seed=0)
    with pytest.raises(ValueError, match="at least one"):
        build_adaptor("linear", 0, start="identity", seed=0)


def test_head_is_seeded_and_has_the_width_asked_for() -> None:
    first, second, other = (build_head(33, 5, seed=seed) for seed in (1, 1, 2))
    assert first(torch.zeros(3, 33)).shape == (3, 5)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)


def sample_features(dimension: int = 6) -> PatchFeatures:
    valid = np.zeros(16, bool)
    valid[[1, 2, 5, 6, 10]] = True
    values = np.random.default_rng(0).normal(2, 3, (5, dimension)).astype(np.float16)
    return PatchFeatures(values, valid, 4)


def test_baseline_is_standardised_only() -> None:
    patches = sample_features()
    adapted = FittedAdaptor(None, 2.0, 4.0).adapt(patches)
    assert adapted.values.dtype == np.float32
    np.testing.assert_array_equal(adapted.values, (patches.values.astype(np.float32) - 2) / 4)
    assert adapted.grid == 4
    np.testing.assert_array_equal(adapted.valid, patches.valid)


@every_adaptor
def test_loaded_adaptor_equals_the_saved_one_on_padded_patches(name: str) -> None:
    adaptor = build_adaptor(name, 6, start="random", seed=8)
    fitted = load_adaptor(name, 6, state(adaptor), Standardisation(2.0, 3.0))
    patches = sample_features()
    padded = torch.zeros(1, 16, 6)
    padded[0, torch.from_numpy(patches.valid)] = torch.from_numpy((patches.values.astype(np.float32) - 2) / 3)
    with torch.no_grad():
        expected = adaptor(padded, torch.from_numpy(patches.valid)[None])[0, torch.from_numpy(patches.valid)]
    np.testing.assert_allclose(fitted.adapt(patches).values, expected.numpy(), rtol=1e-5, atol=1e-6)


@every_adaptor
def test_a_sample_without_patches_can_be_adapted(name: str) -> None:
    fitted = FittedAdaptor(build_adaptor(name, 6, start="random", seed=0), 0.0, 1.0)
    adapted = fitted.adapt(PatchFeatures(np.zeros((0, 6), np.float16), np.zeros(16, bool), 4))
    assert adapted.values.shape == (0, 6)
    assert adapted.values.dtype == np.float32


@every_adaptor
def test_parameters_that_do_not_fit_are_named(name: str) -> None:
    parameters = state(build_adaptor(name, 6, start="identity", seed=0))
    unit = Standardisation(0.0, 1.0)
    for key, value in parameters.items():
        with pytest.raises(ValueError, match=f"{key} is missing"):
            load_adaptor(name, 6, {other: array for other, array in parameters.items() if other != key}, unit)
        with pytest.raises(ValueError, match=rf"{key} has shape \(1, 1, 1\)"):
            load_adaptor(name, 6, {**parameters, key: np.zeros((1, 1, 1))}, unit)
        with pytest.raises(ValueError, match=f"{key} is not finite"):
            load_adaptor(name, 6, {**parameters, key: np.full_like(value, np.nan)}, unit)
    with pytest.raises(ValueError, match="extra is unknown"):
        load_adaptor(name, 6, {**parameters, "extra": np.zeros(1)}, unit)
    with pytest.raises(ValueError, match="has shape"):
        load_adaptor(name, 7, parameters, unit)


def test_parameter_names_are_stable() -> None:
    """They are in every adaptor artifact: a change makes old ones unreadable."""
    layer = [
        "attention_norm.weight",
        "attention_norm.bias",
        "attention.query_key_value.weight",
        "attention.output.weight",
        "attention.output.bias",
        "mlp_norm.weight",
        "mlp_norm.bias",
        "mlp_hidden.weight",
        "mlp_hidden.bias",
        "mlp_output.weight",
        "mlp_output.bias",
    ]
    convolutions = [f"convolution_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")]
    expected = {
        "linear": ["linear.weight", "linear.bias"],
        "conv1x1": convolutions,
        "encoder_1": [f"layers.0.{key}" for key in layer],
        "encoder_2": [f"layers.{number}.{key}" for number in (0, 1) for key in layer],
    }
    found = {name: list(build_adaptor(name, 4, start="identity", seed=0).state_dict()) for name in ADAPTORS}
    assert found == expected
