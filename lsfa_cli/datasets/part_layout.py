"""Where the files of a user's part are: its splits, what a sample consists of, and its masks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lsfa_cli.datasets.categories import CategoryLayout
from lsfa_cli.datasets.clouds import SUFFIXES
from lsfa_cli.datasets.folders import entries, folders, is_folder, listing, require_complete
from lsfa_cli.datasets.images import DEPTH_SUFFIXES, IMAGE_SUFFIXES
from lsfa_cli.datasets.part_file import PART_FILE, FilesTable
from lsfa_cli.datasets.patterns import Pattern
from lsfa_cli.datasets.tiffs import is_cloud
from lsfa_cli.errors import DataError
from lsfa_cli.samples import GOOD, SampleRecord, Split
from lsfa_cli.wording import few

CLOUD_SUFFIXES = (*SUFFIXES, ".tif", ".tiff")
SUFFIXES_OF: Mapping[str, tuple[str, ...]] = {
    "rgb": IMAGE_SUFFIXES,
    "xyz": CLOUD_SUFFIXES,
    "depth": DEPTH_SUFFIXES,
}
"""Role of a file -> the suffixes that it may have, in small letters."""
DIRECT = Pattern("{id}.*")
_TIFF = (".tif", ".tiff")
_RESERVED = ("train", "test", "validation", "masks")
_MASK_PATTERNS = (Pattern("{id}.*"), Pattern("{id}_mask.*"))


class PartLayout(CategoryLayout):
    """A part is a folder with good/ in it; folders of splits are no parts although test/ has one."""

    def _is_category(self, folder: Path) -> bool:
        return folder.name not in _RESERVED and super()._is_category(folder)

    def _advice(self, root: Path) -> str:
        for folder in (root, *folders(root)):
            if (folder / PART_FILE).is_file() or any(is_folder(folder / name) for name in _RESERVED):
                return f"{folder} looks like a part without {GOOD}/: put the good parts, from which lsfa learns, there."
        return f"A part is a folder with {GOOD}/ in it. Make one: lsfa data init {root / 'NAME'}"


LAYOUT = PartLayout("PART/good, PART/validation, PART/test/good, PART/test/DEFECT, PART/masks/DEFECT", (GOOD,))


@dataclass(frozen=True)
class SplitFolder:
    """One folder of samples, such as test/hole."""

    path: Path
    split: Split
    defect: str


def split_folders(part: Path, *, test: bool = True) -> list[SplitFolder]:
    """The folders of samples that a part has, in the order of the records; without those of `test` if it is False."""
    for name in ("validation", "test", "masks"):
        if (part / name).is_file():
            raise DataError(f"{part / name} is a file, expected a folder.", hint="Remove or rename it.")
    found = [SplitFolder(part / GOOD, "train", GOOD)]
    validation = part / "validation"
    if is_folder(validation):
        inner = validation / GOOD
        found.append(SplitFolder(inner if is_folder(inner) else validation, "validation", GOOD))
    if test and is_folder(part / "test"):
        found += [SplitFolder(folder, "test", folder.name) for folder in folders(part / "test")]
    return found


def part_records(part: Path, files: FilesTable, extra: Mapping[str, Path], *, test: bool = True) -> list[SampleRecord]:
    """All samples of a part. extra: files that every sample depends on, by role. test: with the test samples.

    `DataError` for good/ without samples, for files whose partner is missing and for masks of no sample.
    """
    splits = split_folders(part, test=test)
    patterns = _patterns(part, splits, files)
    records: list[SampleRecord] = []
    missing: list[str] = []
    masks_missing: list[str] = []
    for split in splits:
        found = _files(split.path, patterns)
        names = sorted(set[str]().union(*found.values()))
        if not names:
            _require_empty(split, patterns)
            continue
        masks = _masks(part, split, names) if split.split == "test" else {}
        for name in names:
            present = {role: paths[name] for role, paths in found.items() if name in paths}
            missing += [
                f"{split.path.relative_to(part).as_posix()}/{patterns[role].named(name)}"
                for role in patterns
                if role not in present
            ]
            mask = {"mask": masks[name]} if name in masks else {}
            title = f"{split.split}/{split.defect}/{name}"
            records.append(SampleRecord(title, split.split, split.defect, {**present, **mask, **extra}))
    if any(split.split == "test" for split in splits):
        masks_missing = _masks_of_no_defect(part, splits)
    require_complete(part, missing, f"A sample has the same id in {_words(patterns)}.", records)
    if masks_missing:
        raise _lonely_masks(part, masks_missing)
    return records


def _patterns(part: Path, splits: list[SplitFolder], files: FilesTable) -> dict[str, Pattern]:
    """The roles that the samples of a part have, and where their files are."""
    given = {role: Pattern(text) for role, text in files.model_dump().items() if text is not None}
    candidates = {role: given.get(role, Pattern(f"{role}/{{id}}.*")) for role in SUFFIXES_OF}
    present = {
        role: pattern
        for role, pattern in candidates.items()
        if role in given or any(pattern.find(split.path, SUFFIXES_OF[role]) for split in splits)
    }
    if not present:
        present = dict.fromkeys(_direct_roles(splits), DIRECT)
    if "xyz" in present and "depth" in present:
        # A cloud needs no camera; a pattern that somebody wrote says that the other is meant.
        present.pop("xyz" if "depth" in given and "xyz" not in given else "depth")
    if not any(pattern.find(part / GOOD, SUFFIXES_OF[role]) for role, pattern in present.items()):
        raise DataError(
            f"{part / GOOD} holds no samples: expected {_expected(given)}, found {listing(part / GOOD)}.",
            hint="Put the good parts there, or set [files] in lsfa-part.toml. See: lsfa data init",
        )
    return present


def _files(folder: Path, patterns: Mapping[str, Pattern]) -> dict[str, dict[str, Path]]:
    """For each role its files by id. A file that fits "{id}.png" and "{id}_depth.png" belongs to the longer pattern."""
    found: dict[str, dict[str, Path]] = {}
    taken: set[Path] = set()
    for role in sorted(patterns, key=lambda role: -len(patterns[role].text)):
        paths = patterns[role].find(folder, SUFFIXES_OF[role])
        found[role] = {name: path for name, path in paths.items() if path not in taken}
        taken.update(found[role].values())
    return {role: found[role] for role in patterns}


def _direct_roles(splits: list[SplitFolder]) -> list[str]:
    """What files without subfolders are: images, or clouds; a TIFF says by its header which of them it is."""
    paths = [path for split in splits for path in DIRECT.find(split.path, (*IMAGE_SUFFIXES, *SUFFIXES)).values()]
    tiff = next((path for path in paths if path.suffix.lower() in _TIFF), None)
    tiff_role = "xyz" if tiff is not None and is_cloud(tiff) else "rgb"
    roles = {
        tiff_role if suffix in _TIFF else "xyz" if suffix in SUFFIXES else "rgb"
        for suffix in (path.suffix.lower() for path in paths)
    }
    if len(roles) > 1:
        first = min(paths)
        raise DataError(
            f"{first.parent} holds images and clouds side by side, and their names do not say which is which.",
            hint="Put them into rgb/ and xyz/ there, or set [files] rgb and xyz in lsfa-part.toml.",
        )
    return sorted(roles)


def _require_empty(split: SplitFolder, patterns: Mapping[str, Pattern]) -> None:
    """A folder without samples may be empty, as the template makes it, but not hold something else."""
    held = [entry for entry in entries(split.path) if not is_folder(entry) or entries(entry)]
    if held and not (split.split == "validation" and split.path.name == GOOD):
        raise DataError(
            f"{split.path} holds no samples: expected {_words(patterns)} in it as in good/, "
            f"found {few([entry.name for entry in held])}.",
            hint="Name the files there as in good/, or remove the folder.",
        )


def _masks(part: Path, split: SplitFolder, names: Iterable[str]) -> dict[str, Path]:
    """The masks of one folder's samples: masks/DEFECT/ID.* or ID_mask.*. Masks of no sample are refused."""
    folder = part / "masks" / split.defect
    known = set(names)
    found: dict[str, Path] = {}
    lonely: list[str] = []
    exact, marked = (pattern.find(folder, IMAGE_SUFFIXES) for pattern in _MASK_PATTERNS)
    stems = {path: name for name, path in marked.items()}
    for name, path in exact.items():
        owner = name if name in known else stems.get(path, name)
        if owner not in known:
            lonely.append(path.relative_to(part).as_posix())
        elif owner in found:
            raise DataError(
                f"{found[owner]} and {path} are both the mask of {split.defect}/{owner}.", hint="Keep one of them."
            )
        found[owner] = path
    if lonely:
        raise _lonely_masks(part, lonely)
    return found


def _masks_of_no_defect(part: Path, splits: list[SplitFolder]) -> list[str]:
    """Masks in folders to which no test folder belongs."""
    defects = {split.defect for split in splits if split.split == "test"}
    unknown = (
        [folder for folder in folders(part / "masks") if folder.name not in defects]
        if is_folder(part / "masks")
        else []
    )
    return [
        path.relative_to(part).as_posix() for folder in unknown for path in DIRECT.find(folder, IMAGE_SUFFIXES).values()
    ]


def _lonely_masks(part: Path, names: list[str]) -> DataError:
    return DataError(
        f"{part}: no test sample belongs to {'this mask' if len(names) == 1 else f'these {len(names)} masks'}: "
        f"{few(names)}.",
        hint="The mask of test/DEFECT/ID is masks/DEFECT/ID.png or masks/DEFECT/ID_mask.png.",
    )


def _expected(given: Mapping[str, Pattern]) -> str:
    if given:
        return _words(given)
    return "rgb/, xyz/ or depth/ with files in them, or images or clouds"


def _words(patterns: Mapping[str, Pattern]) -> str:
    return " and ".join(pattern.text for pattern in patterns.values())
