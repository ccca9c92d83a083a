import pytest

from lsfa_cli.wording import bytes_text, counted, duration, few, first_line, length, size_of


@pytest.mark.parametrize(
    ("metres", "text"),
    [
        (12345.6, "12,346 m"),
        (1.5, "1.5 m"),
        (0.0608, "60.8 mm"),
        (-0.0608, "-60.8 mm"),
        (0.00027, "0.27 mm"),
        (2.7e-5, "27 um"),
        (0.0, "0 um"),
    ],
)
def test_lengths_in_units_that_people_read(metres: float, text: str) -> None:
    assert length(metres) == text


def test_counts_sizes_and_lists() -> None:
    assert [counted(count, "file") for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert size_of((4, 5, 3)) == "4 x 5 x 3"
    assert few(list("abc")) == "a, b, c"
    assert few(list("abcdefgh")) == "a, b, c, d, e and 3 more"
    assert few(list("abc"), 1) == "a and 2 more"


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


def test_times_and_sizes_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0, 1.6, 89, 91, 3600, 9000)] == [
        "1 s", "2 s", "89 s", "2 min", "60 min", "2.5 h",
    ]  # fmt: skip
    assert [bytes_text(count) for count in (0, 999, 1000, 823_900_000, 2.25e12)] == [
        "0 B", "999 B", "1.0 kB", "823.9 MB", "2250.0 GB",
    ]  # fmt: skip
