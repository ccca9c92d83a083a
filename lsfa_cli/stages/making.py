"""What every stage does around its work: is it needed, make it whole or not at all, record how."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lsfa_cli.artifacts.lineage import RunRecord, why_outdated, write_run_record
from lsfa_cli.artifacts.store import ArtifactWriter, create
from lsfa_cli.stages.progress import NoProgress, Progress

if TYPE_CHECKING:  # the estimates know torch, and the commands import this module
    from lsfa_cli.stages.estimates import Estimate, Foreseen

# Raised when a stage computes other numbers from the same settings and inputs, so that old artifacts are remade.
STAGE_VERSION = {"extract": 2, "finetune": 1, "adapt": 1, "bank": 1, "score": 2}
DISCRIMINATOR_VERSION = 3  # the same of the discriminators in adapt


@dataclass(frozen=True)
class Mode:
    """How to go about a stage. rerun: make it although it is up to date. dry_run: only say what would be made.

    estimates: a dry run also says what it takes, which may mean to try.
    """

    rerun: bool = False
    dry_run: bool = False
    estimates: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: the artifact, whether it was made, why, and one line about its content.

    estimate: what making it takes, of a planned one.
    """

    path: Path
    state: Literal["made", "up to date", "planned"]
    reason: str
    summary: str = ""
    seconds: float = 0.0
    estimate: "Estimate | None" = None


class _Recording:
    """Passes everything on to a listener and keeps the warnings for the run's record."""

    def __init__(self, listener: Progress) -> None:
        self.track: Callable[[str, int], Any] = listener.track
        self.say = listener.say
        self._listener = listener
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self._listener.warn(text)


def make(
    out: Path,
    schema_name: str,
    *,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    write: Callable[[ArtifactWriter, Progress], str],
    mode: Mode,
    progress: Progress | None,
    foreseen: "Foreseen | None" = None,
) -> Outcome:
    """Make the artifact `out` unless it is up to date. `write` fills it and returns one line about its content.

    foreseen: what it takes, which a dry run tells. Raises `ResourceError` before the work where memory is too little.
    """
    reason = why_outdated(out, schema_name, settings=settings, inputs=inputs)
    if reason is None and not mode.rerun:
        return Outcome(out, "up to date", "same settings and inputs")
    reason = reason or "asked for"
    if mode.dry_run and not mode.estimates:
        return Outcome(out, "planned", reason)
    if foreseen is not None:
        foreseen.require()
    if mode.dry_run:
        return Outcome(out, "planned", reason, estimate=None if foreseen is None else foreseen.estimate())
    recording = _Recording(progress or NoProgress())
    started, clock = datetime.now(timezone.utc), time.perf_counter()
    with create(out, schema_name, settings=settings, inputs=inputs) as writer:
        summary = write(writer, recording)
    seconds = time.perf_counter() - clock
    write_run_record(
        out, RunRecord(started.isoformat(timespec="seconds"), round(seconds, 3), sys.argv, recording.warnings)
    )
    return Outcome(out, "made", reason, summary, seconds)
