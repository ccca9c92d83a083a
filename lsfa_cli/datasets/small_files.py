"""Reading of the small text files beside a sample: plain YAML and tables of numbers."""

import math
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import COPY_AGAIN, content_of

MAX_TEXT_BYTES = 2**16
"""Longer files are none of these; the published ones have about a hundred bytes."""
_MAX_DEPTH = 8


class _PlainLoader(yaml.BaseLoader):
    """Nested texts without tags' meaning: no objects, no aliases (a short file can mean gigabytes), little depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node, if it is a plain one."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias")
        if self.depth == _MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested deeper than {_MAX_DEPTH} levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class InfoFile:
    """A YAML file of a few named values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = _text(path)
        try:
            # A subclass of the base loader, which makes texts, lists and dictionaries only.
            content = yaml.load(text, Loader=_PlainLoader)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: damaged YAML ({reason}).", hint=COPY_AGAIN) from error
        if not isinstance(content, dict):
            raise DataError(f"{path}: expected YAML with one value a name.", hint=COPY_AGAIN)
        self._content = content

    def number(self, *names: str) -> float:
        """A finite number, at names from the outermost to the innermost."""
        text = self._value(names)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"{self.path}: {' '.join(names)} is {text!r}, expected a number.", hint=COPY_AGAIN)
        return number

    def flag(self, name: str) -> bool:
        """A value that is 0 or 1."""
        text = self._value((name,))
        if text not in ("0", "1"):
            raise DataError(f"{self.path}: {name} is {text!r}, expected 0 or 1.", hint=COPY_AGAIN)
        return text == "1"

    def _value(self, names: tuple[str, ...]) -> str:
        value: object = self._content
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, str):
            raise DataError(f"{self.path}: no value for {' '.join(names)}.", hint=COPY_AGAIN)
        return value


def read_table(path: Path, rows: int, columns: int) -> NDArray[np.float64]:
    """A text file of `rows` lines of `columns` finite numbers, by white space, as (rows, columns)."""
    lines = [line.split() for line in _text(path).splitlines() if line.strip()]
    try:
        table = np.array([[float(word) for word in line] for line in lines])
    except ValueError as error:
        raise DataError(f"{path}: expected {rows} x {columns} numbers ({error}).", hint=COPY_AGAIN) from error
    if table.shape != (rows, columns) or not np.isfinite(table).all():
        raise DataError(f"{path}: expected {rows} x {columns} numbers.", hint=COPY_AGAIN)
    return table


def _text(path: Path) -> str:
    try:
        return content_of(path, MAX_TEXT_BYTES).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file.", hint=COPY_AGAIN) from error
