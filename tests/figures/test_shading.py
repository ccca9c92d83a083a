import numpy as np
import pytest

from lsfa_cli.figures.shading import DARKEST, LIGHT, MARGIN, _normals, _tangent, render_cloud, shade_depth
from tests.datasets.real3d_trees import directions

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


# --- unorganized clouds


def ball(count=4000, radius=10.0):
    return radius * directions(count, seed=0)


def test_a_ball_is_a_filled_disk_seen_from_above():
    points = ball()
    picture, shown = render_cloud(points, 96)
    assert (picture.dtype, shown.dtype) == (np.uint8, np.int32)
    rows, columns = np.mgrid[:96, :96] - 47.5
    radius = np.hypot(rows, columns)
    outer = 48 * (1 - 2 * MARGIN)
    assert (shown[radius < outer - 2] >= 0).all()
    assert (shown[radius > outer + 4] == -1).all()
    np.testing.assert_array_equal(picture > 0, shown >= 0)
    assert points[shown[radius < outer - 6], 2].min() > 0  # none of the far side
    assert picture[:48][radius[:48] < 30].mean() > picture[48:][radius[48:] < 30].mean()  # lit from above


def test_each_pixel_shows_a_point_that_is_near_it():
    points = ball() + np.array([100, -50, 7])
    _, shown = render_cloud(points, 96)
    rows, columns = np.nonzero(shown >= 0)
    pitch = 20 / (96 * (1 - 2 * MARGIN) - 1)
    across = (columns - 47.5) * pitch + 100 - points[shown[rows, columns], 0]
    up = (47.5 - rows) * pitch - 50 - points[shown[rows, columns], 1]
    assert np.hypot(across, up).max() < 1.5


def test_the_higher_of_two_points_is_seen_and_the_first_of_equals():
    points = np.array([[0.0, 0, 0], [0, 0, 5], [0, 0, 5], [9, 9, 0], [-9, -9, 0]])
    _, shown = render_cloud(points, 33)
    assert shown[16, 16] == 1
    assert shown[0:4, 29:33].max() == 3  # x to the right, y up
    assert shown[29:33, 0:4].max() == 4


def test_a_hole_in_front_is_not_closed_but_gaps_between_points_are():
    grid = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), axis=-1).reshape(-1, 2)
    ring = np.hypot(*(grid - 20).T) > 8
    flat = np.column_stack([grid, np.zeros(len(grid))])[ring]
    _, shown = render_cloud(flat, 160)  # four pixels a point
    rows, columns = np.mgrid[:160, :160]
    pitch = 39 / (160 * (1 - 2 * MARGIN) - 1)
    distance = np.hypot((columns - 79.5) * pitch - 0.5, (79.5 - rows) * pitch - 0.5)
    assert (shown[distance < 6] == -1).all()
    assert (shown[(distance > 10) & (distance < 18)] >= 0).all()


def test_clouds_of_a_point_or_on_a_line_have_a_picture():
    for points in (np.zeros((1, 3)), np.zeros((5, 3)), np.outer(np.arange(7.0), [0, 0, 1])):
        picture, shown = render_cloud(points, 32)
        assert shown.max() >= 0
        assert picture.max() > 0
    with pytest.raises(ValueError, match="without points"):
        render_cloud(np.zeros((0, 3)), 32)


def test_renderings_repeat():
    first, second = render_cloud(ball(), 64), render_cloud(ball(), 64)
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()
