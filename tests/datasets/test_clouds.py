"""Reading of point files: what is read, and what is refused with a message that names the file."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
from numpy.typing import NDArray
from pypcd4 import Encoding, PointCloud

from lsfa_cli.datasets.clouds import (
    read_all_points,
    read_labelled_points,
    read_organized_points,
    read_points,
)
from lsfa_cli.errors import DataError
from tests.datasets.refusals import refusal

Shared = Callable[[str], Path]
ENCODINGS = (Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED)
# Eighths, whose bytes repeat: what LZF cannot make shorter, pypcd4 writes as plain binary.
POINTS = np.random.default_rng(0).permutation(np.arange(1, 73)).reshape(24, 3).astype(np.float32) / 8
WITH_GAPS = POINTS.copy()
WITH_GAPS[3] = np.nan
WITH_GAPS[5, 2] = np.inf
HEADER = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS {fields}\nSIZE {size}\nTYPE {type}\nCOUNT {count}\n"
    "WIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {points}\nDATA {data}\n"
)


def pcd(**changes: object) -> bytes:
    """The header of a .pcd of POINTS, with some of its entries changed."""
    entries = {
        "fields": "x y z",
        "size": "4 4 4",
        "type": "F F F",
        "count": "1 1 1",
        "width": len(POINTS),
        "height": 1,
        "points": len(POINTS),
        "data": "binary",
    }
    return HEADER.format(**{**entries, **changes}).encode()


def write_pcd(path: Path, encoding: Encoding = Encoding.BINARY, points: NDArray[np.float32] = POINTS) -> Path:
    PointCloud.from_xyz_points(points).save(path, encoding=encoding)
    return path


def vertices(points: NDArray[np.float32] = POINTS) -> plyfile.PlyElement:
    table = np.zeros(len(points), dtype=[("red", "u1"), ("x", "f4"), ("y", "f8"), ("z", "f4")])
    for axis, name in enumerate("xyz"):
        table[name] = points[:, axis]
    return plyfile.PlyElement.describe(table, "vertex")


def lists(name: str, rows: list[list[int]]) -> plyfile.PlyElement:
    table = np.empty(len(rows), dtype=[("vertex_indices", "O")])
    for index, row in enumerate(rows):
        table["vertex_indices"][index] = np.array(row, dtype="i4")
    return plyfile.PlyElement.describe(table, name)


def write_ply(path: Path, *elements: plyfile.PlyElement, **options: Any) -> Path:
    plyfile.PlyData(list(elements), **options).write(str(path))
    return path


# --- pcd


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pcd_in_every_encoding(tmp_path: Path, encoding: Encoding) -> None:
    path = write_pcd(tmp_path / "Ä b.pcd", encoding)
    read = read_points(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, POINTS)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_points_that_are_not_finite_are_left_out(tmp_path: Path, encoding: Encoding) -> None:
    path = write_pcd(tmp_path / "a.pcd", encoding, WITH_GAPS)
    np.testing.assert_array_equal(read_points(path), np.delete(POINTS, [3, 5], axis=0))
    np.testing.assert_array_equal(read_all_points(path), WITH_GAPS)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_and_padding_fields_do_not_matter(tmp_path: Path, encoding: Encoding) -> None:
    """Padding in front, of more than one value, and coordinates of 8 bytes; the file made by hand."""
    header = pcd(
        fields="_ rgb z _ y x",
        size="1 4 4 2 8 4",
        type="U U F I F F",
        count="3 1 1 2 1 1",
        data=encoding.value,
    )
    rows = np.zeros(
        len(POINTS), dtype=[("a", "u1", 3), ("rgb", "u4"), ("z", "f4"), ("b", "i2", 2), ("y", "f8"), ("x", "f4")]
    )
    rows["rgb"] = np.arange(len(POINTS)) + 2**31
    for axis, name in enumerate("xyz"):
        rows[name] = POINTS[:, axis]
    if encoding is Encoding.ASCII:
        text = [
            " ".join(str(value) for name in rows.dtype.names for value in np.atleast_1d(row[name]).tolist())
            for row in rows
        ]
        content = "\n".join(text).encode()
    elif encoding is Encoding.BINARY:
        content = rows.tobytes()
    else:
        columns = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in rows.dtype.names)
        # LZF without compression: runs of at most 32 bytes, each with its length less one in front.
        runs = [columns[start : start + 32] for start in range(0, len(columns), 32)]
        packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
        content = struct.pack("<II", len(packed), len(columns)) + packed
    path = tmp_path / "a.pcd"
    path.write_bytes(header + content)
    np.testing.assert_allclose(read_points(path), POINTS, rtol=1e-6)


def test_ascii_may_have_several_spaces_tabs_and_windows_line_ends(tmp_path: Path) -> None:
    rows = "\r\n".join(f" {x:.6f}  {y:.6f}\t{z:.6f} " for x, y, z in POINTS)
    (tmp_path / "a.pcd").write_bytes(pcd(data="ascii").replace(b"\n", b"\r\n") + rows.encode())
    np.testing.assert_allclose(read_points(tmp_path / "a.pcd"), POINTS, atol=1e-6)


def test_a_cloud_of_one_point(tmp_path: Path) -> None:
    for encoding in ENCODINGS:
        np.testing.assert_array_equal(read_points(write_pcd(tmp_path / "a.pcd", encoding, POINTS[:1])), POINTS[:1])


def test_organized_pcd_has_the_rows_and_columns_of_its_header(tmp_path: Path) -> None:
    gaps = WITH_GAPS.copy()
    gaps[7] = 0
    (tmp_path / "a.pcd").write_bytes(pcd(width=6, height=4) + gaps.tobytes())
    xyz, valid = read_organized_points(tmp_path / "a.pcd")
    expected = np.ones(24, dtype=bool)
    expected[[3, 5, 7]] = False
    np.testing.assert_array_equal(valid, expected.reshape(4, 6))
    np.testing.assert_array_equal(xyz, np.where(expected[:, None], POINTS, 0).reshape(4, 6, 3))
    assert xyz.dtype == np.float32


def test_unorganized_points_have_no_rows_and_columns(tmp_path: Path) -> None:
    path = write_pcd(tmp_path / "a.pcd")
    assert "24 points are not organized" in refusal(read_organized_points, path)
    assert "not organized" in refusal(lambda file: read_organized_points(file, width=7), path)
    assert read_organized_points(path, width=8).valid.shape == (3, 8)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (pcd(points=25, width=25), "too short for 25 points"),
        (pcd(points=10**9, width=10**9), "at most 16777216 are read"),
        (pcd(points="9" * 30, width="9" * 30), "at most 16777216 are read"),
        (pcd(points=-24, width=-24), "header cannot be read"),
        (pcd(points=0, width=0), "holds no points"),
        (pcd(height=2), "WIDTH 24 x HEIGHT 2 is not POINTS 24"),
        (pcd(count="1 1 1000000000000"), "no fields x, y and z"),
        (pcd(fields="x y z w", size="4 4 4 4", type="F F F F", count="1 1 1 99999999999"), "bytes, at most"),
        (pcd(fields="x y i"), "no fields x, y and z"),
        (pcd(fields="x y z i"), "do not fit each other"),
        (pcd(fields="x x y z", size="4 4 4 4", type="F F F F", count="1 1 1 1"), ""),
        (pcd(type="F F Q"), "header cannot be read"),
        (pcd(size="4 4 3"), ""),
        (pcd(data="ascii"), ""),
        (pcd(data="binary_compressed"), "too short"),
        (pcd(data="zip"), "header cannot be read"),
        (pcd().replace(b"DATA", b"DATE"), "no line DATA"),
        (pcd().replace(b"VERSION 0.7\n", b"\xff\xfe\n"), "header cannot be read"),
        (b"", "damaged or cut off .pcd file"),
        (b"ply\n", "damaged or cut off .pcd file"),
        (b"#" * 100_000, "no line DATA"),
    ],
)
def test_pcd_headers_that_cannot_be(tmp_path: Path, header: bytes, words: str) -> None:
    path = tmp_path / "a.pcd"
    path.write_bytes(header + POINTS.tobytes())
    assert words in refusal(read_points, path)


def test_compressed_lengths_that_cannot_be(tmp_path: Path) -> None:
    content = write_pcd(tmp_path / "a.pcd", Encoding.BINARY_COMPRESSED).read_bytes()
    start = content.index(b"compressed\n") + len(b"compressed\n")
    packed, plain = struct.unpack_from("<II", content, start)
    assert plain == POINTS.nbytes
    for lengths in ((packed + 1, plain), (packed, 2**32 - 1), (packed, plain - 4), (packed - 1, plain)):
        path = tmp_path / "b.pcd"
        path.write_bytes(content[:start] + struct.pack("<II", *lengths) + content[start + 8 :])
        refusal(read_points, path)


def test_ascii_rows_must_all_be_there(tmp_path: Path) -> None:
    header, rows = pcd(data="ascii"), [f"{x} {y} {z}" for x, y, z in POINTS.tolist()]
    path = tmp_path / "a.pcd"
    for text in ("\n".join(rows[:-1]), "\n".join([*rows, rows[0]])):
        path.write_bytes(header + text.encode())
        assert "of 24 points are there" in refusal(read_points, path)
    for text in ("\n" * 999, "# no\n" * 99, "\n".join(["1 2"] * 48), "\n".join(["1 2 x"] * 24)):
        path.write_bytes(header + text.encode())
        refusal(read_points, path)


def test_a_cloud_without_finite_points_is_refused(tmp_path: Path) -> None:
    path = write_pcd(tmp_path / "a.pcd", points=np.full((4, 3), np.nan, dtype=np.float32))
    assert "none of its 4 points is finite" in refusal(read_points, path)
    (tmp_path / "b.pcd").write_bytes(pcd(width=6, height=4) + np.zeros((24, 3), "f4").tobytes())
    assert "no valid point" in refusal(read_organized_points, tmp_path / "b.pcd")


@pytest.mark.parametrize(
    ("name", "count", "low", "high"),
    [
        ("milk", 12_575, (0.1787, -0.2108, -0.8268), (0.3254, 0.0001, -0.6362)),
        ("capture0001", 249_647, (-1.7228, -1.1953, 1.512), (1.2234, 0.7810, 3.157)),
        ("object_template_0", 1_397, (-0.1914, 0.0183, 0.691), (-0.0238, 0.1878, 0.791)),
    ],
)
def test_real_files(shared: Shared, name: str, count: int, low: tuple[float, ...], high: tuple[float, ...]) -> None:
    points = read_points(shared(f"data/pcd/{name}.pcd"))
    assert points.shape == (count, 3)
    np.testing.assert_allclose(points.min(axis=0), low, atol=1e-4)
    np.testing.assert_allclose(points.max(axis=0), high, atol=1e-4)


def test_real_organized_file_is_smooth_along_its_rows(shared: Shared) -> None:
    xyz, valid = read_organized_points(shared("data/pcd/capture0001.pcd"))
    assert xyz.shape == (480, 640, 3)
    assert int(valid.sum()) == 249_647
    both = valid[:, 1:] & valid[:, :-1]
    assert np.median(np.linalg.norm(np.diff(xyz, axis=1), axis=2)[both]) < 0.01


# --- ply


@pytest.mark.parametrize("options", [{"text": True}, {"byte_order": "<"}, {"byte_order": ">"}])
def test_ply_in_every_encoding_with_faces(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_ply(tmp_path / "a.ply", vertices(), lists("face", [[0, 1, 2], [1, 2, 3, 4]]), **options)
    np.testing.assert_allclose(read_points(path), POINTS, rtol=1e-6)
    assert "not organized" in refusal(read_organized_points, path)


@pytest.mark.parametrize("where", ["obj_info", "comments"])
@pytest.mark.parametrize("text", [True, False])
def test_ply_with_a_full_grid(tmp_path: Path, where: str, text: bool) -> None:
    options: dict[str, Any] = {where: ["num_cols 6", "num_rows 4", "made by hand"], "text": text}
    xyz, valid = read_organized_points(write_ply(tmp_path / "a.ply", vertices(WITH_GAPS), **options))
    assert valid.shape == (4, 6)
    assert int(valid.sum()) == 22
    np.testing.assert_allclose(xyz[valid], np.delete(POINTS, [3, 5], axis=0), rtol=1e-6)


def test_ply_with_a_range_grid(tmp_path: Path) -> None:
    """Stanford's convention: vertices where there are points, and a list for each pixel, empty or with one index."""
    rows: list[list[int]] = [[] for _ in range(40)]
    pixels = np.random.default_rng(1).permutation(40)[:24]
    for vertex, pixel in enumerate(pixels):
        rows[pixel] = [vertex]
    grid = ["num_cols 8", "num_rows 5"]
    path = write_ply(tmp_path / "a.ply", vertices(), lists("range_grid", rows), obj_info=grid)
    xyz, valid = read_organized_points(path)
    assert xyz.shape == (5, 8, 3)
    assert int(valid.sum()) == 24
    np.testing.assert_allclose(xyz.reshape(-1, 3)[pixels], POINTS, rtol=1e-6)
    rows[int(pixels[0])] = [24]
    write_ply(path, vertices(), lists("range_grid", rows), obj_info=grid)
    assert "vertices that are not there" in refusal(read_organized_points, path)
    write_ply(path, vertices(), lists("range_grid", rows[:-1]), obj_info=grid)
    assert "range_grid has 39 entries" in refusal(read_organized_points, path)
    write_ply(path, vertices(), lists("range_grid", rows), obj_info=grid, text=True)
    assert "binary" in refusal(read_organized_points, path)


def test_ply_with_a_grid_that_does_not_fit(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", vertices(), obj_info=["num_cols 6", "num_rows 5"])
    assert "24 vertices, num_cols 6 x num_rows 5" in refusal(read_points, path)


PLY = "ply\nformat {format} 1.0\nelement {element}\nproperty float x\nproperty float y\nproperty {last}\nend_header\n"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"element": "vertex 25"}, "too short for 25 vertices"),
        ({"element": "vertex 99999999999"}, "at most 16777216 are read"),
        ({"element": "vertex -1"}, "line 'element vertex -1'"),
        ({"element": "vertex 0"}, "no vertices"),
        ({"element": "point 24"}, "no vertices"),
        ({"format": "ascii", "element": "vertex 200"}, "too short"),
        ({"format": "ascii"}, ""),
        ({"format": "binary_middle_endian"}, ""),
        ({"last": "float w"}, ""),
        ({"last": "quad z"}, "line 'property quad z'"),
        ({"last": "list uchar float z"}, ""),
        ({"last": "float z\nelement face 4000000000\nproperty list int int v"}, "at most 4194304 are read"),
        ({"last": "float z\nelement nothing 7"}, "no properties"),
    ],
)
def test_ply_headers_that_cannot_be(tmp_path: Path, entries: dict[str, str], words: str) -> None:
    path = tmp_path / "a.ply"
    whole = {"format": "binary_little_endian", "element": "vertex 24", "last": "float z"}
    path.write_bytes(PLY.format(**whole).encode() + POINTS.tobytes())
    np.testing.assert_array_equal(read_points(path), POINTS)
    path.write_bytes(PLY.format(**{**whole, **entries}).encode() + POINTS.tobytes())
    assert words in refusal(read_points, path)


# --- npy


def test_npy_with_and_without_a_grid(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, WITH_GAPS.astype(np.float64))
    np.testing.assert_array_equal(read_points(path), np.delete(POINTS, [3, 5], axis=0))
    np.save(path, np.asfortranarray(WITH_GAPS.reshape(4, 6, 3)))
    xyz, valid = read_organized_points(path)
    np.testing.assert_array_equal(xyz[valid], np.delete(POINTS, [3, 5], axis=0))
    for other in (POINTS[:, :2], POINTS.reshape(2, 3, 4, 3), POINTS.reshape(-1)):
        np.save(path, other)
        refusal(read_points, path)


def test_npy_never_runs_what_is_pickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    refusal(read_points, tmp_path / "a.npy")


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"1 2 3")
    assert ".pcd, .ply, .npy" in refusal(read_points, tmp_path / "a.xyz")


# --- labels


def test_labelled_points(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    labels = np.arange(24) % 3
    np.savetxt(path, np.column_stack([WITH_GAPS, labels]), fmt="%.6f")
    points, defect = read_labelled_points(path)
    np.testing.assert_allclose(points, np.delete(POINTS, [3, 5], axis=0), atol=1e-6)
    np.testing.assert_array_equal(defect, np.delete(labels, [3, 5]) != 0)
    path.write_text("1 2 3 1")  # one point, no end of line
    points, defect = read_labelled_points(path)
    assert points.tolist() == [[1, 2, 3]]
    assert defect.tolist() == [True]


@pytest.mark.parametrize(
    "text", ["", "\n \n", "1 2 3\n", "1 2 3 0\n1 2 3\n", "1,2,3,0\n", "1 2 3 nan\n", "a b c d\n", "\0\xff", "# 1 2\n"]
)
def test_labels_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    refusal(read_labelled_points, tmp_path / "a.txt")


# --- what is no file, and damage


@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".npy", ".txt"])
def test_what_is_no_file(tmp_path: Path, suffix: str) -> None:
    read = read_labelled_points if suffix == ".txt" else read_points
    path = tmp_path / f"a{suffix}"
    assert "does not exist" in refusal(read, path)
    path.mkdir()
    assert "is a folder" in refusal(read, path)
    path.rmdir()
    path.symlink_to(path)
    refusal(read, path)
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    refusal(read, path)


def test_files_beyond_the_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".pcd", ".ply", ".npy", ".txt"):
        path = tmp_path / f"a{suffix}"
        with path.open("wb") as stream:
            stream.truncate(2**29 + 1)  # a hole: it takes no disk
        assert f"{2**29} are read" in refusal(read_labelled_points if suffix == ".txt" else read_points, path)
    monkeypatch.setattr("lsfa_cli.datasets.point_files.MAX_POINTS", 10)
    (tmp_path / "b.txt").write_text("1 2 3 0\n" * 11)
    assert "at most 10" in refusal(read_labelled_points, tmp_path / "b.txt")


def originals(folder: Path) -> list[Path]:
    """One file of every kind."""
    files = [write_pcd(folder / f"{encoding.value}.pcd", encoding) for encoding in ENCODINGS]
    for name, options in {"text": {"text": True}, "little": {}, "big": {"byte_order": ">"}}.items():
        face = lists("face", [[0, 1, 2], [1, 2, 3, 4]])
        grid = ["num_cols 6", "num_rows 4"]
        files.append(write_ply(folder / f"{name}.ply", vertices(), face, obj_info=grid, **options))
    files.append(
        write_ply(
            folder / "grid.ply",
            vertices(),
            lists("range_grid", [[index] for index in range(24)]),
            obj_info=["num_cols 6", "num_rows 4"],
        )
    )
    np.save(folder / "flat.npy", POINTS)
    np.save(folder / "grid.npy", POINTS.reshape(4, 6, 3))
    np.savetxt(folder / "labels.txt", np.column_stack([POINTS, np.zeros(24)]))
    return [*files, folder / "flat.npy", folder / "grid.npy", folder / "labels.txt"]


def damage(content: bytes, rng: np.random.Generator, kind: int) -> bytes:
    """Cut off, with flipped bits, without a part, with a part twice, or with a number in its header changed."""
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 40))
    if kind == 0:
        return content[:start]
    if kind == 1:
        flipped = np.frombuffer(content, dtype=np.uint8).copy()
        flipped[rng.integers(len(content), size=length)] ^= (1 << rng.integers(8, size=length)).astype(np.uint8)
        return flipped.tobytes()
    if kind == 2:
        return content[:start] + content[start + length :]
    if kind == 3:
        return content[: start + length] + content[start:]
    digits = [index for index, byte in enumerate(content[:400]) if 48 <= byte <= 57]
    if not digits:
        return content[::-1]
    where = digits[int(rng.integers(len(digits)))]
    return content[:where] + b"9" * int(rng.integers(1, 12)) + content[where + 1 :]


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """1,000 seeded cases: each gives points that are finite, or a data error that names the file."""
    rng = np.random.default_rng(9)
    refused = 0
    for original in originals(tmp_path):
        content = original.read_bytes()
        readers = [read_labelled_points] if original.suffix == ".txt" else [read_points, read_organized_points]
        for case in range(100):
            path = tmp_path / f"case{original.suffix}"
            path.write_bytes(damage(content, rng, case % 5))
            for read in readers:
                try:
                    found = read(path)
                except DataError as error:
                    assert str(path) in error.message  # noqa: PT017 - most cases, but not all, are refused
                    refused += 1
                else:
                    points = found if isinstance(found, np.ndarray) else found[0]
                    assert np.isfinite(points).all()
                    assert points.size
    assert refused > 700


CHILD = """
import resource, sys
from pathlib import Path
from lsfa_cli.datasets.clouds import read_labelled_points, read_points
from lsfa_cli.errors import DataError
import pypcd4, plyfile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    try:
        (read_labelled_points if path.suffix == ".txt" else read_points)(path)
    except DataError as error:
        assert str(path) in error.message
    else:
        raise SystemExit(f"{path} was read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_huge_sizes_in_headers_take_no_memory(tmp_path: Path) -> None:
    most = 2**24  # the most points that are read: the largest claims that pass the first check
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (most, 3)})
    claims = {
        "a.pcd": pcd(points=most, width=most),
        "b.pcd": pcd(points=most, width=most, data="ascii"),
        "c.pcd": pcd(points=most, width=most, data="binary_compressed") + struct.pack("<II", 200, 12 * most),
        "d.pcd": pcd(fields="x y z w", size="4 4 4 1", type="F F F U", count=f"1 1 1 {2**33}"),
        "a.ply": PLY.format(format="binary_little_endian", element=f"vertex {most}", last="float z").encode(),
        "b.ply": PLY.format(
            format="binary_little_endian", element="vertex 4", last="float z\nelement f 20\nproperty list uint int v"
        ).encode()
        + b"\xff" * 2000,
        "a.npy": head.getvalue(),
    }
    for name, content in claims.items():
        (tmp_path / name).write_bytes(content + POINTS.tobytes())
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *(str(tmp_path / name) for name in claims)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 200_000  # kB
