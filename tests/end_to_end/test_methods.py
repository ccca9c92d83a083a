"""CFM, M3DM and BTF by the command line: on parts whose image tells what the scan looks like, and what they refuse."""

import json

from tests.end_to_end.conftest import Place


def test_cfm_beside_its_control_and_the_baseline(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    for variant, epochs in (("cfm", "25"), ("start", "0")):
        words = ("--category", "fitting", "--variant", variant)
        made = place.lsfa("adapt", *words, "--method", "cfm", "--cfm-epochs", epochs)
        assert f"CFM, small networks, {epochs} epochs" in made.stderr
        assert "no bank, normal scores of 2 samples" in place.lsfa("bank", *words).stderr
        place.lsfa("score", *words)
        for stage in ("bank", "score"):
            assert "up to date" in place.lsfa(stage, *words).stderr
    document = json.loads(place.lsfa("report", "--format", "json").stdout)
    values = {
        (row["method"], row["modality"], row["metric"]): row["value"]
        for row in document["results"]
        if row["category"] == "fitting"
    }
    for metric in ("p_auroc", "aupro"):
        trained, start = (values[f"{name}", "rgb+xyz", metric] for name in ("CFM [cfm]", "CFM control [start]"))
        assert trained > start
    assert values["CFM [cfm]", "rgb+xyz", "p_auroc"] > 0.8
    assert "its networks as they started" in document["notes"]["methods"]


def test_run_takes_the_method(place: Place) -> None:
    done = place.lsfa("run", "--category", "cover", "--method", "cfm", "--control")
    for method in ("CFM ", "CFM control ", "baseline "):
        assert f"| {method}" in done.stdout


def test_m3dm_with_three_banks(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting")
    words = ("--category", "fitting", "--variant", "m3dm")
    made = place.lsfa("adapt", *words, "--method", "uff")
    assert "M3DM's fused features, 3 epochs" in made.stderr
    assert " uff 11 of 573 patches" in " ".join(place.lsfa("bank", *words, "--ocsvm").stderr.split())
    place.lsfa("score", *words, "--fusion", "ocsvm")
    document = json.loads(place.lsfa("report", "--format", "json").stdout)
    assert {(row["method"], row["modality"]) for row in document["results"]} == {
        ("M3DM [m3dm]", modality) for modality in ("rgb", "xyz", "rgb+xyz")
    }
    assert "banks of both modalities and of fused features" in document["notes"]["methods"]


def test_btf(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting", "--xyz-backbone", "fpfh", "--xyz-grid", "28")
    assert "BTF, nothing to train" in place.lsfa("adapt", "--category", "fitting", "--method", "btf").stderr
    assert " btf 62 of 3,136 patches" in " ".join(place.lsfa("bank", "--category", "fitting").stderr.split())
    warned = place.lsfa("score", "--category", "fitting", "--fusion", "average_raw").stderr
    assert "--fusion average_raw changes nothing" in " ".join(warned.split())
    assert "| BTF " in place.lsfa("report").stdout


def test_one_modality_is_a_usage_error(place: Place) -> None:
    place.lsfa("extract", "--category", "fitting", "--modality", "rgb")
    refused = place.lsfa("adapt", "--category", "fitting", "--method", "cfm", expect=2)
    assert "CFM predicts each modality from the other" in refused.stderr
    assert "lsfa extract --modality both" in " ".join(refused.stderr.split())
    unknown = place.lsfa("adapt", "--category", "fitting", "--method", "cmf", expect=2)
    assert "cfm" in unknown.stderr
