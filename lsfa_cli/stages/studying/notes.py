"""What stands at the foot of a study's table: how it was made, and what a reader must know of its training."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lsfa_cli import __version__
from lsfa_cli.artifacts.store import open_artifact
from lsfa_cli.resampling import CONFIDENCE, RESAMPLES
from lsfa_cli.settings import WEIGHTS_FILES
from lsfa_cli.stages.study import Plan, labels_of
from lsfa_cli.stages.studying.cells import Cell
from lsfa_cli.tables.studies import StudyRow
from lsfa_cli.wording import counted

PUBLISHED_FEATURES = "MVTec 3D-AD, mean of ten categories, DINO ViT-B/8 and Point-MAE; not measured here"
_STAGES = ("extract", "finetune", "adapt", "bank", "score")


def notes(planned: Plan, rows: Sequence[StudyRow]) -> dict[str, str]:
    """How the table was made, for its foot."""
    shown = {
        "question": planned.study.question,
        "categories": ", ".join(planned.categories),
        "test samples": "; ".join(_test_samples(planned)),
        "seeds": ", ".join(str(seed) for seed in planned.seeds),
        "features": _features(planned),
        "settings": "; ".join(_common_settings(planned)) or "the defaults",
        "intervals": f"{CONFIDENCE:.0%}, bootstrap over test samples (good and defective apart) and seeds, "
        f"{RESAMPLES} resamples; the categories are not drawn",
        "p": "two-sided, sign flips over the pairs of category and seed, on these test samples; "
        f"with m pairs at least 2 / 2^m (here m = {max((row.pairs for row in rows), default=0)})",
        "lsfa": __version__,
    }
    shown |= _trained_backbones(planned) | _remarks(planned)
    if any(row.published is not None for row in rows):
        shown["paper"] = f"{planned.study.paper}, {PUBLISHED_FEATURES}"
        doubts = list(dict.fromkeys(doubt for row in rows for doubt in row.doubts))
        if doubts:
            shown["(?)"] = "; ".join(doubts)
    return shown


def _common_settings(planned: Plan) -> list[str]:
    """The settings that are not the defaults and that no variant changes; features are named elsewhere."""
    found = []
    for stage in _STAGES:
        changed = {name for variant in planned.study.variant for name in variant.changes(stage)}
        models = [model for one in planned.cells if (model := getattr(one.settings, stage)) is not None]
        for name, info in type(models[0]).model_fields.items() if models else ():
            values = {getattr(model, name) for model in models}
            told = name in changed or name in ("seed", *WEIGHTS_FILES) or name.endswith("_backbone")
            if not told and len(values) == 1 and values != {info.default}:
                found.append(f"{stage} {name} {values.pop()}")
    return found


def _test_samples(planned: Plan) -> Iterator[str]:
    """Of each category how many there are, on which the width of the intervals depends most."""
    for category in planned.categories:
        labels = labels_of(planned, category)
        defective = int(labels.sum())
        yield f"{category} {len(labels)} ({len(labels) - defective} good, {defective} defective)"


def _features(planned: Plan) -> str:
    """What made the features, before any training of backbones, as far as a cell tells."""
    for one in sorted(planned.cells, key=lambda one: one.finetuned is not None):
        for backbones, _ in _of_figures(one):
            return "; ".join(f"{modality} {identity['name']}" for modality, identity in backbones.items())
    return ""


def _trained_backbones(planned: Plan) -> dict[str, str]:
    """Which backbones learned where they were to, and which had nothing that can."""
    told: dict[str, None] = {}
    for one in planned.cells:
        for backbones, _ in _of_figures(one) if one.finetuned is not None else ():
            for modality, identity in backbones.items():
                name = str(identity["name"]).partition(", finetuned")[0]
                learned = "finetuned" in identity
                told[f"{modality} {name} {'was trained' if learned else 'has no weights to train and stayed'}"] = None
    return {"backbones": "where they are trained, " + ", ".join(told)} if told else {}


def _remarks(planned: Plan) -> dict[str, str]:
    """Remarks on the training of a variant's cells, each with the number of cells and what the first one says."""
    found: dict[str, list[str]] = {}
    for one in planned.cells:
        for _, remarks in _of_figures(one):
            if remarks:
                found.setdefault(one.variant, []).append("; ".join(remarks))
    return {
        f"remark on {variant}": f"{len(texts)} of {counted(_cells(planned, variant), 'cell')}; the first: {texts[0]}"
        for variant, texts in found.items()
    }


def _cells(planned: Plan, variant: str) -> int:
    return sum(one.variant == variant for one in planned.cells)


def _of_figures(one: Cell) -> Iterator[tuple[Mapping[str, Any], Sequence[str]]]:
    """What the figures of a cell say of its backbones and of its training, if they are there."""
    if one.figures.is_file():
        with open_artifact(one.figures, "figures") as artifact:
            yield json.loads(artifact.attributes["backbones"]), json.loads(artifact.attributes["remarks"])
