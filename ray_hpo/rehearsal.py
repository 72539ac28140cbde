"""A model's first suggestion imports half a second of packages: that is done once for nothing, while workers start.

It also shows how long later ones will take.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time

from strategies.actions import Continue, Reached, Resume, Start
from strategies.schedulers.base import Scheduler
from strategies.strategy import Problem, Strategy

TRIALS = 12  # with results, after which most models suggest
GOLDEN = 0.6180339887498949


class Rehearsal:
    """Has a copy of `algo` make suggestions from made-up results, in a thread that nobody need wait for.

    seconds: that the last suggestion took; 0 before the end.
    """

    def __init__(self, algo: Scheduler, problem: Problem) -> None:
        self.seconds = 0.0
        self._strategy = Strategy(copy.deepcopy(algo), problem)  # what it keeps in mind is not to be shared
        self.thread = threading.Thread(target=self._run, name="rehearsal", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # what goes wrong will do so again, where somebody can be told
            self.seconds = _rehearse(self._strategy)


def _rehearse(strategy: Strategy) -> float:
    """Run some trials; how long the last suggestion took, in seconds of this thread."""
    problem, seconds = strategy.problem, 0.0
    for _ in range(TRIALS):
        began = time.thread_time()
        action = strategy.next()
        if not isinstance(action, (Start, Resume)):
            break
        if isinstance(action, Start):
            seconds = time.thread_time() - began
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
    return seconds
