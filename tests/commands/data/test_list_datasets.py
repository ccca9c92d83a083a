import pytest
from typer.testing import CliRunner

from lsfa_cli.commands import app
from lsfa_cli.datasets import DATASETS, DatasetEntry


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_row_says_what_is_read_and_what_its_figures_are_called(name):
    entry = DATASETS[name]
    assert isinstance(entry, DatasetEntry)
    assert entry.help.endswith(".")
    assert all((entry.layout, entry.has, entry.figures, entry.needs))


def test_every_data_set_is_listed_within_the_width():
    result = CliRunner().invoke(app, ["data", "list"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == list(DATASETS)
    assert max(map(len, lines)) <= 100
    text = " ".join(result.stdout.split())
    for entry in DATASETS.values():
        for part in (entry.help, entry.layout, entry.has, entry.figures, entry.needs):
            assert " ".join(part.split()) in text
