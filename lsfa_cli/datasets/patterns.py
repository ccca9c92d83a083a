"""Finding the files of a role by a pattern such as "rgb/{id}.*" or "{id}_color.png"."""

import re
from collections.abc import Sequence
from pathlib import Path

from lsfa_cli.datasets.folders import entries, is_folder
from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import folder_instead

_ID = "{id}"


class Pattern:
    """A path below a folder, with `{id}` once, and `*` for anything and `?` for one character of a name.

    ValueError when the text is no such path.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = text.split("/")
        if text.count(_ID) != 1:
            raise ValueError(f"a pattern has {_ID} once")
        if any(part in ("", ".", "..") for part in self._parts) or "\\" in text or "\0" in text:
            raise ValueError("a pattern is a path below the folder of the samples, with / between its parts")
        self._expressions = [re.compile(_expression(part), re.DOTALL) for part in self._parts]

    def find(self, folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
        """The files below `folder` that fit, by their ids in alphabetical order.

        Files with other suffixes than the given ones (small letters) are not looked at. `DataError` when two files
        have one id.
        """
        found: dict[str, Path] = {}
        for identity, path in self._walk(folder, 0, ""):
            if path.suffix.lower() not in suffixes:
                continue
            if is_folder(path):
                raise folder_instead(path)
            if identity in found:
                raise DataError(
                    f"{found[identity]} and {path} are both '{identity}' by the pattern {self.text}.",
                    hint="Keep one of them, or set a narrower pattern in [files].",
                )
            found[identity] = path
        return dict(sorted(found.items()))

    def named(self, identity: str) -> str:
        """The pattern for one id, for messages."""
        return self.text.replace(_ID, identity)

    def _walk(self, folder: Path, depth: int, identity: str) -> list[tuple[str, Path]]:
        if not is_folder(folder):
            return []
        found = []
        for entry in entries(folder):
            match = self._expressions[depth].fullmatch(entry.name)
            if match is None:
                continue
            known = match.groupdict().get("id") or identity
            if depth + 1 == len(self._parts):
                found.append((known, entry))
            else:
                found += self._walk(entry, depth + 1, known)
        return found


def _expression(part: str) -> str:
    """The regular expression of one part of a pattern."""
    pieces = re.split(r"(\{id\}|\*|\?)", part)
    special = {_ID: "(?P<id>.+)", "*": ".*", "?": "."}
    return "".join(special.get(piece, re.escape(piece)) for piece in pieces)
