"""How much memory there is: what the system can still give to this process."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

MEMORY_INFORMATION = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that this process can still take before the system swaps or kills it; None where that is not known.

    On Linux the least of what is free or can be freed and what the control groups of a container or a job leave;
    elsewhere all of the machine's memory, where the system tells it.
    """
    found = [*_from_system(), *_from_groups()]
    if found:
        return min(found)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _from_system() -> Iterator[int]:
    """What Linux holds to be available."""
    fields = _fields(MEMORY_INFORMATION)
    if "MemAvailable:" in fields:
        yield 1024 * fields["MemAvailable:"]


def _from_groups() -> Iterator[int]:
    """What the limits of the process's control groups leave, in both versions of their files."""
    for line in _text(OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(GROUPS, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(GROUPS / "memory", path, *names)


def _left(root: Path, path: str, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """What each group from `path` up to the root still allows. Inside a container the path may not be there."""
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
        if most.isdigit() and used.isdigit():
            # Cached files count as used, and go when memory is asked for.
            yield max(0, int(most) - int(used) + _fields(folder / "memory.stat").get(reclaimable, 0))
        if folder == root:
            return


def _fields(file: Path) -> Mapping[str, int]:
    """Names and numbers, one pair a line."""
    parts = (line.split() for line in _text(file).splitlines())
    return {words[0]: int(words[1]) for words in parts if len(words) > 1 and words[1].isdigit()}


def _text(file: Path) -> str:
    """What a file of the system says, nothing where it is not there or not for us."""
    try:
        return file.read_text()
    except OSError:
        return ""
