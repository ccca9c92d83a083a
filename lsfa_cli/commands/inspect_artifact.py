"""`lsfa inspect`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lsfa_cli.commands.running import size_text
from lsfa_cli.errors import ArtifactError

EXAMPLES = "Example: lsfa inspect lsfa-work/mvtec3d/cookie/bank.h5 --verify"


def command(
    file: Annotated[Path, typer.Argument(help="An artifact.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read all data and check the content hash.")] = False,
) -> None:
    """What an artifact holds, its settings, what it was made from, and whether that has changed since."""
    from lsfa_cli.artifacts.description import describe

    document = describe(file, verify=verify)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(_text(document))
    if document.get("verified") is False:
        raise ArtifactError(f"{file}: the content does not have the recorded hash", hint="Run its stage again.")


def _text(document: dict[str, object]) -> str:
    lines = [f"{document['schema']} version {document['schema_version']}, written by lsfa {document['lsfa_version']}"]
    lines.append(f"content hash {document['content_hash']}")
    if "verified" in document:
        lines.append("verified: the content has this hash" if document["verified"] else "verified: NO, damaged")
    for title in ("attributes", "settings"):
        lines.append(f"\n{title}:")
        lines += [f"  {name} = {json.dumps(value)}" for name, value in _mapping(document[title]).items()]
    lines.append("\nmade from:")
    for role, row in _mapping(document["inputs"]).items():
        values = _mapping(row)
        lines.append(f"  {role} {str(values['hash'])[:12]}: {values['state']}")
    lines.append("\ndata sets:")
    for path, row in _mapping(document["data_sets"]).items():
        values = _mapping(row)
        shape = " x ".join(map(str, values["shape"])) or "one value"  # type: ignore[call-overload]  # a list of int
        lines.append(f"  {path}: {shape} {values['type']}, {size_text(float(str(values['stored_bytes'])))}")
    return "\n".join(lines)


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
