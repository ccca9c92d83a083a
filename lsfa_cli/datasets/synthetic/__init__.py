"""Synthetic parts in the layout of MVTec 3D-AD, for trying the method without any data set.

Small parts of four workshops, rendered from implicit surfaces as an RGB camera with a structured-light sensor would
see them: varying from individual to individual, in pose and light, with noise and missing points; some of the test
parts with small graded defects that show in the picture only, in the cloud only, or in both.
The figures of a method on them say that it works, and nothing about real parts.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from lsfa_cli.errors import UnknownNameError, UsageError

CATEGORIES: dict[str, str] = {
    "biscuit": "baked biscuit with chocolate pieces: organic, textured, every one different",
    "cover": "moulded cover with bosses, ribs, vents and a printed serial number",
    "dowel": "fluted beech dowel with grain: elongated, natural material",
    "fitting": "moulded cable fitting with nut, thread and bore: turned, at any rotation",
}
"""The categories: name -> what it is."""

SMALLEST_SIZE = 96
LARGEST_SIZE = 1600


def generate(
    root: Path,
    *,
    categories: Sequence[str] | None = None,
    seed: int = 0,
    size: int = 400,
    train: int = 24,
    validation: int = 4,
    test_good: int = 12,
    test_per_defect: int = 4,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Make the categories (all by default) as folders of `root`; returns their names.

    `size` is the side of the images in pixels; the field of view is always 0.1 m. `jobs` worker processes share the
    work. `progress` is called with the samples done and their total. The same seed, size and name of a sample give
    the same bytes, whatever the counts, the categories asked for, and `jobs`.

    A category that is there with the same settings is left alone; one with other settings is made anew. A folder
    that holds anything else is a `DataError`, a disk that is full or not writable a `ResourceError`, and an
    unknown category or an impossible number a `UsageError`. Each category appears whole or not at all.
    """
    names = list(CATEGORIES) if categories is None else list(dict.fromkeys(categories))
    for name in names:
        if name not in CATEGORIES:
            raise UnknownNameError("synthetic category", name, CATEGORIES)
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise UsageError(f"synthetic images of {size} pixels: between {SMALLEST_SIZE} and {LARGEST_SIZE} are possible.")
    if seed < 0:
        raise UsageError(f"the seed is {seed}: it must not be negative.")
    if train < 1 or min(validation, test_good, test_per_defect) < 0 or test_good + test_per_defect < 1:
        raise UsageError(
            f"{train} training, {validation} validation, {test_good} good and {test_per_defect} defective test samples "
            "make no data set: at least one for training and one for the test are needed."
        )
    # NumPy and SciPy take their time to import; listing the categories does not need them.
    from lsfa_cli.datasets.synthetic.writer import Recipe, write_categories

    recipe = Recipe(seed, size, train, validation, test_good, test_per_defect)
    write_categories(Path(root), names, recipe, jobs=jobs, progress=progress)
    return names
