import numpy as np
import pytest
from PIL import Image

from lsfa_cli.figures.raw_samples import COLUMNS, Look, Tile, montage, sample_picture


def look(mask=True, image=True, depth=True, size=(40, 40)):
    marked = np.zeros(size, bool)
    marked[10:20, 10:20] = mask
    grey = np.full(size, 120, np.uint8)
    return Look(np.full((*size, 3), 90, np.uint8) if image else None, grey if depth else None, marked)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def cyan(pixels):
    return int((np.abs(pixels - [0, 230, 255]).max(axis=2) < 40).sum())


def red(pixels):
    return (np.abs(pixels - [217, 26, 26]).max(axis=2) < 12).sum()


def drawn(tmp_path, *looks, lines=("size: 40 x 40",)):
    sample_picture(tmp_path / "s.png", "set part test/hole/003", [("as it is", one, lines) for one in looks])
    return read(tmp_path / "s.png")


def test_image_and_scan_side_by_side_with_the_defect_outlined_on_both(tmp_path):
    pixels = drawn(tmp_path, look())
    assert pixels.shape[1] == 1080
    left, right = pixels[:, :540], pixels[:, 540:]
    assert (left == 90).all(axis=2).sum() > 100_000
    assert (right == 120).all(axis=2).sum() > 100_000
    assert min(cyan(left), cyan(right)) > 300


def test_no_outline_without_a_defect(tmp_path):
    assert cyan(drawn(tmp_path, look(mask=False))) == 0


@pytest.mark.parametrize("absent", ["image", "depth"])
def test_one_of_the_two_is_enough(tmp_path, absent):
    pixels = drawn(tmp_path, look(**{absent: False}))
    assert cyan(pixels) > 300
    assert (pixels[100:, 560:] == 255).all()


def test_every_row_and_line_takes_its_place(tmp_path):
    one = drawn(tmp_path, look(), lines=()).shape[0]
    assert drawn(tmp_path, look(), look(), lines=()).shape[0] > 1.8 * one
    assert drawn(tmp_path, look(), lines=["a", "b " * 100]).shape[0] > one + 60


def test_a_mask_of_another_size_is_not_drawn(tmp_path):
    odd = Look(np.full((40, 40, 3), 90, np.uint8), None, np.ones((20, 20), bool))
    assert cyan(drawn(tmp_path, odd)) == 0


def test_nothing_to_draw_is_the_callers_error(tmp_path):
    with pytest.raises(ValueError, match="one row"):
        sample_picture(tmp_path / "s.png", "title", [])
    with pytest.raises(ValueError, match="one sample"):
        montage(tmp_path / "m.png", [("title", [])])


def grid(tmp_path, *tiles):
    montage(tmp_path / "m.png", [("part: 2 of 9 samples", tiles)])
    return read(tmp_path / "m.png")


def test_marked_samples_are_framed(tmp_path):
    plain = grid(tmp_path, Tile("train/good/000", "", look(mask=False)))
    marked = grid(tmp_path, Tile("train/good/000", "outliers", look(mask=False)))
    assert red(plain) == 0
    assert red(marked) > 1000
    assert marked.shape[0] > plain.shape[0]


def test_a_sample_that_cannot_be_read_has_its_place(tmp_path):
    pixels = grid(tmp_path, Tile("a", "", look()), Tile("b", "files", None))
    assert red(pixels[:, 180:360]) > 500
    assert cyan(pixels[:, :180]) > 50


def test_rows_of_tiles(tmp_path):
    tiles = [Tile(str(number), "", look()) for number in range(COLUMNS + 1)]
    one, two = grid(tmp_path, *tiles[:-1]), grid(tmp_path, *tiles)
    assert two.shape[0] > 1.7 * one.shape[0]
    below = two[one.shape[0] + 20 :]
    assert (below[:, 200:] == 255).all()
    assert cyan(below[:, :200]) > 50


def test_names_in_other_letters_and_with_line_breaks_stay_on_their_line(tmp_path):
    plain = grid(tmp_path, Tile("train/good/xx", "", look()))
    odd = grid(tmp_path, Tile("train/good/部\n品", "", look()))
    assert odd.shape == plain.shape
    assert (odd[-200:] == plain[-200:]).all()


def test_equal_input_gives_equal_bytes(tmp_path):
    grid(tmp_path, Tile("a", "", look()))
    first = (tmp_path / "m.png").read_bytes()
    grid(tmp_path, Tile("a", "", look()))
    assert (tmp_path / "m.png").read_bytes() == first
