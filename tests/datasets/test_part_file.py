"""`lsfa-part.toml`: its values, two files together, and what is said about mistakes in it."""

import sys
from pathlib import Path

import pytest

from lsfa_cli.datasets.part_file import PART_FILE, Intrinsics, PartFile, load_part_file
from lsfa_cli.datasets.part_template import template
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write(folder: Path, text: str) -> Path:
    path = folder / PART_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_everything_is_the_default() -> None:
    file = load_part_file([])
    assert file == PartFile()
    assert file.recipe == Recipe(pad_multiple=1)
    assert (file.cloud.unit, file.cloud.axes, file.depth.invalid) == ("m", ["x", "y", "z"], 0)


def test_later_files_count_key_by_key(tmp_path: Path) -> None:
    general = write(
        tmp_path, "[camera]\nfx = 600\nfy = 601\ncx = 320\ncy = 240\n[preprocessing]\ncluster_distance = 0.1"
    )
    part = write(tmp_path / "a", "[camera]\ncx = 319.5\n[depth]\nscale = 0.001\n[preprocessing]\nremove_plane = false")
    file = load_part_file([general, part])
    assert file.intrinsics([general, part], Path("a.png")) == Intrinsics(600, 601, 319.5, 240)
    assert file.depth_scale([], Path("a.png")) == 0.001
    assert file.recipe == Recipe(pad_multiple=1, cluster_distance=0.1, remove_plane=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[camra]\nfx = 1", "Did you mean 'camera'?"),
        ("[camera]\nfxx = 1", "unknown key in [camera] of"),
        ("[preprocessing]\ncluster_dist = 1", "Did you mean 'cluster_distance'?"),
        ("fx = 1", "unknown table in"),
        ("camera = 1", "camera must be a table"),
        ("[camera]\nfx = -600", "[camera] fx = -600: Input should be greater than 0"),
        ("[camera]\nfx = nan", "[camera] fx = nan"),
        ("[camera]\nfx = '600'", "[camera] fx = '600': Input should be a valid number"),
        ("[depth]\nscale = true", "[depth] scale = true: Input should be a valid number"),
        ("[cloud]\nunit = 'ft'", "[cloud] unit = 'ft': Input should be 'm', 'cm', 'mm', 'um' or 'inch'"),
        ("[cloud]\naxes = ['x', '-x', 'z']", "x, y and z must each appear once"),
        ("[cloud]\naxes = ['x', 'y', 'w']", "[cloud] axes = 'w'"),
        ("[files]\nrgb = '*.png'", "a pattern has {id} once"),
        ("[preprocessing]\ncluster_min_points = 1.5", "[preprocessing] cluster_min_points = 1.5"),
        ("[preprocessing]\npad_multiple = 0", "[preprocessing] pad_multiple = 0"),
        ("[camera", "is not valid TOML"),
        ("[camera]\nfx = 1\nfx = 2", "is not valid TOML"),
        ("a = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        load_part_file([path])
    assert str(path) in caught.value.message
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_files_that_are_no_text_or_too_long_are_refused(tmp_path: Path) -> None:
    path = tmp_path / PART_FILE
    for content, message in ((b"\xff\xfe[\0", "is not valid TOML"), (b"#" * 2**21, "bytes, at most")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_part_file([path])


def test_what_a_depth_image_lacks_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "[camera]\nfx = 600\ncy = 240")
    file = load_part_file([path])
    with pytest.raises(DataError) as caught:
        file.intrinsics([path], Path("depth/000.png"))
    assert caught.value.message == f"{path}: [camera] lacks fy, cx, which depth/000.png needs."
    with pytest.raises(DataError, match=r"there is no lsfa-part\.toml, so: \[depth\] lacks scale"):
        file.depth_scale([], Path("depth/000.png"))


def test_the_template_is_valid_and_sets_nothing(tmp_path: Path) -> None:
    assert load_part_file([write(tmp_path, template())]) == PartFile()
    assert max(map(len, template().splitlines())) <= 102


def test_every_key_of_the_template_may_be_uncommented(tmp_path: Path) -> None:
    lines = template().splitlines()
    keys = [
        line
        for line in lines
        if line.startswith("# ") and " = " in line and line.rstrip().endswith(("default", "example"))
    ]
    active = "\n".join(line[2:] if line in keys else line for line in lines)
    file = load_part_file([write(tmp_path, active)])
    content = tomllib.loads(active)
    for name, table in PartFile.model_fields.items():
        assert set(content[name]) == set(table.annotation.model_fields)
    assert file.intrinsics([], Path()) == Intrinsics(615, 615, 319.5, 239.5)
    defaults = [line for line in keys if line.endswith("# the default")]
    only = "\n".join(line[2:] if line in defaults else line for line in lines)
    assert load_part_file([write(tmp_path, only)]).model_dump() == PartFile().model_dump()
