"""The studies: named sets of variants of the method, as tables a user extends by a TOML file of the same form.

A variant is a name and the settings in which it differs. Nothing here computes anything.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lsfa_cli.errors import DataError, UnknownNameError
from lsfa_cli.settings import STAGES
from lsfa_cli.toml_files import parse_toml, read_toml

_HINT = "Compare it with those of lsfa study --list."
_STAGES = ("extract", "finetune", "adapt", "bank", "score")


class StudyVariant(BaseModel):
    """One row of a study: the settings of each stage that differ from the user's.

    adaptor: False leaves the adaptor out, which is the PatchCore baseline. finetune: where it is given, the backbones
    are trained on the samples with these settings before features are extracted. versus: what it is compared with,
    where that is not the study's baseline. published: its name in the paper's table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    adaptor: bool = True
    extract: dict[str, Any] = {}
    finetune: dict[str, Any] | None = None
    adapt: dict[str, Any] = {}
    bank: dict[str, Any] = {}
    score: dict[str, Any] = {}
    versus: str = ""
    published: str = ""

    @model_validator(mode="after")
    def _settings_exist(self) -> "StudyVariant":
        for stage in _STAGES:
            model = STAGES[stage]
            for field in self.changes(stage):
                if field not in model.model_fields:
                    raise ValueError(f"variant {self.name}: {stage} has no setting '{field}'")
        return self

    def changes(self, stage: str) -> Mapping[str, Any]:
        """The settings of a stage in which it differs."""
        found: Mapping[str, Any] | None = getattr(self, stage)
        return found or {}


class Study(BaseModel):
    """A question, and the variants that answer it, compared with the variant `baseline` unless they say otherwise.

    published_table: the table of the paper's ablations whose figures stand beside, such as "5".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str
    paper: str = ""
    baseline: str
    published_table: str = ""
    variant: tuple[StudyVariant, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _names_agree(self) -> "Study":
        names = [variant.name for variant in self.variant]
        if len(set(names)) != len(names):
            raise ValueError("two variants have the same name")
        for name in (self.baseline, *(variant.versus for variant in self.variant if variant.versus)):
            if name not in names:
                raise ValueError(f"no variant is called '{name}', which others are to be compared with")
        return self

    def versus(self, variant: StudyVariant) -> str:
        """What a variant is compared with; empty for the baseline, which stands alone."""
        other = variant.versus or self.baseline
        return "" if other == variant.name else other


@cache
def studies() -> Mapping[str, Study]:
    """The studies that come with lsfa, by name."""
    folder = files("lsfa_cli.studies")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): parse_study((folder / name).read_text(encoding="utf-8"), name) for name in names
    }


def load_study(name: str) -> Study:
    """A study by name, or from a TOML file.

    Raises `UnknownNameError` for a name that is neither, `DataError` for a file that is no study.
    """
    if name in studies():
        return studies()[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise UnknownNameError("study", name, studies())
    return _study(read_toml(path, _HINT), name)


def parse_study(text: str, name: str) -> Study:
    """A study from TOML. `DataError` names the file and what is wrong in it."""
    return _study(parse_toml(text, name, _HINT), name)


def _study(content: Mapping[str, Any], name: str) -> Study:
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{name} is no study: {problems_of(error, 'study')}.", hint=_HINT) from error


def problems_of(error: ValidationError, whole: str) -> str:
    """What is wrong in a TOML file, each with the key it is at; whole: what the file is called where that has none."""
    return "; ".join(
        f"{'.'.join(str(part) for part in detail['loc']) or whole}: {detail['msg'].removeprefix('Value error, ')}"
        for detail in error.errors()
    )
