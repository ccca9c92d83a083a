"""Finding files by a pattern."""

from pathlib import Path

import pytest

from lsfa_cli.datasets.patterns import Pattern
from lsfa_cli.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rgb/{id}.*", {"000": "rgb/000.png", "a.b": "rgb/a.b.JPG"}),
        ("{id}_color.png", {"7": "7_color.png", "ü 8": "ü 8_color.png"}),
        ("{id}/color.*", {"shot1": "shot1/color.png"}),
        ("shot?/{id}.png", {"color": "shot1/color.png"}),
        ("{id}.*", {"7_color": "7_color.png", "7_depth": "7_depth.png", "ü 8_color": "ü 8_color.png"}),
        ("nothing/{id}.*", {}),
    ],
)
def test_files_by_id(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    touch(
        tmp_path, "rgb/000.png", "rgb/a.b.JPG", "rgb/readme.txt", "rgb/.hidden.png", "7_color.png", "7_depth.png",
        "ü 8_color.png", "shot1/color.png", "shot1/inner/x.png",
    )  # fmt: skip
    found = Pattern(text).find(tmp_path, (".png", ".jpg"))
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == expected
    assert list(found) == sorted(found)


def test_letters_of_the_pattern_stand_for_themselves(tmp_path: Path) -> None:
    touch(tmp_path, "a+b1.png", "aab2.png", "a+b\n3.png")
    assert list(Pattern("a+b{id}.png").find(tmp_path, (".png",))) == ["\n3", "1"]


def test_two_files_of_one_id_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "000.png", "000.jpg")
    with pytest.raises(DataError) as caught:
        Pattern("{id}.*").find(tmp_path, (".png", ".jpg"))
    assert str(tmp_path / "000.jpg") in caught.value.message
    assert str(tmp_path / "000.png") in caught.value.message


def test_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "000.png").mkdir()
    with pytest.raises(DataError, match=r"000\.png is a folder, expected a file"):
        Pattern("{id}.*").find(tmp_path, (".png",))


def test_link_that_leads_in_a_circle_is_no_endless_walk(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert list(Pattern("*/*/{id}.*").find(tmp_path, (".png",))) == []
    assert list(Pattern("*/{id}.*").find(tmp_path, (".png",))) == ["x"]


@pytest.mark.parametrize(
    "text", ["", "rgb/*.png", "{id}/{id}.png", "/rgb/{id}.png", "../{id}.png", "rgb//{id}.png", "rgb\\{id}.png"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a pattern"):
        Pattern(text)
