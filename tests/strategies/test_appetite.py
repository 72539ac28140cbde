"""The work at hand is just what the strategy hands out when it is asked for one free worker after the other."""

from __future__ import annotations

from itertools import islice

import pytest

from strategies.actions import Record, Resume, Start, Stop
from strategies.appetite import work_at_hand
from strategies.registry import SCHEDULERS
from strategies.schedulers.rungs import Fidelity
from strategies.strategy import Problem, Strategy

from tests.strategies.world import mixed_space, run

MOST = 40


def handed_out(strategy: Strategy) -> list[tuple[type[Record], int, float]]:
    """What `strategy` says, asked again and again; it is told that all of it became true."""
    jobs: list[tuple[type[Record], int, float]] = []
    while len(jobs) < MOST:
        action = strategy.next()
        if not isinstance(action, (Start, Resume, Stop)):
            break
        strategy.apply(action)
        if not isinstance(action, Stop):
            jobs.append((type(action), action.trial, action.until))
    return jobs


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_work_at_hand_is_what_would_be_handed_out(scheduler: str) -> None:
    algo = SCHEDULERS[scheduler]()
    problem = Problem(mixed_space(), Fidelity.of(9), 3)
    records = run(algo, problem.space)
    for cut in range(1, len(records) + 1, 7):
        strategy = Strategy.rebuild(algo, problem, records[:cut])
        found = [(type(job), job.trial, job.until) for job in islice(work_at_hand(strategy, records[:cut]), MOST)]
        assert found == handed_out(strategy), f"after {cut} records"
    assert not found, "the last cut is the end"
