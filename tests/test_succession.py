"""Which workers a next job is put in line at, and what becomes of it."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import ray

from ray_hpo.executors.ray.arrivals import SHORT_SECONDS
from ray_hpo.executors.ray.succession import Succession
from ray_hpo.executors.ray.worker_handle import WorkerHandle
from ray_hpo.messages import AtMilestone, Checkpoint, Crashed, Ended, Job, Message
from ray_hpo.reports import in_batches
from ray_hpo.resources import Request

WINDOW = 0.2
REPORTS = in_batches(0, [(1.0, 0.0, {"loss": 0.5})])


def job(trial: int, until: float = 2.0, since: float = 0.0) -> Job:
    return Job(trial, {}, until, Checkpoint("there", since) if since else None, 0.0)


class Actor:
    """Every call is answered by its name and number."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        actor = self

        class Method:
            @staticmethod
            def remote(*args: Any) -> str:
                actor.calls.append(name)
                return f"{name} {len(actor.calls)}"

        return Method


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker that is up, and what it answers: `said`, and whether its trial `made_way`."""
    made: Any = WorkerHandle(Actor(), Request({"CPU": 1.0}))
    made.up, made.said = True, ([], False)
    monkeypatch.setattr(ray, "get", lambda answer: pickle.dumps((made.said[0], 0, 0.1, made.said[1])))
    return made


def receive(worker: Any, *messages: Message, made_way: bool = False) -> Any:
    worker.said = list(messages), made_way
    return worker.receive(WINDOW, 5.0)


def trials(jobs: list[Job]) -> list[int]:
    return [job.trial for job in jobs]


# ---- the worker's end ----


@pytest.mark.parametrize("last", [AtMilestone(0, released=True, saved=True), AtMilestone(0, released=True), Ended(0)])
def test_the_job_in_line_has_begun_once_the_one_before_made_way(worker: Any, last: Message) -> None:
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1, until=6.0, since=2.0))
    messages, over, given_back, _ = receive(worker, *REPORTS, last, made_way=True)
    assert (trials(over), given_back, trials(worker.jobs), worker.following) == ([0], [], [1], None)
    assert worker.answer == "more 4" and worker.since == 5.0 and worker.units == 4.0
    assert messages[-1] == last


def test_one_that_trains_on_keeps_the_job_in_line(worker: Any) -> None:
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1))
    _, over, given_back, _ = receive(worker, *REPORTS)
    assert (over, given_back, trials(worker.all_jobs), worker.answer) == ([], [], [0, 1], "more 4")
    _, over, given_back, _ = receive(worker, AtMilestone(0, released=True, saved=True), made_way=True)
    assert (trials(over), given_back, trials(worker.all_jobs)) == ([0], [], [1])


@pytest.mark.parametrize("last", [AtMilestone(0, saved=True), AtMilestone(0, released=True), Ended(0)])
def test_one_that_would_have_made_way_does_so_for_an_offer_that_came_too_late(worker: Any, last: Message) -> None:
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1, until=6.0, since=2.0))
    messages, over, given_back, _ = receive(worker, last)
    assert (trials(over), given_back, trials(worker.all_jobs), worker.following) == ([0], [], [1], None)
    assert worker.answer == "run 4" and worker.since == 5.0 and worker.units == 4.0
    assert not isinstance(messages[-1], AtMilestone) or messages[-1].released  # nobody is to tell it to go on


def test_one_without_a_checkpoint_gives_the_job_back(worker: Any) -> None:
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1))
    messages, over, given_back, _ = receive(worker, AtMilestone(0))
    assert (trials(over), trials(given_back), trials(worker.all_jobs), worker.answer) == ([], [1], [0], None)
    assert messages == [AtMilestone(0)]


def test_a_crash_gives_the_job_back(worker: Any) -> None:
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1))
    _, over, given_back, _ = receive(worker, Crashed(0, "user", "ValueError"))
    assert (trials(over), trials(given_back), worker.all_jobs, worker.answer) == ([0], [1], [], None)


# ---- which worker, and when ----


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wanted_after(succession: Succession, clock: Clock, worker: Any, units: float) -> float | None:
    """How many seconds after a worker turned to a job of so many units the next one is wanted; None: not at all."""
    worker.units = units
    succession.begun(worker)
    patience, was = 0.0 if len(succession) else succession.patience, clock.now
    clock.now += SHORT_SECONDS
    succession.look()
    due = len(succession) == 1
    clock.now = was
    succession.forget(worker)
    succession.look()
    return patience if due else None


def test_a_line_is_for_jobs_that_are_known_to_be_short(worker: Any, clock: Clock) -> None:
    """Wanted 40 % of a job before its end, at least 20 ms and at most 80."""
    succession = Succession(math.inf, now=clock)
    assert wanted_after(succession, clock, worker, 1.0) is None
    succession.heard(worker, 2.0, [Ended(0)], 0.1)  # 0.05 s a unit
    assert wanted_after(succession, clock, worker, 3.0) == pytest.approx(0.15 * 0.6)
    assert wanted_after(succession, clock, worker, 0.5) == pytest.approx(0.005)
    assert wanted_after(succession, clock, worker, 0.2) == 0.0  # at once
    assert wanted_after(succession, clock, worker, 5.0) == pytest.approx(0.25 - 0.08)
    assert wanted_after(succession, clock, worker, 19.0) == pytest.approx(0.95 - 0.08)
    assert wanted_after(succession, clock, worker, 20.0) is None
    succession.heard(worker, 1.0, [Crashed(0, "user", "ValueError")], 100.0)  # says nothing of how long jobs take
    succession.heard(worker, 1.0, REPORTS, 100.0)
    assert wanted_after(succession, clock, worker, 3.0) is not None
    succession.heard(worker, 1.0, [AtMilestone(0, saved=True)], 100.0)
    assert wanted_after(succession, clock, worker, 1.0) is None


def test_the_first_job_of_a_worker_says_little(clock: Clock) -> None:
    """It imports, and compiles. As long as there is no other one the shortest counts; later it does not."""
    succession = Succession(math.inf, now=clock)
    workers: list[Any] = [WorkerHandle(Actor(), Request({"CPU": 1.0})) for _ in range(4)]
    for worker, seconds in zip(workers, (0.3, 0.15, 0.1), strict=False):
        succession.heard(worker, 1.0, [Ended(0)], seconds)
    assert wanted_after(succession, clock, workers[0], 1.0) == pytest.approx(0.1 * 0.6)
    for _ in range(2):
        succession.heard(workers[0], 1.0, [Ended(1)], 0.12)
    succession.heard(workers[3], 1.0, [Ended(2)], 0.9)
    assert wanted_after(succession, clock, workers[3], 1.0) == pytest.approx(0.12 * 0.6)


def test_there_is_none_where_some_take_much_longer_than_others(worker: Any, clock: Clock) -> None:
    """What is in line behind one of these would wait for it. When there were none for a while, there is one again."""
    succession = Succession(math.inf, now=clock)
    for _ in range(3):
        succession.heard(worker, 1.0, [Ended(0)], 0.05)
    assert wanted_after(succession, clock, worker, 1.0) is not None
    succession.heard(worker, 1.0, [Ended(0)], 5.0)
    assert wanted_after(succession, clock, worker, 1.0) is None
    jobs = 0
    while wanted_after(succession, clock, worker, 1.0) is None:
        succession.heard(worker, 1.0, [Ended(0)], 0.05)
        jobs += 1
        assert jobs < 15
    assert jobs > 3


def test_there_is_none_where_trials_are_not_to_leave_or_cannot(worker: Any, clock: Clock) -> None:
    never, no_longer = Succession(0, now=clock), Succession(math.inf, now=clock)
    for succession in (never, no_longer):
        succession.heard(worker, 1.0, [AtMilestone(0, saved=True)], 0.01)
    assert wanted_after(never, clock, worker, 1.0) is None
    assert wanted_after(no_longer, clock, worker, 1.0) is not None
    no_longer.heard(worker, 1.0, [AtMilestone(0)], 0.01)
    assert wanted_after(no_longer, clock, worker, 1.0) is None


def test_who_is_free_first_is_first(clock: Clock) -> None:
    succession = Succession(math.inf, now=clock)
    workers: list[Any] = [WorkerHandle(Actor(), Request({"CPU": 1.0})) for _ in range(3)]
    succession.heard(workers[0], 1.0, [Ended(0)], 0.05)
    for worker, units in zip(workers, (3.0, 1.0, 2.0), strict=True):
        worker.units = units
        succession.begun(worker)
    assert (len(succession), succession.patience) == (0, pytest.approx(0.05 - 0.02))
    clock.now += 0.035
    assert (len(succession), succession.patience) == (0, 0.0)  # one is wanted, and nobody has seen it yet
    succession.look()
    assert (len(succession), succession.patience) == (1, pytest.approx(0.06 - 0.035))
    succession.heard(workers[0], 1.0, REPORTS, 0.03)  # on its way
    succession.heard(workers[2], 1.0, [Ended(2)], 0.05)
    clock.now += 0.1
    succession.look()
    assert [succession.take() for _ in range(len(succession))] == [workers[1], workers[0]]
    assert (len(succession), succession.patience) == (0, math.inf)


def test_no_more_are_in_line_than_may_be(clock: Clock) -> None:
    succession = Succession(2, now=clock)
    workers: list[Any] = [WorkerHandle(Actor(), Request({"CPU": 1.0})) for _ in range(4)]
    succession.heard(workers[0], 1.0, [Ended(0)], 0.001)
    for worker in workers:
        worker.run([job(0)], WINDOW, 1.0)
        succession.begun(worker)
    assert len(succession) == 2
    first = succession.take()
    first.offer(job(1))
    assert len(succession) == 1
    succession.heard(first, 1.0, REPORTS, 0.001)  # trains on, with the job in line
    assert len(succession) == 1
    second = succession.take()
    second.offer(job(2))
    assert len(succession) == 0
    first.following = None
    succession.heard(first, 1.0, [AtMilestone(0, saved=True)], 0.001)
    assert len(succession) == 1
    succession.forget(second)
    assert len(succession) == 2
