import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from lsfa_cli.errors import DataError, LsfaError, ResourceError, UnknownNameError
from lsfa_cli.stages import read_ahead as module
from lsfa_cli.stages.read_ahead import Pool, Workers, read_ahead, workers_for


@pytest.fixture(scope="module", params=[False, True], ids=["threads", "processes"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    with Workers(2, processes=request.param).at_work() as at_work:
        yield at_work


def slowest_first(item: int) -> int:
    time.sleep(0.05 if item == 0 else 0)
    return item**2


def refuse(item: int) -> int:
    if item == 1:
        raise DataError("one is damaged", hint="Leave it out.")
    if item == 2:
        raise UnknownNameError("number", "twp", ["one", "two"])
    return item


def library_threads(size: int) -> list[int]:
    np.linalg.inv(np.eye(size))  # by the library whose threads are asked for
    return [library["num_threads"] for library in threadpool_info()]


def own_process(_: int) -> int:
    return os.getpid()


def end_process(_: int) -> None:
    os._exit(1)


def test_results_of_threads_and_processes_come_in_order(pool: Pool) -> None:
    assert list(pool.ahead(slowest_first, range(20))) == [item**2 for item in range(20)]
    assert list(pool.ahead(slowest_first, [])) == []


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [(1, DataError, "one is damaged\nLeave it out."), (2, UnknownNameError, "Did you mean 'two'?")],
)
def test_errors_of_users_come_whole(pool: Pool, item: int, error: type[LsfaError], message: str) -> None:
    results = pool.ahead(refuse, [0, item])
    assert next(results) == 0
    with pytest.raises(error) as caught:
        next(results)
    assert message in str(caught.value)
    assert caught.value.exit_code == error.exit_code


def test_processes_are_others_and_take_one_thread_each() -> None:
    with Workers(1, processes=True).at_work() as pool:
        assert next(pool.ahead(own_process, [0])) != os.getpid()
        threads = next(pool.ahead(library_threads, [2]))
    assert threads
    assert set(threads) == {1}


def test_a_process_that_dies_is_told() -> None:
    with Workers(1, processes=True).at_work() as pool, pytest.raises(ResourceError, match="ended unexpectedly") as told:
        list(pool.ahead(end_process, [0]))
    assert "fewer --jobs" in str(told.value)


def test_threads_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_for(3, "cpu") == workers_for(3, "cuda") == Workers(3)
    most = module.MOST_THREADS
    assert workers_for(most, "cuda") == Workers(most)
    assert workers_for(most + 1, "cuda") == Workers(most + 1, processes=True)
    assert workers_for(most + 1, "cpu") == Workers(most + 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert str(workers_for(0, "cuda")) == "16 worker processes"
    assert str(workers_for(1, "cuda")) == "1 thread"
    assert str(Workers(1, processes=True)) == "1 worker process"


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
