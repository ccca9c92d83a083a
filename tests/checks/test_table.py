import pytest

from lsfa_cli.checks import CHECKS
from tests.checks.views import clean, judged


@pytest.mark.parametrize("name", list(CHECKS))
def test_a_row_leads_to_a_check_of_its_name(name):
    check = CHECKS[name].load()()
    assert check.name == name
    assert isinstance(check.every, bool)
    assert CHECKS[name].help.endswith(".")


@pytest.mark.parametrize("name", list(CHECKS))
def test_nothing_measured_is_no_failure(name):
    verdict = CHECKS[name].load()().judge([])
    assert [finding.check for finding in verdict.findings] == (["counts"] * 2 if name == "counts" else [])


@pytest.mark.parametrize("name", list(CHECKS))
def test_clean_samples_give_no_finding_but_that_there_is_no_test(name):
    findings = judged(CHECKS[name].load()(), clean(12)).findings
    assert [finding.message for finding in findings] == (["no test samples."] if name == "counts" else [])
