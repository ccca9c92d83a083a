"""What `lsfa tune` found, put together for its table."""

from collections.abc import Collection, Mapping, Sequence

from lsfa_cli import __version__
from lsfa_cli.resampling import CONFIDENCE, RESAMPLES
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.study_cells import Settings
from lsfa_cli.stages.tune import Plan, Progressed
from lsfa_cli.stages.tune_cells import Around
from lsfa_cli.stages.tune_rank import Ranking, compared
from lsfa_cli.stages.tune_settings import settings_text
from lsfa_cli.stages.tune_weights import choose_weights
from lsfa_cli.tables.tuning import Tuned, WeightRow
from lsfa_cli.wording import counted


def summarise(
    around: Around,
    planned: Plan,
    result: Progressed,
    base: Settings,
    progress: Progress,
    *,
    by: str,
    seed: int,
    told: Mapping[str, Collection[str]],
) -> Tuned:
    """The ranking, the chosen candidate and weights. told: as of `settings_text`.

    Raises LsfaError where nothing was measured.
    """
    ranking = Ranking(planned, compared(planned, result), by=by, seed=seed)
    cells = planned.of(ranking.chosen, ranking.units)
    score, weights = choose_weights(cells, around.groups, ranking.draws, progress)
    categories = list(dict.fromkeys(unit.category for unit in planned.units))
    candidate = next(one for one in planned.space.candidate if one.name == ranking.chosen)
    text = settings_text(
        base.of(candidate, seed), score, seed=seed, dataset=around.dataset.name, categories=categories, told=told
    )
    return Tuned(
        ranking.title,
        ranking.first,
        ranking.rows(),
        ranking.chosen,
        weights,
        text,
        _notes(around, planned, ranking, weights, categories),
    )


def _notes(
    around: Around, planned: Plan, ranking: Ranking, weights: Sequence[WeightRow], categories: Sequence[str]
) -> dict[str, str]:
    """How the ranking was made, for its foot."""
    share, folds = around.hold_out.share, 1 + max(unit.fold for unit in ranking.units)
    shown = {
        "question": planned.space.question,
        "categories": ", ".join(categories),
        "samples": "; ".join(
            f"{unit}: {normal} normal ones and {pasted} with pasted defects"
            for unit, normal, pasted in zip(ranking.units, ranking.normal, ranking.pasted, strict=True)
        ),
        "held out": f"{share:.0%} of the training samples, beside the validation samples; {counted(folds, 'fold')}; "
        "no test sample was opened",
        "left out": "in turn, from training, and then to be found: "
        + "; ".join(f"{name} ({', '.join(kinds)})" for name, kinds in around.groups.items()),
        "chosen": f"{ranking.chosen}; {_why(ranking)}",
    }
    for row in weights:
        shown[f"weights of {row.what}"] = f"{row.chosen or 'alike'}; {_why_weights(row)}"
    shown["intervals"] = (
        f"{CONFIDENCE:.0%}, bootstrap over validation samples, each with its pasted versions, {RESAMPLES} resamples; "
        "categories, folds and kinds of defects are not drawn"
    )
    for name, others in (("not measured yet", ranking.waiting), ("sees other samples", ranking.others)):
        if others:
            shown[name] = ", ".join(others)
    shown["lsfa"] = __version__
    return {name: text for name, text in shown.items() if text}


def _why(ranking: Ranking) -> str:
    rule = "the first in the order of the space that the best does not beat by more than a standard error"
    if ranking.chosen == ranking.best:
        return "the best, and those before it are worse by more than a standard error of the paired difference"
    return f"{rule} of the paired difference; the best is {ranking.best}"


def _why_weights(row: WeightRow) -> str:
    if not row.best:
        return "no weighing is better than equal weights"
    gain = f"the best, {row.best}, gains {row.lead:+.3f} with a standard error of {row.error:.3f}"
    if not row.chosen:
        return f"{gain}, so equal weights stay"
    return (
        gain if row.chosen == row.best else f"{gain}; what was chosen is nearer to equal and no worse by more than one"
    )
