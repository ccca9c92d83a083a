"""Every option of every command says what it is."""

import inspect
from typing import Annotated, get_args, get_origin

import pytest

from lsfa_cli.commands import GROUPS, TABLE, every_command
from lsfa_cli.commands.lazy import CommandTable


def _found(words: tuple[str, ...]) -> tuple[CommandTable, str]:
    """The table that a command is in, and its name there."""
    table = TABLE
    for group in words[:-1]:
        table = table.module(group).TABLE
    return table, words[-1]


@pytest.mark.parametrize("words", [words for words in every_command() if words[0] not in GROUPS or words[1:]])
def test_every_option_has_a_help_text(words: tuple[str, ...]) -> None:
    table, name = _found(words)
    table.load(name)
    module = table.module(name)
    parameters = inspect.signature(module.command).parameters
    # Python 3.10 wraps the annotation of a parameter whose default is None once more, and its option is lost.
    plain = [key for key, parameter in parameters.items() if get_origin(parameter.annotation) is not Annotated]
    assert plain == []
    texts = {key: get_args(parameter.annotation)[1].help for key, parameter in parameters.items()}
    assert [key for key, text in texts.items() if not text] == []
    assert module.EXAMPLES.startswith(f"Example: lsfa {' '.join(words)}")


def test_the_commands_of_groups_are_among_them() -> None:
    assert {("data",), ("data", "list")} <= set(every_command())
    assert all((name,) in every_command() for name in GROUPS)
