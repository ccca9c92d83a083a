"""What `lsfa tune` found, put together for its table."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lsfa_cli import __version__
from lsfa_cli.resampling import CONFIDENCE, RESAMPLES
from lsfa_cli.stages.progress import Progress
from lsfa_cli.stages.studying.cells import Settings
from lsfa_cli.stages.tune import Plan, Progressed
from lsfa_cli.stages.tuning.cells import Around, cell
from lsfa_cli.stages.tuning.rank import Ranking, compared
from lsfa_cli.stages.tuning.settings import settings_text
from lsfa_cli.stages.tuning.weights import choose_weights, weighable
from lsfa_cli.studies import StudyVariant
from lsfa_cli.tables.tuning import Tuned, WeightRow
from lsfa_cli.wording import counted

WEIGHED = 3
"""Candidates whose sources are weighed: the best ones."""


@dataclass(frozen=True)
class Summary:
    """What a ranking is put together with. by, seed: of the ranking. told: as of `settings_text`."""

    around: Around
    base: Settings
    by: str
    seed: int
    told: Mapping[str, Collection[str]]
    progress: Progress

    def of(self, planned: Plan, result: Progressed) -> Tuned:
        """The ranking, and what was chosen. Raises LsfaError where nothing was measured."""
        found = compared(planned, result)
        ranking = Ranking(planned, found, by=self.by, seed=self.seed)
        weighed, weights = self._weigh(planned, ranking)
        if weighed:
            names = [one.name for one in weighed]
            planned = self._with(planned, ranking, weighed)
            found = replace(found, candidates=[*found.candidates, *names])
            ranking = Ranking(planned, found, by=self.by, seed=self.seed)
        categories = list(dict.fromkeys(unit.category for unit in planned.units))
        candidate = next(one for one in planned.space.candidate if one.name == ranking.chosen)
        settings = self.base.of(candidate, self.seed)
        text = settings_text(settings, dataset=self.around.dataset.name, categories=categories, told=self.told)
        notes = _notes(self.around, planned, ranking, weights, categories)
        return Tuned(ranking.title, ranking.first, ranking.rows(), ranking.chosen, weights, text, notes)

    def _weigh(self, planned: Plan, ranking: Ranking) -> tuple[list[StudyVariant], list[WeightRow]]:
        """The best candidates with weights, where these are worth it, and what choosing them found."""
        candidates = {one.name: one for one in planned.space.candidate}
        best = [row.candidate for row in ranking.rows()]
        weighed, rows = [], []
        for name in [name for name in best if weighable(planned.of(name, ranking.units)[0])][:WEIGHED]:
            cells = planned.of(name, ranking.units)
            weights, found = choose_weights(cells, self.around.groups, ranking.draws, self.progress)
            rows += found
            if any(weights.values()):
                own = candidates[name]
                changed = {"name": f"{name}, weighed", "score": {**own.score, **weights}}
                weighed.append(own.model_copy(update=changed))
        return weighed, rows

    def _with(self, planned: Plan, ranking: Ranking, weighed: Sequence[StudyVariant]) -> Plan:
        """The plan with further candidates that differ in the weights alone, whose figures are made here."""
        cells = [cell(self.around, unit, one, self.base, self.seed) for one in weighed for unit in ranking.units]
        for one in cells:
            if not one.pieces[-1].is_there():
                one.pieces[-1].make(self.progress)
        space = planned.space.model_copy(update={"candidate": (*planned.space.candidate, *weighed)})
        return Plan(space, planned.units, [*planned.cells, *cells])


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
    if weights:
        shown["weighed"] = (
            "the best candidates, chosen on the same samples, so that their figures are somewhat too high; by the same "
            "rule, the nearest to equal weights first; maps on a coarser raster"
        )
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
