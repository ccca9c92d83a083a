import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsfa_cli.backbones import load_backbone, texture
from lsfa_cli.backbones.base import average_neighbours
from lsfa_cli.errors import UnknownNameError, UsageError
from lsfa_cli.samples import PreparedSample, SampleRecord

SIZE = 96
GRID = SIZE // 8
# Columns of a feature.
SECOND = slice(0, 20)
AMOUNT, DIRECTED = slice(20, 24), slice(24, 28)
LARGEST, DIRECTED_LARGEST = slice(28, 32), slice(32, 36)
RED_GREEN, YELLOW_BLUE = slice(36, 39), slice(39, 42)
MEAN, SPREAD = slice(42, 45), slice(45, 48)


def sample(rgb):
    rgb = np.ascontiguousarray(rgb, np.float32)
    side = rgb.shape[-1]
    nothing = np.zeros((side, side), bool)
    record = SampleRecord("test/good/000", "test", "good", {})
    return PreparedSample(record, rgb, np.zeros((3, side, side), np.float32), nothing, nothing)


def features(backbone, *images):
    """(n, grid, grid, 48)"""
    patches = backbone.patches([sample(image) for image in images])
    return np.stack([p.values.reshape(p.grid, p.grid, -1) for p in patches])


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("texture", image_size=SIZE)


def grey(values):
    return np.broadcast_to(values, (3, *np.shape(values)))


def surface(seed, size=SIZE):
    """A machined surface: grain along one direction, soft spots of light, noise of the sensor."""
    rng = np.random.default_rng(seed)
    rows = np.arange(size)[:, None]
    grain = rng.normal(size=(size, 1)) * 0.03 + rng.normal(size=(size, size)) * 0.01
    light = 0.5 + 0.1 * np.sin(rows / 30 + rng.uniform(0, 6)) * np.cos(np.arange(size) / 40 + rng.uniform(0, 6))
    tint = np.array([1.0, 0.95, 0.85])[:, None, None]
    return np.clip((light + grain) * tint + rng.normal(size=(3, size, size)) * 0.005, 0, 1).astype(np.float32)


# --- against a plain twin


def plain_wavelet(side, scale, orientation):
    """The spectrum of one Morlet wavelet, point by point, by the sum over the periods of a raster."""
    width, frequency, angle = 0.8 * 2**scale, 0.75 * np.pi / 2**scale, np.pi * orientation / 6

    def gaussian(row, column, centre):
        total = 0.0
        for i in range(-2, 3):
            for j in range(-2, 3):
                y, x = 2 * np.pi * (row / side + i), 2 * np.pi * (column / side + j)
                along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
                total = total + np.exp(-((width * (along - centre)) ** 2) / 2 - (width * across / 0.6) ** 2 / 2)
        return total

    rows, columns = np.mgrid[:side, :side]
    wave, floor = gaussian(rows, columns, frequency), gaussian(rows, columns, 0)
    return wave - floor * wave[0, 0] / floor[0, 0]


def plain_features(rgb, steps=(1, 1, 2, 4)):
    """The features by the formulas, in float64: responses of whole images, of which cells take every n-th pixel."""
    size = rgb.shape[-1]
    side = size + 32
    red, green, blue = rgb.astype(np.float64)
    channels = [(red + green + blue) / 3, red - green, (red + green) / 2 - blue]
    padded = [np.pad(channel, 16, mode="reflect") for channel in channels]
    filters = [[plain_wavelet(side, scale, turn) for turn in range(6)] for scale in range(4)]

    def response(image, scale, turn):
        return np.abs(np.fft.ifft2(np.fft.fft2(image) * filters[scale][turn % 6]))

    def cells(values, step=1, reduce=np.mean):
        inside = values[16 : 16 + size, 16 : 16 + size]
        places = range(0, size, 8)
        return np.array([[reduce(inside[i : i + 8 : step, j : j + 8 : step]) for j in places] for i in places])

    first = [[response(padded[0], scale, turn) for turn in range(6)] for scale in range(4)]
    out = []
    for pair, (fine, coarse) in enumerate([(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
        for turn in range(4):
            second = [response(first[fine][start], coarse, start + turn) for start in range(6)]
            mean = np.mean([cells(values, steps[coarse]) for values in second], axis=0)
            typical = (0.20, 0.21, 0.27, 0.29, 0.36)[pair] * (1.3, 1.15, 0.85, 0.7)[turn]
            out.append(np.log(1 + mean / 0.002) / typical)
    for reduce, typical, share in (
        (np.mean, (0.25, 0.35, 0.45, 0.5), 0.09),
        (np.max, (0.45, 0.5, 0.55, 0.6), 0.1),
    ):
        oriented = np.array([[cells(v, steps[scale], reduce) for v in first[scale]] for scale in range(4)])
        amount = oriented.mean(axis=1)
        out += [0.5 / typical[scale] * np.log(1 + amount[scale] / 0.01) for scale in range(4)]
        for scale in range(4):
            wave = sum(oriented[scale, turn] * np.exp(2j * np.pi * turn / 6) for turn in range(6)) / 6
            out.append(0.3 / share * np.abs(wave) / (amount[scale] + 0.01))
    frequencies = np.fft.fftfreq(side)
    low = (np.abs(frequencies + 1e-9) < 0.25)[:, None] & (np.abs(frequencies + 1e-9) < 0.25)  # half the resolution
    for channel in padded[1:]:
        channel = np.fft.ifft2(np.fft.fft2(channel) * low)
        for scale, typical in ((1, 0.1), (2, 0.25), (3, 0.25)):
            mean = np.mean([cells(response(channel, scale, turn), max(2, steps[scale])) for turn in range(6)], axis=0)
            out.append(0.3 / typical * np.log(1 + mean / 0.005))
    out += [0.4 / typical * cells(c) for c, typical in zip(padded, (0.13, 0.025, 0.025), strict=True)]
    out += [0.3 / typical * cells(c, 1, np.std) for c, typical in zip(padded, (0.045, 0.02, 0.02), strict=True)]
    return np.stack(out, axis=-1)


def test_the_features_against_plain_formulas(backbone):
    image = surface(1)
    image[:, 30:60, 20:70] = np.random.default_rng(0).random((3, 30, 50))
    values, expected = features(backbone, image)[0], plain_features(image)
    assert values.shape == (GRID, GRID, 48)
    # The plain responses hold all frequencies, those of the coarse scales here what every n-th pixel can carry.
    np.testing.assert_allclose(values, expected, atol=0.02)
    assert (np.abs(values - expected).mean(axis=(0, 1)) < 0.01 * expected.std(axis=(0, 1))).all()


@pytest.mark.parametrize("orientation", range(6))
@pytest.mark.parametrize("scale", range(4))
def test_a_wavelet_is_0_at_frequency_0_and_largest_at_its_own(scale, orientation):
    spectrum = texture.wavelets(scale, 256, 1)[orientation]
    assert spectrum[0, 0] == 0
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    peak = np.array([np.fft.fftfreq(256)[column], np.fft.fftfreq(256)[row]]) * 2 * np.pi
    angle = np.pi * orientation / 6
    expected = 0.75 * np.pi / 2**scale * np.array([np.cos(angle), np.sin(angle)])
    assert np.linalg.norm(peak - expected) < 0.03 + 0.02 * np.linalg.norm(expected)  # frequencies lie 0.025 apart
    assert spectrum.max() == pytest.approx(1, abs=0.1)


def test_a_wave_answers_with_half_its_amplitude_at_its_scale_and_orientation():
    side, amplitude = 64, 0.2
    columns = np.arange(side)
    wave = np.broadcast_to(amplitude * np.cos(2 * np.pi * 12 * columns / side), (side, side))  # 0.375 pi a pixel
    spectrum = np.fft.fft2(wave).astype(np.complex64)
    along, across = texture.responses(spectrum, texture.wavelets(1, side, 1))[[0, 3]]
    assert along.mean() == pytest.approx(amplitude / 2, rel=0.03)
    assert np.ptp(along) < 0.15 * amplitude / 2  # a wavelet so short lets a little of the opposite frequency through
    assert across.max() < 0.01 * amplitude
    coarser = texture.responses(spectrum, texture.wavelets(3, side, 1))
    assert coarser.max() < 0.1 * amplitude


def test_a_coarser_raster_sees_the_same_responses():
    image = np.random.default_rng(3).random((64, 64)).astype(np.float32)
    spectrum = np.fft.fft2(image).astype(np.complex64)
    fine, coarse = (texture.responses(spectrum, texture.wavelets(3, 64, step)) for step in (1, 4))
    assert coarse.shape == (6, 16, 16)
    np.testing.assert_allclose(coarse, fine[:, ::4, ::4], atol=5e-3 * fine.max())


# --- what the features mean


def test_a_plain_surface_has_its_colour_and_nothing_else(backbone):
    image = np.empty((3, SIZE, SIZE), np.float32)
    image[:] = np.array([0.5, 0.4, 0.3])[:, None, None]
    values = features(backbone, image)[0]
    np.testing.assert_allclose(values[..., : MEAN.start], 0, atol=1e-3)
    np.testing.assert_allclose(values[..., SPREAD], 0, atol=0.02)
    expected = 0.4 * np.array([0.4 / 0.13, 0.1 / 0.025, 0.15 / 0.025])
    np.testing.assert_allclose(values[..., MEAN], np.broadcast_to(expected, (GRID, GRID, 3)), rtol=1e-4)


def test_black_is_0_everywhere(backbone):
    assert not features(backbone, np.zeros((3, SIZE, SIZE)))[0].any()


def test_stripes_are_directed_and_noise_is_not(backbone):
    stripes = grey(0.5 + 0.2 * np.cos(0.375 * np.pi * np.arange(SIZE))[None, :].repeat(SIZE, axis=0))
    noise = grey(0.5 + 0.1 * np.random.default_rng(4).normal(size=(SIZE, SIZE)))
    first, second = features(backbone, stripes, noise)
    assert first[..., DIRECTED.start + 1].min() > 3 * second[..., DIRECTED.start + 1].mean()


def test_two_textures_of_one_spectrum_are_told_apart_by_the_second_layer(backbone):
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    blobs = np.zeros((SIZE, SIZE))
    for row, column in rng.integers(0, SIZE, (60, 2)):
        distance = (((rows - row + 48) % SIZE - 48) ** 2 + ((columns - column + 48) % SIZE - 48) ** 2) / 2
        blobs += np.exp(-distance / 1.5)
    spectrum = np.fft.fft2(blobs - blobs.mean())
    phases = np.exp(1j * np.angle(np.fft.fft2(rng.normal(size=(SIZE, SIZE)))))
    shuffled = np.fft.ifft2(np.abs(spectrum) * phases).real
    first, second = features(
        backbone, *(grey(0.5 + 0.4 * x / np.abs(x).max()) for x in (blobs - blobs.mean(), shuffled))
    )
    first, second = first.reshape(-1, 48), second.reshape(-1, 48)

    def separation(columns):
        difference = first[:, columns].mean(axis=0) - second[:, columns].mean(axis=0)
        within = np.sqrt((first[:, columns].var(axis=0) + second[:, columns].var(axis=0)) / 2)
        return np.abs(difference / within).max()

    assert separation(SECOND) > 1


def test_a_part_turned_by_90_degrees_keeps_its_features(backbone):
    image = surface(6)
    image[:, 20:50, 30:45] *= 0.5
    straight, turned = features(backbone, image, np.rot90(image, axes=(1, 2)))
    straight = np.rot90(straight)
    spread = straight.reshape(-1, 48).std(axis=0)
    assert (np.abs(straight - turned).reshape(-1, 48).mean(axis=0) < 0.2 * spread).all()


def test_a_part_moved_by_a_cell_keeps_its_features(backbone):
    image = np.zeros((3, SIZE, SIZE), np.float32)
    image[:, 24:56, 24:56] = surface(7, 32)
    first, second = features(backbone, image, np.roll(image, (8, 16), axis=(1, 2)))
    # The mirror image behind the border, which the coarsest wavelets reach, is another.
    np.testing.assert_allclose(first[2:8, 2:8], second[3:9, 4:10], atol=0.05)


def test_a_change_shows_at_its_place_in_the_grid(backbone):
    image, changed = surface(8), surface(8)
    changed[:, 8:16, 40:48] *= 0.6
    first, second = features(backbone, image, changed)
    change = np.linalg.norm(second - first, axis=-1)
    assert np.unravel_index(change.argmax(), change.shape) == (1, 5)


def test_no_group_of_channels_dominates_on_a_surface(backbone):
    image = surface(9)
    image[:, 30:60, 30:60] = surface(10)[::-1, :30, :30]
    deviation = features(backbone, image)[0].reshape(-1, 48).std(axis=0)
    assert deviation.max() ** 2 < 0.25 * (deviation**2).sum()


def stained(image):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return image * (1 - 0.15 * (np.hypot(rows - 44, columns - 60) < 4) * np.array([0.4, 0.7, 1.0])[:, None, None])


def scratched(image):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    on_line = (np.abs(rows - 44 - 0.6 * (columns - 60)) < 0.8) & (np.abs(columns - 60) < 7)
    return image + 0.12 * on_line


def printed(image):
    image = image.copy()
    image[:, 40:48:2, 58:63] *= 0.8
    return image


@pytest.mark.parametrize("damage", [stained, scratched, printed])
def test_small_defects_are_the_farthest_from_good_surfaces(backbone, damage):
    good = features(backbone, *(surface(seed) for seed in range(10, 16))).reshape(-1, 48)
    for seed in range(16, 19):
        (values,) = features(backbone, damage(surface(seed)))
        distance = np.sqrt(((values.reshape(-1, 1, 48) - good[None]) ** 2).sum(axis=-1)).min(axis=1)
        row, column = divmod(int(distance.argmax()), GRID)
        assert abs(row * 8 + 4 - 44) <= 8
        assert abs(column * 8 + 4 - 60) <= 12


# --- as a backbone


def test_the_default_size_has_28_x_28_patches():
    backbone = load_backbone("texture")
    (patches,) = backbone.patches([sample(surface(0, 224))])
    assert (backbone.grid, backbone.dimension, backbone.modality) == (28, 48, "rgb")
    assert patches.values.shape == (784, 48)
    assert patches.values.dtype == np.float32
    assert patches.valid.all()
    assert patches.grid == 28


@settings(max_examples=8, deadline=None)
@given(st.integers(4, 24))
def test_every_multiple_of_8_is_an_image_size(cells):
    backbone = load_backbone("texture", image_size=8 * cells)
    (values,) = features(backbone, surface(0, 8 * cells))
    assert values.shape == (cells, cells, 48)
    assert np.isfinite(values).all()


def test_the_same_image_gives_the_same_bytes_alone_and_in_a_batch(backbone):
    images = [surface(seed) for seed in range(3)]
    together = features(backbone, *images)
    again = load_backbone("texture", image_size=SIZE)
    for image, values in zip(images, together, strict=True):
        assert features(again, image).tobytes() == values.tobytes()
    assert backbone.patches([]) == []


def test_the_sample_is_left_as_it_was(backbone):
    image = surface(11)
    before = image.copy()
    backbone.patches([sample(image)])
    np.testing.assert_array_equal(image, before)


def test_the_local_average_is_the_mean_of_neighbours(backbone):
    averaged = load_backbone("texture", image_size=SIZE, local_average=True)
    image = surface(12)
    np.testing.assert_array_equal(features(averaged, image), average_neighbours(features(backbone, image)))


def test_what_is_recorded(backbone):
    assert backbone.identity == {"name": "texture", "arguments": "", "version": 1}
    assert backbone.notes == ()


def test_mistakes_are_told(backbone, tmp_path):
    with pytest.raises(UsageError, match="a multiple of 8 pixels, but is 100"):
        load_backbone("texture", image_size=100)
    with pytest.raises(UsageError, match="has no weights"):
        load_backbone("texture", tmp_path / "some.pth")
    with pytest.raises(UnknownNameError, match="argument of backbone texture 'scales'"):
        load_backbone("texture?scales=3")
    with pytest.raises(ValueError, match="96 x 96"):
        backbone.patches([sample(surface(0, 64))])
