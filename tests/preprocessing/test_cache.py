"""The cache of prepared samples: the same bits, never out of date, and never in the way."""

import dataclasses
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.preprocessing import cache as cache_module
from lsfa_cli.preprocessing import prepare
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import PreparedSample, SampleRecord
from tests.preprocessing.scenes import OPTIONS, part_on_background

KEY = "ab" + "0" * 62
ARRAYS = ("rgb", "xyz", "valid", "mask")


@pytest.fixture(scope="module")
def sample() -> PreparedSample:
    return dataclasses.replace(prepare(part_on_background(), OPTIONS), notes=("no plane: größer", "second"))


def never() -> PreparedSample:
    raise AssertionError("made although it was there")


def same_bits(first: PreparedSample, second: PreparedSample) -> None:
    assert first.record == second.record
    assert first.notes == second.notes
    for name in ARRAYS:
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.flags.c_contiguous
        assert other.flags.c_contiguous
        assert one.tobytes() == other.tobytes()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_second_fetch_gives_the_same_bits_without_making(tmp_path: Path, sample: PreparedSample) -> None:
    cache = SampleCache(tmp_path / "deep" / "cache")
    same_bits(cache.fetch(KEY, sample.record, lambda: sample), sample)
    assert files(tmp_path) == [f"deep/cache/ab/{KEY}.npz"]
    same_bits(cache.fetch(KEY, sample.record, never), sample)
    same_bits(SampleCache(tmp_path / "deep" / "cache").fetch(KEY, sample.record, never), sample)
    assert cache.warnings == []


def test_the_finer_image_is_kept_too(tmp_path: Path, sample: PreparedSample) -> None:
    finer = prepare(part_on_background(), dataclasses.replace(OPTIONS, rgb_fine=2))
    assert finer.rgb_fine is not None
    cache = SampleCache(tmp_path)
    cache.fetch(KEY, sample.record, lambda: finer)
    found = cache.fetch(KEY, sample.record, never)
    same_bits(found, dataclasses.replace(finer, record=sample.record))
    assert found.rgb_fine is not None
    assert found.rgb_fine.tobytes() == finer.rgb_fine.tobytes()


@pytest.mark.parametrize("size", [1, 3, 32, 225])
def test_every_size_and_every_level_survive(tmp_path: Path, sample: PreparedSample, size: int) -> None:
    random = np.random.default_rng(size)
    rgb = random.integers(0, 256, (3, size, size), dtype=np.uint8)
    rgb.reshape(-1)[:256] = np.arange(256, dtype=np.uint8)[: rgb.size]
    valid = random.uniform(size=(size, size)) < 0.3
    valid[0, 0] = True
    xyz = np.where(valid, random.normal(size=(3, size, size)), 0).astype(np.float32)
    xyz[:, 0, 0] = [0.0, -0.0, 1e-40]
    made = PreparedSample(sample.record, (rgb / np.float32(255)).astype(np.float32), xyz, valid, ~valid)
    cache = SampleCache(tmp_path)
    cache.fetch(KEY, made.record, lambda: made)
    same_bits(cache.fetch(KEY, made.record, never), made)


def test_entry_takes_the_record_that_asks_for_it(tmp_path: Path, sample: PreparedSample) -> None:
    cache = SampleCache(tmp_path)
    cache.fetch(KEY, sample.record, lambda: sample)
    other = SampleRecord("train/good/007", "train", "good", {})
    assert cache.fetch(KEY, other, never).record is other


def test_image_that_is_not_8_bit_is_a_mistake_of_the_program(tmp_path: Path, sample: PreparedSample) -> None:
    halfway = dataclasses.replace(sample, rgb=sample.rgb + np.float32(0.5 / 255))
    with pytest.raises(ValueError, match="no 8-bit image divided by 255"):
        SampleCache(tmp_path).fetch(KEY, sample.record, lambda: halfway)


def test_damaged_entry_is_made_again_and_written_anew(tmp_path: Path, sample: PreparedSample) -> None:
    cache = SampleCache(tmp_path)
    cache.fetch(KEY, sample.record, lambda: sample)
    entry = tmp_path / "ab" / f"{KEY}.npz"
    whole = entry.read_bytes()
    step = len(whole) // 40
    damaged = [b"", b"text", *(whole[:length] for length in range(0, len(whole), step)), whole[:-1]]
    damaged += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(0, len(whole), step)]
    made = []
    for content in damaged:
        entry.write_bytes(content)

        def make() -> PreparedSample:
            made.append(content)  # noqa: B023 - called before the next round
            return sample

        same_bits(cache.fetch(KEY, sample.record, make), sample)
        same_bits(cache.fetch(KEY, sample.record, never), sample)
    assert len(made) >= len(damaged) - 5  # a byte that no checksum covers, such as a date, does no harm
    assert files(tmp_path) == [f"ab/{KEY}.npz"]
    assert cache.warnings == []


def test_entry_of_another_kind_is_made_again(tmp_path: Path, sample: PreparedSample) -> None:
    cache = SampleCache(tmp_path)
    entry = tmp_path / "ab" / f"{KEY}.npz"
    cache.fetch(KEY, sample.record, lambda: sample)
    with np.load(entry) as arrays:
        content = dict(arrays)
    changes = {
        "rgb": content["rgb"][:2],
        "points": content["points"][:, :-1],
        "valid": content["valid"][:-1],
        "mask": content["mask"][:-1],
        "notes": np.array([0xFF], dtype=np.uint8),
    }
    changes["points one"] = content["points"][:, :1]  # would fit every point by broadcasting
    changes["rgb float"] = content["rgb"].astype(np.float32)
    for name, value in changes.items():
        np.savez(entry, **(content | {name.split()[0]: value}))
        same_bits(cache.fetch(KEY, sample.record, lambda: sample), sample)
        same_bits(cache.fetch(KEY, sample.record, never), sample)
    for name in content:
        np.savez(entry, **{other: value for other, value in content.items() if other != name})
        same_bits(cache.fetch(KEY, sample.record, lambda: sample), sample)


def test_pickles_are_never_loaded(tmp_path: Path, sample: PreparedSample) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "ab").mkdir()
    np.savez(tmp_path / "ab" / f"{KEY}.npz", rgb=np.array([Trap()], dtype=object))
    SampleCache(tmp_path).fetch(KEY, sample.record, lambda: sample)
    assert not (tmp_path / "sprung").exists()


def test_interrupted_writing_leaves_nothing(
    tmp_path: Path, sample: PreparedSample, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def interrupted(temporary: Path, target: Path) -> None:
        seen.extend([temporary.parent == target.parent, temporary.stat().st_size > 1000, target.exists()])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        SampleCache(tmp_path).fetch(KEY, sample.record, lambda: sample)
    assert seen == [True, True, False]
    assert files(tmp_path) == []


def test_folder_that_cannot_be_made_costs_only_time(tmp_path: Path, sample: PreparedSample) -> None:
    (tmp_path / "cache").write_text("a file in the place of the folder")
    cache = SampleCache(tmp_path / "cache")
    calls = []
    for _ in range(3):
        same_bits(cache.fetch(KEY, sample.record, lambda: calls.append(1) or sample), sample)
    assert len(calls) == 3
    assert len(cache.warnings) == 1
    assert str(tmp_path / "cache") in cache.warnings[0]
    assert "only costs time" in cache.warnings[0]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from lsfa_cli.preprocessing import prepare
from lsfa_cli.preprocessing.cache import SampleCache
from tests.preprocessing.scenes import OPTIONS, part_on_background
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sample = prepare(part_on_background(), OPTIONS)
cache = SampleCache(Path(sys.argv[1]))
for _ in range(2):
    assert cache.fetch("ab" + "0" * 62, sample.record, lambda: sample) is sample
print(len(cache.warnings), cache.warnings[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_full_disk_costs_only_time(tmp_path: Path) -> None:
    """A real failure to write, in the middle of an entry: files may not grow beyond 3000 bytes."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(f"1 prepared samples are not kept in {tmp_path}")
    assert files(tmp_path) == []


def test_threads_share_a_cache(tmp_path: Path, sample: PreparedSample) -> None:
    cache, gate = SampleCache(tmp_path), threading.Barrier(8)

    def fetch(number: int) -> PreparedSample:
        gate.wait()
        return cache.fetch(f"{number % 2:02}" + "0" * 62, sample.record, lambda: sample)

    with ThreadPoolExecutor(8) as pool:
        for done in pool.map(fetch, range(8)):
            same_bits(done, sample)
    assert len(files(tmp_path)) == 2
    assert cache.warnings == []


@pytest.fixture
def record(tmp_path: Path) -> SampleRecord:
    for name in ("a.png", "a.tiff"):
        (tmp_path / name).write_text(name)
    return SampleRecord("test/hole/000", "test", "hole", {"rgb": tmp_path / "a.png", "xyz": tmp_path / "a.tiff"})


def test_key_follows_all_that_an_entry_depends_on(
    tmp_path: Path, record: SampleRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SampleCache(tmp_path / "cache")

    def key(record: SampleRecord = record, reader: str = "mvtec3d", **changes: float) -> str:
        return cache.key(record, dataclasses.replace(OPTIONS, **changes), reader)

    first = key()
    keys = {first, key(reader="other")}
    for field in dataclasses.fields(OPTIONS):
        keys.add(key(**{field.name: getattr(OPTIONS, field.name) + 1}))
    swapped = {"rgb": record.files["xyz"], "xyz": record.files["rgb"]}
    keys.add(key(dataclasses.replace(record, files=swapped)))
    keys.add(key(dataclasses.replace(record, files={"rgb": record.files["rgb"]})))
    keys.add(key(dataclasses.replace(record, defect="good")))
    (tmp_path / "a.png").write_text("other content")
    keys.add(key())
    (tmp_path / "a.png").write_text("a.png")
    monkeypatch.setattr(cache_module, "PREPROCESSING_VERSION", cache_module.PREPROCESSING_VERSION + 1)
    keys.add(key())
    assert len(keys) == 2 + len(dataclasses.fields(OPTIONS)) + 5
    monkeypatch.undo()
    assert key() == first
    assert len(first) == 64


def test_key_does_not_depend_on_place_or_name(tmp_path: Path, record: SampleRecord) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    other = {role: path.rename(moved / f"7{path.suffix}") for role, path in record.files.items()}
    (tmp_path / "a.png").write_text("a.png")
    (tmp_path / "a.tiff").write_text("a.tiff")
    renamed = SampleRecord("test/hole/007", "test", "hole", other)
    first, second = SampleCache(tmp_path / "1"), SampleCache(tmp_path / "2")
    assert first.key(record, OPTIONS, "mvtec3d") == second.key(renamed, OPTIONS, "mvtec3d")


def test_numbers_are_kept_to_the_bit_and_made_again_when_damaged(tmp_path: Path) -> None:
    cache = SampleCache(tmp_path)
    numbers = np.array([0.1, -0.0, 1e300, 1 / 3])
    assert not cache.holds(KEY)
    made = cache.fetch_numbers(KEY, 4, lambda: numbers)
    assert made is numbers
    assert cache.holds(KEY)

    def unwanted() -> np.ndarray:
        raise AssertionError("made although it was there")

    assert cache.fetch_numbers(KEY, 4, unwanted).tobytes() == numbers.tobytes()
    (entry,) = tmp_path.glob("ab/*.npz")
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1  # beyond the header: the archive's checksum finds it
    for damaged in (bytes(content), b"", entry.read_bytes()[:-9]):
        entry.write_bytes(damaged)
        assert cache.fetch_numbers(KEY, 4, lambda: numbers + 1).tolist() == (numbers + 1).tolist()
        assert cache.fetch_numbers(KEY, 4, unwanted).tolist() == (numbers + 1).tolist()
    assert cache.fetch_numbers(KEY, 3, lambda: numbers[:3]).shape == (3,)


def test_a_process_has_one_cache_of_a_folder(tmp_path: Path) -> None:
    sent = pickle.dumps(SampleCache(tmp_path))
    assert pickle.loads(sent) is pickle.loads(sent)  # as worker processes get it
    assert pickle.loads(sent).folder == tmp_path


def test_a_folder_can_be_tried(tmp_path: Path) -> None:
    usable = SampleCache(tmp_path / "cache")
    usable.try_folder()
    assert usable.warnings == []
    assert not [file for file in usable.folder.rglob("*") if file.is_file()]
    (tmp_path / "file").write_text("")
    unusable = SampleCache(tmp_path / "file" / "cache")
    unusable.try_folder()
    assert ["are not kept" in warning for warning in unusable.warnings] == [True]
