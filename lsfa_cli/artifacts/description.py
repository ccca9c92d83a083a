"""An artifact described for people and programs, and whether what it was made from has changed since."""

from pathlib import Path
from typing import Any

import h5py

from lsfa_cli.artifacts import store
from lsfa_cli.artifacts.store import Artifact, open_artifact
from lsfa_cli.errors import ArtifactError

# Where an input lies beside the artifact that was made from it, in this order.
_PLACES = {
    "finetuned": ("finetuned.h5",),
    "features": ("features.h5", "../features.h5"),
    "adaptor": ("adaptor.h5",),
    "bank": ("bank.h5",),
}


def describe(path: Path, *, verify: bool = False) -> dict[str, Any]:
    """Schema, settings, inputs with their state, and data sets of an artifact, as plain JSON values.

    An input's state is `unchanged`, `changed: stale`, or why it cannot be told. verify: read everything and compare
    the content hash.
    """
    with open_artifact(path) as artifact:
        document = {
            "file": str(path),
            "schema": artifact.schema.name,
            "schema_version": int(artifact.attributes["schema_version"]),
            "lsfa_version": artifact.attributes["lsfa_version"],
            "content_hash": artifact.content_hash,
            "attributes": {name: artifact.attributes.get(name) for name in artifact.schema.attributes},
            "settings": artifact.settings,
            "inputs": {role: _input(path, role, recorded) for role, recorded in artifact.inputs.items()},
            "data_sets": {name: _data_set(artifact, name) for name in artifact.paths()},
        }
    states = [row["state"] for row in document["inputs"].values()]
    document["stale"] = any(state.startswith("changed") for state in states)
    if verify:
        document["verified"] = store.verify(path)
    return document


def _input(path: Path, role: str, recorded: str) -> dict[str, str]:
    for place in _PLACES.get(role, ()):
        candidate = path.parent / place
        if candidate.is_file():
            try:
                with open_artifact(candidate, role) as found:
                    state = "unchanged" if found.content_hash == recorded else "changed: stale"
                    return {"hash": recorded, "state": f"{state} ({candidate})"}
            except ArtifactError as error:
                return {"hash": recorded, "state": f"cannot be told: {error.message}"}
    where = "raw data; run extract to see" if role == "dataset" else "not beside this file"
    return {"hash": recorded, "state": f"not compared ({where})"}


def _data_set(artifact: Artifact, name: str) -> dict[str, Any]:
    dataset = artifact.dataset(name)
    text = h5py.check_string_dtype(dataset.dtype) is not None
    row = artifact.schema.find(name)
    return {
        "shape": list(dataset.shape),
        "type": "text" if text else dataset.dtype.name,
        "stored_bytes": int(dataset.id.get_storage_size()),
        "meaning": row.meaning if row is not None else "",
    }
