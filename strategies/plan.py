"""What an algorithm is going to do, before it does it: run on made-up values, which cost nothing."""

from __future__ import annotations

import dataclasses
import heapq
import math
from dataclasses import dataclass

from strategies.actions import Continue, Done, Limit, Reached, Resume, Start, Stop
from strategies.schedulers.base import Scheduler
from strategies.searchers.random import Random
from strategies.strategy import Problem, Strategy

MAX_TRIALS = 500  # larger plans are scaled up from this many


@dataclass(frozen=True)
class Plan:
    """Units of fidelity that `trials` trials are expected to train in all. Exact for synchronous schedulers."""

    trials: int
    total_budget: float


def plan(algo: Scheduler, problem: Problem, num_trials: int, workers: int = 1) -> Plan:
    """Run `algo` with random configurations whose values are drawn at random, on `workers` workers."""
    asked = min(num_trials, algo.searcher.size(problem.space) or num_trials)
    trials = min(asked, MAX_TRIALS)
    strategy = Strategy(dataclasses.replace(algo, searcher=Random()), problem)
    strategy.apply(Limit(trials))
    rng = problem.seed
    running: list[tuple[float, int, float]] = []  # end, trial, until
    clock = total = 0.0
    while True:
        while len(running) < workers:
            action = strategy.next()
            if not isinstance(action, (Start, Resume, Stop)):
                break
            done = strategy.table.trials[action.trial].until if isinstance(action, Resume) else 0.0
            strategy.apply(action)
            if not isinstance(action, Stop):
                total += action.until - done
                heapq.heappush(running, (clock + action.until - done, action.trial, action.until))
        if not running:
            assert isinstance(action, Done)
            return Plan(asked, total * asked / trials if math.isfinite(total) else total)
        clock, trial, until = heapq.heappop(running)
        value = (trial * 0.6180339887498949 + rng) % 1.0  # scrambled, and the same at every rung
        strategy.apply(Reached(trial, until, value))
        verdict = strategy.verdict(trial)
        strategy.apply(verdict)
        if isinstance(verdict, Continue):
            total += verdict.until - until
            heapq.heappush(running, (clock + verdict.until - until, trial, verdict.until))
