"""Versions with pasted defects in the stage: what takes the place of a kind that finds none, and what is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.features import Layout, open_features, write_records
from lsfa_cli.artifacts.pasted import PastedFeatures, PastedWriter
from lsfa_cli.artifacts.store import create
from lsfa_cli.datasets import open_dataset
from lsfa_cli.datasets.base import RasterDataset
from lsfa_cli.datasets.synthetic import generate
from lsfa_cli.errors import DataError
from lsfa_cli.pasting import versions as pasted
from lsfa_cli.pasting.paste import NoPlaceError
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import PatchFeatures, SampleRecord
from lsfa_cli.settings import ExtractSettings, content_of
from lsfa_cli.stages import extract as stage
from lsfa_cli.stages.extract import extract, preprocess_options
from lsfa_cli.stages.extract_pasted import PastedBatches, pasted_settings, plan_pasted
from lsfa_cli.stages.pasted_maker import PastedMaker
from lsfa_cli.stages.progress import NoProgress
from lsfa_cli.stages.read_ahead import Pool, Workers
from tests.datasets.real3d_trees import write_category

SETTINGS = ExtractSettings(pasted=2, device="cpu", image_size=64, xyz_grid=8)
STAND_INS = SETTINGS.model_copy(update={"rgb_backbone": "texture", "xyz_backbone": "surface"})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RasterDataset:
    root = tmp_path_factory.mktemp("parts")
    generate(root, categories=["fitting"], size=96, train=2, validation=1, test_good=1, test_per_defect=1, jobs=1)
    opened = open_dataset("synthetic", root)
    assert isinstance(opened, RasterDataset)
    return opened


def batches(dataset: RasterDataset, settings: ExtractSettings = SETTINGS) -> PastedBatches:
    options = preprocess_options(settings, dataset.recipe("fitting"))
    planned = plan_pasted(dataset, dataset.records("fitting"), settings, options, ("rgb", "xyz"))
    maker = PastedMaker(planned.kinds, dataset.name, options, None)
    return PastedBatches(planned, maker, Pool(ThreadPoolExecutor(1), 1), batch=3)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Kinds that find no place, to be filled by the test."""
    kinds: set[str] = set()
    real = pasted.paste

    def paste(scene, kind, generator, *, name=None):  # type: ignore[no-untyped-def]  # as the one it stands for
        if kind in kinds:
            raise NoPlaceError(f"no place for {kind}")
        return real(scene, kind, generator, name=name)

    monkeypatch.setattr(pasted, "paste", paste)
    return kinds


def test_test_samples_are_left_alone(dataset: RasterDataset) -> None:
    planned = batches(dataset).pasted
    assert {split: len(found) for split, found in planned.versions.items()} == {"train": 4, "validation": 2}
    assert planned.total == len(planned.all()) == 6
    assert all(version.original.split != "test" for version in planned.all())


def test_nothing_is_planned_without_pasting(dataset: RasterDataset) -> None:
    assert batches(dataset, SETTINGS.model_copy(update={"pasted": 0})).pasted.total == 0


def test_batches_come_in_order_and_depend_on_no_threads(dataset: RasterDataset) -> None:
    source = batches(dataset)
    one = [made for batch in source.batches("train") for made in batch]
    assert [len(batch) for batch in source.batches("train")] == [3, 1]
    many = list(map(source.maker.make, source.pasted.versions["train"]))
    for first, second, version in zip(one, many, source.pasted.versions["train"], strict=True):
        assert first.record == second.record == version.record
        assert first.original == version.original
        assert not first.refused
        assert np.array_equal(first.sample.rgb, second.sample.rgb)


def test_the_next_kind_takes_the_place_of_one_that_finds_none(dataset: RasterDataset, refused: set[str]) -> None:
    source = batches(dataset)
    version = source.pasted.versions["train"][0]
    kinds = list(source.pasted.kinds)
    after = kinds[(kinds.index(version.kind) + 1) % len(kinds)]
    last = kinds[(kinds.index(version.kind) + 2) % len(kinds)]
    refused |= {version.kind, after}
    made = source.maker.make(version)
    assert made.refused == (version.kind, after)
    assert made.record.defect == last
    assert made.record.name == f"{version.original.name}#{last}-instead-of-{version.kind}-0"
    assert made.sample.mask is not None
    assert made.sample.mask.any()


def test_a_sample_without_any_place_is_named(dataset: RasterDataset, refused: set[str]) -> None:
    source = batches(dataset)
    refused |= set(source.pasted.kinds)
    version = source.pasted.versions["train"][1]
    with pytest.raises(DataError, match=version.original.name):
        source.maker.make(version)


def test_kinds_without_a_place_are_told_once(dataset: RasterDataset, refused: set[str], tmp_path: Path) -> None:
    listener = NoProgress()
    refused |= {version.kind for version in batches(dataset).pasted.versions["train"]}
    out, cache = tmp_path / "features.h5", SampleCache(tmp_path / "cache")
    outcome = extract(dataset, "fitting", out, STAND_INS, cache=cache, jobs=1, progress=listener)
    assert "6 with pasted defects" in outcome.summary
    told = [warning for warning in listener.warnings if "found no place" in warning]
    assert len(told) == len({warning.partition(" ")[0] for warning in told}) > 0
    with open_features(out) as features:
        assert not refused & set(PastedFeatures(features, "train").defects)


class Listener(NoProgress):
    """Keeps what is said, too."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_processes_make_what_threads_make(
    dataset: RasterDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    for workers in (Workers(1), Workers(2, processes=True)):
        monkeypatch.setattr(stage, "workers_for", lambda jobs, device, workers=workers: workers)
        out, cache = tmp_path / f"{workers}.h5", SampleCache(tmp_path / f"{workers}")
        listener = Listener()
        extract(dataset, "fitting", out, STAND_INS, cache=cache, progress=listener)
        assert any(str(workers) in said for said in listener.said)
        assert len(list(cache.folder.rglob("*.npz"))) == len(dataset.records("fitting")) + 6
        with open_features(out) as features:
            hashes.append(features.artifact.content_hash)
    assert hashes[0] == hashes[1]


def test_a_process_that_prepares_samples_loads_no_networks() -> None:
    loads = "import sys, lsfa_cli.stages.pasted_maker; print({'torch', 'open3d', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_processes_tell_that_nothing_can_be_kept(
    dataset: RasterDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "workers_for", lambda jobs, device: Workers(1, processes=True))
    (tmp_path / "file").write_text("")
    listener = NoProgress()
    cache = SampleCache(tmp_path / "file" / "cache")
    extract(dataset, "fitting", tmp_path / "out.h5", STAND_INS, cache=cache, progress=listener)
    assert any("are not kept" in warning for warning in listener.warnings)


def test_unorganized_clouds_are_refused(tmp_path: Path) -> None:
    write_category(tmp_path / "duck", train=1, test=1)
    dataset = open_dataset("real3d_ad", tmp_path)
    with pytest.raises(DataError, match="unorganized clouds") as caught:
        extract(dataset, "duck", tmp_path / "features.h5", SETTINGS, cache=SampleCache(tmp_path / "cache"))
    assert "--pasted" in (caught.value.hint or "")


def test_features_without_pasting_record_nothing_of_it() -> None:
    plain = ExtractSettings()
    assert "pasted" not in content_of(plain)
    assert pasted_settings(plain) == {}
    assert content_of(SETTINGS)["pasted"] == 2
    assert list(pasted_settings(SETTINGS)) == ["pasting_version"]


def test_a_writer_wants_exactly_what_it_was_told(tmp_path: Path) -> None:
    record = SampleRecord("train/good/000#bump-0", "train", "bump", {})
    patches = {"rgb": PatchFeatures(np.ones((4, 3), dtype=np.float32), np.ones(4, dtype=bool), 2)}
    mask = np.zeros((8, 8), dtype=bool)
    with (
        pytest.raises(ValueError, match="0 of 1"),
        create(tmp_path / "features.h5", "features", settings={}, inputs={}) as writer,
    ):
        PastedWriter(writer, "train", 1, {"rgb": Layout(2, 3)}, 8).close()
    with create(tmp_path / "features.h5", "features", settings={}, inputs={}) as writer:
        for split in ("train", "validation", "test"):
            write_records(writer, split, [record])
        written = PastedWriter(writer, "train", 1, {"rgb": Layout(2, 3)}, 8)
        written.add(record, 0, patches, mask)
        with pytest.raises(ValueError, match="more than 1"):
            written.add(record, 0, patches, mask)
        written.close()


@pytest.mark.parametrize(
    ("pasted_each", "at_least", "training", "expected"),
    [(4, 400, 223, 892), (4, 400, 26, 400), (1, 400, 223, 400), (4, 0, 5, 20), (0, 400, 5, 0), (4, 9, 0, 0)],
)
def test_few_training_samples_have_more_versions(pasted_each: int, at_least: int, training: int, expected: int) -> None:
    settings = ExtractSettings(pasted=pasted_each, pasted_at_least=at_least)
    assert settings.versions_of(training, "train") == expected
    assert settings.versions_of(training, "validation") == pasted_each * training


def test_only_training_samples_have_more_versions(dataset: RasterDataset) -> None:
    planned = batches(dataset, SETTINGS.model_copy(update={"pasted_at_least": 9})).pasted
    assert {split: len(versions) for split, versions in planned.versions.items()} == {"train": 9, "validation": 2}


def test_what_is_not_asked_for_is_not_recorded() -> None:
    for settings in (ExtractSettings(pasted_at_least=9), ExtractSettings(pasted=2)):
        assert "pasted_at_least" not in content_of(settings)
    assert content_of(ExtractSettings(pasted=2, pasted_at_least=9))["pasted_at_least"] == 9
