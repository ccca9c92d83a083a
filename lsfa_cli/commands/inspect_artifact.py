"""`lsfa inspect`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lsfa_cli.errors import ArtifactError
from lsfa_cli.wording import bytes_text

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


def _text(document: Mapping[str, Any]) -> str:
    lines = [f"{document['schema']} version {document['schema_version']}, written by lsfa {document['lsfa_version']}"]
    lines.append(f"content hash {document['content_hash']}")
    if "verified" in document:
        lines.append("verified: the content has this hash" if document["verified"] else "verified: NO, damaged")
    for title in ("attributes", "settings"):
        lines.append(f"\n{title}:")
        lines += [f"  {name} = {json.dumps(value)}" for name, value in document[title].items()]
    lines.append("\nmade from:")
    lines += [f"  {role} {row['hash'][:12]}: {row['state']}" for role, row in document["inputs"].items()]
    lines.append("\ndata sets:")
    for path, row in document["data_sets"].items():
        shape = " x ".join(map(str, row["shape"])) or "one value"
        lines.append(f"  {path}: {shape} {row['type']}, {bytes_text(row['stored_bytes'])}")
    return "\n".join(lines)
