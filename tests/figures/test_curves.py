import numpy as np
import pytest
from PIL import Image

from lsfa_cli.figures import curves_picture
from lsfa_cli.figures.curves import _grouped

STEPS = 30


def curves():
    decay = np.exp(-np.arange(STEPS) / 10)
    every_fifth = np.where(np.arange(STEPS) % 5 == 0, 1.0, np.nan)
    return {
        "step": np.arange(float(STEPS)),
        "L_LA": 6 + decay,
        "L_LC_rgb": decay,
        "L_LC_xyz": 2 * decay,
        "effective_rank_rgb": every_fifth * (10 - decay),
        "effective_rank_xyz": every_fifth * 8,
        "learning_rate": 3e-4 * decay,
    }


def picture(path):
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def coloured(pixels, colour):
    return int((np.abs(pixels - colour).max(axis=2) < 30).sum())


ORANGE, BLUE = [228, 87, 46], [59, 82, 139]


def test_modalities_share_a_plot():
    groups = _grouped({name: np.zeros(2) for name in curves()})
    assert {quantity: sorted(lines) for quantity, lines in groups.items()} == {
        "step": [""],
        "L_LA": [""],
        "L_LC": ["rgb", "xyz"],
        "effective_rank": ["rgb", "xyz"],
        "learning_rate": [""],
    }
    assert list(_grouped({"rgb": np.zeros(2)})) == ["rgb"]


def test_curves_are_drawn_in_the_colours_of_their_modality(tmp_path):
    curves_picture(tmp_path / "curves.png", curves(), title="cable_gland")
    pixels = picture(tmp_path / "curves.png")
    assert pixels.shape[1] == 1080
    assert coloured(pixels, ORANGE) > 300
    assert coloured(pixels, BLUE) > 300
    one = {name: values for name, values in curves().items() if not name.endswith("_xyz")}
    curves_picture(tmp_path / "one.png", one)
    assert coloured(picture(tmp_path / "one.png"), BLUE) == 0


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        curves_picture(tmp_path / name, curves(), title="$t_", stopped_at=12)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_stop_is_marked_and_the_steps_are_those_given(tmp_path):
    curves_picture(tmp_path / "plain.png", curves())
    curves_picture(tmp_path / "stopped.png", curves(), stopped_at=12)
    assert (picture(tmp_path / "plain.png") != picture(tmp_path / "stopped.png")).any()
    shifted = {**curves(), "step": np.arange(float(STEPS)) + 1000}
    curves_picture(tmp_path / "shifted.png", shifted)
    assert (picture(tmp_path / "plain.png") != picture(tmp_path / "shifted.png")).any()


def test_gaps_are_not_drawn_and_a_curve_without_any_value_is_empty(tmp_path):
    curves_picture(tmp_path / "curves.png", {"norm_rgb": np.full(5, np.nan), "norm_xyz": np.ones(5)})
    pixels = picture(tmp_path / "curves.png")
    assert coloured(pixels, BLUE) > 100
    assert coloured(pixels, ORANGE) < coloured(pixels, BLUE) / 4  # its sample in the legend alone


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no curves"):
        curves_picture(tmp_path / "curves.png", {"step": np.arange(3.0)})
