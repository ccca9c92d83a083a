from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.pasting import KINDS
from lsfa_cli.pasting.versions import pasted_versions
from lsfa_cli.preprocessing.cache import SampleCache
from tests.pasting.scans import OPTIONS, record, sample

KIND_NAMES = list(KINDS)


class Reader:
    """A data set of one part under many names, which counts what it reads."""

    name = "made up"

    def __init__(self):
        self.reads = Counter()

    def read(self, of):
        self.reads[of.name] += 1
        return replace(sample(), record=of)


def records(count):
    return [record(f"train/good/{index:03}") for index in range(count)]


def versions(count, parts=5, *, seed=0, kinds=KIND_NAMES, reader=None):
    return pasted_versions(reader or Reader(), records(parts), count * parts, OPTIONS, kinds=kinds, seed=seed)


def test_kinds_are_balanced_and_names_are_unique():
    drawn = versions(4, parts=7)
    assert len(drawn) == 28
    counts = Counter(version.kind for version in drawn)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({version.record.name for version in drawn}) == 28
    for version in drawn:
        assert version.record.name == f"{version.original.name}#{version.kind}-0"
        assert version.record.defect == version.kind
    per_sample = Counter((version.original.name, version.kind) for version in drawn)
    assert set(per_sample.values()) == {1}


@pytest.mark.parametrize("total", [0, 3, 7, 20])
def test_a_total_is_spread_over_samples(total):
    drawn = pasted_versions(Reader(), records(7), total, OPTIONS, kinds=KIND_NAMES, seed=0)
    assert len(drawn) == total
    each = Counter(version.original.name for version in drawn)
    counts = [each[of.name] for of in records(7)]
    assert max(counts) - min(counts) <= 1
    kinds = Counter(version.kind for version in drawn)
    assert total < len(KINDS) or max(kinds.values()) - min(kinds.values()) <= 1


def test_more_versions_than_kinds_are_numbered():
    names = [version.record.name for version in versions(3, parts=1, kinds=["bump"])]
    assert names == [f"train/good/000#bump-{number}" for number in range(3)]
    masks = [version.read(version.record).mask for version in versions(3, parts=1, kinds=["bump"])]
    assert not np.array_equal(masks[0], masks[1])


def test_the_order_is_drawn_from_the_seed():
    first, again, other = ([v.kind for v in versions(len(KINDS), parts=1, seed=seed)] for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_a_version_depends_on_its_name_and_seed_alone():
    few, many = versions(2, parts=1), versions(9, parts=3)
    same = {version.record.name: version for version in many}
    for version in few:
        first, second = version.read(version.record), same[version.record.name].read(version.record)
        assert np.array_equal(first.mask, second.mask)
        assert np.array_equal(first.rgb, second.rgb)
    other = versions(9, parts=1, seed=1)
    twin = next(version for version in other if version.record.name == few[0].record.name)
    assert not np.array_equal(twin.read(twin.record).mask, few[0].read(few[0].record).mask)


def test_a_sample_is_read_once_for_its_versions():
    reader = Reader()
    for version in versions(3, parts=2, reader=reader):
        version.read(version.record)
    assert reader.reads == {"train/good/000": 1, "train/good/001": 1}


def test_preparing_them_through_the_cache(tmp_path):
    cache = SampleCache(tmp_path)
    reader = Reader()
    plain = [prepared(version, version.record, OPTIONS, None) for version in versions(3, parts=1)]
    for _ in range(2):
        kept = [prepared(version, version.record, OPTIONS, cache) for version in versions(3, parts=1, reader=reader)]
        for first, second in zip(plain, kept, strict=True):
            assert first.record == second.record
            assert np.array_equal(first.mask, second.mask)
            assert np.array_equal(first.rgb, second.rgb)
            assert np.array_equal(first.xyz, second.xyz)
    assert reader.reads == {"train/good/000": 1}
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    assert not np.array_equal(plain[0].mask, plain[1].mask)


def test_another_seed_is_another_entry(tmp_path):
    cache = SampleCache(tmp_path)
    keys = {
        cache.key(version.record, OPTIONS, version.name) for seed in (0, 1) for version in versions(2, 1, seed=seed)
    }
    assert len(keys) == 4


def test_the_record_of_another_version():
    first, second = versions(2, parts=1)
    with pytest.raises(ValueError, match="asked of the version"):
        first.read(second.record)


def test_defective_samples_and_no_kinds():
    with pytest.raises(ValueError, match="defective already"):
        pasted_versions(Reader(), [replace(record(), defect="hole")], 1, OPTIONS, kinds=KIND_NAMES, seed=0)
    with pytest.raises(ValueError, match="no kind"):
        versions(1, kinds=[])
