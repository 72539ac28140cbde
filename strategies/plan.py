"""What an algorithm is going to do, before it does it: run on made-up values, which cost nothing."""

from __future__ import annotations

import dataclasses
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strategies.actions import Continue, Reached, Record, Resume, Start, Stop
from strategies.schedulers.base import Scheduler
from strategies.searchers.random import Random
from strategies.strategy import Problem, Strategy
from strategies.trials import Status

MAX_TRIALS = 2_000  # more are not planned: it would take seconds

GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Planned:
    """What is still to come, with made-up values. Budgets are units of fidelity.

    budget: in all.  longest: from now to the end, if each unit takes one of time and `workers` workers train.
    reached: (bracket, milestone) -> trials that get there, those before included.
    """

    budget: float
    longest: float
    reached: Mapping[tuple[int, float], int]


def planned_budget(algo: Scheduler, problem: Problem, records: Sequence[Record], workers: int = 1) -> float | None:
    """Units of fidelity still to be trained after `records`; see `plan_ahead`."""
    planned = plan_ahead(algo, problem, records, workers)
    return None if planned is None else planned.budget


def plan_ahead(algo: Scheduler, problem: Problem, records: Sequence[Record], workers: int = 1) -> Planned | None:
    """What is to come after `records`; exact for synchronous schedulers in which nothing fails.

    Trials get values that are scrambled, and the same at every rung. None if there is no limit on trials, or too many.
    """
    plain = dataclasses.replace(problem, objectives=1, constraints=0)
    strategy = Strategy.rebuild(dataclasses.replace(algo, searcher=Random()), plain, records)
    table = strategy.table
    table.num_trials = Strategy.rebuild(algo, problem, records).table.num_trials  # a grid has an end of its own
    if table.num_trials is None or table.num_trials - len(table.trials) > MAX_TRIALS:
        return None
    total = 0.0
    reached = Counter((row.bracket, row.reached) for row in table.trials if row.reached)
    running: list[tuple[float, int]] = []  # when it will be at its milestone, trial
    for row in table.trials:
        if row.status is Status.RUNNING:
            heapq.heappush(running, (0.0, row.number))
    clock = 0.0

    def grant(trial: int, done: float, until: float) -> None:
        nonlocal total
        cost = until - done if problem.fidelity.resumable else until
        total += cost
        heapq.heappush(running, (clock + cost, trial))

    while True:
        while len(running) < workers:
            action = strategy.next()
            if not isinstance(action, (Start, Resume, Stop)):
                break
            strategy.apply(action)
            if not isinstance(action, Stop):
                grant(action.trial, table.trials[action.trial].reached, action.until)
        if not running:
            return Planned(total, clock, reached)
        clock, trial = heapq.heappop(running)
        until = table.trials[trial].until
        strategy.apply(Reached(trial, until, trial * GOLDEN % 1.0))
        reached[table.trials[trial].bracket, until] += 1
        verdict = strategy.verdict(trial)
        strategy.apply(verdict)
        if isinstance(verdict, Continue):
            grant(trial, until, verdict.until)
