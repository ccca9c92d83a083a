"""Spaces of settings that `lsfa tune` chooses from, as tables a user extends by a TOML file of the same form.

A candidate is a variant of a study: a name and the settings in which it differs. Nothing here computes anything.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lsfa_cli.errors import DataError
from lsfa_cli.studies import StudyVariant, problems_of
from lsfa_cli.toml_files import parse_toml, read_toml

DEFAULT = "default.toml"
_HINT = "Compare it with the space that lsfa comes with: lsfa tune --show-space"
_GROUP_NAME = re.compile(r"[A-Za-z0-9_+-]+")
# What every candidate must share, or what the tuning itself decides.
_FIXED = {
    "extract": ("pasted", "pasted_at_least", "seed", "modality"),
    "adapt": ("leave_out", "seed", "modality", "train_samples"),
    "bank": ("seed", "modality", "train_samples"),
    "score": ("seed", "modality"),
}


class Space(BaseModel):
    """Candidates, the simplest and cheapest first, and the groups of kinds of defects that are left out in turn.

    The first candidate is what the others are compared with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = ""
    groups: dict[str, tuple[str, ...]] = Field(min_length=1)
    candidate: tuple[StudyVariant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_agree(self) -> "Space":
        names = [candidate.name for candidate in self.candidate]
        if len(set(names)) != len(names):
            raise ValueError("two candidates have the same name")
        for name, kinds in self.groups.items():
            if not _GROUP_NAME.fullmatch(name):
                raise ValueError(f"the name of the group '{name}' may have letters, digits, _, + and - only")
            if not kinds:
                raise ValueError(f"the group '{name}' has no kind of defect")
        for candidate in self.candidate:
            if candidate.finetune is not None:
                raise ValueError(f"candidate {candidate.name}: lsfa tune does not train backbones; lsfa study does")
            for stage, fields in _FIXED.items():
                for field in fields:
                    if field in getattr(candidate, stage):
                        raise ValueError(
                            f"candidate {candidate.name}: {stage} {field} is the same for all; give it to lsfa tune"
                        )
        return self

    def with_each_kind(self, kinds: Sequence[str]) -> "Space":
        """The same with every kind of defect a group of its own."""
        return self.model_copy(update={"groups": {kind: (kind,) for kind in kinds}})


def default_text() -> str:
    """The space that comes with lsfa, as its file has it."""
    return (files("lsfa_cli.studies.spaces") / DEFAULT).read_text(encoding="utf-8")


def load_space(path: Path | None) -> Space:
    """The space of a TOML file, or the one that comes with lsfa. Raises DataError for a file that is none.

    A file without groups has those of the space that comes with lsfa.
    """
    default = parse_toml(default_text(), DEFAULT, _HINT)
    if path is None:
        return _space(default, DEFAULT)
    content = read_toml(path, _HINT)
    return _space({"groups": default["groups"], **content}, str(path))


def _space(content: Mapping[str, Any], name: str) -> Space:
    try:
        return Space.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{name} is no space of settings: {problems_of(error, 'space')}.", hint=_HINT) from error
