import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lsfa_cli.checks.axes import Axes
from tests.checks.views import changed, clean, cloud_view, judged


def with_axes(change):
    return changed(lambda sample: {"xyz": np.ascontiguousarray(change(sample.xyz))})


def message(views):
    (finding,) = judged(Axes(), views).findings
    assert (finding.severity, finding.samples) == ("warning", ())
    return finding.message


def test_the_cameras_frame():
    verdict = judged(Axes(), clean())
    assert verdict.findings == []
    assert verdict.figures["x_along_columns"] == pytest.approx(1)
    assert verdict.figures["y_along_rows"] == pytest.approx(1)


def test_a_view_from_the_side_is_the_cameras_frame_too():
    tilt = Rotation.from_euler("x", 50, degrees=True).as_matrix().astype(np.float32)
    middle = np.float32([0, 0, 0.5])
    assert judged(Axes(), with_axes(lambda xyz: (xyz - middle) @ tilt.T + middle)).findings == []


def test_x_and_y_swapped():
    assert "x and y are swapped" in message(with_axes(lambda xyz: xyz[..., [1, 0, 2]]))


@pytest.mark.parametrize(("axis", "name"), [(0, "x"), (1, "y")])
def test_a_flipped_axis(axis, name):
    signs = np.ones(3, np.float32)
    signs[axis] = -1
    assert f"{name} is flipped" in message(with_axes(lambda xyz: xyz * signs))


def test_the_frame_of_graphics_libraries():
    text = message(with_axes(lambda xyz: xyz * np.float32([1, -1, -1])))
    assert "y is flipped" in text
    assert "behind the camera" in text
    assert "x is" not in text


def test_coordinates_in_reverse_order():
    text = message(with_axes(lambda xyz: xyz[..., ::-1]))
    assert "z instead of x" in text


def test_points_in_no_order_at_all():
    generator = np.random.default_rng(0)
    text = message(with_axes(lambda xyz: generator.permutation(xyz.reshape(-1, 3)).reshape(xyz.shape)))
    assert "x does not grow" in text
    assert "y does not grow" in text


def test_unorganized_clouds_have_no_columns():
    assert Axes().measure(cloud_view(np.ones((10, 3)))) is None
