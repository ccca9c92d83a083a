"""Prepared samples of a data set: the same bits with a cache, and raw files that are read only once."""

from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.datasets import prepared as prepared_module
from lsfa_cli.datasets.mvtec3d import Mvtec3d
from lsfa_cli.datasets.prepared import prepared
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import PreparedSample, Sample, SampleRecord
from tests.datasets.trees import write_cloud, write_png
from tests.preprocessing.scenes import OPTIONS, part_on_background


class Watched(Mvtec3d):
    """Counts the samples that were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_names: list[str] = []

    def read(self, record: SampleRecord) -> Sample:
        self.read_names.append(record.name)
        return super().read(record)


@pytest.fixture
def dataset(tmp_path: Path) -> Watched:
    scene = part_on_background()
    for folder in ("train/good", "test/hole"):
        write_png(tmp_path / "data/widget" / folder / "rgb/000.png", scene.rgb)
        write_cloud(tmp_path / "data/widget" / folder / "xyz/000.tiff", scene.xyz)
    write_png(tmp_path / "data/widget/test/hole/gt/000.png", scene.mask.astype(np.uint8) * 253)
    return Watched(tmp_path / "data")


def bits(sample: PreparedSample) -> list[object]:
    arrays = [sample.rgb, sample.xyz, sample.valid, sample.mask]
    return [sample.record, sample.notes, *((a.dtype, a.shape, a.tobytes()) for a in arrays)]


def test_second_time_nothing_is_read_and_the_bits_are_the_same(tmp_path: Path, dataset: Watched) -> None:
    records = dataset.records("widget")
    plain = [bits(prepared(dataset, record, OPTIONS, None)) for record in records]
    for _ in range(2):
        cache = SampleCache(tmp_path / "cache")
        assert [bits(prepared(dataset, record, OPTIONS, cache)) for record in records] == plain
        assert cache.warnings == []
    assert dataset.read_names == [record.name for record in records] * 2
    assert prepared(dataset, records[1], OPTIONS, cache).mask.any()


def test_changed_file_is_read_again(tmp_path: Path, dataset: Watched) -> None:
    record = dataset.records("widget")[0]
    cache = SampleCache(tmp_path / "cache")
    first = prepared(dataset, record, OPTIONS, cache)
    write_png(record.files["rgb"], np.zeros_like(part_on_background().rgb))
    second = prepared(dataset, record, OPTIONS, cache)
    assert len(dataset.read_names) == 2
    assert first.rgb.any()
    assert not second.rgb.any()


def test_file_that_changes_while_it_is_read_is_an_error_and_is_not_kept(
    tmp_path: Path, dataset: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = dataset.records("widget")[0]

    def changed_meanwhile(sample: Sample, options: object) -> PreparedSample:
        write_png(record.files["rgb"], np.zeros_like(sample.rgb))
        return prepare(sample, OPTIONS)

    prepare = prepared_module.prepare
    monkeypatch.setattr(prepared_module, "prepare", changed_meanwhile)
    with pytest.raises(DataError, match="a file changed while it was read") as caught:
        prepared(dataset, record, OPTIONS, SampleCache(tmp_path / "cache"))
    assert str(record.files["rgb"]) in caught.value.message
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_folder_that_cannot_be_written_gives_the_same_bits(tmp_path: Path, dataset: Watched) -> None:
    (tmp_path / "cache").write_text("no folder")
    cache = SampleCache(tmp_path / "cache")
    for record in dataset.records("widget"):
        assert bits(prepared(dataset, record, OPTIONS, cache)) == bits(prepared(dataset, record, OPTIONS, None))
    assert len(cache.warnings) == 2  # one for samples, one for digests
