"""Digests of files: remembered only where that is safe, shared by threads and processes, never in the way."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import digests
from lsfa_cli.preprocessing.digests import DigestMemo, dataset_digest, file_digest
from lsfa_cli.samples import SampleRecord


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is an hour ahead, so that files just written have long been left alone."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + 3600 * 10**9)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order."""
    paths: list[Path] = []

    def watched(path: Path) -> str:
        paths.append(path)
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", watched)
    return paths


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("length", [0, 1, 2**20 - 1, 2**20, 2**20 + 1])
def test_digest_is_sha_256_of_the_content(tmp_path: Path, length: int) -> None:
    content = bytes(range(256)) * (length // 256 + 1)
    (tmp_path / "a").write_bytes(content[:length])
    assert file_digest(tmp_path / "a") == DigestMemo(tmp_path / "db").digest(tmp_path / "a") == sha(content[:length])


def test_unchanged_file_is_read_once(tmp_path: Path, settled: None, hashed: list[Path]) -> None:
    (tmp_path / "a").write_bytes(b"one")
    memo = DigestMemo(tmp_path / "cache" / "db")
    assert [memo.digest(tmp_path / "a") for _ in range(3)] == [sha(b"one")] * 3
    memo.close()
    assert memo.digest(tmp_path / "a") == sha(b"one")
    assert DigestMemo(tmp_path / "cache" / "db").digest(tmp_path / "a") == sha(b"one")
    assert len(hashed) == 1
    assert memo.warning is None


def test_file_changed_in_the_last_two_seconds_is_not_remembered(tmp_path: Path, hashed: list[Path]) -> None:
    (tmp_path / "a").write_bytes(b"one")
    memo = DigestMemo(tmp_path / "db")
    assert memo.digest(tmp_path / "a") == sha(b"one")
    (tmp_path / "a").write_bytes(b"two")  # the clock may not have moved in between
    assert memo.digest(tmp_path / "a") == sha(b"two")
    assert len(hashed) == 2


def test_file_from_the_future_is_not_remembered(tmp_path: Path, settled: None, hashed: list[Path]) -> None:
    (tmp_path / "a").write_bytes(b"one")
    later = time.time() + 30 * 86400
    os.utime(tmp_path / "a", (later, later))
    memo = DigestMemo(tmp_path / "db")
    memo.digest(tmp_path / "a")
    memo.digest(tmp_path / "a")
    assert len(hashed) == 2


def test_changed_replaced_and_touched_files_are_read_again(tmp_path: Path, settled: None, hashed: list[Path]) -> None:
    path, memo = tmp_path / "a", DigestMemo(tmp_path / "db")
    path.write_bytes(b"one")
    status = path.stat()
    memo.digest(path)
    time.sleep(0.02)  # longer than a file system's clock ticks
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time of modification
    assert memo.digest(path) == sha(b"two")
    (tmp_path / "b").write_bytes(b"six")
    shutil.copystat(path, tmp_path / "b")
    (tmp_path / "b").replace(path)
    assert memo.digest(path) == sha(b"six")
    path.write_bytes(b"longer")
    assert memo.digest(path) == sha(b"longer")
    assert len(hashed) == 4
    assert memo.digest(path) == sha(b"longer")
    assert len(hashed) == 4


def test_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, memo = tmp_path / "a", DigestMemo(tmp_path / "db")
    path.write_bytes(b"one")

    def changed_meanwhile(path: Path) -> str:
        digest = file_digest(path)
        path.write_bytes(b"changed")
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(digests, "file_digest", changed_meanwhile)
        memo.digest(path)
    assert memo.digest(path) == sha(b"changed")


def test_files_of_equal_content_and_links_have_one_digest(tmp_path: Path, settled: None) -> None:
    memo = DigestMemo(tmp_path / "db")
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert {memo.digest(tmp_path / name) for name in "abc"} == {sha(b"one")}


def test_relative_paths_follow_the_current_folder(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    memo = DigestMemo(tmp_path / "db")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert memo.digest(Path("a")) == sha(name.encode())


def test_missing_file_and_folder_are_errors_that_name_them(tmp_path: Path) -> None:
    memo = DigestMemo(tmp_path / "db")
    for path, said in ((tmp_path / "absent", "does not exist"), (tmp_path, "is a folder, expected a file")):
        with pytest.raises(DataError) as caught:
            memo.digest(path)
        assert caught.value.message.startswith(f"{path} {said}")
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("content", [b"no database" * 500, b"SQLite format 3\0" + bytes(5000), b"\0" * 4096])
def test_damaged_database_is_started_anew(tmp_path: Path, settled: None, hashed: list[Path], content: bytes) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "db").write_bytes(content)
    memo = DigestMemo(tmp_path / "db")
    assert [memo.digest(tmp_path / "a") for _ in range(2)] == [sha(b"one")] * 2
    assert memo.warning is None
    assert len(hashed) == 1


def test_database_of_another_kind_costs_only_time(tmp_path: Path, settled: None, hashed: list[Path]) -> None:
    (tmp_path / "a").write_bytes(b"one")
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("CREATE TABLE digests (name TEXT)")
    connection.close()
    memo = DigestMemo(tmp_path / "db")
    assert [memo.digest(tmp_path / "a") for _ in range(2)] == [sha(b"one")] * 2
    assert str(tmp_path / "db") in str(memo.warning)


def test_database_that_cannot_be_made_costs_only_time(tmp_path: Path, settled: None, hashed: list[Path]) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "folder", tmp_path / "file" / "db"):
        memo = DigestMemo(place)
        assert [memo.digest(tmp_path / "a") for _ in range(2)] == [sha(b"one")] * 2
        assert "only costs time" in str(memo.warning)


def test_locked_database_costs_only_time(tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_BUSY_SECONDS", 0.05)
    (tmp_path / "a").write_bytes(b"one")
    DigestMemo(tmp_path / "db").digest(tmp_path / "a")
    other = sqlite3.connect(tmp_path / "db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    memo = DigestMemo(tmp_path / "db")
    assert memo.digest(tmp_path / "a") == sha(b"one")
    assert "locked" in str(memo.warning)
    other.close()
    assert (tmp_path / "db").stat().st_size > 0  # locked is not damaged


def test_threads_share_a_memo(tmp_path: Path, settled: None) -> None:
    memo = DigestMemo(tmp_path / "db")
    for number in range(20):
        (tmp_path / str(number)).write_text(str(number))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: memo.digest(tmp_path / str(number % 20)), range(400)))
    assert found == [sha(str(number % 20).encode()) for number in range(400)]
    assert memo.warning is None


PROCESS = """
import sys, time
from pathlib import Path
from lsfa_cli.preprocessing import digests
now = time.time_ns
digests.time.time_ns = lambda: now() + 3600 * 10**9
memo = digests.DigestMemo(Path(sys.argv[1]) / "db")
for number in range(60):
    print(memo.digest(Path(sys.argv[1]) / str(number)))
assert memo.warning is None, memo.warning
"""


def test_processes_share_a_database(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / str(number)).write_text(str(number))
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert output.split() == [sha(str(number).encode()) for number in range(60)]
    connection = sqlite3.connect(tmp_path / "db")
    assert connection.execute("SELECT COUNT(*) FROM digests").fetchone() == (60,)
    connection.close()


def records(root: Path, **changes: str) -> list[SampleRecord]:
    """Two samples of two files each below `root`; `changes` replace fields of the first."""
    found = []
    for name in ("test/hole/000", "test/hole/001"):
        paths = {role: root / f"{name}.{role}" for role in ("rgb", "xyz")}
        for role, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{role} of {name}")
        found.append(SampleRecord(name, "test", "hole", paths))
    first = {"name": found[0].name, "split": "test", "defect": "hole"} | changes
    return [SampleRecord(files=found[0].files, **first), found[1]]  # type: ignore[arg-type]  # split is any name here


def test_dataset_digest_depends_on_everything_but_order_and_place(tmp_path: Path) -> None:
    first = dataset_digest(records(tmp_path / "one"))
    assert len(first) == 64
    assert dataset_digest(records(tmp_path / "elsewhere")) == first
    assert dataset_digest(reversed(records(tmp_path / "one"))) == first
    assert dataset_digest(records(tmp_path / "one"), DigestMemo(tmp_path / "db").digest) == first
    others = {
        first,
        dataset_digest(records(tmp_path / "one")[:1]),
        dataset_digest(records(tmp_path / "one", name="test/hole/007")),
        dataset_digest(records(tmp_path / "one", defect="bent")),
        dataset_digest(records(tmp_path / "one", split="train")),
    }
    changed = records(tmp_path / "one")
    changed[0].files["rgb"].write_text("other")
    others.add(dataset_digest(changed))
    swapped = records(tmp_path / "one")
    files = swapped[0].files
    others.add(
        dataset_digest([SampleRecord("test/hole/000", "test", "hole", {"rgb": files["xyz"], "xyz": files["rgb"]})])
    )
    assert len(others) == 7


def test_dataset_digest_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    found = records(tmp_path)
    found[1].files["xyz"].unlink()
    with pytest.raises(DataError, match=r"001\.xyz does not exist"):
        dataset_digest(found)
