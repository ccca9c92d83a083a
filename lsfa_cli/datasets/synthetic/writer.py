"""Write rendered samples in the layout of MVTec 3D-AD, category by category, each whole or not at all."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from lsfa_cli.datasets.synthetic.camera import Camera
from lsfa_cli.datasets.synthetic.categories import CATALOGUE, Category
from lsfa_cli.datasets.synthetic.scene import Rendering, render
from lsfa_cli.errors import DataError, ResourceError
from lsfa_cli.samples import GOOD
from lsfa_cli.worker_processes import process_died, process_pool

MARKER = "synthetic.json"
GENERATOR = "lsfa synthetic parts"
VERSION = 1
"""Goes up whenever the same seed gives other bytes."""
FIRST_CLASS_ID = 255
_PNG_LEVEL = 3
_TIFF_LEVEL = 3  # noise in the last bits of the depth leaves little for higher levels to find

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the files of a category. The counts are samples; `test_per_defect` is for each kind."""

    seed: int
    size: int
    train: int
    validation: int
    test_good: int
    test_per_defect: int


@dataclass(frozen=True)
class Job:
    """One sample to be made: `index` of `split` ("train", "test/hole"), `class_id` its mask's value (0 for good)."""

    folder: Path
    category: str
    split: str
    index: int
    seed: int
    size: int
    class_id: int


def write_categories(
    root: Path, names: list[str], recipe: Recipe, *, jobs: int, progress: Progress | None = None
) -> None:
    """Bring ROOT/NAME to what `recipe` says for each name; what is there and already matches is left alone."""
    with _as_resource_error(root):
        root.mkdir(parents=True, exist_ok=True)
        _require_own(root)
        stale = [name for name in names if _recorded(root / name) != _marker(name, recipe)]
        total = sum(_samples(CATALOGUE[name], recipe) for name in names)
        done = total - sum(_samples(CATALOGUE[name], recipe) for name in stale)
        report = progress or (lambda done, total: None)
        report(done, total)
        with _workers(jobs if stale else 1) as submit:
            for name in stale:
                for _ in _write_category(root, CATALOGUE[name], recipe, submit):
                    done += 1
                    report(done, total)


Submit = Callable[[list[Job]], Iterator[None]]


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[Submit]:
    """A way to make samples, in this process or in `jobs` others; yields once a finished sample."""
    if jobs <= 1:
        yield lambda work: map(make_sample, work)
        return
    pool = process_pool(jobs)

    def submit(work: list[Job]) -> Iterator[None]:
        futures: list[Future[None]] = [pool.submit(make_sample, job) for job in work]
        for future in as_completed(futures):
            future.result()
            yield

    try:
        yield submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_category(root: Path, category: Category, recipe: Recipe, submit: Submit) -> Iterator[None]:
    """Make a category beside its place, then move it there. Whatever happens, no half of it stays."""
    partial = Path(tempfile.mkdtemp(prefix=f".{category.name}-", dir=root))
    try:
        _write_frame(partial, category, recipe)
        yield from submit(_jobs(partial, category, recipe))
        partial.chmod(0o777 & ~_umask())
        target = root / category.name
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _write_frame(folder: Path, category: Category, recipe: Recipe) -> None:
    """Folders, calibration, class ids and the marker."""
    for split, _, _ in _splits(category, recipe):
        for role in ("rgb", "xyz", "gt") if split.startswith("test/") else ("rgb", "xyz"):
            (folder / _folder(split) / role).mkdir(parents=True)
    (folder / "calibration").mkdir()
    ids = {str(class_id): name for name, class_id in _class_ids(category).items()} | {"0": GOOD}
    _write_json(folder / "calibration" / "camera_parameters.json", Camera(recipe.size).calibration())
    _write_json(folder / "class_ids.json", ids)
    _write_json(folder / MARKER, _marker(category.name, recipe))


def _class_ids(category: Category) -> dict[str, int]:
    return {name: FIRST_CLASS_ID - position for position, name in enumerate(sorted(category.defects))}


def _splits(category: Category, recipe: Recipe) -> list[tuple[str, int, int]]:
    """Split, number of samples, class id."""
    good = [("train", recipe.train, 0), ("validation", recipe.validation, 0), ("test/good", recipe.test_good, 0)]
    defective = [(f"test/{name}", recipe.test_per_defect, number) for name, number in _class_ids(category).items()]
    return [split for split in good + defective if split[1] > 0]


def _folder(split: str) -> str:
    return split if split.startswith("test/") else f"{split}/{GOOD}"


def _samples(category: Category, recipe: Recipe) -> int:
    return sum(count for _, count, _ in _splits(category, recipe))


def _jobs(folder: Path, category: Category, recipe: Recipe) -> list[Job]:
    return [
        Job(folder, category.name, split, index, recipe.seed, recipe.size, class_id)
        for split, count, class_id in _splits(category, recipe)
        for index in range(count)
    ]


def make_sample(job: Job) -> None:
    """Render one sample and write its two or three files."""
    category = CATALOGUE[job.category]
    kind = category.defects[job.split.removeprefix("test/")] if job.class_id else None
    write_sample(render(category, job.seed, job.split, job.index, job.size, kind), job)


def write_sample(rendering: Rendering, job: Job) -> None:
    """Write picture, cloud and, in test splits, the mask. Equal renderings give equal bytes."""
    folder, stem = job.folder / _folder(job.split), f"{job.index:03d}"
    Image.fromarray(rendering.rgb).save(folder / "rgb" / f"{stem}.png", compress_level=_PNG_LEVEL)
    tifffile.imwrite(
        folder / "xyz" / f"{stem}.tiff",
        rendering.xyz,
        photometric="rgb",
        compression="adobe_deflate",
        compressionargs={"level": _TIFF_LEVEL},
        metadata=None,
        software=False,
        datetime=False,
    )
    if job.split.startswith("test/"):
        mask = rendering.mask.astype(np.uint8) * np.uint8(job.class_id)
        Image.fromarray(mask).save(folder / "gt" / f"{stem}.png")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _marker(name: str, recipe: Recipe) -> dict[str, object]:
    return {"generator": GENERATOR, "version": VERSION, "category": name, **asdict(recipe)}


def _recorded(folder: Path) -> object:
    """What the marker in a category's folder says; None without a readable marker."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, json.JSONDecodeError):
        return None


def _require_own(root: Path) -> None:
    """Refuse a folder that holds anything that this generator did not make; hidden files do not count."""
    for entry in sorted(root.iterdir()):
        recorded = _recorded(entry)
        own = isinstance(recorded, dict) and recorded.get("generator") == GENERATOR
        if not own and not entry.name.startswith("."):
            raise DataError(
                f"{root} holds '{entry.name}', which is not a generated category; nothing was written.",
                hint="Choose an empty or a new folder for generated parts.",
            )


@contextlib.contextmanager
def _as_resource_error(root: Path) -> Iterator[None]:
    """Turn a full or unwritable disk, or a worker that was killed, into one message."""
    try:
        yield
    except BrokenProcessPool as error:
        raise process_died("parts") from error
    except OSError as error:
        where = error.filename or root
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise DataError(f"{where} is a file, not a folder.", hint="Choose another folder.") from error
        free = " Free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else " Check the permissions"
        raise ResourceError(
            f"generated parts cannot be written to {where}: {error.strerror or error}.",
            hint=f"{free.strip()} or choose another folder.",
        ) from error
