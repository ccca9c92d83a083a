"""The space of settings that lsfa comes with, and what is refused in one's own."""

from pathlib import Path

import pytest

from lsfa_cli.errors import DataError
from lsfa_cli.pasting import KINDS
from lsfa_cli.settings import AdaptSettings, BankSettings, ExtractSettings, ScoreSettings
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.studies.spaces import default_text, load_space

BASE = Settings(ExtractSettings(pasted=4), AdaptSettings(), BankSettings(), ScoreSettings())


def test_every_candidate_gives_settings_of_its_own() -> None:
    space = load_space(None)
    made = [BASE.of(candidate, seed=1) for candidate in space.candidate]
    assert all(one != other for place, one in enumerate(made) for other in made[:place])
    assert made[0].adapt is not None
    assert made[0].adapt.objective == "none"
    objectives = {one.adapt.objective for one in made if one.adapt is not None}
    assert objectives == {"none", "lsfa", "pasted", "lsfa+pasted"}


def test_groups_have_every_kind_once() -> None:
    kinds = [kind for group in load_space(None).groups.values() for kind in group]
    assert sorted(kinds) == sorted(KINDS)
    alone = load_space(None).with_each_kind(list(KINDS))
    assert alone.groups == {kind: (kind,) for kind in KINDS}


def test_ones_own_file_has_the_groups_of_the_default_unless_it_says_otherwise(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[candidate]]\nname = "one"\n')
    assert load_space(own).groups == load_space(None).groups
    own.write_text('[groups]\nall = ["bump"]\n\n[[candidate]]\nname = "one"\n')
    assert load_space(own).groups == {"all": ("bump",)}
    own.write_text(default_text())
    assert load_space(own) == load_space(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "candidate: Field required"),
        ("candidate = []\n", "candidate: Tuple should have at least 1 item"),
        ("[groups]\n'a/b' = ['bump']\n[[candidate]]\nname = 'one'\n", "may have letters, digits"),
        ("[groups]\nnone = []\n[[candidate]]\nname = 'one'\n", "has no kind of defect"),
        ("[[candidate]]\nname = 'one'\nadapt = { leave_out = 'bump' }\n", "adapt leave_out is the same for all"),
        ("[[candidate]]\nname = 'one'\nfinetune = { rank = 4 }\n", "does not train backbones"),
        ("[[candidate]\n", "is not valid TOML"),
    ],
)
def test_what_is_no_space_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(DataError, match=r"own\.toml") as caught:
        load_space(file)
    assert told in str(caught.value)
    assert "--show-space" in str(caught.value)
