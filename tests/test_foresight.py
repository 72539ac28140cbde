"""Suggestions ahead of time: what they are, when they are used, and that one worker gets none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]  # it has no types

from strategies.actions import Limit, Reached, Record, Start
from strategies.history import Array
from strategies.registry import SEARCHERS
from strategies.schedulers.asha import Asha
from strategies.schedulers.base import Scheduler
from strategies.schedulers.fifo import Fifo
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Context, Searcher
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

import ray_hpo
from ray_hpo import foresight as module
from ray_hpo.foresight import SLOW_TIMES, Foresight
from ray_hpo.rehearsal import Rehearsal
from tests.strategies.world import mixed_space

THREAD = "foresight"


@dataclass(frozen=True)
class Counting(Searcher):
    """Proposes how many results it knows, as x, and takes its time."""

    name: ClassVar[str] = "counting"
    seconds: float = 0.005

    def suggest(self, context: Context) -> Array:
        time.sleep(self.seconds)  # as a model would
        results = sum(len(context.history.results(f)) for f in context.history.fidelities)
        return context.space.encode({"x": results, "n": context.number})


@dataclass(frozen=True)
class Busy(Searcher):
    """Works for a while."""

    name: ClassVar[str] = "busy"
    seconds: ClassVar[float] = 0.01

    def suggest(self, context: Context) -> Array:
        began = time.thread_time()
        while time.thread_time() - began < self.seconds:
            pass
        return context.space.sample(context.rng(), 1)[0]


@dataclass(frozen=True)
class Broken(Searcher):
    name: ClassVar[str] = "broken"

    def suggest(self, context: Context) -> Array:
        raise ValueError("broken")


SPACE = as_space({"x": ray_hpo.randint(0, 1000), "n": ray_hpo.randint(0, 1000)})


class Driver:
    """The part of a controller that matters here."""

    def __init__(self, seconds: float = 0.005, workers: int = 1, expected: float = 0.0) -> None:
        self.strategy = Strategy(Fifo(searcher=Counting(seconds)), Problem(SPACE, Fidelity.of(9), seed=1))
        self.records: list[Record] = []
        self.tell(Limit(None))
        self.foresight = Foresight(self.strategy, self.records, lambda: workers, lambda: expected)

    def tell(self, record: Record) -> None:
        self.strategy.apply(record)
        self.records.append(record)
        if hasattr(self, "foresight"):
            self.foresight.news()

    def ask(self) -> Start | None:
        action = self.strategy.next(self.foresight.suggest)
        return action if isinstance(action, Start) else None

    def start(self) -> Start:
        """Ask until there is an answer, and let it be true."""
        until(lambda: self._answered() is not None)
        self.tell(self.answer)
        return self.answer

    def _answered(self) -> Start | None:
        found = self.ask()
        if found is not None:
            self.answer = found
        return found

    def warm_up(self) -> None:
        for _ in range(SLOW_TIMES):
            self.start()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def driver() -> Any:
    made = Driver()
    yield made
    made.foresight.close()


def thinking() -> bool:
    return any(thread.name == THREAD for thread in threading.enumerate())


def test_quick_suggestions_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_hpo.foresight.SLOW_SECONDS", 5.0)  # however busy the machine is
    driver = Driver(seconds=0.0)
    for _ in range(20):
        assert driver.ask() is not None
    assert not thinking()
    driver.foresight.close()


def test_those_that_will_be_slow_come_from_a_thread_at_once() -> None:
    driver = Driver(seconds=0.0, expected=1.0)
    assert [driver.start().config["n"] for _ in range(5)] == list(range(5))
    assert thinking()
    driver.foresight.close()


def test_where_they_will_be_slow_there_is_a_queue_from_the_first_one_on() -> None:
    driver = Driver(seconds=0.0, workers=4, expected=0.05)
    driver.foresight.job_took(0.05)
    driver.start()
    until(lambda: driver.foresight.ready == 4)
    driver.foresight.close()


def test_a_rehearsal_tells_how_long_a_suggestion_takes() -> None:
    def seconds(algo: Scheduler) -> float:
        rehearsal = Rehearsal(algo, Problem(SPACE, Fidelity.of(9), seed=1))
        rehearsal.thread.join()
        return rehearsal.seconds

    busy = seconds(Asha(searcher=Busy()))
    assert busy >= Busy.seconds
    assert seconds(Asha(searcher=Broken())) == 0.0  # that will be told where somebody hears it


def test_the_thread_leaves_the_other_cores_alone() -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    @dataclass(frozen=True)
    class Looking(Counting):
        def suggest(self, context: Context) -> Array:
            seen.append((threading.current_thread().name, threads()))
            return super().suggest(context)

    seen: list[tuple[str, set[int]]] = []
    before = threads()
    strategy = Strategy(Fifo(searcher=Looking()), Problem(SPACE, Fidelity.of(9), seed=1))
    foresight = Foresight(strategy, [], expected=lambda: 1.0)
    until(lambda: foresight.suggest(9.0) is not None)
    foresight.close()
    assert (THREAD, {1}) in seen
    assert threads() == before


def test_slow_ones_come_from_a_thread_in_their_order(driver: Driver) -> None:
    driver.warm_up()
    assert thinking()
    assert [driver.start().config["n"] for _ in range(5)] == list(range(SLOW_TIMES, SLOW_TIMES + 5))
    driver.foresight.close()
    assert not thinking()


def test_a_short_job_is_not_kept_waiting_for_the_last_result(driver: Driver) -> None:
    driver.warm_up()
    until(lambda: driver.ask() is not None)  # it is ready
    driver.foresight.job_took(0.01)
    driver.tell(Reached(0, 9.0, 0.5))
    assert driver.ask() is not None


def test_a_long_job_is_followed_by_one_that_knows_all_results(driver: Driver) -> None:
    driver.warm_up()
    until(lambda: driver.ask() is not None)
    driver.foresight.job_took(3600.0)
    driver.tell(Reached(0, 9.0, 0.5))
    driver.tell(Reached(1, 9.0, 0.5))
    assert driver.ask() is None
    assert 0 < driver.foresight.timeout < 0.1
    assert driver.start().config["x"] == 2
    assert driver.foresight.timeout == float("inf")


def test_short_jobs_find_a_queue_as_long_as_there_are_workers() -> None:
    driver = Driver(workers=4)
    driver.warm_up()
    for _ in range(3):
        driver.foresight.job_took(0.05)
        driver.start()
        until(lambda: driver.foresight.ready == 4)
        first = driver.strategy.history.proposed
        for _ in range(4):  # all are free at once
            action = driver.ask()
            assert action is not None and action.config["n"] == action.trial
            driver.tell(action)
        for trial in range(first, first + 4):
            driver.tell(Reached(trial, 9.0, 0.5))
    last = driver.start()
    assert last.config["x"] > 0  # what comes after knows results
    driver.foresight.close()


def test_for_long_jobs_there_is_no_queue() -> None:
    driver = Driver(workers=4)
    driver.warm_up()
    driver.foresight.job_took(3600.0)
    for _ in range(4):
        driver.start()
        until(lambda: driver.foresight.ready == 1)
    driver.foresight.close()


def test_an_error_in_the_thread_arrives(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.warm_up()

    def broken(self: Counting, context: Context) -> Array:
        raise ArithmeticError("singular")

    monkeypatch.setattr(Counting, "suggest", broken)
    driver.tell(Reached(0, 9.0, 0.5))
    with pytest.raises(ArithmeticError, match="singular"):
        until(lambda: bool(driver.ask()) and bool(driver.tell(driver.ask() or Limit(None))))


@dataclass(frozen=True)
class Slow(Counting):
    """Legal in the space of the other tests."""

    def suggest(self, context: Context) -> Array:
        time.sleep(self.seconds)
        return context.space.sample(context.rng(), 1)[0]


def test_points_come_first_and_the_limit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.0)  # the thread begins at once
    space = mixed_space()
    point = space.decode(space.canonical(space.sample(_rng(), 1))[0])
    strategy = Strategy(Asha(searcher=Slow(0.001)), Problem(space, Fidelity.of(9), seed=1, points=[point]))
    records: list[Record] = [Limit(8)]
    strategy.apply(records[0])
    foresight = Foresight(strategy, records)
    begun: list[Start] = []

    def step() -> bool:
        action = strategy.next(foresight.suggest)
        if isinstance(action, Start):
            strategy.apply(action)
            records.append(action)
            foresight.news()
            begun.append(action)
        return len(begun) == 8

    until(step)
    assert begun[0].config == point
    assert [start.trial for start in begun] == list(range(8))
    assert strategy.table.exhausted
    foresight.close()


def _rng() -> Any:
    import numpy as np

    return np.random.default_rng(0)


def test_one_worker_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run with one worker is repeatable to the last trial, whatever the model takes."""
    monkeypatch.setitem(SEARCHERS, Slow.name, Slow)  # so that the journal can name it
    seen: list[bool] = []

    def train(config: dict[str, Any]) -> dict[str, float]:
        seen.append(thinking())
        return {"loss": config["x"]}

    ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0, 1)},
        train,
        metric="loss",
        algo=Slow(),
        num_trials=6,
        executor="inline",
        storage=tmp_path,
        progress=False,
        seed=1,
    )
    assert seen == [False] * 6
