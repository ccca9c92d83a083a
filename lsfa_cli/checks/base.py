"""What a check is: it measures each sample, and then judges what it measured in a whole category."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

from lsfa_cli.checks.facts import Facts
from lsfa_cli.samples import CloudSample, Sample, SampleRecord
from lsfa_cli.wording import counted

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Figure = float | int | str | Sequence[float] | None
"""A measured value as JSON has it."""

M = TypeVar("M")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, and what to do about it.

    error: results made from this data mean nothing, or cannot be made. warning: very likely a mistake.
    samples: the names of those concerned; none where it is the whole category. files: those to look at.
    """

    severity: Severity
    check: str
    message: str
    advice: str
    samples: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a check found in one category, and the values by which it judged, under names that stay."""

    findings: Sequence[Finding] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """What a check is shown of one sample: its record and files, and for checks that are not `every` its content.

    same_content: role of a file -> a key that files of equal content share; roles whose content no other file has are
    absent. sample: of a raster, cloud: of an unorganized cloud. mask_values: what the mask's file holds, sorted.
    """

    record: SampleRecord
    same_content: Mapping[str, str]
    facts: Facts | None = None
    sample: Sample | None = None
    cloud: CloudSample | None = None
    mask_values: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Measured(Generic[M]):
    """What a check measured on one sample."""

    record: SampleRecord
    value: M


class Check(Protocol[M]):
    """One check. name: its key in `CHECKS`. every: it needs no pixels and sees all samples.

    most: so many samples of a category, evenly spread, are enough for it; None takes all that are read.
    """

    name: ClassVar[str]
    every: ClassVar[bool]
    most: ClassVar[int | None]

    def measure(self, view: View) -> M | None:
        """What is needed of one sample; None where the sample does not have it."""
        ...

    def judge(self, measured: Sequence[Measured[M]]) -> Verdict:
        """The findings of one category. measured: in the order of the samples; may be empty."""
        ...


def share_of(count: int, total: int, thing: str = "sample") -> str:
    """ "3 of 20 samples"."""
    return f"{count} of {counted(total, thing)}"
