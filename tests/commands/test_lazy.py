import pytest
from typer.testing import CliRunner

from lsfa_cli.commands import COMMANDS, GROUPS, TABLE, app, every_command
from lsfa_cli.commands.lazy import CommandTable


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="lsfa")


def test_the_groups_are_those_commands_whose_module_has_a_table():
    assert [name for name in COMMANDS if hasattr(TABLE.module(name), "TABLE")] == list(GROUPS)


@pytest.mark.parametrize("words", [words for words in every_command() if words[0] in GROUPS], ids=" ".join)
def test_a_command_of_a_group_has_its_line_of_help_in_the_list_of_the_group(words):
    table = TABLE if len(words) == 1 else TABLE.module(words[0]).TABLE
    listed = run(*words[:-1], "--help")
    assert listed.exit_code == 0
    assert table.commands[words[-1]].split()[0] in listed.stdout
    own = run(*words, "--help")
    assert own.exit_code == 0
    assert f"lsfa {' '.join(words)}" in own.stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "nearest"),
    [(["dta"], "unknown command 'dta'", "data"), (["data", "chek"], "unknown command of lsfa data 'chek'", "check")],
)
def test_a_mistyped_command_gets_the_nearest(arguments, kind, nearest):
    result = run(*arguments)
    assert result.exit_code == 2
    assert f"{kind}. Did you mean '{nearest}'?" in result.stderr


def test_a_group_alone_shows_its_help():
    result = run("data")
    assert result.exit_code == 2
    assert "Usage: lsfa data" in result.stdout + result.stderr
    assert "--install-completion" not in result.stdout + result.stderr


def test_a_table_takes_the_module_of_a_name():
    table = CommandTable("lsfa_cli.commands.data", {"list": "The list."}, {"list": "list_datasets"})
    assert table.module("list").__name__ == "lsfa_cli.commands.data.list_datasets"
    assert table.load("list").name == "list"
