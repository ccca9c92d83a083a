"""Setting up a user's own parts: what is made, what is written, and what stays as it was."""

from pathlib import Path

import pytest

from lsfa_cli.datasets.folder import Folder
from lsfa_cli.datasets.part_file import PartFile, load_part_file
from lsfa_cli.errors import DataError
from lsfa_cli.stages.own_parts import fit, init, parts_to_fit
from tests.datasets.folder_trees import CAMERA, write_category, write_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_category(tmp_path / "parts/block")
    return tmp_path / "parts"


def test_init_makes_folders_without_files_and_the_template(tmp_path: Path) -> None:
    layout = init(tmp_path / "a/b c")
    folder = tmp_path / "a/b c"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "good", "lsfa-part.toml", "masks", "test", "test/good", "validation",
    ]  # fmt: skip
    assert (layout.kept, layout.parts) == ((), ())
    assert set(layout.made) == {
        folder / name for name in ("good", "validation", "test/good", "masks", "lsfa-part.toml")
    }
    assert load_part_file([folder / "lsfa-part.toml"]) == PartFile()


def test_init_overwrites_nothing(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    layout = init(root / "block")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert root / "block/lsfa-part.toml" in layout.kept
    again = init(root / "block")
    assert again.made == ()
    assert Folder(root).categories() == ["block"]


def test_init_in_a_folder_of_parts_makes_the_file_for_all(root: Path) -> None:
    layout = init(root)
    assert layout.made == (root / "lsfa-part.toml",)
    assert layout.parts == ("block",)
    assert Folder(root).categories() == ["block"]


def test_init_leaves_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "lsfa-part.toml").symlink_to(tmp_path / "nowhere.toml")
    assert tmp_path / "lsfa-part.toml" in init(tmp_path).kept
    assert not (tmp_path / "nowhere.toml").exists()


def test_init_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(DataError, match="is no folder"):
        init(tmp_path / "a")


def test_a_part_as_the_template_leaves_it_says_what_is_missing(tmp_path: Path) -> None:
    init(tmp_path / "part")
    with pytest.raises(DataError, match="good holds no samples"):
        Folder(tmp_path / "part").records("part")


def test_fit_writes_values_and_keeps_comments(root: Path) -> None:
    file = root / "block/lsfa-part.toml"
    file.write_bytes(
        b"# my camera\r\n" + CAMERA.replace("\n", "\r\n").encode()
        + b"\r\n[preprocessing] # mine\r\nplane_inlier_distance = 0.5 # too much\r\npad_multiple = 4\r\n"
    )  # fmt: skip
    done = fit(Folder(root), "block")
    assert done.saved
    assert done.file == file
    text = file.read_bytes().decode()
    for line in ("# my camera\r\n", "fx = 120.0\r\n", "[preprocessing] # mine\r\n", " # too much\r\n"):
        assert line in text
    table = load_part_file([file]).preprocessing
    values = done.proposal.values
    assert {key: getattr(table, key) for key in values} == dict(values)
    assert table.pad_multiple == 4
    assert 0.002 < table.plane_inlier_distance < 0.02
    changes = {change.key: change for change in done.changes}
    assert (changes["plane_inlier_distance"].old, changes["plane_inlier_distance"].origin) == (0.5, "the part's file")
    assert changes["plane_removal_distance"].origin == "the default"
    again = fit(Folder(root), "block")
    assert not again.saved
    assert file.read_bytes().decode() == text


def test_dry_run_writes_nothing(root: Path) -> None:
    before = (root / "block/lsfa-part.toml").read_bytes()
    done = fit(Folder(root), "block", dry_run=True)
    assert not done.saved
    assert done.changes
    assert (root / "block/lsfa-part.toml").read_bytes() == before


def test_fit_writes_the_file_of_the_part_not_that_of_all(root: Path) -> None:
    (root / "lsfa-part.toml").write_text(CAMERA + "[preprocessing]\nplane_inlier_distance = 0.5\n")
    (root / "block/lsfa-part.toml").unlink()
    done = fit(Folder(root), "block")
    assert done.changes[1].origin == "the file for all parts"
    assert "plane_inlier_distance" in (root / "block/lsfa-part.toml").read_text()
    assert "plane_inlier_distance = 0.5" in (root / "lsfa-part.toml").read_text()
    assert Folder(root).recipe("block").plane_inlier_distance == done.proposal.values["plane_inlier_distance"]


def test_fit_after_the_template(root: Path) -> None:
    (root / "block/lsfa-part.toml").unlink()
    init(root / "block")
    template = (root / "block/lsfa-part.toml").read_text()
    (root / "lsfa-part.toml").write_text(CAMERA)
    done = fit(Folder(root), "block")
    text = (root / "block/lsfa-part.toml").read_text()
    assert text.startswith(template.rstrip("\n"))
    assert Folder(root).recipe("block").plane_inlier_distance == done.proposal.values["plane_inlier_distance"]


def test_how_many_samples_are_measured(root: Path) -> None:
    assert fit(Folder(root), "block", dry_run=True).proposal.measured.samples == 3
    assert fit(Folder(root), "block", samples=2, dry_run=True).proposal.measured.samples == 2


def test_images_alone_have_nothing_to_fit(root: Path) -> None:
    write_images(root / "sheet")
    assert parts_to_fit(Folder(root)) == ["block"]
    with pytest.raises(DataError, match="has images alone"):
        fit(Folder(root), "sheet")
    assert parts_to_fit(Folder(root / "sheet")) == ["sheet"]


def test_a_damaged_part_file_is_named(root: Path) -> None:
    (root / "block/lsfa-part.toml").write_text("[camera")
    with pytest.raises(DataError, match=r"lsfa-part\.toml is not valid TOML"):
        fit(Folder(root), "block")
