"""Progress where there is no terminal: a line now and then, with the time left."""

import pytest

from lsfa_cli import console
from lsfa_cli.console import VERBOSE, Console


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_lines_tell_the_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Console(VERBOSE).track("study", 10) as advance:
        for seconds in (4, 4, 4, 20):
            clock[0] += seconds
            advance(1)
        clock[0] += 60
        advance(6)
    # 3 pieces in 12 s, 4 in 32 s, all in 92 s
    expected = ["study: 3 of 10, about 28 s left", "study: 4 of 10, about 48 s left", "study: 10 of 10"]
    assert capsys.readouterr().err.splitlines() == expected


def test_pieces_of_long_ago_do_not_count(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """A study that goes on finds its first cells at once."""
    with Console(VERBOSE).track("study", 120) as advance:
        advance(100)
        for _ in range(12):
            clock[0] += 11
            advance(1)
    assert capsys.readouterr().err.splitlines()[-1] == "study: 112 of 120, about 88 s left"


def test_without_detail_nothing_is_told(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Console().track("study", 2) as advance:
        clock[0] += 100
        advance(1)
    assert capsys.readouterr().err == ""
