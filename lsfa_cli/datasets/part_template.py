"""The template of `lsfa-part.toml`: every key with its meaning, unit and default, all as comments."""

import json
import textwrap
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lsfa_cli.datasets.part_file import PartFile

FOLDERS = (Path("good"), Path("validation"), Path("test/good"), Path("masks"))
"""The folders of a part; only good/ is needed."""

_WIDTH = 100
_HEAD = """\
What lsfa has to know of this part. Remove the # before a key to set it.
Lengths are metres, positions in the image pixels.

Folders beside this file (only good/ must have files in it):
  good/           good parts, from which lsfa learns
  validation/     other good parts, on which scores are calibrated
  test/good/      good parts, to see what is found on them
  test/DEFECT/    parts with a defect, one folder a kind, such as test/dent/
  masks/DEFECT/   where the defect is: ID.png or ID_mask.png, not 0 on the defect; may be left out

In each of the first four, what belongs to one part has the same name:
  rgb/ID.png        the image (png, jpg, tiff, bmp; 8 bits)
  depth/ID.png      the depth image (16-bit png, tiff, npy, exr): needs [camera] and [depth]
  or xyz/ID.ply     the organized cloud (ply, pcd, npy, tiff of 3 channels): needs [cloud]
Images alone, or clouds alone, may also be there without a subfolder. Other names: [files].
Image and scan must be aligned pixel by pixel."""


def template() -> str:
    """The text of the file."""
    parts = [_comment(_HEAD)]
    for name, table in PartFile.model_fields.items():
        kind = table.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            lines = [f"[{name}]", _comment(_words(kind.__doc__))]
            lines += [_key(key, field) for key, field in kind.model_fields.items()]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _key(name: str, field: FieldInfo) -> str:
    examples = field.examples or []
    value = examples[0] if field.default is None else field.default
    kind = "for example" if field.default is None else "the default"
    return f"\n{_comment(_words(field.description))}\n# {name} = {_toml(value)}  # {kind}"


def _toml(value: object) -> str:
    """A value in TOML's notation, which is JSON's for what is here."""
    return json.dumps(value)


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _comment(text: str) -> str:
    lines = [line for part in text.split("\n") for line in (textwrap.wrap(part, _WIDTH) if part else [""])]
    return "\n".join(f"# {line}".rstrip() for line in lines)
