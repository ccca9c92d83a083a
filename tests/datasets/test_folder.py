"""A user's own parts: the layouts that are read, what a sample becomes, and what is said about mistakes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from lsfa_cli.datasets.folder import Folder, unproject
from lsfa_cli.datasets.part_file import Intrinsics
from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.preprocessing import Recipe
from lsfa_cli.samples import Sample
from tests.datasets.folder_trees import CAMERA, HEIGHT, WIDTH, depth, mask, write_category, write_images
from tests.datasets.refusals import failure
from tests.datasets.trees import picture, write_cloud, write_png

NAMES = [
    "train/good/000",
    "train/good/001",
    "train/good/002",
    "validation/good/000",
    "test/dent/000",
    "test/dent/001",
    "test/good/000",
    "test/good/001",
]


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A part with colour and depth in a folder of parts, in which a second one has images alone."""
    write_category(tmp_path / "parts" / "block")
    write_images(tmp_path / "parts" / "sheet")
    (tmp_path / "parts" / "notes").mkdir()
    return tmp_path / "parts" / "block"


def names(dataset: Folder, category: str) -> list[str]:
    return [record.name for record in dataset.records(category)]


def first(dataset: Folder, category: str = "block") -> Sample:
    return dataset.read(dataset.records(category)[0])


def cloud(seed: int = 0) -> NDArray[np.float32]:
    """(HEIGHT, WIDTH, 3), metres; nothing in the first row."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    z = 0.5 + np.random.default_rng(seed).normal(0, 1e-3, rows.shape)
    points = np.stack([columns * 1e-3, rows * 1e-3, z], axis=2).astype(np.float32)
    points[0] = np.nan
    return points


def write_ply(path: Path, points: NDArray[np.float32], width: int | None = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = (
        "" if width is None else f"obj_info num_cols {width}\nobj_info num_rows {len(points.reshape(-1, 3)) // width}\n"
    )
    header = (
        f"ply\nformat binary_little_endian 1.0\n{grid}element vertex {points.size // 3}\n"
        "property float x\nproperty float y\nproperty float z\nend_header\n"
    )
    path.write_bytes(header.encode() + points.astype("<f4").tobytes())


def write_pcd(path: Path, points: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = points.shape
    header = (
        "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {height * width}\nDATA binary\n"
    )
    path.write_bytes(header.encode() + points.astype("<f4").tobytes())


WRITERS: dict[str, Callable[[Path, NDArray[np.float32]], None]] = {
    ".tiff": write_cloud,
    ".npy": lambda path, points: np.save(path, points),
    ".ply": write_ply,
    ".pcd": write_pcd,
}


def test_parts_are_the_folders_with_good_parts(part: Path) -> None:
    dataset = Folder(part.parent)
    assert dataset.categories() == ["block", "sheet"]
    assert dataset.modalities("block") == ("rgb", "xyz")
    assert dataset.modalities("sheet") == ("rgb",)
    assert names(dataset, "block") == names(dataset, "sheet") == NAMES
    with pytest.raises(UnknownNameError, match="Did you mean 'block'"):
        dataset.records("blok")
    assert "is no category" in failure(lambda: dataset.records("notes")).message


def test_a_part_alone_is_a_category_of_its_own_name(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Folder(part).categories() == ["block"]
    assert names(Folder(part), "block") == NAMES
    monkeypatch.chdir(part)
    assert Folder(Path()).categories() == ["block"]
    with pytest.raises(UnknownNameError):
        Folder(part).records("sheet")


def test_the_folder_of_a_part_without_good_parts_is_no_folder_of_parts(part: Path) -> None:
    shutil.rmtree(part / "good")
    error = failure(Folder(part).categories)
    assert "has no category: expected PART/good" in error.message
    assert str(error.hint).startswith(f"{part} looks like a part without good/: put the good parts")


def test_a_root_without_parts_says_which_folder_is_meant(part: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    hint = failure(Folder(tmp_path / "empty").categories).hint
    assert hint == f"A part is a folder with good/ in it. Make one: lsfa data init {tmp_path / 'empty' / 'NAME'}"
    for place in ("good", "good/rgb", "test/dent", "test/dent/rgb"):
        hint = failure(Folder(part / place).categories).hint
        assert hint == f"This is inside of the category {part}. Use {part.parent}"
    assert failure(Folder(tmp_path).categories).hint == f"The categories are one folder down. Use {part.parent}"
    shutil.rmtree(part / "good")
    shutil.rmtree(part.parent / "sheet")
    assert str(failure(Folder(part.parent).categories).hint).startswith(f"{part} looks like a part without good/")


def test_every_file_that_reading_depends_on_has_a_role(part: Path) -> None:
    (part.parent / "lsfa-part.toml").write_text("[depth]\nscale = 0.002\n")
    record = Folder(part.parent).records("block")[4]
    assert dict(record.files) == {
        "rgb": part / "test/dent/rgb/000.png",
        "depth": part / "test/dent/depth/000.png",
        "mask": part / "masks/dent/000_mask.png",
        "all_parts": part.parent / "lsfa-part.toml",
        "part": part / "lsfa-part.toml",
    }
    assert set(Folder(part).records("block")[0].files) == {"rgb", "depth", "part"}


def test_what_a_part_file_does_not_say_the_file_for_all_says(part: Path) -> None:
    (part / "lsfa-part.toml").write_text("[preprocessing]\ncluster_distance = 0.02\n")
    (part.parent / "lsfa-part.toml").write_text(CAMERA + "[preprocessing]\nremove_plane = false\n")
    dataset = Folder(part.parent)
    assert dataset.recipe("block") == Recipe(pad_multiple=1, cluster_distance=0.02, remove_plane=False)
    assert dataset.recipe("sheet") == Recipe(pad_multiple=1, remove_plane=False)
    assert first(dataset).xyz is not None


def test_depth_becomes_points_as_a_pinhole_camera_sees_them(part: Path) -> None:
    sample = first(Folder(part))
    raw = depth(400).astype(float)
    assert sample.xyz is not None
    assert sample.valid is not None
    np.testing.assert_array_equal(sample.valid, raw > 0)
    for row, column in ((5, 7), (30, 40), (59, 79)):
        z = raw[row, column] * 0.001
        expected = [(column - 39.5) * z / 120, (row - 29) * z / 121, z] if z else [0, 0, 0]
        np.testing.assert_allclose(sample.xyz[row, column], expected, rtol=1e-6)
    assert sample.rgb is not None
    np.testing.assert_array_equal(sample.rgb, picture(400, HEIGHT, WIDTH))
    assert sample.mask is not None
    assert not sample.mask.any()


def test_unproject_by_hand() -> None:
    raw = np.array([[2.0, 0.0, -1.0], [np.nan, np.inf, 9.0]])
    scan = unproject(Path("a"), raw, Intrinsics(10, 20, 1, 0), 0.5, 9.0)
    np.testing.assert_array_equal(scan.valid, [[True, False, False], [False, False, False]])
    np.testing.assert_allclose(scan.xyz[0, 0], [-0.1, 0, 1])
    assert not scan.xyz[~scan.valid].any()
    with pytest.raises(DataError, match="no valid point"):
        unproject(Path("a"), np.zeros((2, 3)), Intrinsics(10, 20, 1, 0), 0.5, 9.0)
    with pytest.raises(DataError, match="no valid point"):
        unproject(Path("a"), np.full((2, 3), 1e300), Intrinsics(10, 20, 1, 0), 1e10, 9.0)


def test_camera_and_scale_must_be_said(part: Path) -> None:
    (part / "lsfa-part.toml").unlink()
    error = failure(lambda: first(Folder(part)))
    assert "there is no lsfa-part.toml" in error.message
    assert str(part / "good/depth/000.png") in error.message
    (part / "lsfa-part.toml").write_text(CAMERA.partition("[depth]")[0])
    assert "[depth] lacks scale" in failure(lambda: first(Folder(part))).message


def test_masks_are_empty_on_good_parts_and_none_where_nobody_drew_one(part: Path) -> None:
    dataset = Folder(part)
    samples = {record.name: dataset.read(record) for record in dataset.records("block")}
    drawn = samples["test/dent/000"].mask
    assert drawn is not None
    np.testing.assert_array_equal(drawn, mask() > 0)
    assert samples["test/dent/001"].mask is None
    for name in ("train/good/000", "validation/good/000", "test/good/001"):
        found = samples[name].mask
        assert found is not None
        assert found.shape == (HEIGHT, WIDTH)
        assert not found.any()


def test_masks_by_either_name(part: Path) -> None:
    write_png(part / "masks/dent/001.png", mask())
    record = Folder(part).records("block")[5]
    assert record.files["mask"] == part / "masks/dent/001.png"
    write_png(part / "masks/dent/001_mask.bmp", mask())
    assert "are both the mask of dent/001" in failure(lambda: Folder(part).records("block")).message


@pytest.mark.parametrize("name", ["dent/002.png", "dent/00_mask.png", "scratch/000.png"])
def test_masks_of_no_sample_are_refused(part: Path, name: str) -> None:
    write_png(part / "masks" / name, mask())
    error = failure(lambda: Folder(part).records("block"))
    assert f"masks/{name}" in error.message
    assert "no test sample belongs to this mask" in error.message


def test_masks_without_tests_do_no_harm(part: Path) -> None:
    shutil.rmtree(part / "test")
    assert names(Folder(part), "block") == NAMES[:4]


def test_good_part_with_a_marked_defect_is_refused(part: Path) -> None:
    write_png(part / "masks/good/000.png", mask())
    record = Folder(part).records("block")[6]
    assert "marks 48 defect pixels" in failure(lambda: Folder(part).read(record)).message


def test_empty_folders_are_as_good_as_none(part: Path) -> None:
    for folder in ("validation", "test/good", "test/dent"):
        shutil.rmtree(part / folder)
        (part / folder / "rgb").mkdir(parents=True)
    shutil.rmtree(part / "masks")
    assert names(Folder(part), "block") == NAMES[:3]


def test_folder_with_other_files_is_refused(part: Path) -> None:
    shutil.rmtree(part / "test/good")
    write_png(part / "test/good/images/000.png", mask())
    error = failure(lambda: Folder(part).records("block"))
    assert f"{part / 'test/good'} holds no samples" in error.message
    assert "found images" in error.message


@pytest.mark.parametrize("name", ["validation", "test", "masks"])
def test_a_file_in_the_place_of_a_folder_is_refused(part: Path, name: str) -> None:
    shutil.rmtree(part / name)
    (part / name).write_text("")
    assert f"{part / name} is a file" in failure(lambda: Folder(part).records("block")).message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize(
    "name", ["good/rgb/000.png", "good/depth/000.png", "masks/dent/000_mask.png", "lsfa-part.toml"]
)
def test_links_in_a_circle_pipes_and_folders_in_the_place_of_files_are_named(part: Path, name: str) -> None:
    def read_all() -> None:
        for record in Folder(part).records("block"):
            Folder(part).read(record)

    path = part / name
    for make in (lambda: path.symlink_to(path.name), lambda: os.mkfifo(path), path.mkdir):
        path.unlink()
        make()
        assert str(path) in failure(read_all).message


def test_good_without_samples_is_refused(part: Path) -> None:
    shutil.rmtree(part / "good")
    (part / "good").mkdir()
    shutil.rmtree(part / "test")
    shutil.rmtree(part / "validation")
    assert "good holds no samples" in failure(lambda: Folder(part).records("block")).message


def test_missing_partners_are_listed(part: Path) -> None:
    (part / "good/depth/001.png").unlink()
    (part / "test/dent/rgb/000.png").unlink()
    error = failure(lambda: Folder(part).records("block"))
    assert error.message == f"{part}: 2 files are missing: good/depth/001.*, test/dent/rgb/000.*."


def test_a_role_that_only_tests_have_is_missing_in_the_good_parts(part: Path) -> None:
    shutil.rmtree(part / "good/depth")
    assert "3 files are missing: good/depth/000.*" in failure(lambda: Folder(part).records("block")).message


def test_validation_may_have_a_folder_good(part: Path) -> None:
    (part / "validation/rgb").rename(part / "rgb")
    (part / "validation/depth").rename(part / "depth")
    (part / "validation/good").mkdir()
    (part / "rgb").rename(part / "validation/good/rgb")
    (part / "depth").rename(part / "validation/good/depth")
    assert names(Folder(part), "block") == NAMES


def test_files_side_by_side_by_their_patterns(tmp_path: Path) -> None:
    root = tmp_path / "block"
    for number in range(2):
        write_png(root / "good" / f"{number}.png", picture(number, HEIGHT, WIDTH))
        write_png(root / "good" / f"{number}_depth.png", depth(number))
    (root / "lsfa-part.toml").write_text(CAMERA + '[files]\nrgb = "{id}.png"\ndepth = "{id}_depth.png"\n')
    dataset = Folder(root)
    assert names(dataset, "block") == ["train/good/0", "train/good/1"]
    assert dataset.modalities("block") == ("rgb", "xyz")
    assert first(dataset).xyz is not None


def test_a_folder_a_shot_by_patterns(tmp_path: Path) -> None:
    root = tmp_path / "block"
    write_png(root / "good/shot 1/color.png", picture(0, HEIGHT, WIDTH))
    write_png(root / "good/shot 1/depth.png", depth(0))
    (root / "lsfa-part.toml").write_text(CAMERA + '[files]\nrgb = "{id}/color.*"\ndepth = "{id}/depth.*"\n')
    assert names(Folder(root), "block") == ["train/good/shot 1"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_images_alone_without_subfolders(tmp_path: Path, suffix: str) -> None:
    write_images(tmp_path / "sheet", suffix)
    dataset = Folder(tmp_path / "sheet")
    assert names(dataset, "sheet") == NAMES
    sample = dataset.read(dataset.records("sheet")[4])
    assert sample.rgb is not None
    assert sample.rgb.shape == (HEIGHT, WIDTH, 3)
    assert (sample.xyz, sample.valid, sample.mask) == (None, None, None)


@pytest.mark.parametrize("suffix", list(WRITERS))
@pytest.mark.parametrize("folder", ["good", "good/xyz"])
def test_clouds_alone(tmp_path: Path, suffix: str, folder: str) -> None:
    path = tmp_path / "block" / folder / f"000{suffix}"
    path.parent.mkdir(parents=True)
    WRITERS[suffix](path, cloud())
    dataset = Folder(tmp_path / "block")
    assert dataset.modalities("block") == ("xyz",)
    sample = first(dataset)
    assert sample.rgb is None
    assert sample.xyz is not None
    assert sample.valid is not None
    np.testing.assert_array_equal(sample.xyz, np.nan_to_num(cloud()))
    np.testing.assert_array_equal(sample.valid, np.isfinite(cloud()[..., 0]))
    assert sample.mask is not None
    assert sample.mask.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(("unit", "metres"), [("m", 1.0), ("cm", 1e-2), ("mm", 1e-3), ("um", 1e-6), ("inch", 0.0254)])
@pytest.mark.parametrize("suffix", [".tiff", ".npy"])
def test_units_and_axes(tmp_path: Path, unit: str, metres: float, suffix: str) -> None:
    """A file whose y points up and z at the camera, and whose first two axes are swapped."""
    path = tmp_path / "block/good" / f"0{suffix}"
    path.parent.mkdir(parents=True)
    stored = np.stack([-cloud()[..., 1], cloud()[..., 0], -cloud()[..., 2]], axis=2) / np.float32(metres)
    WRITERS[suffix](path, stored)
    axes = '["y", "-x", "-z"]'
    (tmp_path / "block/lsfa-part.toml").write_text(f'[cloud]\nunit = "{unit}"\naxes = {axes}\n')
    sample = first(Folder(tmp_path / "block"))
    assert sample.xyz is not None
    np.testing.assert_allclose(sample.xyz, np.nan_to_num(cloud()), rtol=1e-6)


def test_whole_numbers_and_doubles_in_a_tiff(tmp_path: Path) -> None:
    whole = np.nan_to_num(cloud() * 1e6).astype(np.int32)
    (tmp_path / "block/good/xyz").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "block/good/xyz/0.tif", whole, photometric="rgb")
    tifffile.imwrite(tmp_path / "block/good/xyz/1.tif", whole.astype(np.float64), photometric="rgb")
    (tmp_path / "block/lsfa-part.toml").write_text('[cloud]\nunit = "um"\n')
    dataset = Folder(tmp_path / "block")
    for record in dataset.records("block"):
        scan = dataset.read_scan(record)
        assert scan is not None
        np.testing.assert_allclose(scan.xyz, whole * 1e-6, rtol=1e-6)


def test_ply_without_a_grid_needs_the_width(tmp_path: Path) -> None:
    write_ply(tmp_path / "block/good/0.ply", cloud(), width=None)
    dataset = Folder(tmp_path / "block")
    error = failure(lambda: first(dataset))
    assert "are not organized" in error.message
    assert "real3d_ad" in str(error.hint)
    (tmp_path / "block/lsfa-part.toml").write_text(f"[cloud]\nwidth = {WIDTH}\n")
    sample = first(dataset)
    assert sample.xyz is not None
    np.testing.assert_array_equal(sample.xyz, np.nan_to_num(cloud()))


def test_images_and_clouds_side_by_side_need_patterns(tmp_path: Path) -> None:
    write_ply(tmp_path / "block/good/0.ply", cloud())
    write_png(tmp_path / "block/good/0_colour.png", picture(0, HEIGHT, WIDTH))
    error = failure(lambda: Folder(tmp_path / "block").records("block"))
    assert "images and clouds side by side" in error.message
    (tmp_path / "block/lsfa-part.toml").write_text('[files]\nrgb = "{id}_colour.png"\nxyz = "{id}.ply"\n')
    assert first(Folder(tmp_path / "block")).rgb is not None


def test_a_cloud_wins_over_depth_unless_a_pattern_names_the_depth(part: Path) -> None:
    for folder, count in (("good", 3), ("validation", 1), ("test/good", 2), ("test/dent", 2)):
        for number in range(count):
            write_ply(part / folder / "xyz" / f"{number:03}.ply", cloud())
    assert {"rgb", "xyz"} <= set(Folder(part).records("block")[0].files)
    assert "depth" not in Folder(part).records("block")[0].files
    (part / "lsfa-part.toml").write_text(CAMERA + '[files]\ndepth = "depth/{id}.png"\n')
    assert "xyz" not in Folder(part).records("block")[0].files


def test_other_sizes_are_refused_unless_resizing_is_allowed(part: Path) -> None:
    dataset = Folder(part)
    for record in (dataset.records("block")[0], dataset.records("block")[4]):
        Image.fromarray(picture(3, 2 * HEIGHT, 2 * WIDTH)).save(record.files["rgb"])
    error = failure(lambda: first(dataset))
    assert "has 80 x 60 pixels" in error.message
    assert "has 160 x 120" in error.message
    assert "resize_to_scan" in str(error.hint)
    (part / "lsfa-part.toml").write_text(CAMERA + "[rgb]\nresize_to_scan = true\n")
    sample = first(dataset)
    assert sample.rgb is not None
    assert sample.rgb.shape == (HEIGHT, WIDTH, 3)
    thin = np.zeros((2 * HEIGHT, 2 * WIDTH), dtype=np.uint8)
    thin[50, 20:60] = 255
    write_png(part / "masks/dent/000_mask.png", thin)
    marked = dataset.read(dataset.records("block")[4]).mask
    assert marked is not None
    assert marked.shape == (HEIGHT, WIDTH)
    assert marked.sum() == 20
    assert marked[25, 10:30].all()
    Image.fromarray(picture(3, 2 * HEIGHT, 2 * WIDTH + 20)).save(dataset.records("block")[0].files["rgb"])
    error = failure(lambda: first(dataset))
    assert "has 180 x 120" in error.message
    assert "resizing does not help" in str(error.hint)
    assert "resize_to_scan" not in str(error.hint)


def test_masks_have_the_size_of_what_they_are_drawn_on(part: Path, tmp_path: Path) -> None:
    write_png(part / "masks/dent/000_mask.png", mask()[:-1])
    assert "has 80 x 59 pixels" in failure(lambda: Folder(part).read(Folder(part).records("block")[4])).message
    for folder in ("good", "test/dent"):
        write_ply(tmp_path / "alone" / folder / "000.ply", cloud())
    write_png(tmp_path / "alone/masks/dent/000.png", mask()[:, :-1])
    dataset = Folder(tmp_path / "alone")
    error = failure(lambda: dataset.read(dataset.records("alone")[1]))
    assert "has 79 x 60 pixels, its scan has 80 x 60" in error.message


def test_clouds_and_depths_without_points_are_refused(part: Path) -> None:
    write_png(part / "good/depth/000.png", np.zeros((HEIGHT, WIDTH), dtype=np.uint16))
    assert "no valid point" in failure(lambda: first(Folder(part))).message
    write_cloud(part / "good/depth/000.tif", cloud())
    (part / "good/depth/000.png").unlink()
    assert "expected one number a pixel" in failure(lambda: first(Folder(part))).message


def test_a_depth_image_in_the_place_of_a_cloud_is_refused(tmp_path: Path) -> None:
    (tmp_path / "block/good/xyz").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "block/good/xyz/0.tif", depth(0))
    error = failure(lambda: first(Folder(tmp_path / "block")))
    assert "expected x, y and z for each pixel" in error.message
    assert "[files] depth" in str(error.hint)
