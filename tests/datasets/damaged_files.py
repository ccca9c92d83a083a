"""A corpus of damaged files, and a program that shows all of them to the readers, within little memory and time.

    python -m tests.datasets.damaged_files GROUP

prints one JSON line a case: what it was, and whether the file was "refused", "read", or what went wrong. What kills the
program (a crash in a library, a hang) is known by the last case that was begun.
"""

import contextlib
import faulthandler
import json
import os
import stat
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.base import CloudDataset
from lsfa_cli.datasets.clouds import (
    LabelledPoints,
    OrganizedPoints,
    read_labelled_points,
    read_organized_points,
    read_points,
)
from lsfa_cli.datasets.images import read_depth, read_image, read_mask_image
from lsfa_cli.datasets.part_file import PartFile, load_part_file
from lsfa_cli.datasets.small_files import InfoFile, read_table
from lsfa_cli.errors import DataError
from lsfa_cli.samples import CloudSample, Sample, SampleRecord
from tests.datasets import eyecandies_trees, file_kinds, mvtec2d_trees, real3d_trees, trees
from tests.datasets.file_kinds import Kind
from tests.datasets.point_kinds import Content, picture

MEMORY = 2 * 2**30
SECONDS = 10.0
NAMES = ("case", "a b", "zwei\nZeilen", "漢字 é", "-n", "%s {x} [1]*")


class Place(NamedTuple):
    """Where a case's file is put, and how it is read from there."""

    path: Path
    read: Callable[[Path], object]


class Case(NamedTuple):
    """A damage: `apply` puts it in place of the whole file."""

    name: str
    apply: Callable[[Path], object]


# Single files


READERS: Mapping[str, Callable[[Path], object]] = {
    "image": read_image,
    "mask": read_mask_image,
    "depth": read_depth,
    "grid": read_organized_points,
    "points": read_points,
    "labels": read_labelled_points,
    "part file": lambda path: load_part_file([path]),
    "info file": lambda path: InfoFile(path).number("normalization", "max"),
    "pose": lambda path: read_table(path, 4, 4),
}


# Files of whole data sets


class Tree(NamedTuple):
    """A made-up category, and those of its files that are damaged; each with the kind that lends it odd contents."""

    dataset: str
    write: Callable[[Path], None]
    files: Mapping[str, str]


def write_part(category: Path) -> None:
    """A part of a user: images, depth images, and what is known of the camera."""
    for place in ("good", "test/hole"):
        for role, pixels in (("rgb", picture()), ("depth", picture(1, "u2"))):
            trees.write_png(category / place / role / "000.png", pixels)
    trees.write_png(category / "masks" / "hole" / "000.png", picture(1))
    (category / "lsfa-part.toml").write_bytes(file_kinds.PART_FILE)


def write_part_with_clouds(category: Path) -> None:
    """A part of a user that has clouds alone."""
    for place in ("good", "test/hole"):
        trees.write_cloud(category / place / "000.tiff", trees.cloud(1))


def write_converted(category: Path) -> None:
    eyecandies_trees.write_category(category.parent / ".published" / category.name)
    eyecandies_trees.convert(category.parent / ".published" / category.name, category)


TREES: Mapping[str, Tree] = {
    "mvtec3d": Tree(
        "mvtec3d",
        trees.write_category,
        {
            "train/good/rgb/000.png": "image, png",
            "train/good/xyz/000.tiff": "depth, tiff",
            "test/hole/gt/000.png": "mask, png",
        },
    ),
    "mvtec2d": Tree(
        "mvtec2d",
        mvtec2d_trees.write_category,
        {"train/good/000.png": "image, png", "ground_truth/cut/000_mask.png": "mask, png"},
    ),
    "eyecandies": Tree(
        "eyecandies",
        eyecandies_trees.write_category,
        {
            f"test_public/data/02_{item}": kind
            for item, kind in {
                "image_4.png": "image, png",
                "depth.png": "depth, png",
                "mask.png": "mask, png",
                "info_depth.yaml": "info file",
                "metadata.yaml": "info file",
                "pose.txt": "pose",
            }.items()
        },
    ),
    "converted": Tree("eyecandies", write_converted, {"train/good/xyz/000.tiff": "depth, tiff"}),
    "real3d_ad": Tree(
        "real3d_ad",
        lambda category: real3d_trees.write_category(category, train=2, test=1),
        {
            "train/1_template.pcd": "grid, pcd binary",
            "test/1_good.pcd": "grid, pcd binary",
            "gt/1_bulge.txt": "labels",
        },
    ),
    "folder": Tree(
        "folder",
        write_part,
        {
            "good/rgb/000.png": "image, png",
            "good/depth/000.png": "depth, png",
            "masks/hole/000.png": "mask, png",
            "lsfa-part.toml": "part file",
        },
    ),
    "folder of clouds": Tree("folder", write_part_with_clouds, {"good/000.tiff": "depth, tiff"}),
}


def read_in_dataset(name: str, root: Path, path: Path) -> object:
    """The sample that a file belongs to, listed and read as a stage does."""
    dataset: Any = open_dataset(name, root)
    records: list[SampleRecord] = dataset.records("part")
    record = next((record for record in records if path in record.files.values()), None)
    if record is None:
        if os.path.lexists(path):
            raise AssertionError(f"{path} is passed over")
        return None  # a sample less, or one without a mask
    return dataset.read_cloud(record) if isinstance(dataset, CloudDataset) else dataset.read(record)


# Damages


def contents(whole: Content, kind: Kind | None, seed: int) -> Iterator[tuple[str, Content]]:
    """Damaged contents of a file, and whole ones of other kinds, by name. The same seed gives the same."""
    generator = np.random.default_rng(seed)
    size = len(whole)
    yield "empty", b""
    for cut in (1, 4, *np.sort(generator.integers(5, max(size - 2, 6), 8)).tolist(), size - 1):
        yield f"cut after {cut} bytes", whole[:cut]
    # Headers are where a flipped bit means most.
    for at in (*generator.integers(0, min(size, 48), 12).tolist(), *generator.integers(0, size, 12).tolist()):
        yield f"a flipped bit in byte {at}", flipped(whole, [at], generator)
    for _ in range(6):
        places = generator.integers(0, size, 8).tolist()
        yield f"flipped bits in bytes {places}", flipped(whole, places, generator)
    for value in (0, 255):
        for _ in range(3):
            start, length = int(generator.integers(0, size)), int(generator.integers(1, 64))
            rest = whole[start + length :]
            yield (
                f"{length} bytes of {value} from {start}",
                whole[:start] + bytes([value]) * (size - start - len(rest)) + rest,
            )
    for _ in range(4):
        at = int(generator.integers(0, size))
        yield f"a byte more at {at}", whole[:at] + generator.bytes(1) + whole[at:]
        yield f"a byte less at {at}", whole[:at] + whole[at + 1 :]
    yield "twice", whole + whole
    yield "backwards", whole[::-1]
    yield "noise", generator.bytes(1000)
    yield "noise after the first bytes", whole[:8] + generator.bytes(1000)
    yield "text", b"nothing of the kind, but long enough to hold the header of most kinds of files\n" * 5
    yield "a page of the web", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
    if kind is not None:
        yield from kind.huge().items()
        yield from kind.odd().items()


def flipped(content: Content, places: list[int], generator: np.random.Generator) -> Content:
    data = bytearray(content)
    for place in places:
        data[place] ^= 1 << int(generator.integers(0, 8))
    return bytes(data)


def in_the_way(path: Path) -> Iterator[Case]:
    """What else than a file may be there. Pipes and devices would make a careless reader wait for ever."""
    yield Case("a folder", Path.mkdir)
    yield Case("nothing", lambda path: None)
    yield Case("a link to itself", lambda path: path.symlink_to(path.name))
    yield Case(
        "a loop of two links", lambda path: (path.symlink_to(path.name + "2"), beside(path).symlink_to(path.name))
    )
    yield Case("a link to nowhere", lambda path: path.symlink_to("nowhere"))
    yield Case("a link to a folder", lambda path: path.symlink_to("."))
    yield Case("four gigabytes of nothing", lambda path: sparse(path, 2**32))
    if hasattr(os, "mkfifo"):
        yield Case("a pipe", os.mkfifo)
    if Path("/dev/zero").exists():
        yield Case("a device without end", lambda path: path.symlink_to("/dev/zero"))


def beside(path: Path) -> Path:
    return path.with_name(path.name + "2")


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def cases(path: Path, whole: Content, kind: Kind | None, others: Mapping[str, Kind], seed: int) -> Iterator[Case]:
    """All damages to one file."""
    yield Case("whole", lambda path: path.write_bytes(whole))
    yield from in_the_way(path)
    for name, content in contents(whole, kind, seed):
        yield Case(name, lambda path, content=content: path.write_bytes(content))
    seen = set()
    for name, other in others.items():
        if other.suffix not in seen:
            seen.add(other.suffix)
            yield Case(f"in its place: {name}", lambda path, other=other: path.write_bytes(other.whole))


# Running


def groups() -> dict[str, list[str]]:
    """The kinds of files that one run of the program takes, by name: single files by their suffix, and each tree."""
    found: dict[str, list[str]] = {}
    for name, kind in file_kinds.kinds():
        found.setdefault(kind.suffix, []).append(name)
    return found | {name: [f"{name}: {file}" for file in tree.files] for name, tree in TREES.items()}


def remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()


def judged(case: Case, place: Place) -> str:
    """What came of a case: "refused", "read", or what is wrong."""
    remove(place.path)
    case.apply(place.path)
    try:
        result = place.read(place.path)
    except DataError as error:
        # A data set that lacks a file may not know its whole name, only the folder.
        expected = place.path.parent.name if case.name == "nothing" else place.path.name
        if expected not in error.message:
            return f"the message does not name {place.path.name}: {error.message}"
        return "refused" if error.exit_code == 3 and error.hint else f"exit code {error.exit_code}: {error}"
    except BaseException:
        return traceback.format_exc(limit=-6)
    finally:
        remove(beside(place.path))
    return wrong_with(result) or "read"


def wrong_with(result: object) -> str:
    """Why a result cannot be what a reader gives; empty when it can."""
    if result is None or isinstance(result, PartFile | float):
        return ""
    if isinstance(result, Sample):
        parts = [result.rgb, result.mask, None if result.xyz is None else OrganizedPoints(result.xyz, result.valid)]
        sizes = {part.shape[:2] for part in (result.rgb, result.xyz, result.valid, result.mask) if part is not None}
        return "; ".join(filter(None, map(wrong_with, parts))) or ("" if len(sizes) == 1 else f"sizes differ: {sizes}")
    if isinstance(result, OrganizedPoints):
        xyz, valid = result
        fine = xyz.dtype == np.float32 and xyz.shape == (*valid.shape, 3) and valid.dtype == bool and valid.any()
        return "" if fine and np.isfinite(xyz).all() and not xyz[~valid].any() else f"no cloud: {xyz.shape} {xyz.dtype}"
    if isinstance(result, LabelledPoints | CloudSample):
        fine = result.defect.shape == result.points.shape[:1] and result.defect.dtype == bool
        return wrong_with(result.points) if fine else f"labels of {result.defect.shape} {result.defect.dtype}"
    return wrong_with_array(result)


def wrong_with_array(result: object) -> str:
    if not isinstance(result, np.ndarray) or not result.size:
        return f"nothing: {result!r}"
    layout = (result.dtype.name, result.ndim)
    image = layout == ("uint8", 3) and result.shape[2] == 3
    points = layout == ("float32", 2) and result.shape[1] == 3 and bool(np.isfinite(result).all())
    # A depth image may hold anything; what is no depth is left out later.
    return "" if image or points or layout in (("bool", 2), ("float64", 2)) else f"a strange array: {layout}"


def run(group: str, folder: Path) -> Iterator[dict[str, object]]:
    """Judge all cases of a group, and say what came of each."""
    kinds = dict(file_kinds.kinds())
    if group in TREES:
        tree = TREES[group]
        tree.write(folder / "part")
        for file, kind in tree.files.items():
            path = folder / "part" / file
            whole = path.read_bytes()
            place = Place(path, lambda path: read_in_dataset(tree.dataset, folder, path))
            yield from run_cases(f"{group}: {file}", [place], whole, kinds.get(kind), kinds)
            remove(path)
            path.write_bytes(whole)
        return
    for name, kind in kinds.items():
        if kind.suffix == group:
            places = [Place(folder / f"{stem}{kind.suffix}", READERS[kind.reader]) for stem in NAMES]
            yield from run_cases(name, places, kind.whole, kind, kinds)


def run_cases(
    name: str, places: list[Place], whole: Content, kind: Kind | None, kinds: Mapping[str, Kind]
) -> Iterator[dict[str, object]]:
    for number, case in enumerate(cases(places[0].path, whole, kind, kinds, zlib.crc32(name.encode()))):
        title = f"{name}: {case.name}"
        print(json.dumps({"begun": title}), flush=True)
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # a hang, on a busy machine too
        start = time.process_time()
        outcome = judged(case, places[number % len(places)])
        yield {"case": title, "outcome": outcome, "seconds": round(time.process_time() - start, 3)}
    faulthandler.cancel_dump_traceback_later()


def limit_memory() -> None:
    """No more address space than `MEMORY`, where the system can do so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    limit_memory()
    with tempfile.TemporaryDirectory() as working:
        for outcome in run(sys.argv[1], Path(working)):
            print(json.dumps(outcome), flush=True)
