"""Made-up pixels and points, and the .pcd and .ply files of them: whole ones, odd ones, and huge headers."""

import struct
from collections.abc import Mapping
from typing import Any

import lzf
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 12, 10
Content = bytes
Pixels = NDArray[Any]


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(channels: int = 3, dtype: str = "u1") -> Pixels:
    pixels = rng().integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels)).astype(dtype)
    return pixels[..., 0] if channels == 1 else pixels


def cloud(dtype: str = "f4", channels: int = 3) -> Pixels:
    return rng().uniform(0.1, 0.7, (HEIGHT, WIDTH, channels)).astype(dtype)


def pcd(encoding: str, *, organized: bool = True, **entries: str) -> Content:
    """A .pcd file; `entries` replace lines of its header."""
    points = cloud().reshape(-1, 3)
    lines = {
        "VERSION": "0.7",
        "FIELDS": "x y z",
        "SIZE": "4 4 4",
        "TYPE": "F F F",
        "COUNT": "1 1 1",
        "WIDTH": str(WIDTH if organized else WIDTH * HEIGHT),
        "HEIGHT": str(HEIGHT if organized else 1),
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(len(points)),
        "DATA": encoding,
    } | entries
    header = "".join(f"{key} {value}\n" for key, value in lines.items()).encode()
    if encoding == "ascii":
        return header + b"".join(b"%f %f %f\n" % tuple(point) for point in points)
    if encoding == "binary":
        return header + points.tobytes()
    plain = np.ascontiguousarray(points.T).tobytes()
    packed = lzf.compress(plain, len(plain) * 2)
    return header + struct.pack("<II", len(packed), len(plain)) + packed


def pcds(encoding: str) -> Mapping[str, Content]:
    return {
        "10**9 points": pcd(encoding, WIDTH="1000000000", HEIGHT="1", POINTS="1000000000"),
        "2**62 points": pcd(encoding, WIDTH=str(2**62), HEIGHT="1", POINTS=str(2**62)),
        "10**4 digits of points": pcd(encoding, WIDTH="9" * 10**4, HEIGHT="1", POINTS="9" * 10**4),
        "negative": pcd(encoding, WIDTH="-10", HEIGHT="-12"),
        "10**9 numbers a field": pcd(encoding, COUNT="1 1 1000000000"),
        "10**9 bytes a number": pcd(encoding, SIZE="4 4 1000000000"),
        "many fields": pcd(encoding, FIELDS="x y z " + "a " * 20_000, SIZE="4 " * 20_003),
        "a long header": b"#" * 10**6 + pcd(encoding),
    }


def other_pcds(encoding: str) -> Mapping[str, Content]:
    return {
        "no z": pcd(encoding, FIELDS="x y w"),
        "whole numbers": pcd(encoding, TYPE="I I I"),
        "bytes": pcd(encoding, SIZE="1 1 1", TYPE="U U U"),
        "two x": pcd(encoding, FIELDS="x x z"),
        "no points": pcd(encoding, WIDTH="0", HEIGHT="0", POINTS="0"),
        "unknown data": pcd(encoding, DATA="morse"),
        "unknown type": pcd(encoding, TYPE="F F Q"),
        "other grid": pcd(encoding, WIDTH="7", HEIGHT="7"),
    }


def ply(text: str, data: bytes) -> Content:
    return text.encode() + data


def ply_header(encoding: str, vertices: object, grid: str = f"num_cols {WIDTH}\nobj_info num_rows {HEIGHT}") -> str:
    return (
        f"ply\nformat {encoding} 1.0\nobj_info {grid}\nelement vertex {vertices}\n"
        "property float x\nproperty float y\nproperty float z\n"
    )


def plies(encoding: str, data: bytes) -> Mapping[str, Content]:
    """Huge ones."""
    end, count = "end_header\n", HEIGHT * WIDTH
    faces = "element face {}\nproperty list {} int vertex_indices\n"
    return {
        "10**12 vertices": ply(ply_header(encoding, 10**12) + end, data),
        "negative": ply(ply_header(encoding, -5) + end, data),
        "10**9 faces": ply(ply_header(encoding, count) + faces.format(10**9, "uchar") + end, data),
        "a list of 2**32": ply(
            ply_header(encoding, count) + faces.format(1, "uint") + end,
            data + (b"4294967295 1 2 3\n" if encoding == "ascii" else b"\xff\xff\xff\xff" + bytes(8)),
        ),
        "a grid of 10**9": ply(
            ply_header(encoding, count, "num_cols 999999999\nobj_info num_rows 999999999") + end, data
        ),
        "a long header": ply("ply\n" + "comment a\n" * 100_000, data),
        "many elements": ply("ply\nformat ascii 1.0\n" + "element vertex 1\n" * 3000 + end, data),
    }


def other_plies(encoding: str, data: bytes) -> Mapping[str, Content]:
    whole = ply_header(encoding, HEIGHT * WIDTH) + "end_header\n"
    return {
        "no z": ply(whole.replace("float z", "float w"), data),
        "two x": ply(whole.replace("float y", "float x"), data),
        "bytes": ply(whole.replace("property float", "property uchar"), data),
        "unknown type": ply(whole.replace("property float z", "property quad z"), data),
        "no vertices": ply(whole.replace("element vertex", "element point"), data),
        "unknown format": ply(whole.replace(f"format {encoding}", "format morse"), data),
        "a property of nothing": ply(whole.replace("element vertex", "comment"), data),
        "lists of x": ply(whole.replace("property float x", "property list uchar float x"), data),
    }
