"""The tables of studies: those that come with lsfa, and what is refused in one's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.pasting import KINDS
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, FinetuneSettings, ScoreSettings
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.studies import load_study, parse_study, studies
from lsfa_cli.tables.published import ablations

BASE = Settings(ExtractSettings(), AdaptSettings(steps=7), BankSettings(), ScoreSettings())
OWN = """
question = "Do longer trainings help?"
baseline = "short"

[[variant]]
name = "short"

[[variant]]
name = "long"
adapt = { steps = 1000 }
"""


EXAMPLES = sorted(str(path) for path in (Path(__file__).parents[2] / "examples/studies").glob("*.toml"))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("name", [*studies(), *EXAMPLES])
def test_every_variant_gives_settings(name: str) -> None:
    study = load_study(name)
    for variant in study.variant:
        settings = BASE.of(variant, seed=3)
        assert settings.bank.seed == 3
        assert (settings.adapt is None) == (not variant.adaptor)


@pytest.mark.parametrize("name", [*studies(), *EXAMPLES])
def test_variants_differ_and_published_names_exist(name: str) -> None:
    study = load_study(name)
    made = [BASE.of(variant, seed=0) for variant in study.variant]
    assert all(one != other for place, one in enumerate(made) for other in made[:place])
    rows = {row.method for row in ablations() if row.source == f"LSFA Table {study.published_table}"}
    assert {variant.published for variant in study.variant if variant.published} <= rows


def test_the_rows_of_the_paper_are_there() -> None:
    for table, name in {
        "4": "clc-losses",
        "5": "components",
        "6": "ifc-losses",
        "7": "adaptors",
        "8": "peft",
        "9": "few-shot",
        "10": "finetune",
    }.items():
        rows = {row.method for row in ablations() if row.source == f"LSFA Table {table}"}
        assert rows == {variant.published for variant in load_study(name).variant if variant.published}


@pytest.mark.parametrize("name", studies())
def test_every_study_carries_the_untrained_control_and_the_baseline(name: str) -> None:
    study = load_study(name)
    controls = [variant for variant in study.variant if variant.name.startswith("control")]
    assert all(one.adaptor and one.finetune is None for one in controls)
    kinds = [{key: value for key, value in one.adapt.items() if key != "train_samples"} for one in controls]
    assert kinds == [{"start": "random", "steps": 0}] * (4 if name == "few-shot" else 1)
    assert any(not one.adaptor and one.finetune is None for one in study.variant)


def test_of_few_samples_each_number_has_its_own_baseline_and_control() -> None:
    study = load_study("few-shot")
    made = {variant.name: BASE.of(variant, seed=2) for variant in study.variant}
    versus = {variant.name: study.versus(variant) for variant in study.variant}
    for number in ("5", "10", "50", "all"):
        count = None if number == "all" else int(number)
        rows = (number, f"control, {number}", f"none, {number}")
        assert [made[name].bank.train_samples for name in rows] == [count] * 3
        assert [one.train_samples for name in rows if (one := made[name].adapt) is not None] == [count] * 2
        assert {versus[name] for name in rows[:2]} == {f"none, {number}"}


@pytest.mark.parametrize(
    ("name", "hows"), [("peft", ["lora", "adalora"]), ("finetune", ["last_1", "last_2", "last_3", "all"])]
)
def test_trained_backbones_have_no_adaptor_and_stand_beside_one(name: str, hows: list[str]) -> None:
    base = replace(BASE, finetune=FinetuneSettings(steps=3, rank=2))
    made = {variant.name: base.of(variant, seed=4) for variant in load_study(name).variant}
    trained = [one for one in made.values() if one.finetune is not None]
    assert [one.finetune for one in trained] == [FinetuneSettings(how=how, steps=3, rank=2, seed=4) for how in hows]
    assert all(one.adapt is None for one in trained)
    assert (made["none"].finetune, made["none"].adapt) == (None, None)
    assert made["encoder_1"].adapt == AdaptSettings(steps=7, seed=4)


def test_sensitivity_varies_each_constant_of_training() -> None:
    varied = [variant.adapt for variant in load_study("sensitivity").variant if not variant.name.startswith("control")]
    names = [name for changes in varied for name in changes]
    assert {name: names.count(name) for name in names} == {
        "local_bank_size": 2,
        "clc_weight": 2,
        "temperature": 2,
        "prototypes": 1,
        "steps": 2,
    }


def test_pasted_defects_have_their_controls_and_every_kind_is_left_out_once() -> None:
    study = load_study("pasted")
    assert {variant.extract["pasted"] for variant in study.variant} == {4}
    adapts = [variant.adapt for variant in study.variant]
    assert {"objective": "pasted", "pasted_shuffled": True} in adapts
    assert {"objective": "pasted", "pasted_steps": 0} in adapts
    left_out = [kind for adapt in adapts for kind in adapt.get("leave_out", "").split(",") if kind]
    assert sorted(left_out) == sorted(KINDS)


def test_seeds_draw_the_pasted_defects_and_nothing_else_of_extraction() -> None:
    pasted = load_study("pasted").variant[0]
    assert [BASE.of(pasted, seed=seed).extract.seed for seed in (0, 1, 4)] == [0, 1, 4]
    plain = load_study("components").variant
    assert {BASE.of(variant, seed=3).extract.seed for variant in plain} == {BASE.extract.seed}


def test_the_methods_are_compared_with_patchcore() -> None:
    study = load_study("methods")
    made = {variant.name: BASE.of(variant, seed=0) for variant in study.variant}
    assert study.baseline == "PatchCore"
    assert made["PatchCore"].adapt is None
    assert made["M3DM, two banks"].adapt is None
    assert (made["M3DM, two banks"].bank.ocsvm, made["M3DM, two banks"].score.fusion) == (True, "ocsvm")
    assert made["BTF"].adapt == AdaptSettings(steps=7, method="btf")
    assert made["BTF"].extract == made["PatchCore, FPFH"].extract == ExtractSettings(xyz_backbone="fpfh", xyz_grid=28)
    three = made["M3DM, three banks"]
    assert three.adapt == AdaptSettings(steps=7, method="uff")
    assert (three.bank, three.score) == (made["M3DM, two banks"].bank, made["M3DM, two banks"].score)
    assert made["LSFA"].adapt == AdaptSettings(steps=7)
    assert made["CFM"].adapt == AdaptSettings(steps=7, method="cfm")
    assert made["CFM, untrained"].adapt == AdaptSettings(steps=7, method="cfm", cfm_epochs=0)


def test_user_settings_hold_where_a_variant_says_nothing() -> None:
    variants = {variant.name: variant for variant in load_study("components").variant}
    adapt = BASE.of(variants["CLC"], seed=1).adapt
    assert adapt is not None
    assert (adapt.steps, adapt.losses, adapt.seed) == (7, "L_LA,L_GA", 1)
    control = BASE.of(variants["control"], seed=1).adapt
    assert control is not None
    assert control.steps == 0


def test_own_study_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    study = load_study(str(path))
    assert [variant.name for variant in study.variant] == ["short", "long"]
    assert [study.versus(variant) for variant in study.variant] == ["", "short"]


def test_a_variant_may_be_compared_with_another_one() -> None:
    study = load_study("few-shot")
    assert {variant.name: study.versus(variant) for variant in study.variant}["5"] == "none, 5"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("steps = 1000", "stepps = 1000"), "adapt has no setting 'stepps'"),
        (("adapt = { steps = 1000 }", "finetune = { hwo = 'all' }"), "finetune has no setting 'hwo'"),
        (('baseline = "short"', 'baseline = "shrot"'), "no variant is called 'shrot'"),
        (('name = "long"', 'name = "short"'), "two variants have the same name"),
        (('name = "long"', 'name = "long"\nversus = "none"'), "no variant is called 'none'"),
        (('name = "long"', 'name = "long"\ncolour = "red"'), "variant.1.colour: Extra inputs"),
        (("[[variant]]", "[[variant]"), "not valid TOML"),
        (("question =", "# question ="), "question: Field required"),
    ],
)
def test_what_is_no_study_is_refused_by_name(change: tuple[str, str], expected: str) -> None:
    with pytest.raises(DataError, match=r"own\.toml") as caught:
        parse_study(OWN.replace(*change), "own.toml")
    assert expected in caught.value.message


def test_a_value_that_a_setting_does_not_take_names_the_variant() -> None:
    study = parse_study(OWN.replace("1000", "-5"), "own.toml")
    with pytest.raises(DataError, match="variant long of the study: steps = -5"):
        BASE.of(study.variant[1], seed=0)


def test_unknown_study_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'components'"):
        load_study("componets")
    with pytest.raises(DataError, match="does not exist"):
        load_study(str(tmp_path / "none.toml"))
