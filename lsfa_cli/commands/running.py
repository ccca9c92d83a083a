"""What the stage commands share: which categories, telling outcomes, and going on after a failure."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lsfa_cli.artifacts.features import open_features
from lsfa_cli.artifacts.files import write_text
from lsfa_cli.commands.options import Session
from lsfa_cli.errors import ArtifactError, LsfaError, PartialFailureError, UnknownNameError, UsageError
from lsfa_cli.stages.making import Outcome
from lsfa_cli.stages.places import categories as made_categories
from lsfa_cli.wording import bytes_text

NEXT = {"extract": "adapt", "adapt": "bank", "bank": "score", "score": "report"}


def extracted_categories(session: Session, chosen: Sequence[str] | None, features: Path | None) -> list[str]:
    """The categories to work on: those asked for, that of a named features file, or all in the work folder."""
    if features is not None:
        with open_features(features) as opened:
            if chosen and list(chosen) != [opened.category]:
                raise UsageError(f"{features} holds the category {opened.category}, not {', '.join(chosen)}")
            return [opened.category]
    work, data = session.run.work, session.run.data
    known = made_categories(work, data)
    if not known:
        hint = f"Make them with: lsfa extract --data {data} --root FOLDER"
        raise ArtifactError(f"no features under {work / data}", hint=hint)
    for name in chosen or ():
        if name not in known:
            raise UnknownNameError(f"category under {work / data}", name, known)
    return list(chosen) if chosen else known


def cache_folder(session: Session) -> Path:
    """Where prepared samples are kept: --cache, or the user's cache folder."""
    if session.run.cache is not None:
        return session.run.cache
    from platformdirs import user_cache_path

    return user_cache_path("lsfa", appauthor=False)


def require_single(categories: Sequence[str], **files: Path | None) -> None:
    """A named file belongs to one category."""
    named = [f"--{name.replace('_', '-')}" for name, path in files.items() if path is not None]
    if named and len(categories) != 1:
        raise UsageError(f"{named[0]} names one file, but {len(categories)} categories are asked for: use --category")


def refuse_both(no_adaptor: bool, adaptor_file: Path | None) -> None:
    """An adaptor cannot be left out and named."""
    if no_adaptor and adaptor_file is not None:
        raise UsageError("--no-adaptor and --adaptor-file contradict each other: give one of them")


def each_category(session: Session, categories: Iterable[str], work: Callable[[str], None]) -> None:
    """Work on every category. A failure is reported and does not stop the others; the end says which failed.

    A single category's error is passed on as it is. Several failures of one kind keep their exit code.
    """
    names = list(categories)
    failed: dict[str, LsfaError] = {}
    for name in names:
        try:
            work(name)
        except LsfaError as error:
            if len(names) == 1:
                raise
            session.console.error(f"{name}: {error}")
            failed[name] = error
    if failed:
        raise _summary(f"{len(failed)} of {len(names)} categories failed: {', '.join(failed)}", failed.values())


def raise_failures(session: Session, failures: Sequence[tuple[Path, LsfaError]], total: int) -> None:
    """Tell which scores could not be reported, if there are any, and leave with the exit code of their kind."""
    for path, error in failures:
        text = str(error)
        session.console.error(text if str(path) in text else f"{path}: {text}")
    if failures:
        raise _summary(f"{len(failures)} of {total} scores could not be reported", [error for _, error in failures])


def _summary(text: str, errors: Iterable[LsfaError]) -> PartialFailureError:
    """One error for several; its exit code is theirs when they agree."""
    summary = PartialFailureError(text)
    codes = {error.exit_code for error in errors}
    summary.exit_code = codes.pop() if len(codes) == 1 else PartialFailureError.exit_code
    return summary


def tell(session: Session, stage: str, category: str, outcome: Outcome, variant: str = "") -> None:
    """One line about a stage that was run, planned or found up to date."""
    name = f"{stage} {category}" + (f" ({variant})" if variant else "")
    if outcome.state == "up to date":
        session.console.info(f"{name}: up to date")
    elif outcome.state == "planned":
        takes = "" if outcome.estimate is None else f": {outcome.estimate}"
        session.console.result(f"{name}: would make {outcome.path} ({outcome.reason}){takes}")
    else:
        size = bytes_text(outcome.path.stat().st_size)
        session.console.say(f"{name}: made because {outcome.reason}")
        session.console.info(f"{name}: {outcome.summary} -> {outcome.path} ({size}, {outcome.seconds:.1f} s)")


def hand_over(session: Session, text: str, out: Path | None, what: str) -> None:
    """A finished table: to stdout, or into a file that is then named."""
    if out is None:
        session.console.result(text)
    else:
        write_text(out, text)
        session.console.info(f"{what}: {out}")


def tell_next(session: Session, stage: str) -> None:
    """What to type next."""
    if stage in NEXT:
        session.console.say(f"next: lsfa {NEXT[stage]}")
