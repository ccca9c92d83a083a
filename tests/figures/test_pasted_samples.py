import numpy as np
import pytest
from PIL import Image

from lsfa_cli.figures.canvas import DPI, GAP, LINE, MARGIN, WIDTH
from lsfa_cli.figures.pasted_samples import PastedRow, pasted_picture
from lsfa_cli.figures.raw_samples import Look


def row(height=40, width=60, *, image=True, depth=True):
    part, mask = np.zeros((2, height, width), dtype=bool)
    part[5:-5, 5:-5] = True
    mask[15:25, 20:40] = True
    before = Look(np.full((height, width, 3), 120, np.uint8), np.full((height, width), 90, np.uint8), None)
    after = Look(before.image // 2, before.depth // 2, mask)
    keep = [image, depth]
    before, after = (
        Look(look.image if keep[0] else None, look.depth if keep[1] else None, look.mask) for look in (before, after)
    )
    return PastedRow("part#bump-0: 200 pixels", before, after, part)


def test_what_a_row_shows():
    names = [name for name, _ in row().pictures()]
    assert names == ["image", "with the defect", "3D scan, shaded", "with the defect", "mask"]
    assert len(row(image=False).pictures()) == len(row(depth=False).pictures()) == 3
    _, shown = row().pictures()[-1]
    assert shown[0, 0] == 0
    assert shown[10, 10] == 90
    assert shown[20, 30] == 255
    assert (shown == 255).sum() == 200


def test_all_pictures_are_drawn_side_by_side(tmp_path):
    pasted_picture(tmp_path / "a.png", "title", [row()])
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
    middle = pixels[int((MARGIN + 3 * LINE + GAP / 2) * DPI) + 68]  # the middle of the row
    places = [int(pixels.shape[1] * (column + 0.12) / 5) for column in range(5)]
    assert middle[places] == pytest.approx([120, 60, 90, 45, 90], abs=2)
    assert middle[int(pixels.shape[1] * 0.9)] == 255


def test_the_height_follows_the_rows(tmp_path):
    pasted_picture(tmp_path / "a.png", "title", [row(), row(30, 60)])
    side = (WIDTH - 2 * MARGIN - 4 * 0.05) / 5
    height = 2 * MARGIN + 2 * LINE + GAP / 2 + 2 * (LINE + GAP) + side * (40 + 30) / 60
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == WIDTH * DPI
        assert picture.height == pytest.approx(height * DPI, abs=2)


def test_without_rows(tmp_path):
    with pytest.raises(ValueError, match="at least one row"):
        pasted_picture(tmp_path / "a.png", "title", [])
