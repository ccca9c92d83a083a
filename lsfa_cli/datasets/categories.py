"""Finding the categories of a data set: folders of its root that have a certain layout."""

from dataclasses import dataclass
from pathlib import Path

from lsfa_cli.datasets import ROOT_HINT
from lsfa_cli.datasets.folders import folders, is_folder, listing
from lsfa_cli.errors import DataError, UnknownNameError

_LEVELS = 3  # between a category and its files, as in train/good/rgb


@dataclass(frozen=True)
class CategoryLayout:
    """How a category is known. text: the layout in words.

    signs: folders such as train/good; a folder that holds one of them is a category.
    """

    text: str
    signs: tuple[str, ...] = ("train/good",)

    def categories(self, root: Path) -> list[str]:
        """The names of the categories under `root`, sorted. `DataError` when there is none."""
        names = [folder.name for folder in folders(root) if self._is_category(folder)]
        if not names:
            raise self._wrong_layout(root)
        return names

    def folder(self, root: Path, category: str) -> Path:
        """The folder of a category. `UnknownNameError` where there is none, `DataError` where it is something else."""
        known = self.categories(root)
        if category in known:
            return root / category
        if category in {folder.name for folder in folders(root)}:
            folder = root / category
            raise DataError(
                f"{folder} is no category: expected {' or '.join(self.signs)} in it, found {listing(folder)}.",
                hint=f"Expected {self.text}.",
            )
        raise UnknownNameError("category", category, known)

    def _wrong_layout(self, root: Path) -> DataError:
        message = f"{root} has no category: expected {self.text}, found {listing(root)}."
        if self._is_category(root):
            return DataError(
                message, hint=f"This folder is a category itself. Use the one above: {root.absolute().parent}"
            )
        for folder in folders(root):
            if self._holds_categories(folder):
                return DataError(message, hint=f"The categories are one folder down. Use {folder}")
        for folder in list(root.absolute().parents)[:_LEVELS]:
            if self._is_category(folder):
                return DataError(message, hint=f"This is inside of the category {folder}. Use {folder.parent}")
        return DataError(message, hint=self._advice(root))

    def _advice(self, root: Path) -> str:
        """What to do where nothing near `root` is a category."""
        return f"{ROOT_HINT} Is it another data set? lsfa data list shows the layouts, --data NAME chooses."

    def _is_category(self, folder: Path) -> bool:
        return any(is_folder(folder / sign) for sign in self.signs)

    def _holds_categories(self, folder: Path) -> bool:
        try:
            return any(self._is_category(inner) for inner in folders(folder))
        except DataError:  # a folder beside the data set that may not be listed
            return False
