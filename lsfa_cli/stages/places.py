"""Where artifacts lie unless the user names them.

WORK/DATA/CATEGORY/{finetuned,features}.h5 and WORK/DATA/CATEGORY[/VARIANT]/{adaptor,bank,scores}.h5.
"""

from dataclasses import dataclass, replace
from pathlib import Path

BASELINE = "baseline"
CONTROL = "control"


@dataclass(frozen=True)
class Places:
    """The artifacts of one category and one variant of the method. All variants share the features.

    finetuned: weights of backbones that were trained, which features can be extracted with.
    """

    features: Path
    adaptor: Path
    bank: Path
    scores: Path
    finetuned: Path

    def named(self, **files: Path | None) -> "Places":
        """The same, with the files that the user named instead."""
        return replace(self, **{role: path for role, path in files.items() if path is not None})


def places(work: Path, data: str, category: str, variant: str = "") -> Places:
    """The default places. `variant` is empty for the method itself, else the name of a folder beside it."""
    category_folder = work / data / category
    folder = category_folder / variant if variant else category_folder
    return Places(
        features=category_folder / "features.h5",
        adaptor=folder / "adaptor.h5",
        bank=folder / "bank.h5",
        scores=folder / "scores.h5",
        finetuned=category_folder / "finetuned.h5",
    )


def variants(work: Path, data: str, category: str) -> list[str]:
    """The variants of a category that have scores, the method itself first."""
    folder = work / data / category
    found = sorted(path.parent.name for path in folder.glob("*/scores.h5"))
    return ([""] if (folder / "scores.h5").is_file() else []) + found


def categories(work: Path, data: str) -> list[str]:
    """The categories that have features or scores under the work folder."""
    folder = work / data
    return sorted(
        {path.parent.name for path in folder.glob("*/features.h5")}
        | {path.parent.name for path in folder.glob("*/scores.h5")}
    )
