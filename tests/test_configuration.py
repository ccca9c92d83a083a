"""Where settings come from, and what is refused."""

from pathlib import Path

import pytest

from lsfa_cli.configuration import load_sources
from lsfa_cli.errors import DataError, UnknownNameError, UsageError
from lsfa_cli.settings import STAGES, AdaptSettings, BankSettings, ExtractSettings


def load(path: Path | None = None, flags: dict | None = None, environment: dict | None = None):
    return load_sources(flags or {}, config=path, environment=environment or {})


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "lsfa.toml"
    path.write_text(text)
    return path


def test_defaults_without_any_source() -> None:
    sources = load()
    assert sources.stage("bank", BankSettings) == BankSettings()
    assert sources.stage_values("bank")["coreset_ratio"].origin == "default"


def test_precedence(tmp_path: Path) -> None:
    path = write(tmp_path, "[bank]\ncoreset_ratio = 0.2\nblur_sigma = 2\ncoreset = 'random'\n")
    environment = {"LSFA_BANK_COREST": "", "LSFA_BANK_CORESET_RATIO": "0.3", "LSFA_BANK_BLUR_SIGMA": "3"}
    sources = load(path, {"coreset_ratio": 0.4}, environment)
    settings = sources.stage("bank", BankSettings)
    assert (settings.coreset_ratio, settings.blur_sigma, settings.coreset) == (0.4, 3.0, "random")
    origins = {name: value.origin for name, value in sources.stage_values("bank").items()}
    assert origins["coreset_ratio"] == "--coreset-ratio"
    assert origins["blur_sigma"] == "LSFA_BANK_BLUR_SIGMA"
    assert origins["coreset"] == f"[bank] {path}"


def test_shared_fields_reach_every_stage_and_the_stage_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 7\n[bank]\nseed = 8\n")
    sources = load(path)
    assert sources.stage("adapt", AdaptSettings).seed == 7
    assert sources.stage("bank", BankSettings).seed == 8
    assert load(path, {}, {"LSFA_SEED": "9"}).stage("bank", BankSettings).seed == 9


def test_paths_in_the_file_are_relative_to_it(tmp_path: Path) -> None:
    path = write(tmp_path, "root = 'data'\nwork = 'made'\n[extract]\nrgb_weights = 'weights/a.pth'\n")
    sources = load(path)
    assert sources.run().root == tmp_path / "data"
    assert sources.run().work == tmp_path / "made"
    assert sources.stage("extract", ExtractSettings).rgb_weights == tmp_path / "weights" / "a.pth"


def test_data_root_variable() -> None:
    sources = load(None, {}, {"LSFA_DATA_ROOT": "somewhere"})
    assert sources.run().root == Path("somewhere")
    assert sources.run_values()["root"].origin == "LSFA_DATA_ROOT"


def test_empty_variables_count_as_unset() -> None:
    assert load(None, {}, {"LSFA_WORK": ""}).run().work == Path("lsfa-work")


def test_file_is_found_here_or_in_the_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lsfa-work").mkdir()
    (tmp_path / "lsfa-work" / "lsfa.toml").write_text("seed = 1\n")
    assert load().stage("bank", BankSettings).seed == 1
    write(tmp_path, "seed = 2\n")
    assert load().stage("bank", BankSettings).seed == 2
    other = tmp_path / "other.toml"
    other.write_text("seed = 3\n")
    assert load(None, {}, {"LSFA_CONFIG": str(other)}).stage("bank", BankSettings).seed == 3
    assert load(other).stage("bank", BankSettings).seed == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bank]\ncoreset_ration = 0.1\n", "Did you mean 'coreset_ratio'"),
        ("[banks]\ncoreset_ratio = 0.1\n", "Did you mean 'bank'"),
        ("rooot = 'x'\n", "Did you mean 'root'"),
    ],
)
def test_unknown_names_in_the_file_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load(write(tmp_path, text))


def test_unknown_variable_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'LSFA_SEED'"):
        load(None, {}, {"LSFA_SED": "1"})


def test_stage_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Write \[bank\]"):
        load(write(tmp_path, "bank = 3\n"))


def test_bad_files_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not valid TOML"):
        load(write(tmp_path, "seed = = 1"))
    with pytest.raises(DataError, match="no configuration file"):
        load(tmp_path / "absent.toml")


BAD_VALUES = [
    ("bank", "coreset_ratio", "2"),
    ("bank", "coreset_ratio", "0"),
    ("bank", "coreset", "fast"),
    ("adapt", "steps", "-1"),
    ("adapt", "temperature", "0"),
    ("adapt", "start", "middle"),
    ("score", "fusion", "sum"),
    ("extract", "projection", "printed"),
    ("extract", "xyz_grid", "lots"),
    ("report", "aupro_thresholds", "1"),
]


@pytest.mark.parametrize(("stage", "field", "value"), BAD_VALUES)
def test_bad_values_name_setting_value_and_origin(stage: str, field: str, value: str) -> None:
    variable = f"LSFA_{stage.upper()}_{field.upper()}"
    with pytest.raises(UsageError, match=rf"{field} = '{value}' \({variable}\)"):
        load(None, {}, {variable: value}).stage(stage, STAGES[stage])


def test_every_setting_explains_itself() -> None:
    for name, model in STAGES.items():
        for field, info in model.model_fields.items():
            assert info.description, f"{name}.{field} has no description"
            assert not info.is_required(), f"{name}.{field} has no default"
