"""One run: a method on a task with a seed, on the simulated executor, scored by the protocol.

Setting A: 8 asynchronous workers, the whole ladder, a budget in simulated seconds; the incumbent's full-fidelity value
at ten log-spaced fractions of the budget.
Setting B: 1 worker, full fidelity, 60 evaluations; the best value after 10, 20, 40, 60.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from strategies.history import Array
from strategies.registry import resolve_algo
from strategies.schedulers.fifo import Fifo
from strategies.searchers.base import Context, Searcher
from strategies.space import SearchSpace

from benchmarks.compare.task import Task
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.messages import Job, Message, Report
from ray_hpo.simulation import simulate

FRACTIONS = [50.0 ** (-(9 - i) / 9) for i in range(10)]  # of setting A's budget
COUNTS = [10, 20, 40, 60]  # of setting B's evaluations


@dataclass(frozen=True)
class Run:
    """curve: the score at each point of the setting's grid; None while there is no incumbent."""

    task: str
    method: str
    setting: str
    seed: int
    curve: list[float | None]
    ask_median_s: float
    best_seen: float  # the best full-fidelity value of any incumbent

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Timed(Searcher):
    """A searcher that notes how long each suggestion takes."""

    name: ClassVar[str] = "timed"

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.seconds: list[float] = []

    def suggest(self, context: Context) -> Array:
        began = time.perf_counter()
        row = self._searcher.suggest(context)
        self.seconds.append(time.perf_counter() - began)
        return row

    def size(self, space: SearchSpace) -> int | None:
        return self._searcher.size(space)


class Watched(SimulatedExecutor):
    """Notes the incumbent's full-fidelity value over simulated time: largest fidelity reached, then best value
    there."""

    def __init__(self, task: Task, workers: int) -> None:
        super().__init__(task, workers)
        self.trace: list[tuple[float, float]] = []
        self._task = task
        self._configs: dict[int, dict[str, Any]] = {}
        self._best = (-math.inf, math.inf)

    def launch(self, job: Job) -> None:
        self._configs[job.trial] = job.config
        super().launch(job)

    def poll(self, timeout: float) -> Sequence[Message]:
        messages = super().poll(timeout)
        for message in messages:
            if isinstance(message, Report):
                standing = (message.step, message.metrics["y"])
                if (standing[0], -standing[1]) > (self._best[0], -self._best[1]):
                    self._best = standing
                    self.trace.append((self.now(), self._task.final_value(self._configs[message.trial])))
        return messages

    def at(self, when: float) -> float | None:
        """The incumbent's value at simulated time `when`."""
        return next((y for time, y in reversed(self.trace) if time <= when * (1 + 1e-12)), None)


def run(task: Task, method: str, seed: int, setting: str = "A", workers: int = 8) -> Run:
    """One run of one of our algorithms, by its registry name."""
    algo = resolve_algo(method)
    timed = Timed(algo.searcher)
    common: dict[str, Any] = {"metric": "y", "seed": seed, "max_budget": _budget(task, task.max_budget)}
    if setting == "A":
        watched = Watched(task, workers)
        simulate(
            task,
            algo=dataclasses.replace(algo, searcher=timed),
            min_budget=_budget(task, task.max_budget / 27),
            time_limit=task.time_budget,
            executor=watched,
            **common,
        )
        curve = [watched.at(task.time_budget * fraction) for fraction in FRACTIONS]
    else:
        watched = Watched(task, 1)
        experiment = simulate(task, algo=Fifo(searcher=timed), num_trials=COUNTS[-1], executor=watched, **common)
        values = [math.inf if trial.value is None else trial.value for trial in experiment.trials]
        curve = [float(np.min(values[:count])) for count in COUNTS]
    seen = min((y for _, y in watched.trace), default=math.inf)
    return Run(task.name, method, setting, seed, curve, float(np.median(timed.seconds or [0.0])), seen)


def _budget(task: Task, budget: float) -> float:
    """Whole where the task's budgets are: then the ladder is rounded as the protocol rounds it."""
    return max(1, int(budget)) if task.whole else budget
