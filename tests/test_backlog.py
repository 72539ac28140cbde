"""How jobs are shared out between calls."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, strategies as st

from ray_hpo.executors.ray.backlog import CALL_JOBS, CALL_SECONDS, Backlog
from ray_hpo.messages import Job


def job(trial: int) -> Job:
    return Job(trial, {}, 1.0, None, 0.0)


def backlog_of(trials: range, seconds: float | None = 0.0001, shares: bool = True) -> Backlog:
    backlog = Backlog(shares)
    if seconds is not None:
        backlog.took(seconds, 1)
    for trial in trials:
        backlog.add(job(trial))
    return backlog


def trials_of(jobs: list[Job]) -> list[int]:
    return [job.trial for job in jobs]


def test_until_it_is_known_that_jobs_are_short_each_has_a_call() -> None:
    assert trials_of(backlog_of(range(9), seconds=None).take(2)) == [0]
    assert trials_of(backlog_of(range(9), seconds=CALL_SECONDS).take(2)) == [0]
    assert trials_of(backlog_of(range(9), shares=False).take(2)) == [0]


@given(st.integers(1, 300), st.integers(1, 12))
def test_shares_are_even_and_the_last_are_single(jobs: int, workers: int) -> None:
    """Whoever is free takes a call: where all jobs take equally long, all are done at once, give or take one job."""
    backlog, loads, sizes = backlog_of(range(jobs)), Counter[int](), []
    order: list[int] = []
    while backlog:
        worker = min(range(workers), key=lambda w: loads[w])  # the first to be free
        taken = trials_of(backlog.take(workers))
        assert 1 <= len(taken) <= CALL_JOBS
        order += taken
        sizes.append(len(taken))
        loads[worker] += len(taken)
    assert order == list(range(jobs))
    singles = min(workers - 1, jobs)
    assert sizes[len(sizes) - singles :] == [1] * singles
    assert max(loads.values()) - min(loads[w] for w in range(workers)) <= 1


def test_who_may_have_ended_a_worker_is_alone_from_then_on() -> None:
    backlog = backlog_of(range(4), shares=False)
    assert not backlog.alone
    for _ in range(2):
        backlog.suspect([job(7)])
        backlog.give_back([job(7)])
        assert backlog.alone
        assert trials_of(backlog.take(2)) == [7]
        assert not backlog.alone
    backlog.give_back([job(7)])
    assert backlog.alone


def test_workers_get_one_call_more_than_they_have() -> None:
    backlog = backlog_of(range(0))
    assert backlog.wanted(idle=8, workers=8, begun=0) == 2 * 8 * CALL_JOBS
    assert backlog.wanted(idle=0, workers=8, begun=8 * CALL_JOBS) == 8 * CALL_JOBS
    assert backlog_of(range(5)).wanted(idle=0, workers=1, begun=2 * CALL_JOBS) == 0
    assert backlog_of(range(0), shares=False).wanted(idle=3, workers=8, begun=5) == 3


def test_a_long_job_ends_the_sharing() -> None:
    backlog = backlog_of(range(50))
    backlog.took(3600.0, 1)
    assert backlog.per_call == 1


def test_what_is_given_back_comes_first_and_in_order() -> None:
    backlog = backlog_of(range(10, 12))
    backlog.give_back([job(3), job(4)])
    assert trials_of(backlog.take(1)) == [3, 4, 10, 11]


def test_jobs_of_which_one_ends_workers_go_alone() -> None:
    backlog = backlog_of(range(10, 20))
    backlog.suspect([job(3), job(4)])
    backlog.give_back([job(3), job(4)])
    assert [trials_of(backlog.take(1)) for _ in range(3)] == [[3], [4], list(range(10, 20))]
