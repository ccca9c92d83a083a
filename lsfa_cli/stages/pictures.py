"""Pictures of telling cases, and one sheet of parts: what the report and the demo show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lsfa_cli.artifacts.adaptor import is_trained, read_curves
from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.files import writing_errors
from lsfa_cli.artifacts.lineage import command_for, require_made_from
from lsfa_cli.artifacts.scores import FUSED, Scores, open_scores
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.errors import UsageError
from lsfa_cli.figures import (
    Case,
    Limits,
    SheetRow,
    case_picture,
    case_title,
    choose_cases,
    contact_sheet,
    curves_picture,
)  # fmt: skip
from lsfa_cli.stages.progress import NoProgress, Progress
from lsfa_cli.stages.report import MODALITY_NAMES, ScoresFile
from lsfa_cli.stages.shown import Shown


def write_pictures(files: Sequence[ScoresFile], folder: Path, *, progress: Progress | None = None) -> list[Path]:
    """For every scores artifact the best, worst and median cases; returns the files written.

    folder/CATEGORY[-VARIANT]/{best,worst,median,false-alarm}.png, and training.png where there is an adaptor. Where
    banks and discriminators score together, each has maps of its own. Needs the features artifact, which holds the
    pictures of the test samples.
    """
    made: list[Path] = []
    with (progress or NoProgress()).track("pictures", len(files)) as advance:
        for file in files:
            with open_scores(file.scores) as scores, open_features(_features_of(file)) as features:
                mend = command_for("score", scores.dataset, scores.category)
                require_made_from(scores.artifact, "features", features.artifact, mend)
                name = f"{scores.category}-{file.variant}" if file.variant else scores.category
                made.extend(_cases(scores, Shown(scores, features), folder / name))
                made.extend(_training(scores, file.adaptor, folder / name / "training.png"))
            advance(1)
    return made


def write_sheet(files: Sequence[ScoresFile], path: Path, *, per_category: int = 1) -> None:
    """One picture with the clearest defects of every category: image, scan, truth, map."""
    rows: list[SheetRow] = []
    for file in files:
        with open_scores(file.scores) as scores, open_features(_features_of(file)) as features:
            rows.extend(_sheet_rows(scores, Shown(scores, features), per_category))
    with writing_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(path, rows, limits=Limits(0.0, 1.0), unit="0 median, 1 top of the category's scores")


def _training(scores: Scores, adaptor: Path | None, path: Path) -> list[Path]:
    """The curves of the training that these scores rest on, where it is there and had any step."""
    if adaptor is None or not adaptor.is_file() or "adaptor" not in scores.artifact.inputs:
        return []
    with open_artifact(adaptor, "adaptor") as artifact:
        if artifact.content_hash != scores.artifact.inputs["adaptor"] or not is_trained(artifact):
            return []
        title = f"{scores.category}, training: {artifact.attributes['stopped']}"
        curves_picture(path, read_curves(artifact), title=title)
    return [path]


def _features_of(file: ScoresFile) -> Path:
    if file.features is None:
        raise UsageError(
            "pictures need the features artifact, which holds the images", hint="Name it with --features FILE."
        )
    return file.features


def _main_name(scores: Scores) -> str:
    return FUSED if FUSED in scores.image else next(iter(scores.image))


def _map_name(name: str) -> str:
    """What a map is called in pictures: its modality, and its source where it is of one alone."""
    modality, separator, source = name.partition("_")
    return f"{MODALITY_NAMES[modality]}, {source} alone" if separator else MODALITY_NAMES[modality]


def _cases(scores: Scores, shown: Shown, folder: Path) -> list[Path]:
    main = _main_name(scores)
    limits = {_map_name(name): shown.limits(name) for name in shown.maps}
    made = []
    with writing_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for case in choose_cases(scores.image[main], scores.labels):
        path = folder / f"{case.kind}.png"
        _case(path, case, scores, shown, limits)
        made.append(path)
    return made


def _case(path: Path, case: Case, scores: Scores, shown: Shown, limits: dict[str, Limits]) -> None:
    image, depth = shown.pictures(case.index)
    score = float(scores.image[_main_name(scores)][case.index])
    case_picture(
        path,
        image,
        depth,
        shown.mask(case.index),
        {_map_name(name): maps[case.index] for name, maps in shown.maps.items()},
        title=f"{scores.category}   "
        + case_title(scores.names[case.index], scores.defects[case.index], score, case.rank, len(scores.names)),
        subtitle=f"{scores.method}; {case.reason}",
        limits=limits,
        unit="score",
        empty_mask=shown.without_mask(case.index),
    )


def _sheet_rows(scores: Scores, shown: Shown, count: int) -> list[SheetRow]:
    main = _main_name(scores)
    order = [int(index) for index in np.argsort(-scores.image[main]) if scores.labels[index]]
    low, high = shown.limits(main)
    rows = []
    for index in order[:count]:
        image, depth = shown.pictures(index)
        mask, label = shown.mask(index), f"{scores.category}, {scores.names[index]}"
        if not mask.any():
            label += f"; ground truth: {shown.without_mask(index)}"
        scaled = np.clip((shown.maps[main][index] - low) / (high - low), 0, 1)
        rows.append(SheetRow(label, image, depth, mask, scaled))
    return rows
