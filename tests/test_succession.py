"""Which workers a next job is put in line at, and what becomes of it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import ray

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


@pytest.mark.parametrize("last", [AtMilestone(0), AtMilestone(0, saved=True)])
def test_one_that_did_not_make_way_gives_the_job_back(worker: Any, last: Message) -> None:
    """It has no checkpoint, or the offer came too late."""
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1))
    messages, over, given_back, _ = receive(worker, last)
    assert (trials(over), trials(given_back), trials(worker.all_jobs), worker.answer) == ([], [1], [0], None)
    assert messages == [last]


@pytest.mark.parametrize("last", [Crashed(0, "user", "ValueError"), Ended(0), AtMilestone(0, released=True)])
def test_a_crash_or_an_end_before_the_offer_gives_the_job_back(worker: Any, last: Message) -> None:
    worker.run([job(0)], WINDOW, 1.0)
    worker.offer(job(1))
    _, over, given_back, _ = receive(worker, last)
    assert (trials(over), trials(given_back), worker.all_jobs, worker.answer) == ([0], [1], [], None)


# ---- which worker ----


def begun(succession: Succession, worker: Any, units: float) -> bool:
    worker.units = units
    succession.begun(worker, WINDOW)
    was = len(succession) == 1
    succession.forget(worker)
    return was


def test_a_line_is_for_jobs_that_are_known_to_be_short(worker: Any) -> None:
    succession = Succession(enabled=True)
    assert not begun(succession, worker, 1.0)
    succession.heard(worker, 2.0, [Ended(0)], 0.1)  # 0.05 s a unit
    assert begun(succession, worker, 3.0)
    assert not begun(succession, worker, 5.0)
    succession.heard(worker, 1.0, [Crashed(0, "user", "ValueError")], 100.0)  # says nothing of how long jobs take
    succession.heard(worker, 1.0, REPORTS, 100.0)
    assert begun(succession, worker, 3.0)
    succession.heard(worker, 1.0, [AtMilestone(0, saved=True)], 100.0)
    assert not begun(succession, worker, 1.0)


def test_there_is_none_where_trials_are_not_to_leave_or_cannot(worker: Any) -> None:
    never, no_longer = Succession(enabled=False), Succession(enabled=True)
    for succession in (never, no_longer):
        succession.heard(worker, 1.0, [AtMilestone(0, saved=True)], 0.01)
    assert not begun(never, worker, 1.0)
    assert begun(no_longer, worker, 1.0)
    no_longer.heard(worker, 1.0, [AtMilestone(0)], 0.01)
    assert not begun(no_longer, worker, 1.0)


def test_who_began_first_is_first() -> None:
    succession = Succession(enabled=True)
    workers: list[Any] = [WorkerHandle(Actor(), Request({"CPU": 1.0})) for _ in range(3)]
    succession.heard(workers[0], 1.0, [Ended(0)], 0.01)
    for worker in (workers[1], workers[2], workers[0]):
        worker.units = 1.0
        succession.begun(worker, WINDOW)
    succession.heard(workers[2], 1.0, REPORTS, 0.2)
    assert [succession.pop() for _ in range(len(succession))] == [workers[1], workers[0]]
