"""A model's first suggestion imports half a second of packages: that is done once for nothing, while workers start."""

from __future__ import annotations

import contextlib
import copy
import threading

from strategies.actions import Continue, Reached, Resume, Start
from strategies.schedulers.base import Scheduler
from strategies.strategy import Problem, Strategy

TRIALS = 12  # with results, after which most models suggest
GOLDEN = 0.6180339887498949


def begin_rehearsal(algo: Scheduler, problem: Problem) -> threading.Thread:
    """Have a copy of `algo` make suggestions from made-up results, in a thread that nobody need wait for."""
    rehearsed = copy.deepcopy(algo)  # what it keeps in mind is not to be shared

    def rehearse() -> None:
        with contextlib.suppress(Exception):  # what goes wrong will do so again, where somebody can be told
            _rehearse(Strategy(rehearsed, problem))

    thread = threading.Thread(target=rehearse, name="rehearsal", daemon=True)
    thread.start()
    return thread


def _rehearse(strategy: Strategy) -> None:
    problem = strategy.problem
    for _ in range(TRIALS):
        action = strategy.next()
        if not isinstance(action, (Start, Resume)):
            return
        strategy.apply(action)
        trial, until = action.trial, action.until
        while True:
            value = trial * GOLDEN % 1.0
            values = (value, -value, *([value] * problem.objectives))[: problem.objectives]
            excess = (value - 0.5,) * problem.constraints
            plain = problem.objectives == 1 and not problem.constraints
            reached = Reached(trial, until, value) if plain else Reached(trial, until, value, values, excess)
            strategy.apply(reached)
            verdict = strategy.verdict(trial)
            strategy.apply(verdict)
            if not isinstance(verdict, Continue):
                break
            until = verdict.until
