import threading

import pytest

from lsfa_cli.stages.read_ahead import read_ahead


@pytest.mark.parametrize("jobs", [0, 1, 4])
def test_results_come_in_order(jobs: int) -> None:
    assert list(read_ahead(lambda item: item**2, range(20), jobs)) == [item**2 for item in range(20)]
    assert list(read_ahead(str, [], jobs)) == []


def test_no_more_is_made_than_may_wait() -> None:
    made: list[int] = []
    results = read_ahead(made.append, range(100), 2, beyond=3)
    for taken in range(1, 6):
        next(results)
        assert len(made) <= taken + 5
    results.close()
    assert len(made) <= 10


def test_an_error_comes_in_its_turn_and_ends_the_work() -> None:
    began: list[int] = []

    def make(item: int) -> int:
        began.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    results = read_ahead(make, range(100), 1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert max(began) < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]
