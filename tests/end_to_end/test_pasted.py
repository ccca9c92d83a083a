"""Pasted defects from extraction on, as a person runs them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.pasted import PASTED_SPLITS, PastedFeatures, has_pasted
from lsfa_cli.artifacts.store import open_artifact
from tests.end_to_end.conftest import Place, runner

TRAIN, VALIDATION, EACH = 4, 2, 2


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Place:
    """A folder where features with pasted samples were extracted. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("pasted")
    place = Place(folder, runner(folder, parts))
    place.lsfa("extract", "--category", "fitting", "--pasted", str(EACH))
    return place


def test_pasted_samples_are_stored_as_splits_are(extracted: Place) -> None:
    with open_features(extracted.artifact("features")) as features:
        for split, count in zip(PASTED_SPLITS, (TRAIN, VALIDATION), strict=True):
            assert has_pasted(features, split)
            pasted, normal = PastedFeatures(features, split), features.split(split)
            assert len(pasted) == EACH * count
            assert pasted.originals.tolist() == [index // EACH for index in range(EACH * count)]
            assert set(pasted.labels) == {1}
            for index, (name, kind) in enumerate(zip(pasted.names, pasted.defects, strict=True)):
                assert name.startswith(f"{normal.names[pasted.originals[index]]}#{kind}-")
                assert pasted.mask(index).any()
        assert not has_pasted(features, "test")


def test_pasted_features_differ_from_their_originals_where_the_mask_is(extracted: Place) -> None:
    with open_features(extracted.artifact("features")) as features:
        pasted, normal = PastedFeatures(features, "train"), features.split("train")
        for index, original in enumerate(pasted.originals):
            values, before = pasted.patches(index, "rgb"), normal.patches(int(original), "rgb")
            grid = values.grid
            size = pasted.mask(index).shape[0] // grid
            touched = pasted.mask(index).reshape(grid, size, grid, size).any(axis=(1, 3)).reshape(-1)
            changed = (values.values != before.values).any(axis=1)
            assert changed[touched].mean() > changed[~touched].mean()


def test_a_finer_image_adds_to_the_features_of_all_samples(extracted: Place, tmp_path: Path, parts: Path) -> None:
    place = Place(tmp_path, runner(tmp_path, parts))
    place.lsfa("extract", "--category", "fitting", "--pasted", str(EACH), "--rgb-fine", "2")
    with open_features(extracted.artifact("features")) as one, open_features(place.artifact("features")) as two:
        for split in ("train", "validation", "test"):
            before, values = (features.split(split).patches(1, "rgb").values for features in (one, two))
            np.testing.assert_array_equal(values[:, : before.shape[1]], before)
            assert values.shape[1] == 2 * before.shape[1]
        assert PastedFeatures(two, "train").patches(0, "rgb").values.shape == values.shape
        np.testing.assert_array_equal(
            PastedFeatures(two, "train").patches(3, "xyz").values, PastedFeatures(one, "train").patches(3, "xyz").values
        )
    place.lsfa("adapt", "--category", "fitting", "--objective", "pasted", "--pasted-steps", "5")
    place.lsfa("bank", "--category", "fitting")
    place.lsfa("score", "--category", "fitting")
    assert "up to date" in place.lsfa("score", "--category", "fitting").stderr


def test_kinds_are_balanced(extracted: Place) -> None:
    with open_features(extracted.artifact("features")) as features:
        names = [name.rpartition("-instead-of-") for name in PastedFeatures(features, "train").names]
        asked = [(last if found else last.rpartition("#")[2]).rpartition("-")[0] for _, found, last in names]
        numbers = Counter(asked)
        assert max(numbers.values()) - (min(numbers.values()) if len(numbers) == 9 else 0) <= 1


def test_the_other_splits_have_the_features_that_they_have_without(extracted: Place, place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    with open_artifact(place.artifact("features")) as plain, open_artifact(extracted.artifact("features")) as both:
        assert "pasted" not in plain.settings
        assert both.settings["pasted"] == EACH
        assert [path for path in both.paths() if not path.startswith("pasted/")] == plain.paths()
        for path in plain.paths():
            assert np.array_equal(plain.read(path), both.read(path)), path
    plain_bytes = place.artifact("features").read_bytes()
    place.lsfa("extract", "--category", "fitting", "--pasted", str(EACH))
    assert place.artifact("features").read_bytes() == extracted.artifact("features").read_bytes()
    place.lsfa("extract", "--category", "fitting", "--pasted", "0")
    assert place.artifact("features").read_bytes() == plain_bytes


def test_a_second_extraction_does_nothing(extracted: Place) -> None:
    done = extracted.lsfa("extract", "--category", "fitting", "--pasted", str(EACH))
    assert "up to date" in done.stderr


def test_inspect_shows_them(extracted: Place) -> None:
    told = extracted.lsfa("inspect", str(extracted.artifact("features"))).stdout
    assert "pasted/train/rgb" in told
    assert "pasted/validation/masks" in told


def test_a_dry_run_counts_them(extracted: Place) -> None:
    told = extracted.lsfa("extract", "--category", "fitting", "--pasted", "3", "--dry-run").stdout
    assert f"setting pasted changed from {EACH} to 3" in told
    assert "about" in told


def test_a_negative_number_is_refused(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting", "--pasted", "-1", expect=2)


@pytest.mark.parametrize("modality", ["rgb", "xyz"])
def test_one_modality_alone(place: Place, modality: str) -> None:
    place.lsfa("extract", "--category", "fitting", "--pasted", "1", "--modality", modality)
    with open_features(place.artifact("features")) as features:
        pasted = PastedFeatures(features, "train")
        assert pasted.modalities == (modality,)
        assert modality == "rgb" or "stain" not in pasted.defects


def test_a_limit_of_training_samples_limits_their_versions(extracted: Place) -> None:
    with open_features(extracted.artifact("features")) as features:
        features.limit_training(2, seed=0)
        pasted = PastedFeatures(features, "train")
        assert sorted(set(pasted.originals.tolist())) == features.training.tolist()
        assert len(pasted) == 2 * EACH
        assert len(PastedFeatures(features, "validation")) == VALIDATION * EACH
