"""Memory that is left, on made-up files of the system."""

from pathlib import Path

import pytest

from lsfa_cli.stages import memory
from lsfa_cli.stages.memory import available_memory

GIB = 2**30


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Linux with 8 GiB available and no control group."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\nHugePages_Total: 0\n")
    monkeypatch.setattr(memory, "MEMORY_INFORMATION", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    return tmp_path


def limit(folder: Path, most: str, used: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


def test_without_groups_it_is_what_the_system_has(system: Path) -> None:
    assert available_memory() == 8 * GIB


def test_the_tightest_group_counts_and_cached_files_can_go(system: Path) -> None:
    (system / "cgroup").write_text("0::/slice/job\n")
    limit(system / "groups" / "slice" / "job", "max", 5 * GIB)
    assert available_memory() == 8 * GIB
    limit(system / "groups" / "slice", str(6 * GIB), 5 * GIB, cached=2 * GIB)
    assert available_memory() == 3 * GIB
    limit(system / "groups", str(5 * GIB), 4 * GIB)
    assert available_memory() == GIB


def test_inside_a_container_the_path_is_not_there(system: Path) -> None:
    (system / "cgroup").write_text("0::/outside/of/this\n")
    limit(system / "groups", str(4 * GIB), 5 * GIB)
    assert available_memory() == 0


def test_the_first_version_of_groups(system: Path) -> None:
    (system / "cgroup").write_text("5:devices:/x\n4:cpu,memory:/job\n1:name=systemd:/\n")
    folder = system / "groups" / "memory" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{2 * GIB}\n")
    (folder / "memory.stat").write_text(f"inactive_file 7\ntotal_inactive_file {GIB // 2}\n")
    assert available_memory() == 1.5 * GIB


def test_elsewhere_it_is_the_whole_memory_or_unknown(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (system / "meminfo").unlink()
    monkeypatch.setattr(memory.os, "sysconf_names", {"SC_PHYS_PAGES": 1}, raising=False)
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(memory.os, "sysconf", pages.__getitem__, raising=False)
    assert available_memory() == 4_096_000
    monkeypatch.setattr(memory.os, "sysconf_names", {}, raising=False)
    assert available_memory() is None
