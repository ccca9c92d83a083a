"""Images, masks and depth images of many kinds, and what is refused."""

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lsfa_cli.datasets.images import read_depth, read_image, read_mask_image
from lsfa_cli.errors import DataError, MissingDependencyError
from tests.datasets.refusals import failure
from tests.datasets.trees import picture

RGB = picture(1, 9, 7)
GREY = RGB[..., 0]
DEPTH = np.random.default_rng(2).integers(300, 60000, (9, 7)).astype(np.uint16)


def alpha(pixels: np.ndarray) -> np.ndarray:
    """The same with a fourth (second) channel that hides half of the pixels."""
    hidden = np.zeros((*pixels.shape[:2], 1), dtype=np.uint8)
    hidden[:, ::2] = 255
    return np.concatenate([pixels.reshape(*pixels.shape[:2], -1), hidden], axis=2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_rgb_comes_back_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a b{suffix}"
    Image.fromarray(RGB).save(path)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert read_image(path).dtype == np.uint8


def test_jpeg_comes_back_as_its_decoder_has_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    smooth = np.repeat(np.linspace(0, 255, 40).astype(np.uint8)[None, :, None], 30, axis=0).repeat(3, axis=2)
    Image.fromarray(smooth).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - smooth).max() <= 4


def test_the_first_bytes_say_what_a_file_is_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path, format="PNG")
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(GREY).save(path)
    np.testing.assert_array_equal(read_image(path), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_dropped_and_changes_no_colour(tmp_path: Path, suffix: str) -> None:
    for pixels in (RGB, GREY):
        path = tmp_path / f"{pixels.ndim}{suffix}"
        Image.fromarray(alpha(pixels)).save(path)
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_palettes_are_resolved(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3)
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 255])
    image.save(path)
    colours = np.array([[10, 20, 30], [200, 100, 50], [0, 0, 255]], dtype=np.uint8)
    np.testing.assert_array_equal(read_image(path), colours[np.arange(12).reshape(3, 4) % 3])


def test_a_palette_that_lacks_a_colour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = np.full((4, 4), 200, dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="palette", colormap=np.zeros((3, 256), dtype=np.uint16))
    content = path.read_bytes()
    entry = struct.pack("<HHI", 320, 3, 768)  # 3 x 256 colours
    path.write_bytes(content.replace(entry, struct.pack("<HHI", 320, 3, 300)))
    for read in (read_image, read_mask_image):
        with pytest.raises(DataError, match="its palette lacks colours of its pixels"):
            read(path)


def test_palette_with_transparent_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2) % 2)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(path, transparency=b"\x00\x80")
    np.testing.assert_array_equal(read_image(path)[0], [[10, 20, 30], [200, 100, 50]])


def test_one_bit_and_inverted_tiffs(tmp_path: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    tifffile.imwrite(tmp_path / "bits.tif", bits, photometric="minisblack")
    tifffile.imwrite(tmp_path / "inverted.tif", GREY, photometric="miniswhite")
    for name, expected in (("bits.png", bits * 255), ("bits.tif", bits * 255), ("inverted.tif", 255 - GREY)):
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 1], expected)


def test_tiff_with_one_channel_after_the_other(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB)


def write_rgb16(path: Path) -> None:
    """A 16-bit RGB PNG, which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + bytes(6 * 4) for _ in range(3)))
    header = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_sixteen_bits_are_refused_with_a_hint(tmp_path: Path) -> None:
    Image.fromarray(DEPTH).save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "grey.tif", DEPTH)
    write_rgb16(tmp_path / "rgb.png")
    for name in ("grey.png", "grey.tif", "rgb.png"):
        error = failure(lambda name=name: read_image(tmp_path / name), tmp_path / name)
        assert "expected 8 bits a channel, found 16" in error.message
        assert "one and the same scale" in str(error.hint)
    error = failure(lambda: read_image(tmp_path / "grey.png"), tmp_path / "grey.png")
    assert "[files] depth" in str(error.hint)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_rotation_in_the_exif_data_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    exif[274] = 1
    image.save(path, exif=exif)
    assert read_image(path).shape == RGB.shape
    exif[274] = 6
    image.save(path, exif=exif)
    for read in (read_image, read_mask_image):
        error = failure(lambda read=read: read(path), path)
        assert "orientation 6" in error.message
        assert "-auto-orient" in str(error.hint)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colours_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(RGB).convert(mode).save(path)
    assert "expected grey or RGB" in failure(lambda: read_image(path), path).message
    if mode == "CMYK":
        path = tmp_path / "a.jpg"
        Image.fromarray(RGB).convert(mode).save(path)
        assert "found CMYK" in failure(lambda: read_image(path), path).message


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for content in (b"", b"text", b"GIF89a" + bytes(100)):
        path.write_bytes(content)
        assert "expected a png, jpg, tiff or bmp image" in failure(lambda: read_image(path), path).message
    failure(lambda: read_image(tmp_path), tmp_path)
    failure(lambda: read_image(tmp_path / "absent.png"), tmp_path / "absent.png")


def marks() -> np.ndarray:
    found = np.zeros((9, 7), dtype=bool)
    found[2:5, 3:6] = True
    return found


@pytest.mark.parametrize("value", [1, 252, 255])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_masks_mark_what_is_not_zero(tmp_path: Path, suffix: str, value: int) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(marks().astype(np.uint8) * np.uint8(value)).save(path)
    np.testing.assert_array_equal(read_mask_image(path), marks())


def test_masks_of_other_kinds(tmp_path: Path) -> None:
    coloured = np.zeros((9, 7, 3), dtype=np.uint8)
    coloured[marks()] = (0, 0, 3)
    Image.fromarray(coloured).save(tmp_path / "rgb.png")
    Image.fromarray(alpha(coloured)).save(tmp_path / "rgba.png")
    Image.fromarray(marks()).save(tmp_path / "bits.png")
    Image.fromarray(marks().astype(np.uint16) * np.uint16(256)).save(tmp_path / "words.png")
    tifffile.imwrite(tmp_path / "words.tif", marks().astype(np.uint16) * np.uint16(256))
    palette = Image.fromarray(marks().astype(np.uint8))
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(tmp_path / "palette.png")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(read_mask_image(path), marks(), err_msg=path.name)


def test_faint_grey_in_a_jpeg_is_no_defect(tmp_path: Path) -> None:
    big = np.kron(marks(), np.ones((13, 13), dtype=bool))
    path = tmp_path / "a.jpg"
    Image.fromarray(big.astype(np.uint8) * np.uint8(255)).save(path, quality=60)
    assert (np.asarray(Image.open(path)) > 0).sum() > big.sum()
    np.testing.assert_array_equal(read_mask_image(path), big)


def write_depth(path: Path, values: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, values)
    else:
        Image.fromarray(values).save(path)


@pytest.mark.parametrize(
    ("suffix", "kinds"),
    [
        (".png", [np.uint16]),
        (".tif", [np.uint8, np.uint16, np.int32, np.float32, np.float64]),
        (".npy", [np.uint16, np.float32, np.float64, np.dtype(">u2"), np.int64]),
    ],
)
def test_depth_comes_back_as_the_stored_numbers(tmp_path: Path, suffix: str, kinds: list[Any]) -> None:
    for kind in kinds:
        path = tmp_path / f"a{suffix}"
        stored = (DEPTH >> 8).astype(kind) if np.dtype(kind).itemsize == 1 else DEPTH.astype(kind)
        write_depth(path, stored)
        read = read_depth(path)
        assert read.dtype == np.float64
        np.testing.assert_array_equal(read, stored)


def test_depth_of_one_channel_written_as_three_dimensions(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DEPTH[..., None], photometric="minisblack")
    np.testing.assert_array_equal(read_depth(tmp_path / "a.tif"), DEPTH)


def test_what_is_no_depth_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "eight.png")
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "cloud.tif", np.ones((9, 7, 3), dtype=np.float32), photometric="rgb")
    np.save(tmp_path / "cloud.npy", np.ones((9, 7, 3)))
    np.save(tmp_path / "line.npy", np.ones(9))
    np.save(tmp_path / "object.npy", np.array([[{}]], dtype=object))
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    for name, text in (
        ("eight.png", "expected a 16-bit grey PNG, found 8-bit grey"),
        ("rgb.png", "expected a 16-bit grey PNG, found 8-bit RGB"),
        ("cloud.tif", "expected one number a pixel, found 9 x 7 x 3"),
        ("cloud.npy", "expected one number a pixel, found 9 x 7 x 3"),
        ("line.npy", "found 9 float64"),
        ("object.npy", "found 1 x 1 object"),
        ("a.jpg", "expected a depth image as png, tiff, npy or exr"),
    ):
        path = tmp_path / name
        assert text in failure(lambda path=path: read_depth(path), path).message


def test_headers_with_huge_sizes_take_no_memory(tmp_path: Path) -> None:
    png = tmp_path / "a.png"
    Image.fromarray(DEPTH).save(png)
    content = bytearray(png.read_bytes())
    content[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    png.write_bytes(content)
    bmp = tmp_path / "a.bmp"
    Image.fromarray(RGB).save(bmp)
    content = bytearray(bmp.read_bytes())
    content[18:26] = struct.pack("<ii", 2**30, 2**30)
    bmp.write_bytes(content)
    jpg = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(jpg)
    content = bytearray(jpg.read_bytes())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = b"\xff\xff\xff\xff"
    jpg.write_bytes(content)
    npy = tmp_path / "a.npy"
    np.save(npy, DEPTH)
    npy.write_bytes(npy.read_bytes().replace(b"(9, 7), }" + b" " * 12, b"(900000000, 700000), }"[:21]))
    for path, read in ((png, read_depth), (png, read_image), (bmp, read_image), (jpg, read_image), (npy, read_depth)):
        error = failure(lambda path=path, read=read: read(path), path)
        assert "pixels are read" in error.message or "damaged" in error.message


def written(folder: Path) -> list[tuple[Path, Callable[[Path], Any]]]:
    """One small file of every kind, and its reader."""
    found: list[tuple[Path, Callable[[Path], Any]]] = []
    for name in ("a.png", "a.jpg", "a.bmp", "a.tif"):
        Image.fromarray(RGB).save(folder / name)
        found += [(folder / name, read_image), (folder / name, read_mask_image)]
    tifffile.imwrite(folder / "packed.tif", RGB, photometric="rgb", compression="zlib")
    found.append((folder / "packed.tif", read_image))
    for name in ("depth.png", "depth.tif", "depth.npy"):
        write_depth(folder / name, DEPTH)
        found.append((folder / name, read_depth))
    return found


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # decoders warn of damaged EXIF data
def test_damaged_files_end_in_a_data_error_or_in_an_image(tmp_path: Path, data: st.DataObject) -> None:
    files = written(tmp_path)
    path, read = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = str(path)
    try:
        assert read(path).ndim in (2, 3)
    except DataError as error:
        message = error.message
    assert str(path) in message


def test_depth_in_openexr(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    metres = (DEPTH / 1000).astype(np.float32)
    for channels in ({"Y": metres}, {"Z": metres, "A": metres * 0}, {"view.Z": metres, "view.R": metres * 0}):
        path = tmp_path / "a.exr"
        with exr.File(header, channels) as file:
            file.write(str(path))
        np.testing.assert_array_equal(read_depth(path), metres)
    with exr.File(header, {"A": metres, "B": metres}) as file:
        file.write(str(path))
    assert "expected one channel, or one called Z, found A, B" in failure(lambda: read_depth(path), path).message
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    failure(lambda: read_depth(path), path)


def test_openexr_that_is_not_installed_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(50))
    with pytest.raises(MissingDependencyError, match=r'pip install "openexr>=3\.4"'):
        read_depth(tmp_path / "a.exr")
