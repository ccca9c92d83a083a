import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.errors import ResourceError
from lsfa_cli.figures import Limits, SheetRow, case_picture, contact_sheet, shade_depth

SIZE = 48
LIMITS = {name: Limits(0.0, 4.0) for name in ("rgb", "xyz", "fused")}


def case(defect=True):
    """image, depth, mask and a map of a bright square part with a defect in its middle."""
    generator = np.random.default_rng(0)
    part = np.zeros((SIZE, SIZE), bool)
    part[10:38, 10:38] = True
    image = np.where(part[..., None], generator.integers(90, 160, (SIZE, SIZE, 3)), 0).astype(np.uint8)
    rows, columns = np.mgrid[:SIZE, :SIZE] * 0.001
    depth = shade_depth(np.stack([columns, rows, 0.6 + 0.3 * columns]), part)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:26, 20:26] = defect
    return image, depth, mask, np.where(mask, 3.5, 0.5 * part)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def draw(path, maps=("rgb", "xyz", "fused"), defect=True, limits=LIMITS, **other):
    image, depth, mask, score_map = case(defect)
    options = {"title": "test/hole/003, hole", "subtitle": "best", **other}
    case_picture(path, image, depth, mask, dict.fromkeys(maps, score_map), limits=limits, **options)
    return read(path)


def truth(pixels):
    """Which pixels have the colour of the ground truth's outline."""
    return np.abs(pixels - [0, 230, 255]).max(axis=2) < 40


def outline(pixels):
    return int(truth(pixels).sum())


@pytest.mark.parametrize("maps", [("rgb",), ("rgb", "xyz"), ("rgb", "xyz", "fused")])
def test_a_picture_is_as_wide_as_a_page_whatever_the_maps(tmp_path, maps):
    pixels = draw(tmp_path / "case.png", maps)
    assert pixels.shape[1] == 1080
    assert (pixels[:3] == 255).all()
    assert (pixels[:, :3] == 255).all()
    assert (pixels[:, -3:] == 255).all()


def test_equal_input_gives_equal_bytes_without_date_or_software(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert set(picture.info) <= {"dpi"}


def test_the_users_style_changes_nothing_and_is_left_alone(tmp_path):
    import matplotlib

    draw(tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "image.origin": "lower"}):
        draw(tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_defect_is_outlined_in_the_truth_and_in_every_map(tmp_path):
    one = outline(draw(tmp_path / "1.png", ("rgb",)))
    three = outline(draw(tmp_path / "3.png"))
    assert one > 100
    assert three > 1.5 * one
    assert outline(draw(tmp_path / "good.png", defect=False)) == 0


def test_a_defect_at_the_edge_of_the_picture_is_outlined_too(tmp_path):
    image, depth, mask, score_map = case()
    mask[:] = True
    case_picture(tmp_path / "a.png", image, depth, mask, {"rgb": score_map}, title="", limits=LIMITS)
    assert outline(read(tmp_path / "a.png")) > 100


def test_limits_decide_how_a_map_is_coloured(tmp_path):
    low = draw(tmp_path / "low.png", ("rgb",), limits={"rgb": Limits(0.0, 4.0)})
    high = draw(tmp_path / "high.png", ("rgb",), limits={"rgb": Limits(0.0, 400.0)})
    yellow = [int(((p[..., 0] > 200) & (p[..., 2] < 120)).sum()) for p in (low, high)]
    assert yellow[0] > 2 * yellow[1]


def test_empty_background_is_cropped_away_unless_a_map_is_high_there(tmp_path):
    image, depth, mask, score_map = case()
    for name, corner in (("near", 0.0), ("far", 3.0)):
        score_map[0, 0] = corner
        case_picture(tmp_path / f"{name}.png", image, depth, mask, {"rgb": score_map}, title="", limits=LIMITS)
    near, far = (np.ptp(np.flatnonzero(truth(read(tmp_path / f"{name}.png")).any(axis=1))) for name in ("near", "far"))
    assert near > 1.25 * far  # the same defect, drawn larger


def test_dollar_signs_and_underscores_are_text(tmp_path):
    draw(tmp_path / "case.png", title="$broken_{", subtitle="_a_ $")


def test_long_titles_wrap_and_make_the_picture_higher(tmp_path):
    short = draw(tmp_path / "a.png", title="a")
    long = draw(tmp_path / "b.png", title="a long title " * 20)
    assert long.shape[0] > short.shape[0] + 20
    assert (long[:, -8:] == 255).all()


def test_arrays_of_unequal_size_are_refused(tmp_path):
    image, depth, mask, score_map = case()
    with pytest.raises(ValueError, match="rgb is"):
        case_picture(tmp_path / "a.png", image, depth, mask, {"rgb": score_map[1:]}, title="", limits=LIMITS)
    with pytest.raises(ValueError, match="mask is"):
        case_picture(tmp_path / "a.png", image, depth, mask[1:], {"rgb": score_map}, title="", limits=LIMITS)
    with pytest.raises(ValueError, match="at least one"):
        case_picture(tmp_path / "a.png", image, depth, mask, {}, title="", limits=LIMITS)


@pytest.mark.parametrize("absent", ["image", "depth"])
@pytest.mark.parametrize("maps", [("xyz",), ("rgb", "xyz")])
def test_image_or_scan_alone(tmp_path, absent, maps):
    image, depth, mask, score_map = case()
    both = draw(tmp_path / "both.png", maps, title="t", subtitle="")
    given = {"image": image, "depth": depth, absent: None}
    drawn = dict.fromkeys(maps, score_map)
    case_picture(tmp_path / "one.png", given["image"], given["depth"], mask, drawn, title="t", limits=LIMITS)
    one = read(tmp_path / "one.png")
    assert one.shape[1] == 1080
    assert outline(one) > 100
    # One panel less in the row of one map leaves more room for the others.
    assert (one.shape[0] > both.shape[0]) == (len(maps) == 1)


def test_the_map_lies_over_the_scan_where_there_is_no_image(tmp_path):
    _, depth, mask, score_map = case(defect=False)
    drawn = {"xyz": np.zeros_like(score_map)}
    pixels = []
    for shade in (depth, np.where(depth > 0, 40, 0).astype(np.uint8)):
        case_picture(tmp_path / "a.png", None, shade, mask, drawn, title="", limits=LIMITS)
        pixels.append(read(tmp_path / "a.png"))
    third = pixels[0].shape[1] * 2 // 3 + 40
    assert (pixels[0][100:, third:-150] != pixels[1][100:, third:-150]).any()


def test_an_empty_mask_says_what_it_means(tmp_path):
    image, depth, mask, score_map = case(defect=False)
    texts = []
    for meaning in ({}, {"empty_mask": "no defect"}, {"empty_mask": "not marked"}):
        case_picture(tmp_path / "a.png", image, depth, mask, {"xyz": score_map}, title="", limits=LIMITS, **meaning)
        texts.append((tmp_path / "a.png").read_bytes())
    assert texts[0] == texts[1] != texts[2]
    marked = mask.copy()
    marked[20:26, 20:26] = True
    case_picture(tmp_path / "a.png", image, depth, marked, {"xyz": score_map}, title="", limits=LIMITS)
    before = (tmp_path / "a.png").read_bytes()
    case_picture(tmp_path / "a.png", image, depth, marked, {"xyz": score_map}, title="", limits=LIMITS, empty_mask="?")
    assert (tmp_path / "a.png").read_bytes() == before


def test_nothing_to_draw_is_refused(tmp_path):
    _, _, mask, score_map = case()
    with pytest.raises(ValueError, match="needs an image or a scan"):
        case_picture(tmp_path / "a.png", None, None, mask, {"rgb": score_map}, title="", limits=LIMITS)


def test_folders_are_made_and_a_path_that_cannot_be_written_is_named(tmp_path):
    draw(tmp_path / "new" / "folder" / "case.png")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["case.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"file.case\.png cannot be written"):
        draw(tmp_path / "file" / "case.png")


def test_a_picture_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    draw(tmp_path / "case.png")
    before = (tmp_path / "case.png").read_bytes()

    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="No space left"):
        draw(tmp_path / "case.png", title="another")
    assert (tmp_path / "case.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["case.png"]


def sheet_rows(count):
    image, depth, mask, score_map = case()
    return [SheetRow(f"part {place}", image, depth, mask, score_map) for place in range(count)]


def test_a_contact_sheet_grows_by_equal_rows(tmp_path):
    heights = []
    for count in (1, 2, 3):
        contact_sheet(tmp_path / "sheet.png", sheet_rows(count), limits=Limits(0.0, 4.0))
        height, width, _ = read(tmp_path / "sheet.png").shape
        assert width == 1080
        heights.append(height)
    assert abs((heights[2] - heights[1]) - (heights[1] - heights[0])) <= 1


@pytest.mark.parametrize("absent", ["image", "depth"])
def test_a_contact_sheet_has_no_column_for_what_no_part_has(tmp_path, absent):
    image, depth, mask, score_map = case()
    without = {"image": image, "depth": depth, absent: None}
    one = SheetRow("part", without["image"], without["depth"], mask, score_map)
    whole = SheetRow("part", image, depth, mask, score_map)
    heights = []
    for rows in ([whole], [one], [whole, one]):
        contact_sheet(tmp_path / "sheet.png", rows, limits=Limits(0.0, 4.0))
        pixels = read(tmp_path / "sheet.png")
        heights.append(pixels.shape[0])
        assert pixels.shape[1] == 1080
        assert outline(pixels) > 100
    assert heights[1] > 1.2 * heights[0]  # fewer columns, larger pictures
    assert heights[2] > 1.8 * heights[0]


def test_a_contact_sheet_is_repeatable(tmp_path):
    for name in ("a.png", "b.png"):
        contact_sheet(tmp_path / name, sheet_rows(2), limits=Limits(0.0, 4.0))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_contact_sheet_needs_rows_of_equal_arrays(tmp_path):
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet(tmp_path / "a.png", [], limits=Limits(0.0, 4.0))
    image, depth, mask, score_map = case()
    rows = [SheetRow("part", image, depth[1:], mask, score_map)]
    with pytest.raises(ValueError, match="depth is"):
        contact_sheet(tmp_path / "a.png", rows, limits=Limits(0.0, 4.0))


def test_figures_load_matplotlib_late_and_pyplot_never(tmp_path):
    code = (
        "import sys; import numpy as np; from lsfa_cli import figures; from pathlib import Path;"
        "early = 'matplotlib' in sys.modules;"
        f"figures.curves_picture(Path({str(tmp_path / 'c.png')!r}), {{'loss': np.ones(3)}});"
        "print(early, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
