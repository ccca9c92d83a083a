"""The rule of choice against cases worked by hand."""

import math

import numpy as np
import pytest

from lsfa_cli.choosing import Choice, choose, weight_choices

# Draws of the bootstrap around a figure; their differences to a constant have the standard error of their deviation.
SPREAD = np.array([-0.03, -0.01, 0.01, 0.03])
ERROR = math.sqrt((2 * 0.03**2 + 2 * 0.01**2) / 3)  # 0.0258


def drawn(figure: float, spread: float = 1.0) -> np.ndarray:
    """A figure and four draws of it."""
    return np.concatenate([[figure], figure + spread * SPREAD])


def chosen(*choices: np.ndarray) -> Choice:
    """The choice among these."""
    return choose([float(one[0]) for one in choices], lambda place: choices[place])


def test_the_first_stays_within_a_standard_error() -> None:
    assert chosen(drawn(0.80, 0), drawn(0.82)) == Choice(0, 1, pytest.approx(0.02), pytest.approx(ERROR))


def test_the_best_is_taken_beyond_a_standard_error() -> None:
    assert chosen(drawn(0.80, 0), drawn(0.83)) == Choice(1, 1, pytest.approx(0.03), pytest.approx(ERROR))


def test_one_between_that_is_as_good_as_the_best_is_taken() -> None:
    choice = chosen(drawn(0.80, 0), drawn(0.82, 0), drawn(0.84))
    assert (choice.chosen, choice.best) == (1, 2)
    assert (choice.lead, choice.error) == (pytest.approx(0.04), pytest.approx(ERROR))


def test_one_that_is_no_better_than_what_was_refused_is_passed_over() -> None:
    # The second cannot be told from the best, but is below the first, which can.
    choice = chosen(drawn(0.80), drawn(0.79, 9), drawn(0.83))
    assert (choice.chosen, choice.best) == (2, 2)


def test_what_varies_together_counts_as_paired() -> None:
    # Both vary by 0.026, and always together: their difference is sure.
    choice = chosen(drawn(0.80), drawn(0.81))
    assert (choice.chosen, choice.error) == (1, pytest.approx(0.0, abs=1e-12))


def test_later_ones_and_ties_do_not_count() -> None:
    assert chosen(drawn(0.9), drawn(0.9), drawn(0.1)) == Choice(0, 0, 0.0, 0.0)


def test_draws_without_a_figure_are_left_out() -> None:
    best = drawn(0.83)
    best[1] = np.nan
    assert chosen(drawn(0.80, 0), best).error == pytest.approx(0.02)  # of -0.01, 0.01 and 0.03
    best[1:4] = np.nan
    assert chosen(drawn(0.80, 0), best).chosen == 0  # one draw has no deviation: nobody can tell


def test_weights_of_two_sources() -> None:
    assert weight_choices(["a", "b"]) == [
        {},
        {"a": 1.0, "b": 0.5},
        {"a": 0.5, "b": 1.0},
        {"a": 1.0, "b": 0.0},
        {"a": 0.0, "b": 1.0},
    ]


def test_weights_of_many_sources_are_few() -> None:
    four, six = weight_choices(list("abcd")), weight_choices(list("abcdef"))
    assert len(four) == 3**4 - 2**4  # all with a weight of 1, equal ones once
    assert len(six) == 2**6 - 1
    for every in (four, six):
        shares = [tuple(weight / sum(one.values()) for weight in one.values()) for one in every[1:]]
        assert len(set(shares)) == len(shares)
        assert every[0] == {}
    assert weight_choices(["a"]) == [{}]
