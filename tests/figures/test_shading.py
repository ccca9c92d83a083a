import numpy as np
import pytest

from lsfa_cli.figures.shading import DARKEST, LIGHT, _normals, _tangent, shade_depth

SIZE = 24


def tilted_plane(slope_x, slope_y, size=SIZE, pitch=0.001):
    """A plane seen from above: x to the right, y down, z away from the camera."""
    rows, columns = np.mgrid[:size, :size] * pitch
    return np.stack([columns, rows, 0.6 + slope_x * columns + slope_y * rows])


def everywhere(size=SIZE):
    return np.ones((size, size), bool)


def tangent_by_loops(points, valid, axis):
    """The plain twin: for each pixel the mean of the steps to those neighbours that exist."""
    _, height, width = points.shape
    result = np.zeros_like(points)
    down, right = (1, 0) if axis == 1 else (0, 1)
    for row in range(height):
        for column in range(width):
            steps = []
            for sign in (-1, 1):
                r, c = row + sign * down, column + sign * right
                if 0 <= r < height and 0 <= c < width and valid[row, column] and valid[r, c]:
                    steps.append(sign * (points[:, r, c] - points[:, row, column]))
            if steps:
                result[:, row, column] = np.mean(steps, axis=0)
    return result


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_tangents_agree_with_their_plain_twin(axis, share):
    generator = np.random.default_rng(3)
    valid = generator.random((7, 9)) < share
    points = np.where(valid, generator.normal(size=(3, 7, 9)), 0.0)
    np.testing.assert_allclose(_tangent(points, valid, axis), tangent_by_loops(points, valid, axis), atol=1e-12)


@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.5, 0.0), (0.0, -0.5), (0.3, 0.7)])
def test_normals_of_a_plane(slopes):
    """z = a x + b y has the normal (a, b, -1), towards the camera."""
    normal = np.array([*slopes, -1.0]) / np.linalg.norm([*slopes, 1.0])
    found = _normals(tilted_plane(*slopes), everywhere())
    np.testing.assert_allclose(found, np.broadcast_to(normal[:, None, None], found.shape), atol=1e-9)


def test_a_slope_towards_the_light_is_brighter_than_one_away_from_it():
    def brightness(x, y):
        return shade_depth(tilted_plane(x, y), everywhere())[8:-8, 8:-8].mean()

    # A surface that rises towards the camera on its right faces left, where the light is: z falls with x.
    assert brightness(-0.4, 0.0) > brightness(0.0, 0.0) > brightness(0.4, 0.0)
    assert brightness(0.0, -0.4) > brightness(0.0, 0.4)


def test_a_frontal_plane_has_the_brightness_of_lambert():
    shade = shade_depth(tilted_plane(0.0, 0.0), everywhere())
    lambert = -LIGHT[2] / np.linalg.norm(LIGHT)
    expected = DARKEST + (255 - DARKEST) * (0.78 * lambert + 0.18 * 1.0)
    assert np.unique(shade).tolist() == [round(expected)]


def test_nearer_parts_are_brighter():
    near, far = tilted_plane(0.0, 0.0), tilted_plane(0.0, 0.0)
    far[2] += 0.05
    shade = shade_depth(np.concatenate([near, far], axis=2), np.ones((SIZE, 2 * SIZE), bool))
    assert shade[:, :8].mean() > shade[:, -8:].mean() + 20


def test_invalid_pixels_are_black_and_do_not_reach_the_others():
    generator = np.random.default_rng(0)
    valid = generator.random((SIZE, SIZE)) < 0.6
    plane = tilted_plane(0.2, -0.1)
    shade = shade_depth(np.where(valid, plane, 0.0), valid)
    assert (shade[~valid] == 0).all()
    assert (shade[valid] >= DARKEST).all()
    garbage = np.where(valid, plane, np.nan)
    np.testing.assert_array_equal(shade_depth(garbage, valid), shade)


def test_lone_pixels_and_nothing_at_all():
    valid = np.zeros((SIZE, SIZE), bool)
    assert not shade_depth(tilted_plane(0, 0), valid).any()
    valid[3, 4] = True
    shade = shade_depth(tilted_plane(0, 0), valid)
    assert shade[3, 4] > DARKEST
    assert np.count_nonzero(shade) == 1


def test_the_result_is_uint8_and_the_input_untouched():
    plane = tilted_plane(0.2, 0.1).astype(np.float32)
    before = plane.copy()
    assert shade_depth(plane, everywhere()).dtype == np.uint8
    np.testing.assert_array_equal(plane, before)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="valid mask"):
        shade_depth(tilted_plane(0, 0), np.ones((3, 3), bool))
