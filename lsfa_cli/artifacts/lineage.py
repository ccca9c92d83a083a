"""What an artifact was made from, whether it still holds, and the record of the run that made it."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lsfa_cli.artifacts.files import write_text
from lsfa_cli.artifacts.store import Artifact, canonical_json, open_artifact
from lsfa_cli.errors import ArtifactError, StaleArtifactError


def why_outdated(path: Path, schema_name: str, *, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """None when the artifact at `path` has these settings and inputs; otherwise the reason to make it, in words."""
    if not path.exists():
        return "it does not exist yet"
    try:
        with open_artifact(path, schema_name) as artifact:
            return _difference("setting", artifact.settings, json.loads(canonical_json(settings))) or _difference(
                "input", artifact.inputs, dict(inputs)
            )
    except ArtifactError as error:
        return error.message


def _difference(what: str, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    for name in sorted({*recorded, *wanted}):
        old, new = recorded.get(name), wanted.get(name)
        if old != new:
            return f"{what} {name} changed from {_brief(old)} to {_brief(new)}"
    return None


def _brief(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    is_hash = len(text) == 64 and all(character in "0123456789abcdef" for character in text)
    return text[:12] if is_hash else text


def require_made_from(artifact: Artifact, role: str, source: Artifact | None, mend: str) -> None:
    """Refuse an artifact that was made from another version of its input `role` than the one in front of us.

    source: that input, or None when there is none. mend: the command that puts it right.
    """
    recorded = artifact.inputs.get(role)
    present = None if source is None else source.content_hash
    if recorded == present:
        return
    if source is None:
        what = f"{artifact.path} was made from the input '{role}', which is not here"
    elif recorded is None:
        what = f"{artifact.path} was made without {source.path}"
    else:
        what = f"{artifact.path} was made from another version of {source.path}"
        what += f" ({_brief(recorded)}, now {_brief(present)})"
    raise StaleArtifactError(what, hint=f"Run: {mend}")


def command_for(stage: str, dataset: str, category: str) -> str:
    """The command that makes a stage's artifact of one category anew, whatever `lsfa.toml` says."""
    return f"lsfa {stage} --category {shlex.quote(category)} --data {dataset}"


@dataclass(frozen=True)
class RunRecord:
    """How an artifact came to be: kept beside it in `NAME.run.json`, because none of it belongs to the content."""

    started: str
    seconds: float
    command: Sequence[str]
    warnings: Sequence[str]


def write_run_record(path: Path, record: RunRecord) -> None:
    """Write the sidecar of the artifact `path`, atomically."""
    document = {
        **asdict(record),
        "artifact": path.name,
        "versions": _versions(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "peak_memory_bytes": peak_memory_bytes(),
    }
    write_text(path.with_name(f"{path.stem}.run.json"), json.dumps(document, indent=2) + "\n")


_PACKAGES = (
    "lsfa",
    "torch",
    "timm",
    "peft",
    "numpy",
    "scipy",
    "h5py",
    "faiss-cpu",
    "faiss-gpu",
    "open3d",
    "scikit-learn",
)


def _versions() -> dict[str, str]:
    return {name: version for name in _PACKAGES if (version := _version(name)) is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def peak_memory_bytes() -> int | None:
    """The largest resident memory of this process so far; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
