"""Weights of the sources: how they are written, what is refused, and the shares that they make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsfa_cli.errors import UnknownNameError, UsageError
from lsfa_cli.samples import MODALITIES
from lsfa_cli.settings import ScoreSettings, content_of
from lsfa_cli.source_weights import (
    BANK_ALONE,
    PASTED_ALONE,
    SOURCES,
    SourceWeights,
    parse_weights,
    shares,
    source_of,
    weights_text,
)


def test_weights_are_read() -> None:
    assert parse_weights(" rgb_bank=1, xyz_bank = 0.5 ,rgb_pasted=2e0,") == {
        "rgb_bank": 1.0,
        "xyz_bank": 0.5,
        "rgb_pasted": 2.0,
    }
    assert parse_weights("") == parse_weights(" ,") == {}


@given(st.dictionaries(st.sampled_from(SOURCES), st.floats(0, 1e9), min_size=1).filter(lambda one: any(one.values())))
def test_what_is_written_is_read_again(weights: dict[str, float]) -> None:
    assert parse_weights(weights_text(weights)) == weights


def test_weights_are_written_as_people_write_them() -> None:
    assert weights_text({"rgb_bank": 1.0, "xyz_bank": 0.5, "xyz_pasted": 2}) == "rgb_bank=1,xyz_bank=0.5,xyz_pasted=2"


def test_every_modality_has_its_sources() -> None:
    of_modalities = {f"{modality}{alone}" for modality in MODALITIES for alone in (BANK_ALONE, PASTED_ALONE)}
    assert set(SOURCES) == of_modalities | {"uff_bank"}
    assert [source_of(name) for name in ("rgb", "xyz", "uff", "rgb_pasted")] == [
        "rgb_bank",
        "xyz_bank",
        "uff_bank",
        "rgb_pasted",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rgb_bank", "'rgb_bank' has no weight"),
        ("rgb_bank=much", "the weight of rgb_bank is 'much', not a number of at least 0"),
        ("rgb_bank=-1", "the weight of rgb_bank is '-1', not"),
        ("rgb_bank=nan", "the weight of rgb_bank is 'nan', not"),
        ("rgb_bank=inf", "the weight of rgb_bank is 'inf', not"),
        ("rgb_bank=", "the weight of rgb_bank is '', not"),
        ("rgb_bank=1,rgb_bank=2", "rgb_bank is there twice"),
        ("rgb_bank=0,xyz_bank=0", "no source has a weight above 0"),
    ],
)
def test_what_is_no_weight_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        parse_weights(text, "map_weights")
    assert refused.value.message.startswith(f"map_weights = '{text}'")
    assert refused.value.hint


def test_an_unknown_source_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown source in image_weights 'rgb_banks'. Did you mean 'rgb_bank'"):
        parse_weights("rgb_banks=1")


def test_shares_worked_by_hand() -> None:
    weights = {"rgb_bank": 1.0, "xyz_bank": 0.5, "rgb_pasted": 2.5}
    everything = shares(weights, ["rgb", "xyz", "rgb_pasted", "xyz_pasted"])
    assert everything == {"rgb": 0.25, "xyz": 0.125, "rgb_pasted": 0.625, "xyz_pasted": 0.0}
    assert shares(weights, ["xyz", "xyz_pasted"]) == {"xyz": 1.0, "xyz_pasted": 0.0}
    assert shares(weights, ["rgb", "rgb_pasted"]) == {"rgb": 1 / 3.5, "rgb_pasted": 2.5 / 3.5}
    assert shares({"rgb_bank": 3.0}, ["xyz", "xyz_pasted"]) == {"xyz": 0.5, "xyz_pasted": 0.5}


def test_settings_know_them() -> None:
    settings = ScoreSettings(image_weights="rgb_bank=1", map_weights="xyz_pasted=2,xyz_bank=1")
    assert settings.weights == SourceWeights({"rgb_bank": 1.0}, {"xyz_pasted": 2.0, "xyz_bank": 1.0})
    assert ScoreSettings().weights == SourceWeights({}, {})
    assert content_of(settings)["image_weights"] == "rgb_bank=1"
    assert not {"image_weights", "map_weights"} & set(content_of(ScoreSettings(map_weights=" ")))


@pytest.mark.parametrize("field", ["image_weights", "map_weights"])
def test_settings_refuse_what_is_no_weight(field: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown source in {field} 'rgb'"):
        ScoreSettings.model_validate({field: "rgb=1"})


def test_other_fusions_have_no_place_for_them() -> None:
    with pytest.raises(UsageError, match="--fusion ocsvm has no place for weights"):
        ScoreSettings(fusion="ocsvm", image_weights="rgb_bank=1")
    with pytest.raises(UsageError, match="--fusion average_raw has no place for weights"):
        ScoreSettings(fusion="average_raw", map_weights="rgb_bank=1")
