"""Discriminators of pasted defects from training to the report, as a person runs them, and the weights of sources."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsfa_cli.artifacts.scores import open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.pasting import KINDS
from tests.end_to_end.conftest import Place, runner

NAMES = {f"{name}{alone}" for name in ("rgb", "xyz", "fused") for alone in ("", "_bank", "_pasted")}


CATEGORY = ("--category", "fitting")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Place:
    """A folder with features of pasted samples, and nothing else. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("pasted")
    (folder / "lsfa.toml").write_text("[extract]\nimage_size = 112\nxyz_grid = 28\n")
    place = Place(folder, runner(folder, parts))
    place.lsfa("extract", *CATEGORY, "--pasted", "2")
    return place


def copied(extracted: Place, folder: Path, parts: Path) -> Place:
    """Another folder with these features."""
    shutil.copy(extracted.folder / "lsfa.toml", folder / "lsfa.toml")
    place = Place(folder, runner(folder, parts))
    place.artifact("features").parent.mkdir(parents=True)
    shutil.copy(extracted.artifact("features"), place.artifact("features"))
    return place


@pytest.fixture
def ready(extracted: Place, tmp_path: Path, parts: Path) -> Place:
    """A folder of one test's own with features of pasted samples."""
    return copied(extracted, tmp_path, parts)


def stages(place: Place, *adapting: str, variant: str = "", scoring: tuple[str, ...] = ()) -> str:
    """What adapt, bank and score say."""
    words = (*CATEGORY, *(("--variant", variant) if variant else ()))
    told = [place.lsfa("adapt", *words, *adapting), place.lsfa("bank", *words), place.lsfa("score", *words, *scoring)]
    return " ".join(" ".join(done.stderr for done in told).split())


def content(path: Path) -> dict[str, np.ndarray]:
    """Every data set of an artifact by its path."""
    with open_artifact(path) as artifact:
        return {name: artifact.read(name) for name in artifact.paths()}


def differing(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> set[str]:
    """The data sets of both that are not alike."""
    shared = first.keys() & second.keys()
    return {
        name
        for name in shared
        if not np.array_equal(first[name], second[name], equal_nan="f" in first[name].dtype.kind)
    }


def rows(place: Place) -> dict[tuple[str, str], dict[str, float]]:
    """The report's figures by metric, by (method, modality)."""
    document: dict[str, Any] = json.loads(place.lsfa("report", "--format", "json").stdout)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in document["results"]:
        if row["category"] == "fitting" and not row["baseline"]:
            found.setdefault((row["method"], row["modality"]), {})[row["metric"]] = row["value"]
    return found


OBJECTIVES = {
    "none": ["baseline"],
    "lsfa": ["LSFA"],
    "pasted": ["baseline", "pasted", "baseline + pasted"],
    "lsfa+pasted": ["LSFA", "pasted", "LSFA + pasted"],
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_goes_through_all_stages(ready: Place, objective: str) -> None:
    told = stages(ready, "--objective", objective)
    assert ("discriminators of rgb and xyz, 20 steps on 8 pasted samples" in told) == ("pasted" in objective)
    assert ("no adaptors" in told) == ("lsfa" not in objective)
    assert set(rows(ready)) == {
        (method, modality) for method in OBJECTIVES[objective] for modality in ("rgb", "xyz", "rgb+xyz")
    }
    assert all(0 <= value <= 1 for figures in rows(ready).values() for value in figures.values())
    with open_scores(ready.artifact("scores")) as scores:
        assert scores.method == OBJECTIVES[objective][-1]
        assert set(scores.image) == set(scores.maps) == (NAMES if "pasted" in objective else {"rgb", "xyz", "fused"})
    for stage in ("adapt", "bank", "score"):
        words = ("--objective", objective) if stage == "adapt" else ()
        assert "up to date" in ready.lsfa(stage, *CATEGORY, *words).stderr


def test_objective_none_is_the_baseline(ready: Place) -> None:
    stages(ready, "--objective", "none")
    for stage in ("bank", "score"):
        ready.lsfa(stage, *CATEGORY, "--no-adaptor")
    for name in ("bank", "scores"):
        ours, theirs = content(ready.artifact(name)), content(ready.artifact(name, variant="baseline"))
        assert set(ours) == set(theirs)
        assert differing(ours, theirs) == set()


def test_lsfa_is_as_it_was_without_discriminators(ready: Place, parts: Path) -> None:
    stages(ready)
    made = {name: ready.artifact(name).read_bytes() for name in ("adaptor", "bank", "scores")}
    with open_artifact(ready.artifact("adaptor"), "adaptor") as adaptor:
        assert not [name for name in adaptor.settings if name.startswith(("pasted", "objective", "leave_out"))]
    unused = ("--objective", "lsfa", "--pasted-steps", "7", "--leave-out", "hole", "--pasted-shuffled")
    assert "up to date" in ready.lsfa("adapt", *CATEGORY, *unused).stderr
    ready.lsfa("adapt", *CATEGORY, *unused, "--rerun")
    ready.lsfa("score", *CATEGORY, "--sources", "all", "--rerun")
    assert {name: ready.artifact(name).read_bytes() for name in made} == made
    # The same on features without pasted samples, but for the hash of what they were made from.
    with_pasted = {name: content(ready.artifact(name)) for name in made}
    ready.lsfa("extract", *CATEGORY, "--pasted", "0")
    stages(ready)
    for name, before in with_pasted.items():
        assert set(content(ready.artifact(name))) == set(before)
        assert differing(content(ready.artifact(name)), before) == set()


def test_both_together_are_each_alone(ready: Place) -> None:
    found: dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    for variant, objective in (("lsfa", "lsfa"), ("pasted", "pasted"), ("both", "lsfa+pasted")):
        stages(ready, "--objective", objective, variant=variant)
        found[variant] = tuple(content(ready.artifact(name, variant=variant)) for name in ("adaptor", "scores"))
    adaptor, scores = found["both"]
    for variant in ("lsfa", "pasted"):
        assert differing(adaptor, found[variant][0]) == set()
    assert set(adaptor) == set(found["lsfa"][0]) | set(found["pasted"][0])
    for name in ("rgb", "xyz", "fused"):
        np.testing.assert_array_equal(scores[f"image/{name}_bank"], found["lsfa"][1][f"image/{name}"])
        np.testing.assert_array_equal(scores[f"image/{name}_pasted"], found["pasted"][1][f"image/{name}_pasted"])


def test_equal_seeds_give_equal_bytes(extracted: Place, tmp_path: Path, parts: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        place = copied(extracted, tmp_path / name, parts)
        stages(place, "--objective", "lsfa+pasted")
        made.append(place)
    for name in ("adaptor", "bank", "scores"):
        assert made[0].artifact(name).read_bytes() == made[1].artifact(name).read_bytes()
    first = content(made[0].artifact("adaptor"))
    made[1].lsfa("adapt", *CATEGORY, "--objective", "lsfa+pasted", "--seed", "1")
    changed = differing(first, content(made[1].artifact("adaptor")))
    assert {name for name in changed if name.startswith("discriminator/")} >= {
        f"discriminator/{modality}/parameters/{layer}.weight"
        for modality in ("rgb", "xyz")
        for layer in ("first", "second", "last")
    }


def test_the_control_is_trained_on_masks_of_others(ready: Place) -> None:
    stages(ready, "--objective", "pasted")
    own = content(ready.artifact("adaptor"))
    stages(ready, "--objective", "pasted", "--pasted-shuffled", variant="shuffled")
    control = content(ready.artifact("adaptor", variant="shuffled"))
    assert {"discriminator/rgb/parameters/first.weight", "discriminator/xyz/parameters/first.weight"} <= differing(
        own, control
    )
    assert differing(own, control) >= {"discriminator/curves/loss_rgb", "discriminator/curves/loss_xyz"}
    assert not any(name.endswith("/statistics") for name in differing(own, control))
    methods = {method for method, _ in rows(ready)}
    assert methods >= {"baseline + pasted", "baseline + pasted control [shuffled]", "pasted control [shuffled]"}
    assert "trained on the masks of other samples" in ready.lsfa("report").stdout


def test_an_untrained_discriminator_is_a_control_too(ready: Place) -> None:
    stages(ready, "--objective", "pasted", "--pasted-steps", "0")
    assert {method for method, _ in rows(ready)} == {"baseline", "pasted control", "baseline + pasted control"}
    adaptor = content(ready.artifact("adaptor"))
    assert adaptor["discriminator/curves/step"].shape == adaptor["discriminator/curves/loss_rgb"].shape == (0,)


def test_run_has_the_control_beside(ready: Place) -> None:
    done = ready.lsfa("run", *CATEGORY, "--pasted", "2", "--objective", "pasted", "--control")
    for method in ("baseline ", "pasted ", "baseline + pasted ", "pasted control ", "baseline + pasted control "):
        assert f"| {method}" in done.stdout


def kinds_of(place: Place) -> list[str]:
    """The kinds of the pasted training samples."""
    with open_artifact(place.artifact("features"), "features") as features:
        return features.text("pasted/train/defects")


def test_kinds_that_are_left_out_teach_nothing(ready: Place) -> None:
    stages(ready, "--objective", "pasted")
    every = content(ready.artifact("adaptor"))
    kind = next(kind for kind in kinds_of(ready) if KINDS[kind].scan)
    assert "no pasted sample" not in stages(ready, "--objective", "pasted", "--leave-out", kind)
    without = content(ready.artifact("adaptor"))
    assert "discriminator/xyz/parameters/first.weight" in differing(every, without)
    with open_artifact(ready.artifact("adaptor"), "adaptor") as adaptor:
        assert adaptor.settings["leave_out"] == kind


def test_kinds_that_nobody_has_change_nothing(ready: Place) -> None:
    absent = next(kind for kind in ("warp", "dent", "hole", "scratch", "bump") if kind not in kinds_of(ready))
    told = stages(ready, "--objective", "pasted", "--leave-out", absent)
    assert f"no pasted sample has {absent}: leaving that out changes nothing" in told
    without = content(ready.artifact("adaptor"))
    stages(ready, "--objective", "pasted")
    assert differing(content(ready.artifact("adaptor")), without) == set()


def test_pictures_show_what_each_source_found(trained: Place, tmp_path: Path) -> None:
    trained.lsfa("score", *CATEGORY)
    heights = []
    for sources in ("all", "bank"):
        trained.lsfa("score", *CATEGORY, "--sources", sources)
        trained.lsfa("report", "--pictures", str(tmp_path / sources))
        with Image.open(tmp_path / sources / "fitting" / "best.png") as picture:
            heights.append(picture.height)
            assert picture.width == 1080
    row = heights[0] - heights[1]  # of two more rows of three maps
    assert row / 2 > 1080 / 4
    with open_scores(trained.artifact("scores")) as scores:
        assert set(scores.maps) == {"rgb", "xyz", "fused"}


def test_one_modality_alone(ready: Place) -> None:
    ready.lsfa("adapt", *CATEGORY, "--objective", "pasted", "--modality", "xyz")
    ready.lsfa("bank", *CATEGORY, "--modality", "xyz")
    ready.lsfa("score", *CATEGORY, "--modality", "xyz")
    with open_scores(ready.artifact("scores")) as scores:
        assert set(scores.image) == {"xyz", "xyz_bank", "xyz_pasted"}
    assert {modality for _, modality in rows(ready)} == {"xyz"}


def test_sources_alone_are_those_of_all(ready: Place) -> None:
    stages(ready, "--objective", "pasted")
    stages(ready, "--objective", "pasted", variant="bank", scoring=("--sources", "bank"))
    stages(ready, "--objective", "pasted", variant="pasted", scoring=("--sources", "pasted"))
    with open_scores(ready.artifact("scores")) as together:
        for variant in ("bank", "pasted"):
            with open_scores(ready.artifact("scores", variant=variant)) as alone:
                for name in ("rgb", "xyz", "fused"):
                    every = f"{name}_{variant}"
                    np.testing.assert_allclose(alone.image[name], together.image[every])
                    np.testing.assert_allclose(alone.normal_image[name], together.normal_image[every])
                    np.testing.assert_allclose(alone.maps[name], together.maps[every], rtol=1e-4, atol=1e-4)
    assert "distances/rgb" not in content(ready.artifact("scores", variant="pasted"))


def test_maps_that_are_means_of_others_are_mixed_when_they_are_read(ready: Place) -> None:
    """Each of the sources and the fusion of all are in the file; the maps between them are not."""
    stages(ready, "--objective", "pasted")
    written = content(ready.artifact("scores"))
    stored = {name.removeprefix("maps/") for name in written if name.startswith("maps/")}
    mixed = {name.split("/")[1] for name in written if name.startswith("mixtures/")}
    assert stored == {"rgb_bank", "rgb_pasted", "xyz_bank", "xyz_pasted", "fused"}
    assert stored | mixed == NAMES
    assert not stored & mixed
    with open_scores(ready.artifact("scores")) as scores:
        assert len(scores.maps) == len(NAMES)
        assert scores.maps["rgb"].dtype == np.float32
        with pytest.raises(KeyError, match="uff"):
            scores.maps["uff"]


def without_validation(parts: Path, folder: Path) -> Path:
    """The parts, and no validation samples."""
    shutil.copytree(parts / "fitting", folder / "parts" / "fitting")
    shutil.rmtree(folder / "parts" / "fitting" / "validation")
    return folder / "parts"


def test_without_validation_samples_training_samples_calibrate(tmp_path: Path, parts: Path) -> None:
    (tmp_path / "lsfa.toml").write_text("[extract]\nimage_size = 112\nxyz_grid = 28\n")
    place = Place(tmp_path, runner(tmp_path, without_validation(parts, tmp_path)))
    place.lsfa("extract", *CATEGORY, "--pasted", "2")
    told = stages(place, "--objective", "pasted")
    assert "no validation samples: discriminators are calibrated on what they learned from" in told
    with open_artifact(place.artifact("bank"), "bank") as bank, open_scores(place.artifact("scores")) as scores:
        assert bank.attributes["calibration"] == "train"
        assert len(bank.text("normal/names")) == 4
        for modality in ("rgb", "xyz"):
            mean, deviation = bank.read(f"{modality}_pasted/image_statistics")
            values = bank.read(f"normal/image/{modality}_pasted")
            np.testing.assert_allclose((mean, deviation), (values.mean(), values.std()))
            np.testing.assert_allclose(scores.normal_image[f"{modality}_pasted"], values)
        assert all(np.isfinite(values).all() for values in scores.image.values())


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--objective", "pasted", "--method", "cfm"], 2, "--method cfm is another method"),
        (["--objective", "none", "--method", "btf"], 2, "--objective none says what LSFA trains"),
        (["--objective", "paste"], 2, "objective"),
        (["--objective", "pasted", "--leave-out", "holes"], 2, "Did you mean 'hole'?"),
        (["--objective", "pasted", "--pasted-dropout", "1"], 2, "pasted_dropout"),
    ],
)
def test_what_cannot_be_trained_is_refused(ready: Place, arguments: list[str], code: int, told: str) -> None:
    assert told in " ".join(ready.lsfa("adapt", *CATEGORY, *arguments, expect=code).stderr.split())
    assert not ready.artifact("adaptor").exists()


def test_leaving_all_kinds_out_is_refused(ready: Place) -> None:
    arguments = ("--objective", "pasted", "--leave-out", ",".join(set(kinds_of(ready))))
    refused = ready.lsfa("adapt", *CATEGORY, *arguments, expect=3)
    assert "no pasted sample is left whose defect shows in rgb" in refused.stderr
    assert "Leave fewer kinds out" in refused.stderr


def test_without_pasted_samples_the_command_that_makes_them_is_told(ready: Place) -> None:
    ready.lsfa("extract", *CATEGORY, "--pasted", "0")
    refused = ready.lsfa("adapt", *CATEGORY, "--objective", "lsfa+pasted", expect=4)
    assert "has no samples with pasted defects" in refused.stderr
    assert "Run: lsfa extract --category fitting --pasted 4" in " ".join(refused.stderr.split())


def test_sources_that_are_not_there_are_refused(ready: Place) -> None:
    ready.lsfa("adapt", *CATEGORY, "--objective", "none")
    ready.lsfa("bank", *CATEGORY)
    refused = ready.lsfa("score", *CATEGORY, "--sources", "pasted", expect=4)
    assert "without discriminators of pasted defects, and --sources pasted needs them" in " ".join(
        refused.stderr.split()
    )
    assert "lsfa adapt --objective pasted" in refused.stderr
    assert not ready.artifact("scores").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, extracted: Place, parts: Path) -> Place:
    """A folder with discriminators beside banks, and no adaptors. Tests change its scores alone."""
    place = copied(extracted, tmp_path_factory.mktemp("discriminators"), parts)
    place.lsfa("adapt", *CATEGORY, "--objective", "pasted")
    place.lsfa("bank", *CATEGORY)
    return place


def calibrated(place: Place) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image scores, maps and normal image scores of every source in deviations of normal ones, by the source's name."""
    found = {}
    with open_scores(place.artifact("scores")) as scores, open_artifact(place.artifact("bank"), "bank") as bank:
        for modality in ("rgb", "xyz"):
            for name, source in ((f"{modality}_bank", modality), (f"{modality}_pasted", f"{modality}_pasted")):
                image, pixels = (bank.read(f"{source}/{kind}_statistics") for kind in ("image", "map"))
                found[name] = (
                    (scores.image[name] - image[0]) / image[1],
                    (scores.maps[name] - pixels[0]) / pixels[1],
                    (scores.normal_image[name] - image[0]) / image[1],
                )
    return found


def weighted(sources: dict[str, np.ndarray], weights: dict[str, float]) -> np.ndarray:
    """Their weighted mean, summed up as it is printed."""
    return sum(weights[name] * sources[name] for name in weights) / sum(weights.values())


IMAGE = {"rgb_bank": 1.0, "xyz_bank": 0.5, "rgb_pasted": 2.0}
MAPS = {"xyz_bank": 3.0, "xyz_pasted": 1.0}


def test_weights_are_those_of_the_sources(trained: Place) -> None:
    trained.lsfa("score", *CATEGORY)
    plain = trained.artifact("scores").read_bytes()
    sources = calibrated(trained)
    trained.lsfa(
        "score", *CATEGORY, "--image-weights", "rgb_bank=1,xyz_bank=0.5,rgb_pasted=2",
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
    trained.lsfa("score", *CATEGORY, "--image-weights", "", "--map-weights", " ")
    assert trained.artifact("scores").read_bytes() == plain


def test_equal_weights_are_those_without_any(trained: Place) -> None:
    trained.lsfa("score", *CATEGORY)
    sources = calibrated(trained)
    with open_scores(trained.artifact("scores")) as scores:
        expected, maps = scores.image["fused"], scores.maps["fused"]
        np.testing.assert_allclose(expected, np.mean([one[0] for one in sources.values()], axis=0))
    alike = "rgb_bank=2,xyz_bank=2,rgb_pasted=2,xyz_pasted=2"
    trained.lsfa("score", *CATEGORY, "--image-weights", alike, "--map-weights", alike)
    with open_scores(trained.artifact("scores")) as scores:
        np.testing.assert_allclose(scores.image["fused"], expected)
        np.testing.assert_allclose(scores.maps["fused"], maps, rtol=1e-4, atol=1e-4)


def test_weights_of_banks_alone(trained: Place) -> None:
    weights = ("--image-weights", "rgb_bank=1,xyz_bank=3,rgb_pasted=7")
    trained.lsfa("score", *CATEGORY, "--sources", "bank", *weights)
    with open_scores(trained.artifact("scores")) as scores, open_artifact(trained.artifact("bank"), "bank") as bank:
        means = {name: bank.read(f"{name}/image_statistics") for name in ("rgb", "xyz")}
        rgb, xyz = ((scores.image[name] - mean) / deviation for name, (mean, deviation) in means.items())
        np.testing.assert_allclose(scores.image["fused"], (rgb + 3 * xyz) / 4)
        assert set(scores.image) == {"rgb", "xyz", "fused"}
    trained.lsfa("score", *CATEGORY, "--sources", "pasted", "--image-weights", "rgb_bank=1")
    with open_scores(trained.artifact("scores")) as scores, open_artifact(trained.artifact("bank"), "bank") as bank:
        means = {name: bank.read(f"{name}_pasted/image_statistics") for name in ("rgb", "xyz")}
        rgb, xyz = ((scores.image[name] - mean) / deviation for name, (mean, deviation) in means.items())
        np.testing.assert_allclose(scores.image["fused"], (rgb + xyz) / 2)


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
    done = trained.lsfa("score", *CATEGORY, *arguments, expect=2)
    assert told in " ".join(done.stderr.split())


def test_methods_that_fuse_in_their_own_way_warn(ready: Place) -> None:
    for method, told in (("btf", "BTF's scores are those of its third bank"), ("cfm", "CFM fuses by the product")):
        ready.lsfa("adapt", *CATEGORY, "--method", method)
        ready.lsfa("bank", *CATEGORY)
        done = ready.lsfa("score", *CATEGORY, "--image-weights", "rgb_bank=1")
        assert told in done.stderr
        assert "a weight of a source changes nothing" in " ".join(done.stderr.split())
