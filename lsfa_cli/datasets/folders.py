"""Looking into the folders of a data set, with errors that name what is wrong."""

import os
from collections.abc import Sequence
from pathlib import Path

from lsfa_cli.errors import DataError
from lsfa_cli.regular_files import folder_instead
from lsfa_cli.samples import SampleRecord
from lsfa_cli.wording import counted, few


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False also where one may not look."""
    try:
        return path.is_dir()
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, without hidden files."""
    try:
        found = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed: {error.strerror}.", hint="Check the folder's permissions."
        ) from error
    for entry in found:
        require_text_name(entry)
    return found


def require_text_name(path: Path) -> None:
    """Refuse a name that is no text: neither an artifact nor the cache could hold it."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{os.fsencode(path)!r} has a name that is not UTF-8.", hint="Rename it; names may hold any letters."
        ) from error


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without hidden ones."""
    return [entry for entry in entries(folder) if is_folder(entry)]


def listing(folder: Path) -> str:
    """What a folder holds, in words."""
    return few([entry.name for entry in entries(folder)]) or "nothing"


def stems(folder: Path, suffix: str) -> set[str]:
    """The ids of the files of one role, empty without the folder."""
    if not is_folder(folder):
        return set()
    found = set()
    for entry in entries(folder):
        if entry.suffix == suffix:
            if is_folder(entry):
                raise folder_instead(entry)
            found.add(entry.stem)
    return found


class IncompleteError(DataError):
    """Samples lack files. `missing` names all of them; `records` are all samples that are known, complete or not."""

    def __init__(self, message: str, *, hint: str, missing: Sequence[str], records: Sequence[SampleRecord]) -> None:
        super().__init__(message, hint=hint)
        self.missing = tuple(missing)
        self.records = tuple(records)


def require_complete(folder: Path, missing: list[str], hint: str, records: Sequence[SampleRecord] = ()) -> None:
    """Refuse a category whose samples lack files; `missing` names them. records: the category's, for who goes on."""
    if missing:
        are = "is" if len(missing) == 1 else "are"
        message = f"{folder}: {counted(len(missing), 'file')} {are} missing: {few(missing)}."
        raise IncompleteError(message, hint=hint, missing=missing, records=records)


def require_equal_size(record: SampleRecord, role: str, size: tuple[int, ...], rgb_size: tuple[int, ...]) -> None:
    """Refuse a file of a sample whose size (H, W) is not that of the sample's image."""
    if size != rgb_size:
        raise DataError(
            f"{record.files[role]} has {size[1]} x {size[0]} pixels, "
            f"its image {record.files['rgb']} has {rgb_size[1]} x {rgb_size[0]}.",
            hint="Cloud, image and mask of a sample must be aligned pixel by pixel.",
        )
