"""Discriminators of pasted defects from training to the report, as a person runs them, and the weights of sources."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.artifacts.store import open_artifact
from tests.end_to_end.conftest import Place, runner

NAMES = {f"{name}{alone}" for name in ("rgb", "xyz", "fused") for alone in ("", "_bank", "_pasted")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Place:
    """A folder with discriminators beside banks, and no adaptors. Tests change its scores alone."""
    folder = tmp_path_factory.mktemp("discriminators")
    (folder / "lsfa.toml").write_text("[extract]\nimage_size = 112\nxyz_grid = 28\n")
    place = Place(folder, runner(folder, parts))
    place.lsfa("extract", "--category", "fitting", "--pasted", "2")
    place.lsfa("adapt", "--category", "fitting", "--objective", "pasted")
    place.lsfa("bank", "--category", "fitting")
    return place


def calibrated(place: Place) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image scores, maps and normal image scores of every source in deviations of normal ones, by the source's name."""
    found = {}
    with open_scores(place.artifact("scores")) as scores, open_artifact(place.artifact("bank"), "bank") as bank:
        for modality in ("rgb", "xyz"):
            image, pixels = (bank.read(f"{modality}/{kind}_statistics") for kind in ("image", "map"))
            name = f"{modality}_bank"
            found[name] = (
                (scores.image[name] - image[0]) / image[1],
                (scores.maps[name] - pixels[0]) / pixels[1],
                (scores.normal_image[name] - image[0]) / image[1],
            )
            name = f"{modality}_pasted"
            found[name] = scores.image[name], scores.maps[name], scores.normal_image[name]
    return found


def weighted(sources: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Their weighted mean, summed up as it is printed."""
    return sum(weights[name] * sources[name] for name in weights) / sum(weights.values())


IMAGE = {"rgb_bank": 1.0, "xyz_bank": 0.5, "rgb_pasted": 2.0}
MAPS = {"xyz_bank": 3.0, "xyz_pasted": 1.0}


def test_weights_are_those_of_the_sources(trained: Place) -> None:
    trained.lsfa("score", "--category", "fitting")
    plain = trained.artifact("scores").read_bytes()
    sources = calibrated(trained)
    trained.lsfa(
        "score", "--category", "fitting", "--image-weights", "rgb_bank=1,xyz_bank=0.5,rgb_pasted=2",
        "--map-weights", "xyz_bank=3,xyz_pasted=1",
    )  # fmt: skip
    image, maps, normal = ({name: one[kind] for name, one in sources.items()} for kind in range(3))
    with open_scores(trained.artifact("scores")) as scores:
        assert set(scores.image) == set(scores.maps) == set(scores.normal_image) == NAMES
        for kind, found in (("image", scores.image), ("normal", scores.normal_image)):
            one = image if kind == "image" else normal
            np.testing.assert_allclose(found["fused"], weighted(one, IMAGE))
            np.testing.assert_allclose(found["rgb"], weighted(one, {"rgb_bank": 1, "rgb_pasted": 2}))
            np.testing.assert_allclose(found["xyz"], one["xyz_bank"])
            np.testing.assert_allclose(found["fused_bank"], weighted(one, {"rgb_bank": 1, "xyz_bank": 0.5}))
            np.testing.assert_allclose(found["fused_pasted"], one["rgb_pasted"])
        close = {"rtol": 1e-4, "atol": 1e-4}
        np.testing.assert_allclose(scores.maps["fused"], weighted(maps, MAPS), **close)
        np.testing.assert_allclose(scores.maps["xyz"], weighted(maps, MAPS), **close)
        alike = weighted(maps, {"rgb_bank": 1, "rgb_pasted": 1})  # neither has a weight
        np.testing.assert_allclose(scores.maps["rgb"], alike, **close)
        np.testing.assert_allclose(scores.maps["fused_bank"], maps["xyz_bank"], **close)
        assert scores.remarks == [
            "weights of the sources, of image scores rgb_bank=1,xyz_bank=0.5,rgb_pasted=2; "
            "of maps xyz_bank=3,xyz_pasted=1"
        ]
    trained.lsfa("score", "--category", "fitting", "--image-weights", "", "--map-weights", " ")
    assert trained.artifact("scores").read_bytes() == plain


def test_equal_weights_are_those_without_any(trained: Place) -> None:
    trained.lsfa("score", "--category", "fitting")
    sources = calibrated(trained)
    with open_scores(trained.artifact("scores")) as scores:
        expected, maps = scores.image["fused"], scores.maps["fused"]
        np.testing.assert_allclose(expected, np.mean([one[0] for one in sources.values()], axis=0))
    alike = "rgb_bank=2,xyz_bank=2,rgb_pasted=2,xyz_pasted=2"
    trained.lsfa("score", "--category", "fitting", "--image-weights", alike, "--map-weights", alike)
    with open_scores(trained.artifact("scores")) as scores:
        np.testing.assert_allclose(scores.image["fused"], expected)
        np.testing.assert_allclose(scores.maps["fused"], maps, rtol=1e-4, atol=1e-4)


def test_weights_of_banks_alone(trained: Place) -> None:
    weights = ("--image-weights", "rgb_bank=1,xyz_bank=3,rgb_pasted=7")
    trained.lsfa("score", "--category", "fitting", "--sources", "bank", *weights)
    with open_scores(trained.artifact("scores")) as scores, open_artifact(trained.artifact("bank"), "bank") as bank:
        means = {name: bank.read(f"{name}/image_statistics") for name in ("rgb", "xyz")}
        rgb, xyz = ((scores.image[name] - mean) / deviation for name, (mean, deviation) in means.items())
        np.testing.assert_allclose(scores.image["fused"], (rgb + 3 * xyz) / 4)
        assert set(scores.image) == {"rgb", "xyz", "fused"}
    trained.lsfa("score", "--category", "fitting", "--sources", "pasted", "--image-weights", "rgb_bank=1")
    with open_scores(trained.artifact("scores")) as scores:
        np.testing.assert_allclose(scores.image["fused"], (scores.image["rgb"] + scores.image["xyz"]) / 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--image-weights", "rgb_banks=1"], "Did you mean 'rgb_bank'?"),
        (["--map-weights", "rgb_bank=-1"], "not a number of at least 0"),
        (["--map-weights", "rgb_bank=0"], "no source has a weight above 0"),
        (["--map-weights", "rgb_bank=1", "--fusion", "average_raw"], "--fusion average_raw has no place for weights"),
    ],
)
def test_weights_that_are_none_are_refused(trained: Place, arguments: list[str], told: str) -> None:
    done = trained.lsfa("score", "--category", "fitting", *arguments, expect=2)
    assert told in " ".join(done.stderr.split())


def test_methods_that_fuse_in_their_own_way_warn(trained: Place, tmp_path: Path, parts: Path) -> None:
    place = Place(tmp_path, runner(tmp_path, parts))
    place.artifact("features").parent.mkdir(parents=True)
    shutil.copy(trained.artifact("features"), place.artifact("features"))
    for method, told in (("btf", "BTF's scores are those of its third bank"), ("cfm", "CFM fuses by the product")):
        place.lsfa("adapt", "--category", "fitting", "--method", method)
        place.lsfa("bank", "--category", "fitting")
        done = place.lsfa("score", "--category", "fitting", "--image-weights", "rgb_bank=1")
        assert f"{told}" in done.stderr
        assert "a weight of a source changes nothing" in " ".join(done.stderr.split())
