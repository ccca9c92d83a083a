"""Every option of every command says what it is."""

import inspect
from typing import Annotated, get_args, get_origin

import pytest

from lsfa_cli.commands import COMMANDS, MODULES, load_command


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_has_a_help_text(name: str) -> None:
    load_command(name)
    module = __import__(f"lsfa_cli.commands.{MODULES.get(name, name)}", fromlist=["command"])
    parameters = inspect.signature(module.command).parameters
    # Python 3.10 wraps the annotation of a parameter whose default is None once more, and its option is lost.
    plain = [key for key, parameter in parameters.items() if get_origin(parameter.annotation) is not Annotated]
    assert plain == []
    texts = {key: get_args(parameter.annotation)[1].help for key, parameter in parameters.items()}
    assert [key for key, text in texts.items() if not text] == []
