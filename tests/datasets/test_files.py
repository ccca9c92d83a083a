"""Reading of single files: what is read, and what is refused with a message that names the file."""

import itertools
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lsfa_cli.datasets.files import MAX_PIXELS, read_grey16, read_mask, read_rgb
from lsfa_cli.datasets.folders import entries
from lsfa_cli.datasets.tiffs import read_cloud
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing.digests import DigestMemo, file_digest
from lsfa_cli.regular_files import MAX_BYTES
from tests.datasets.refusals import refusal
from tests.datasets.trees import cloud, picture, write_cloud

Shared = Callable[[str], Path]
GLAND = "data/mvtec3d/cable_gland"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand, for what Pillow does not write. `rows` each start with a filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_rgb_is_the_picture(tmp_path: Path) -> None:
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    pixels = read_rgb(tmp_path / "a.png")
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, picture(1))


@pytest.mark.parametrize(("mode", "named"), [("L", "8-bit grey"), ("RGBA", "RGB with alpha"), ("P", "palette")])
def test_rgb_refuses_other_colours(tmp_path: Path, mode: str, named: str) -> None:
    Image.fromarray(picture(1)).convert(mode).save(tmp_path / "a.png")
    message = refusal(read_rgb, tmp_path / "a.png")
    assert "expected an 8-bit RGB PNG" in message
    assert named in message


def test_rgb_refuses_16_bits_which_pillow_would_silently_cut(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, b"\0" + bytes(6)))
    assert "found 16-bit RGB" in refusal(read_rgb, tmp_path / "a.png")


def test_mask_is_every_class_id_above_zero(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 127], [252, 253, 255]], dtype=np.uint8)
    Image.fromarray(ids).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), ids > 0)


@pytest.mark.parametrize(
    "content",
    [png(3, 1, 1, 0, b"\0\x60"), png(3, 1, 16, 0, b"\0" + struct.pack(">3H", 0, 1, 65535))],
    ids=["1 bit", "16 bits"],
)
def test_mask_of_other_depths(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[False, True, True]])


@pytest.mark.parametrize(("mode", "named"), [("RGB", "8-bit RGB"), ("P", "palette"), ("LA", "grey with alpha")])
def test_mask_refuses_colours(tmp_path: Path, mode: str, named: str) -> None:
    Image.fromarray(picture(1)).convert(mode).save(tmp_path / "a.png")
    message = refusal(read_mask, tmp_path / "a.png")
    assert "expected a mask with one grey channel" in message
    assert named in message


@pytest.mark.parametrize("read", [read_rgb, read_mask])
@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (MAX_PIXELS + 1, 1), (2**31 - 1, 2**31 - 1), (0, 5)])
def test_huge_or_empty_header_is_refused_before_memory_is_taken(
    tmp_path: Path, read: Callable[[Path], object], width: int, height: int
) -> None:
    (tmp_path / "a.png").write_bytes(png(width, height, 8, 2 if read is read_rgb else 0, b""))
    assert f"its header says {width} x {height} pixels" in refusal(read, tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_rgb, read_mask])
def test_png_cut_anywhere_or_with_a_wrong_byte_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    pixels = picture(2, 5, 4)
    whole, path = tmp_path / "whole.png", tmp_path / "a.png"
    Image.fromarray(pixels if read is read_rgb else pixels[..., 0]).save(whole)
    content = whole.read_bytes()
    end = len(content) - 12  # the last chunk (IEND) holds nothing
    for length in range(end):
        path.write_bytes(content[:length])
        refusal(read, path)
    for place in range(end):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        refusal(read, path)


def test_jpeg_with_the_name_of_a_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(picture(1)).save(tmp_path / "a.png", format="JPEG")
    assert "is not a PNG file" in refusal(read_rgb, tmp_path / "a.png")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("rows", [1, 4, 12])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_cloud_is_read_from_every_kind_of_tiff(
    tmp_path: Path, compression: str | None, rows: int, byteorder: str
) -> None:
    write_cloud(tmp_path / "a.tiff", cloud(3), compression=compression, rowsperstrip=rows, byteorder=byteorder)
    xyz, valid = read_cloud(tmp_path / "a.tiff")
    assert xyz.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(xyz, cloud(3))
    assert not valid[0].any()
    assert valid[1:].all()


def test_cloud_leaves_out_what_is_not_finite_and_keeps_zero_coordinates(tmp_path: Path) -> None:
    points = cloud(4)
    points[1, :5] = [[np.nan, 0.1, 0.1], [0.1, np.inf, 0.1], [0.1, 0.1, -np.inf], [-0.0, 0, -0.0], [np.nan] * 3]
    points[2, :3] = [[0, 0.1, 0.6], [0, 0, 0.6], [0.1, 0, 0]]
    write_cloud(tmp_path / "a.tiff", points)
    xyz, valid = read_cloud(tmp_path / "a.tiff")
    assert valid[1].tolist() == [False] * 5 + [True] * 5
    assert not xyz[1, :5].any()
    assert valid[2].all()
    np.testing.assert_array_equal(xyz[2], points[2])


def test_cloud_reads_the_first_page_beside_a_validity_mask(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tiff") as file:
        file.write(cloud(5), photometric="rgb", subifds=1, rowsperstrip=1)
        file.write((cloud(5) != 0).any(axis=2), subfiletype=4)
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.tiff")[0], cloud(5))


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (cloud(6).astype(np.float64), "12 x 10 x 3 float64"),
        (cloud(6).astype(np.float16), "12 x 10 x 3 float16"),
        ((cloud(6) * 1000).astype(np.uint16), "12 x 10 x 3 uint16"),
        (cloud(6)[..., 0], "12 x 10 float32"),
        (np.concatenate([cloud(6)] * 2, axis=2)[..., :4], "12 x 10 x 4 float32"),
    ],
)
def test_cloud_refuses_other_shapes_and_types(tmp_path: Path, pixels: np.ndarray, found: str) -> None:
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tiff", pixels, photometric=photometric)
    message = refusal(read_cloud, tmp_path / "a.tiff")
    assert "expected H x W x 3 float32" in message
    assert found in message


def test_cloud_refuses_one_plane_a_channel(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(cloud(6).transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "a.tiff", planes, photometric="rgb", planarconfig="separate")
    assert "found 3 x 12 x 10 float32" in refusal(read_cloud, tmp_path / "a.tiff")


@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_cloud_without_a_point_is_refused(tmp_path: Path, nothing: float) -> None:
    write_cloud(tmp_path / "a.tiff", np.full((4, 5, 3), nothing, dtype=np.float32))
    assert "no valid point" in refusal(read_cloud, tmp_path / "a.tiff")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_cut_anywhere_is_refused(tmp_path: Path, compression: str | None) -> None:
    write_cloud(tmp_path / "whole.tiff", cloud(7, 6, 5), compression=compression, rowsperstrip=2)
    content = (tmp_path / "whole.tiff").read_bytes()
    for length in range(len(content)):
        (tmp_path / "a.tiff").write_bytes(content[:length])
        refusal(read_cloud, tmp_path / "a.tiff")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_damaged_tiff_is_refused_or_read_but_never_a_crash(
    tmp_path: Path, compression: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    write_cloud(tmp_path / "whole.tiff", cloud(8, 6, 5), compression=compression, rowsperstrip=2)
    content = (tmp_path / "whole.tiff").read_bytes()
    refused = 0
    for place, value in itertools.product(range(min(len(content), 260)), (0, 255)):
        (tmp_path / "a.tiff").write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
        try:
            read_cloud(tmp_path / "a.tiff")
        except DataError:
            refused += 1
    assert refused > 100
    assert capfd.readouterr().err == ""  # tifffile's own remarks


def test_huge_tiff_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    write_cloud(tmp_path / "a.tiff", cloud(9))
    content = bytearray((tmp_path / "a.tiff").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        for tag in ("ImageWidth", "ImageLength"):
            place = file.pages.first.tags[tag].valueoffset
            kind = {3: "<H", 4: "<I"}[file.pages.first.tags[tag].dtype]
            content[place : place + struct.calcsize(kind)] = struct.pack(kind, 60_000)
    (tmp_path / "a.tiff").write_bytes(bytes(content))
    assert "its header says 60000 x 60000 pixels" in refusal(read_cloud, tmp_path / "a.tiff")


@pytest.mark.parametrize("read", [read_rgb, read_mask, read_cloud])
def test_missing_file_folder_and_text_are_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("nothing of the kind, but long enough to hold a header")
    (tmp_path / "empty").write_bytes(b"")
    assert "does not exist" in refusal(read, tmp_path / "absent")
    assert "is a folder, expected a file" in refusal(read, tmp_path / "folder")
    refusal(read, tmp_path / "text")
    refusal(read, tmp_path / "empty")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("read", [read_rgb, read_mask, read_cloud])
def test_file_without_permission_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "a").write_bytes(b"secret")
    (tmp_path / "a").chmod(0)
    refusal(read, tmp_path / "a")


@pytest.mark.parametrize("read", [read_rgb, read_mask, read_cloud])
def test_a_file_beyond_a_gigabyte_is_not_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"has {MAX_BYTES + 1} bytes, at most {MAX_BYTES} are read" in refusal(read, tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    assert "is a pipe or a device, expected a file" in refusal(read_rgb, tmp_path / "a")
    assert "is a pipe or a device, expected a file" in refusal(file_digest, tmp_path / "a")
    assert "is a pipe or a device, expected a file" in refusal(DigestMemo(tmp_path / "memo").digest, tmp_path / "a")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fine é 漢").touch()
    assert [path.name for path in entries(tmp_path)] == ["fine é 漢"]
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).touch()
    with pytest.raises(DataError, match="has a name that is not UTF-8") as caught:
        entries(tmp_path)
    assert "caf" in caught.value.message
    str(caught.value).encode()


def test_grey_is_read_as_rgb_where_it_may_be(tmp_path: Path) -> None:
    Image.fromarray(picture(1)[..., 0]).save(tmp_path / "a.png")
    pixels = read_rgb(tmp_path / "a.png", or_grey=True)
    np.testing.assert_array_equal(pixels, np.stack([picture(1)[..., 0]] * 3, axis=2))
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png", or_grey=True), picture(1))
    Image.fromarray(picture(1)).convert("RGBA").save(tmp_path / "a.png")
    message = refusal(lambda path: read_rgb(path, or_grey=True), tmp_path / "a.png")
    assert "expected an 8-bit RGB or grey PNG, found 8-bit RGB with alpha" in message


def test_depth_image_is_16_bit_grey(tmp_path: Path) -> None:
    depth = np.array([[0, 1, 300], [256, 65534, 65535]], dtype=np.uint16)
    Image.fromarray(depth).save(tmp_path / "a.png")
    pixels = read_grey16(tmp_path / "a.png")
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, depth)
    Image.fromarray(depth.astype(np.uint8)).save(tmp_path / "a.png")
    assert "expected a 16-bit grey PNG, found 8-bit grey" in refusal(read_grey16, tmp_path / "a.png")


WITHOUT_CODECS = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from lsfa_cli.datasets.tiffs import read_cloud
from lsfa_cli.errors import DataError
for name in sys.argv[1:]:
    try:
        xyz, valid = read_cloud(Path(name))
    except DataError as error:
        print(error)
    else:
        print(xyz.shape, valid.sum(), float(xyz.sum(dtype="f8")))
"""


def read_without_codecs(*paths: Path) -> str:
    command = [sys.executable, "-c", WITHOUT_CODECS, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_without_imagecodecs_clouds_are_read_and_other_codecs_are_named(tmp_path: Path) -> None:
    write_cloud(tmp_path / "plain.tiff", cloud(1))
    write_cloud(tmp_path / "zlib.tiff", cloud(1), compression="zlib")
    content = bytearray((tmp_path / "plain.tiff").read_bytes())
    with tifffile.TiffFile(tmp_path / "plain.tiff") as file:
        content[file.pages.first.tags["Compression"].valueoffset] = 5  # LZW
    (tmp_path / "lzw.tiff").write_bytes(bytes(content))
    names = ("plain", "zlib", "lzw")
    plain, deflated, *refused = read_without_codecs(*(tmp_path / f"{name}.tiff" for name in names)).splitlines()
    assert plain == deflated
    assert plain.startswith("(12, 10, 3) 110 ")
    assert "lzw.tiff" in refused[0]
    assert "pip install imagecodecs" in refused[1]


def test_published_and_recompressed_clouds(shared: Shared) -> None:
    paths = [shared(f"{GLAND}/train/good/xyz/{stem}.tiff") for stem in ("000", "009")]
    with tifffile.TiffFile(paths[0]) as file:
        assert file.pages.first.subifds is not None  # as published
        assert file.pages.first.compression == 1
    with tifffile.TiffFile(paths[1]) as file:
        assert file.pages.first.compression == 8
    for path, line in zip(paths, read_without_codecs(*paths).splitlines(), strict=True):
        xyz, valid = read_cloud(path)
        np.testing.assert_array_equal(xyz, tifffile.imread(path))
        assert line == f"(400, 400, 3) {valid.sum()} {float(xyz.sum(dtype='f8'))}"
