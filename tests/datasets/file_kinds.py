"""Every kind of file that a reader of ours takes: a whole one, odd ones, and how what is read must look.

The contents are small and made from fixed seeds. `huge` are headers that promise more than a machine can hold, and
streams that unpack to it; `odd` are whole files of a neighbouring kind: other channels, types, bits or shapes.
"""

import io
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.datasets.point_kinds import (
    HEIGHT,
    WIDTH,
    Content,
    Pixels,
    cloud,
    other_pcds,
    other_plies,
    pcd,
    pcds,
    picture,
    plies,
    ply,
    ply_header,
)


@dataclass(frozen=True)
class Kind:
    """A kind of file. reader: a name of `damaged_files.READERS`. whole: a content that must be read."""

    reader: str
    suffix: str
    whole: Content
    huge: Callable[[], Mapping[str, Content]] = dict
    odd: Callable[[], Mapping[str, Content]] = dict


def pillow(pixels: Pixels, kind: str, mode: str | None = None, **options: Any) -> Content:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, format=kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, packed: bytes, extra: bytes = b"") -> Content:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def packed_zeros(megabytes: int) -> bytes:
    """A zlib stream that unpacks to so many megabytes of zeros, a thousand times longer than it is."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)  # may be repeated after a full flush
    checksum = (megabytes * 2**20 % 65521) << 16 | 1
    return b"\x78\xda" + block * megabytes + b"\x03\0" + struct.pack(">I", checksum)


def pngs(depth: int, colour: int) -> Mapping[str, Content]:
    """Huge ones, for an image of this depth and colour."""
    bomb = packed_zeros(256)
    return {
        "100000 pixels a side": png(100_000, 100_000, depth, colour, b""),
        "all bits of the size": png(2**31 - 1, 2**31 - 1, depth, colour, b""),
        "one very long row": png(2**27, 1, depth, colour, b""),
        "no pixels": png(0, 0, depth, colour, b""),
        "more pixels unpacked than said": png(WIDTH, HEIGHT, depth, colour, bomb),
        "text that unpacks to 256 MB": png(
            WIDTH, HEIGHT, depth, colour, bomb[:50], chunk(b"zTXt", b"Comment\0\0" + bomb)
        ),
        "profile that unpacks to 256 MB": png(
            WIDTH, HEIGHT, depth, colour, bomb[:50], chunk(b"iCCP", b"Profile\0\0" + bomb)
        ),
        "empty pixels of the largest size": png(8192, 8192, depth, colour, packed_zeros(224)),
    }


def other_pngs() -> dict[str, Content]:
    modes = {"grey": "L", "RGB": "RGB", "RGBA": "RGBA", "palette": "P", "grey with alpha": "LA", "1 bit": "1"}
    found = {name: pillow(picture(), "PNG", mode) for name, mode in modes.items()}
    found["16-bit grey"] = pillow(picture(1, "u2"), "PNG")
    found["16-bit RGB"] = png(1, 1, 16, 2, zlib.compress(b"\0" + bytes(6)))
    return found


def tiff(pixels: Pixels, **options: Any) -> Content:
    stream = io.BytesIO()
    colours = pixels.ndim == 3 and pixels.shape[2] in (3, 4)
    tifffile.imwrite(stream, pixels, **({"photometric": "rgb" if colours else "minisblack"} | options))
    return stream.getvalue()


def tiffs(pixels: Pixels) -> Mapping[str, Content]:
    """Huge ones, for a page of these pixels."""
    content, packed = tiff(pixels), tiff(pixels, compression="zlib")
    found = {}
    for name, tags in {
        "60000 pixels a side": {"ImageWidth": 60_000, "ImageLength": 60_000},
        "a long row": {"ImageWidth": 2**32 - 1},
        "a long strip": {"StripByteCounts": 2**32 - 1},
        "60000 samples a pixel": {"SamplesPerPixel": 60_000},
        "one row a strip of 2**32": {"RowsPerStrip": 2**32 - 1, "ImageLength": 2**32 - 1},
        "an offset behind the end": {"StripOffsets": 2**32 - 9},
    }.items():
        found[name] = retagged(content, tags)
        found[f"{name}, packed"] = retagged(packed, tags)
    bomb = packed_zeros(512)
    at = len(packed)
    found["512 MB in a strip"] = retagged(packed + bomb, {"StripOffsets": at, "StripByteCounts": len(bomb)})
    found["many tags"] = content[:8] + struct.pack("<H", 65535) + content[10:]
    found["a page that follows itself"] = endless(content)
    return found


def retagged(content: Content, values: Mapping[str, int]) -> Content:
    """A little-endian TIFF with other values of tags; each becomes a 32-bit number."""
    data = bytearray(content)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tags = file.pages.first.tags
        for name, value in values.items():
            data[tags[name].offset + 2 : tags[name].offset + 12] = struct.pack("<HII", 4, 1, value)
    return bytes(data)


def endless(content: Content) -> Content:
    """A TIFF whose next page is its first."""
    data = bytearray(content)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    return bytes(data)


def npy(array: Any) -> Content:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_header(text: str, version: int = 1, length: int | None = None) -> Content:
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + text.encode()


def npys(shape: str) -> Mapping[str, Content]:
    """Huge ones; shape: the last lengths, such as ", 3"."""

    def header(shape: str) -> Content:
        return npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n")

    return {
        "10**9 a side": header(f"1000000000, 1000000000{shape}"),
        "2**62 rows": header(f"{2**62}, 4{shape}"),
        "negative": header(f"-4, -3{shape}"),
        "a header of 4 GB": npy_header("{'descr': '<f4'", 2, 2**32 - 1),
        "a header that nests": npy_header("(" * 5000),
        "a header of digits": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 9000 + ",)}"),
        "a type of 2 GB": npy_header("{'descr': '<V2147483647', 'fortran_order': False, 'shape': (3, 3), }\n"),
    }


def other_npys() -> dict[str, Content]:
    return {
        "complex": npy(cloud().astype("c8")),
        "text": npy(np.full((HEIGHT, WIDTH, 3), "far")),
        "objects": npy(np.full((HEIGHT, WIDTH, 3), None)),
        "records": npy(np.zeros((HEIGHT, WIDTH), dtype=[("x", "f4"), ("y", "f4")])),
        "dates": npy(np.zeros((HEIGHT, WIDTH, 3), dtype="M8[s]")),
        "one number": npy(np.float32(3)),
        "4 channels": npy(cloud(channels=4)),
        "5 axes": npy(np.zeros((2, 2, 2, 2, 3), dtype="f4")),
        "nothing": npy(np.zeros((0, 0, 3), dtype="f4")),
        "not finite": npy(np.full((HEIGHT, WIDTH, 3), np.nan, dtype="f4")),
        "of columns": npy(np.asfortranarray(cloud())),
        "64 bits": npy(cloud("f8")),
    }


def exr(channels: Mapping[str, Pixels]) -> Content:
    import OpenEXR  # an extra, which may be absent

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.exr"
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, dict(channels)) as file:
            file.write(str(path))
        return path.read_bytes()


def exrs(content: Content) -> Mapping[str, Content]:
    """Huge ones."""
    windows = {
        "60000 pixels a side": (0, 0, 59_999, 59_999),
        "all bits of the size": (-(2**31), -(2**31), 2**31 - 1, 2**31 - 1),
        "negative": (5, 5, -5, -5),
        "one very long row": (0, 0, 2**31 - 2, 0),
        "the largest size": (0, 0, 8191, 8191),
        "moved far": (2**30, 2**30, 2**30 + WIDTH - 1, 2**30 + HEIGHT - 1),
    }
    found = {}
    for name in ("dataWindow", "displayWindow"):
        at = content.index(f"{name}\0box2i\0".encode()) + len(name) + 7 + 4
        for title, window in windows.items():
            found[f"{name}: {title}"] = content[:at] + struct.pack("<4i", *window) + content[at + 16 :]
    at = content.index(b"channels\0chlist\0") + 16
    found["a channel list of 2 GB"] = content[:at] + struct.pack("<i", 2**31 - 1) + content[at + 4 :]
    found["a channel list of -1"] = content[:at] + struct.pack("<i", -1) + content[at + 4 :]
    return found


def jpegs(content: Content) -> Mapping[str, Content]:
    at = content.index(b"\xff\xc0") + 5
    return {
        f"{height} x {width}": content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]
        for height, width in ((65_500, 65_500), (0, 0), (1, 65_500), (8_000, 8_000))
    }


def bmps(content: Content) -> Mapping[str, Content]:
    return {
        f"{width} x {height}, {bits} bits": content[:18] + struct.pack("<iiHH", width, height, 1, bits) + content[30:]
        for width, height, bits in (
            (2**31 - 1, 2**31 - 1, 24),
            (-(2**31), 1, 24),
            (100_000, 100_000, 1),
            (8000, 8000, 24),
            (8000, -8000, 8),
            (0, 0, 24),
            (WIDTH, HEIGHT, 65535),
        )
    }


def other_tiffs() -> dict[str, Content]:
    return {
        f"{channels} of {dtype}": tiff(cloud(dtype, channels) * 100)
        for channels in (1, 2, 3, 4, 5)
        for dtype in ("u1", "u2", "i4", "f2", "f4", "f8", "c8")
    }


LABELS = "".join(f"{x:.4f} {y:.4f} {z:.4f} {i % 2}\n" for i, (x, y, z) in enumerate(cloud().reshape(-1, 3))).encode()
YAML = b"normalization:\n  max: 6.0\n  min: 1.5\n"
POSE = b"".join(b"%.8e %.8e %.8e %.8e\n" % tuple(row) for row in np.eye(4))
PART_FILE = b"""[camera]
fx = 615.0
fy = 615.0
cx = 319.5
cy = 239.5
[depth]
scale = 0.001
[cloud]
axes = ["x", "-y", "-z"]
"""


def texts(sign: bytes) -> Mapping[str, Content]:
    """Huge ones; sign: what stands between a name and its value."""
    return {
        "nested": b"a" + sign + b"[" * 60_000,
        "nested tables": b"a" + sign + b"{b" + sign + (b"{b" + sign) * 20_000,
        "digits": b"a" + sign + b"9" * 50_000,
        "a long exponent": b"a" + sign + b"1e" + b"9" * 400,
        "a long line": b"a" + sign + b'"' + b"x" * 3_000_000 + b'"',
        "many lines": b"a" + sign + b"1\n" * 1_000_000,
        "aliases": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 107)),
        "a tag": b"a: !!python/object/apply:os.getcwd []\n",
        "a merge": b"a: &x {<<: *x}\n",
        "dotted": b".".join([b"a"] * 20_000) + sign + b"1\n",
    }


def other_bmps() -> dict[str, Content]:
    return {mode: pillow(picture(), "BMP", mode) for mode in ("1", "L", "P", "RGBA")}


def other_exrs() -> dict[str, Content]:
    return {"half": exr({"Z": cloud()[..., 0].astype("f2")}), "RGB": exr({"RGB": cloud()})}


def kinds() -> Iterator[tuple[str, Kind]]:
    """All kinds by name."""
    rgb, grey, deep = (pillow(pixels, "PNG") for pixels in (picture(), picture(1), picture(1, "u2")))
    yield "image, png", Kind("image", ".png", rgb, partial(pngs, 8, 2), other_pngs)
    yield "mask, png", Kind("mask", ".png", grey, partial(pngs, 8, 0), other_pngs)
    yield "depth, png", Kind("depth", ".png", deep, partial(pngs, 16, 0), other_pngs)
    jpeg, bmp = pillow(picture(), "JPEG"), pillow(picture(), "BMP")
    for reader in ("image", "mask"):
        yield (
            f"{reader}, jpg",
            Kind(reader, ".jpg", jpeg, partial(jpegs, jpeg), lambda: {"CMYK": pillow(picture(), "JPEG", "CMYK")}),
        )
        yield f"{reader}, bmp", Kind(reader, ".bmp", bmp, partial(bmps, bmp), other_bmps)
    for reader, pixels in (("image", picture()), ("mask", picture(1)), ("depth", cloud()[..., 0])):
        yield f"{reader}, tiff", Kind(reader, ".tiff", tiff(pixels), partial(tiffs, pixels), other_tiffs)
        yield f"{reader}, packed tiff", Kind(reader, ".tiff", tiff(pixels, compression="zlib"))
    yield "depth, npy", Kind("depth", ".npy", npy(cloud()[..., 0]), partial(npys, ""), other_npys)
    yield "grid, npy", Kind("grid", ".npy", npy(cloud()), partial(npys, ", 3"), other_npys)
    for encoding in ("ascii", "binary", "binary_compressed"):
        yield (
            f"grid, pcd {encoding}",
            Kind("grid", ".pcd", pcd(encoding), partial(pcds, encoding), partial(other_pcds, encoding)),
        )
        yield f"points, pcd {encoding}", Kind("points", ".pcd", pcd(encoding, organized=False))
    for encoding in ("ascii", "binary_little_endian", "binary_big_endian"):
        points = cloud().reshape(-1, 3).astype(">f4" if encoding == "binary_big_endian" else "<f4")
        data = points.tobytes() if encoding != "ascii" else b"".join(b"%f %f %f\n" % tuple(p) for p in points)
        whole = ply(ply_header(encoding, HEIGHT * WIDTH) + "end_header\n", data)
        yield (
            f"grid, ply {encoding}",
            Kind("grid", ".ply", whole, partial(plies, encoding, data), partial(other_plies, encoding, data)),
        )
        yield f"points, ply {encoding}", Kind("points", ".ply", whole)
    if find_spec("OpenEXR") is not None:
        depth = exr({"Z": cloud()[..., 0]})
        yield "depth, exr", Kind("depth", ".exr", depth, partial(exrs, depth), other_exrs)
    yield (
        "labels",
        Kind("labels", ".txt", LABELS, partial(texts, b" "), lambda: {"3 columns": b"1 2 3\n", "words": b"far away\n"}),
    )
    yield "info file", Kind("info file", ".yaml", YAML, partial(texts, b": "), lambda: {"list": b"- max\n"})
    yield "pose", Kind("pose", ".txt", POSE, partial(texts, b" "), lambda: {"3 x 3": b"1 0 0\n0 1 0\n0 0 1\n"})
    yield (
        "part file",
        Kind("part file", ".toml", PART_FILE, partial(texts, b" = "), lambda: {"another table": b"[lens]\nf = 1\n"}),
    )
