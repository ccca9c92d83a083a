"""Damaged files through every reader: each is refused by a data error that names it, or read as what it is.

The corpus is shown to the readers by a program of its own (`damaged_files`), so that a crash in a library, a hang or
too much memory is a failed test and not the end of all.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets import damaged_files, file_kinds
from tests.datasets.damaged_files import READERS, SECONDS, Case, Place, contents, groups, judged

ROOT = Path(__file__).resolve().parents[2]
GROUPS = groups()
KINDS = dict(file_kinds.kinds())
LEAST = 1000


@lru_cache
def outcomes(group: str) -> dict[str, str]:
    """What came of each case of a group."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # each thread reserves address space
    done = subprocess.run(
        [sys.executable, "-m", damaged_files.__name__, group],
        cwd=ROOT,
        env=os.environ | one_thread,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]  # nothing but ours on standard output
    assert done.returncode == 0, f"died with {done.returncode} at {rows[-1:]}\n{done.stderr[-3000:]}"
    if group != ".exr":  # OpenEXR remarks on damage by itself
        assert done.stderr == ""
    judgements = [row for row in rows if "case" in row]
    assert len(judgements) == len(rows) // 2
    slow = [row for row in judgements if row["seconds"] > SECONDS]
    assert not slow, slow
    return {row["case"]: row["outcome"] for row in judgements}


@pytest.mark.parametrize("group", GROUPS)
def test_every_case_is_refused_or_read(group: str) -> None:
    found = outcomes(group)
    failures = {case: outcome for case, outcome in found.items() if outcome not in ("refused", "read")}
    assert not failures, "\n".join(f"{case}: {outcome}" for case, outcome in failures.items())
    for name in GROUPS[group]:
        assert found[f"{name}: whole"] == "read"
        assert found[f"{name}: a folder"] == found[f"{name}: a link to itself"] == "refused"
        assert found[f"{name}: empty"] == ("read" if name == "part file" else "refused")
        counts = Counter(outcome for case, outcome in found.items() if case.startswith(f"{name}: "))
        assert counts["refused"] > 20


def test_enough_cases() -> None:
    total = Counter(outcome for group in GROUPS for outcome in outcomes(group).values())
    assert total["refused"] >= LEAST
    assert total["read"] > 100  # a reader that refuses everything would be easy


def test_the_corpus_is_the_same_every_time() -> None:
    kind = KINDS["grid, pcd binary"]
    assert list(contents(kind.whole, kind, 3)) == list(contents(kind.whole, kind, 3))
    assert list(contents(kind.whole, kind, 3)) != list(contents(kind.whole, kind, 4))


@st.composite
def edits(draw: st.DrawFn, content: bytes) -> bytes:
    """A content with some bytes replaced, removed or added."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(start + 8, len(content))))
        content = content[:start] + draw(st.binary(max_size=8)) + content[end:]
    return content


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_edit_is_refused_or_read(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    content = data.draw(edits(kind.whole))
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / f"case{kind.suffix}", READERS[kind.reader])
        assert judged(Case("edited", lambda path: path.write_bytes(content)), place) in ("refused", "read")
