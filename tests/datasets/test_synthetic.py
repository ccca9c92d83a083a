"""The generator of synthetic parts: repeatable files, a layout and a geometry that fit METHOD 1, honest masks."""

import dataclasses
import json
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lsfa_cli.datasets.synthetic import CATEGORIES, generate
from lsfa_cli.datasets.synthetic import writer as writer_module
from lsfa_cli.datasets.synthetic.camera import Camera, background_frame, plane_depth
from lsfa_cli.datasets.synthetic.categories import CATALOGUE
from lsfa_cli.datasets.synthetic.noise import SolidNoise, field, smoothstep, stream
from lsfa_cli.datasets.synthetic.scene import MASK_SHARE, Rendering, render, severity_of
from lsfa_cli.datasets.synthetic.tracing import box_interval, normals, trace, visibility
from lsfa_cli.errors import DataError, ResourceError, UnknownNameError, UsageError

SIZE = 128
FEW = {"size": SIZE, "train": 2, "validation": 1, "test_good": 1, "test_per_defect": 1}
KINDS = [(name, defect) for name, category in CATALOGUE.items() for defect in category.defects]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts") / "data"
    assert generate(root, categories=["fitting", "dowel"], seed=5, **FEW) == ["fitting", "dowel"]
    return root


@pytest.fixture(scope="module")
def pairs() -> dict[tuple[str, str], tuple[Rendering, Rendering]]:
    """For every kind of defect: the defective sample and its sound twin."""
    found = {}
    for name, defect in KINDS:
        category = CATALOGUE[name]
        arguments = (category, 3, f"test/{defect}", 0, SIZE)
        found[name, defect] = (render(*arguments, category.defects[defect]), render(*arguments))
    return found


# --- files ---------------------------------------------------------------------------------------------------------


def test_bytes_depend_on_the_seed_and_the_names_alone(made: Path, tmp_path: Path) -> None:
    """Two workers, another category left out and more samples give the same files."""
    more = FEW | {"train": 3, "test_good": 0}
    generate(tmp_path, categories=["dowel"], seed=5, jobs=2, **more)
    first, second = contents(made / "dowel"), contents(tmp_path / "dowel")
    common = [name for name in first if name in second and name != "synthetic.json"]
    assert len(common) >= 2 * 2 + 2 + 3 * 4 + 2
    assert [name for name in common if first[name] != second[name]] == []
    assert set(second) - set(first) == {"train/good/rgb/002.png", "train/good/xyz/002.tiff"}


def test_another_seed_makes_another_part() -> None:
    category = CATALOGUE["dowel"]
    first, second = (render(category, seed, "train", 0, SIZE) for seed in (0, 1))
    assert np.abs(first.rgb.astype(int) - second.rgb).mean() > 1.0


def test_layout_types_and_masks(made: Path) -> None:
    for name in ("fitting", "dowel"):
        folder = made / name
        ids = json.loads((folder / "class_ids.json").read_text())
        defects = sorted(CATALOGUE[name].defects)
        assert ids == {"0": "good"} | {str(255 - position): defect for position, defect in enumerate(defects)}
        assert sorted(path.name for path in (folder / "test").iterdir()) == sorted([*defects, "good"])
        assert {path.name for path in (folder / "train" / "good").iterdir()} == {"rgb", "xyz"}
        for defect in (*defects, "good"):
            assert [path.name for path in (folder / "test" / defect / "gt").iterdir()] == ["000.png"]
            values = set(np.unique(np.array(Image.open(folder / "test" / defect / "gt" / "000.png"))).tolist())
            expected = {0} if defect == "good" else {0, 255 - defects.index(defect)}
            assert values == expected
    with Image.open(made / "dowel/train/good/rgb/001.png") as image:
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))


def test_cloud_files_are_plain_and_follow_the_conventions(made: Path) -> None:
    for path in made.rglob("*.tiff"):
        with tifffile.TiffFile(path) as file:
            assert len(file.pages) == 1
            assert {tag.name for tag in file.pages[0].tags} & {"DateTime", "Software", "ImageDescription"} == set()
            assert int(file.pages[0].compression) in (1, 8)
            xyz = file.asarray()
        assert xyz.dtype == np.float32
        assert xyz.shape == (SIZE, SIZE, 3)
        assert np.isfinite(xyz).all()
        valid = (xyz != 0).any(axis=-1)
        assert (xyz[valid][:, 2] > 0.55).all()
        assert 0.5 < valid.mean() < 0.92


def test_camera_file_says_how_the_cloud_was_made(made: Path) -> None:
    numbers = json.loads((made / "fitting/calibration/camera_parameters.json").read_text())
    xyz = tifffile.imread(made / "fitting/train/good/xyz/000.tiff").astype(np.float64)
    row, column = np.nonzero((xyz != 0).any(axis=-1))
    x, y, z = xyz[row, column].T
    np.testing.assert_allclose(x / z * numbers["focus"] / numbers["sx"] + numbers["cx"], column, atol=1e-3)
    np.testing.assert_allclose(y / z * numbers["focus"] / numbers["sy"] + numbers["cy"], row, atol=1e-3)


def test_what_is_there_and_matches_is_left_alone(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job: writer_module.Job) -> None:
        raise AssertionError(f"{job} was made again")

    monkeypatch.setattr(writer_module, "make_sample", refuse)
    counted: list[tuple[int, int]] = []
    generate(made, categories=["dowel"], seed=5, progress=lambda *done: counted.append(done), **FEW)
    assert counted == [(8, 8)]


def test_other_settings_replace_a_generated_category(tmp_path: Path) -> None:
    few = FEW | {"train": 1, "validation": 0, "test_per_defect": 0}
    generate(tmp_path, categories=["dowel"], seed=1, **few)
    before = contents(tmp_path)
    generate(tmp_path, categories=["dowel"], seed=2, **few)
    after = contents(tmp_path)
    assert set(before) == set(after)
    assert before["dowel/train/good/rgb/000.png"] != after["dowel/train/good/rgb/000.png"]


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "dowel" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="'dowel', which is not a generated category"):
        generate(tmp_path, categories=["dowel"], **FEW)
    (tmp_path / "dowel" / "train").rmdir()
    (tmp_path / "dowel").rmdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.txt"):
        generate(tmp_path, categories=["dowel"], **FEW)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="is a file, not a folder"):
        generate(tmp_path / "file", categories=["dowel"], **FEW)
    with pytest.raises(DataError, match="is a file, not a folder"):
        generate(tmp_path / "file" / "below", categories=["dowel"], **FEW)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device", "somewhere"), ResourceError),
        (BrokenProcessPool("killed"), ResourceError),
        (PermissionError(13, "Permission denied", "somewhere"), ResourceError),
    ],
)
def test_nothing_half_written_stays(
    failure: BaseException, expected: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted or out of disk at the third sample: no category and no temporary folder."""
    original, calls = writer_module.write_sample, []

    def write(rendering: Rendering, job: writer_module.Job) -> None:
        calls.append(job)
        if len(calls) == 3:
            raise failure
        original(rendering, job)

    monkeypatch.setattr(writer_module, "write_sample", write)
    with pytest.raises(expected):
        generate(tmp_path, categories=["dowel"], **FEW)
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"categories": ["dowell"]}, "Did you mean 'dowel'"),
        ({"size": 10}, "10 pixels"),
        ({"seed": -1}, "seed is -1"),
        ({"train": 0}, "0 training"),
        ({"test_good": 0, "test_per_defect": 0}, "0 defective"),
    ],
)
def test_impossible_wishes(changed: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, UnknownNameError), match=message):
        generate(tmp_path / "new", **(FEW | changed))
    assert not (tmp_path / "new").exists()


def test_tables_agree() -> None:
    assert list(CATEGORIES) == list(CATALOGUE)
    for name, category in CATALOGUE.items():
        assert category.name == name
        assert category.description == CATEGORIES[name]
        assert {kind.visible for kind in category.defects.values()} == {"rgb", "xyz", "both"}


# --- scenes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATEGORIES)
def test_the_border_shows_the_plane_and_the_part_rises_above_it(name: str) -> None:
    """METHOD 1 takes a plane from the border (4 mm inliers) and drops what is within 5 mm of it."""
    scene = render(CATALOGUE[name], 0, "train", 1, SIZE)
    valid = (scene.xyz != 0).any(axis=-1)
    border = np.zeros_like(valid)
    width = max(2, 10 * SIZE // 400)
    border[:width] = border[-width:] = border[:, :width] = border[:, -width:] = True
    points = scene.xyz[border & valid].astype(np.float64)
    assert len(points) > 50
    centre = points.mean(axis=0)
    normal = np.linalg.svd(points - centre, full_matrices=False)[2][2]
    assert np.abs((points - centre) @ normal).max() < 0.004
    height = np.abs((scene.xyz.astype(np.float64) - centre) @ normal)
    part = valid & (height > 0.005)
    assert 0.05 < part.mean() < 0.35
    assert height[part].max() > 0.011
    rows, columns = np.nonzero(part)
    assert min(rows.min(), columns.min()) > 1
    assert max(rows.max(), columns.max()) < SIZE - 2


def test_strokes_thinner_than_every_margin_still_carry_a_defect() -> None:
    """At 300 pixels no point of this print is two pixels away from its letter's outline."""
    cover = CATALOGUE["cover"]
    assert render(cover, 1, "test/print", 0, 300, cover.defects["print"]).mask.any()


@pytest.mark.parametrize("name", CATEGORIES)
def test_individuals_pose_and_light_differ(name: str) -> None:
    scenes = [render(CATALOGUE[name], 0, "train", index, SIZE) for index in range(2)]
    assert not any(scene.mask.any() for scene in scenes)
    levels = [np.median(scene.rgb[scene.albedo.mean(axis=-1) > 0.1]) for scene in scenes]
    assert levels[0] != levels[1]
    assert np.abs(scenes[0].depth - scenes[1].depth).max() > 3.0


@pytest.mark.parametrize(("name", "defect"), KINDS)
def test_the_mask_is_what_changed(
    name: str, defect: str, pairs: dict[tuple[str, str], tuple[Rendering, Rendering]]
) -> None:
    """Outside the mask the true colour and depth are the sound twin's; where a defect shows is as declared."""
    bad, sound = pairs[name, defect]
    visible = CATALOGUE[name].defects[defect].visible
    assert not sound.mask.any()
    assert MASK_SHARE[0] <= bad.mask.mean() <= MASK_SHARE[1]
    depth_change = np.abs(bad.depth - sound.depth)
    colour_change = np.abs(bad.albedo - sound.albedo).max(axis=-1)
    assert depth_change[~bad.mask].max() <= 0.1001
    assert (depth_change[bad.mask] > 0.1).any() == (visible != "rgb")
    if visible == "rgb":
        np.testing.assert_array_equal(bad.xyz, sound.xyz)
        mean = float(sound.albedo[sound.albedo.mean(axis=-1) > 0.04].mean())
        assert colour_change[bad.mask].min() > 0.01 * mean
        assert colour_change[~bad.mask].max() < 0.1 * mean
    else:
        assert (bad.xyz != sound.xyz).any()
    if visible == "xyz":
        np.testing.assert_array_equal(bad.albedo, sound.albedo)
    if visible != "xyz":
        assert (bad.rgb[bad.mask] != sound.rgb[bad.mask]).any()


def test_noise_away_from_a_defect_is_the_twins(pairs: dict[tuple[str, str], tuple[Rendering, Rendering]]) -> None:
    """A defect changes a neighbourhood, not the random numbers of the rest."""
    bad, sound = pairs["fitting", "hole"]
    rows, columns = np.nonzero(bad.mask)
    far = np.ones_like(bad.mask)
    far[max(0, rows.min() - 14) : rows.max() + 15, max(0, columns.min() - 14) : columns.max() + 15] = False
    assert (bad.xyz[far] == sound.xyz[far]).mean() > 0.999
    assert (bad.rgb[far] == sound.rgb[far]).mean() > 0.999


def test_severities_cover_the_range() -> None:
    values = np.sort([severity_of(index) for index in range(20)])
    assert values[0] < 0.1
    assert values[-1] > 0.9
    assert np.diff(values).max() < 0.1


@pytest.mark.parametrize(
    ("owner", "defect", "message"), [("cover", "print", "no print"), ("fitting", "thread", "no thread")]
)
def test_a_defect_needs_a_part_that_can_have_it(owner: str, defect: str, message: str) -> None:
    kind = dataclasses.replace(CATALOGUE[owner].defects[defect], site="body")
    with pytest.raises(ValueError, match=f"Dowel has {message}"):
        render(CATALOGUE["dowel"], 0, f"test/{defect}", 0, SIZE, kind)


# --- geometry ------------------------------------------------------------------------------------------------------


def ball(points: np.ndarray) -> np.ndarray:
    """Distance to a ball of 2 mm round (0, 0, 10)."""
    return np.linalg.norm(points - np.array([0.0, 0.0, 10.0]), axis=-1).astype(np.float32) - np.float32(2.0)


def test_tracing_a_ball_agrees_with_the_quadratic_formula() -> None:
    slopes = np.linspace(-0.25, 0.25, 41, dtype=np.float32)
    directions = np.stack([slopes, 0.3 * slopes, np.ones_like(slopes)], axis=-1)
    origins = np.zeros_like(directions)
    low, high = np.array([-3, -3, 7], np.float32), np.array([3, 3, 13], np.float32)
    hit = trace(ball, origins, directions, *box_interval(origins, directions, low, high))
    squared = (directions.astype(np.float64) ** 2).sum(axis=-1)
    root = 100.0 - squared * 96.0
    expected = np.where(root > 0, (10.0 - np.sqrt(np.maximum(root, 0.0))) / squared, np.inf)
    clear = np.abs(root) > 1.0
    assert np.isfinite(expected[clear]).any()
    assert np.isinf(expected[clear]).any()
    np.testing.assert_allclose(hit[clear], expected[clear], atol=0.03)
    found = np.isfinite(hit)
    points = directions[found] * hit[found][:, None]
    np.testing.assert_allclose(normals(ball, points, step_mm=0.05), (points - [0, 0, 10]) / 2.0, atol=0.03)


def test_shadow_lies_behind_the_ball_and_nowhere_else() -> None:
    points = np.array([[0, 0, 20], [6, 0, 20], [0, 0, 5], [2.0, 0, 20]], dtype=np.float32)
    light = np.array([0, 0, -500], dtype=np.float32)
    seen = visibility(ball, points, light, np.full(3, -30, np.float32), np.full(3, 30, np.float32))
    np.testing.assert_allclose(seen[:3], [0.0, 1.0, 1.0], atol=1e-6)
    assert 0.0 <= seen[3] < 0.9


def test_plane_depth_by_hand() -> None:
    """A plane facing the camera is at the working distance everywhere; a tilted one comes nearer on one side."""
    rays = Camera(SIZE).rays()
    np.testing.assert_allclose(plane_depth(background_frame(0.0, 0.0), rays), 655.0, rtol=1e-5)
    frame = background_frame(0.3, 0.0)
    points = rays * plane_depth(frame, rays)[..., None]
    np.testing.assert_allclose((points - frame.origin) @ frame.axes[:, 2], 0.0, atol=1e-3)
    assert np.ptp(points[..., 2]) > 20.0


def test_noise_is_smooth_bounded_and_named() -> None:
    noise = SolidNoise(stream(0, "a"))
    line = np.zeros((400, 3), dtype=np.float32)
    line[:, 0] = np.linspace(0.0, 20.0, 400)
    values = noise(line, 1.0)
    assert np.abs(values).max() <= 1.0
    assert values.std() > 0.1
    assert np.abs(np.diff(values)).max() < 0.2
    assert stream(0, "a").random() == stream(0, "a").random()
    assert len({stream(seed, name).random() for seed in (0, 1) for name in ("a", "b")}) == 4
    image = field(stream(0, "field"), 64, 6)
    assert abs(float(image.std()) - 1.0) < 1e-4
    assert np.abs(np.diff(image, axis=0)).max() < 1.0
    np.testing.assert_allclose(smoothstep(1.0, 0.0, np.array([-1.0, 0.0, 0.5, 1.0, 2.0])), [1, 1, 0.5, 0, 0])


def test_lattice_values_return_after_one_period() -> None:
    noise = SolidNoise(stream(0, "b"))
    points = np.arange(12, dtype=np.float32).reshape(4, 3) * np.float32(0.75)
    np.testing.assert_allclose(noise(points, 1.0), noise(points + np.float32(32.0), 1.0), atol=1e-6)
