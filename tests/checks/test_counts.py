from lsfa_cli.checks.counts import Counts
from tests.checks.views import file_view, judged


def found(names):
    return [(finding.severity, finding.message) for finding in judged(Counts(), map(file_view, names)).findings]


TRAIN = [f"train/good/{number:03}" for number in range(4)]


def test_enough_of_everything():
    assert found([*TRAIN, "test/good/000", "test/hole/000"]) == []


def test_no_training_sample_is_an_error():
    assert found(["test/good/000", "test/hole/000"]) == [("error", "no training samples.")]


def test_few_training_samples_are_a_warning():
    assert found([*TRAIN[:3], "test/good/000", "test/hole/000"]) == [("warning", "3 training samples.")]
    assert found([TRAIN[0], "test/good/000", "test/hole/000"]) == [("warning", "1 training sample.")]


def test_one_kind_of_test_sample_is_noted():
    assert found(TRAIN) == [("note", "no test samples.")]
    assert found([*TRAIN, "test/good/000"]) == [("note", "no defective test samples.")]
    assert found([*TRAIN, "test/hole/000"]) == [("note", "no good test samples.")]


def test_defects_among_training_samples_are_an_error():
    views = map(file_view, [*TRAIN, "train/hole/000", "test/good/000", "test/hole/000"])
    (finding,) = judged(Counts(), views).findings
    assert (finding.severity, finding.samples) == ("error", ("train/hole/000",))
