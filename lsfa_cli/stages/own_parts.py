"""A user's own parts: an empty layout to fill, and constants of preprocessing measured on the good samples."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomlkit
from tomlkit.exceptions import TOMLKitError

from lsfa_cli.artifacts.files import replacing, write_text, writing_errors
from lsfa_cli.datasets.folder import Folder
from lsfa_cli.datasets.folders import is_folder
from lsfa_cli.datasets.part_file import PART_FILE
from lsfa_cli.datasets.part_layout import LAYOUT
from lsfa_cli.datasets.part_template import FOLDERS, template
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing.fit import NoNeighborsError, Proposal, Value, propose
from lsfa_cli.samples import GOOD, SampleRecord, Scan
from lsfa_cli.stages.progress import NoProgress, Progress

_TABLE = "preprocessing"

Origin = Literal["the part's file", "the file for all parts", "the default"]


@dataclass(frozen=True)
class Layout:
    """What `init` made and what was there already. parts: those below the folder, which then only gets the file."""

    made: tuple[Path, ...]
    kept: tuple[Path, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A key of [preprocessing], its value before and after, where the old one came from, and why it is proposed."""

    key: str
    old: Value
    origin: Origin
    new: Value
    reason: str


@dataclass(frozen=True)
class Fit:
    """What was measured on a part and what follows from it. saved: whether the file was changed."""

    part: str
    file: Path
    proposal: Proposal
    changes: tuple[Change, ...]
    saved: bool


def init(folder: Path) -> Layout:
    """Make the folders of a part and the template of its file; what is there already stays as it is.

    A folder that holds several parts gets the file alone, whose values then count for all of them. Raises `DataError`
    when `folder` is a file, `ResourceError` when nothing can be written there.
    """
    if os.path.lexists(folder) and not is_folder(folder):
        raise DataError(f"{folder} is no folder, or cannot be looked into.", hint="Choose another folder.")
    parts = _parts_below(folder)
    places = [folder / name for name in (() if parts else FOLDERS)]
    kept = [place for place in places if os.path.lexists(place)]
    made = [place for place in places if place not in kept]
    with writing_errors(folder):
        for place in made:
            place.mkdir(parents=True)
    file = folder / PART_FILE
    if os.path.lexists(file):  # also a link to nothing is somebody's
        kept.append(file)
    else:
        write_text(file, template())
        made.append(file)
    return Layout(tuple(made), tuple(kept), tuple(parts))


def fit(
    dataset: Folder, part: str, *, samples: int = 10, dry_run: bool = False, progress: Progress | None = None
) -> Fit:
    """Measure up to `samples` good samples of a part and write the constants of preprocessing to its file.

    The rest of the file, comments included, stays as it is. dry_run: only measure. Raises `DataError` for a part
    without scans, or whose files cannot be used.
    """
    records = [record for record in dataset.records(part) if record.split == "train"]
    if "xyz" not in dataset.modalities(part):
        raise DataError(
            f"{dataset.folder(part)} has images alone: there is nothing to fit.",
            hint="Preprocessing of images alone has no plane and no clusters.",
        )
    chosen = _spread(records, samples)
    with (progress or NoProgress()).track(f"measure {part}", len(chosen)) as advance:
        seen: set[str] = set()

        def scans() -> Iterator[Scan]:
            for record in chosen:
                yield _scan(dataset, record)
                if record.name not in seen:
                    seen.add(record.name)
                    advance(1)

        try:
            proposal = propose(scans)
        except NoNeighborsError as error:
            raise DataError(
                f"{dataset.folder(part)}: {error}.", hint="Look at the scans: are there points side by side?"
            ) from error
    file = dataset.folder(part) / PART_FILE
    settings = dataset.part_file(part).preprocessing
    own = _own_values(file)
    changes = tuple(
        Change(key, getattr(settings, key), _origin(key, own, settings.model_fields_set), value, proposal.reasons[key])
        for key, value in proposal.values.items()
    )
    new = {
        change.key: change.new for change in changes if change.origin != "the part's file" or change.old != change.new
    }
    if new and not dry_run:
        _write(file, new)
    return Fit(part, file, proposal, changes, bool(new) and not dry_run)


def parts_to_fit(dataset: Folder) -> list[str]:
    """The parts that have scans; all of them where none has, or where listing one fails, so that `fit` says why."""
    parts = dataset.categories()
    try:
        return [part for part in parts if "xyz" in dataset.modalities(part)] or parts
    except DataError:
        return parts


def _parts_below(folder: Path) -> list[str]:
    if not is_folder(folder) or is_folder(folder / GOOD):
        return []
    try:
        return LAYOUT.categories(folder)
    except DataError:  # no part there yet
        return []


def _spread(records: Sequence[SampleRecord], count: int) -> list[SampleRecord]:
    """At most `count` records, from all over the list: neighbours were often taken in one go."""
    count = min(count, len(records))
    return [records[index * len(records) // count] for index in range(count)]


def _scan(dataset: Folder, record: SampleRecord) -> Scan:
    scan = dataset.read_scan(record)
    if scan is None:
        raise ValueError(f"{record.name} has no scan")
    return scan


def _document(file: Path) -> tomlkit.TOMLDocument:
    """The file as it is, with comments; an empty one where there is none."""
    if not file.exists():
        return tomlkit.document()
    try:
        return tomlkit.parse(file.read_bytes().decode())
    except (TOMLKitError, UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"{file} cannot be read: {error}.", hint="Mend it, or make a new one: lsfa data init"
        ) from error


def _own_values(file: Path) -> Mapping[str, Any]:
    """What [preprocessing] of this very file says."""
    return dict(_document(file).get(_TABLE, {}))


def _origin(key: str, own: Mapping[str, Any], given: set[str]) -> Origin:
    if key in own:
        return "the part's file"
    return "the file for all parts" if key in given else "the default"


def _write(file: Path, values: Mapping[str, Value]) -> None:
    document = _document(file)
    table = document.setdefault(_TABLE, tomlkit.table())
    for key, value in values.items():
        table[key] = value
    with replacing(file) as temporary:
        temporary.write_bytes(tomlkit.dumps(document).encode())
