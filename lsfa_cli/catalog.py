"""The tables of names: backbones, datasets, adaptors, losses, metrics.

A table is a plain dictionary from a name to an `Entry`. Listing a table imports nothing;
`Entry.load` imports the module that defines the thing.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lsfa_cli.errors import UnknownNameError


@dataclass(frozen=True)
class Entry:
    """One row: where the thing is defined, one line of help, and what it needs to run."""

    module: str
    attribute: str
    help: str
    needs: str = "nothing"

    def load(self) -> Any:
        """Import the module and return the class or function."""
        return getattr(importlib.import_module(self.module), self.attribute)


Row = TypeVar("Row", bound=Entry)


def lookup(table: Mapping[str, Row], kind: str, name: str) -> Row:
    """The row called `name`, or an `UnknownNameError` that suggests the nearest one."""
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]
