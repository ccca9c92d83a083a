import pytest

from lsfa_cli.figures import case_title, choose_cases

SCORES = [0.5, 0.9, 0.1, 0.4, 0.6, 0.2, 0.3]
LABELS = [1, 1, 1, 1, 0, 0, 1]


def test_best_worst_false_alarm_and_median():
    cases = choose_cases(SCORES, LABELS)
    assert [(case.kind, case.index, case.rank) for case in cases] == [
        ("best", 1, 1),
        ("worst", 2, 7),
        ("false-alarm", 4, 2),
        ("median", 3, 4),
    ]
    assert [case.reason for case in cases] == [
        "best: the defect with the highest score",
        "missed defect: the defect with the lowest score; 2 of 2 good parts score higher",
        "false alarm: the good part with the highest score; 4 of 5 defects score lower",
        "median: the middle one of 5 defects",
    ]


def test_a_perfect_ranking_has_neither_missed_defects_nor_false_alarms():
    cases = choose_cases([0.9, 0.8, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0])
    assert {case.kind: case.reason for case in cases} == {
        "best": "best: the defect with the highest score",
        "worst": "weakest defect: the defect with the lowest score; none of 2 good parts scores higher",
        "false-alarm": "closest to a false alarm: the good part with the highest score; none of 3 defects scores lower",
        "median": "median: the middle one of 3 defects",
    }


def test_one_of_each():
    cases = choose_cases([0.1, 0.9], [1, 0])
    assert [(case.kind, case.index) for case in cases] == [("best", 0), ("false-alarm", 1)]
    assert cases[1].reason.endswith("1 of 1 defect scores lower")


def test_only_defects_and_only_good_parts():
    assert [case.kind for case in choose_cases([0.1, 0.9, 0.5], [1, 1, 1])] == ["best", "worst", "median"]
    assert [(case.kind, case.index) for case in choose_cases([0.1, 0.9], [0, 0])] == [("false-alarm", 1)]
    assert choose_cases([], []) == []


def test_two_defects_have_no_third_as_median():
    assert [case.kind for case in choose_cases([0.1, 0.9], [1, 1])] == ["best", "worst"]


def test_equal_scores_keep_the_order_of_the_samples():
    cases = choose_cases([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 1])
    assert [(case.kind, case.index, case.rank) for case in cases] == [
        ("best", 0, 1),
        ("worst", 3, 4),
        ("false-alarm", 1, 2),
        ("median", 2, 3),
    ]


def test_no_sample_is_chosen_twice():
    for count in range(1, 6):
        cases = choose_cases(range(count), [1] * count)
        assert len({case.index for case in cases}) == len(cases)


@pytest.mark.parametrize(("scores", "labels"), [([0.1], [1, 0]), ([[0.1]], [[1]])])
def test_misshapen_input_is_refused(scores, labels):
    with pytest.raises(ValueError, match="equally long"):
        choose_cases(scores, labels)


def test_the_title_names_sample_defect_score_and_rank():
    assert case_title("test/hole/003", "hole", 4.123, 2, 28) == "test/hole/003, hole, score 4.12, rank 2 of 28"
