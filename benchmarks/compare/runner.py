"""One run: a method, ours or a peer, on a task with a seed, on the simulated executor, scored by the protocol.

Setting A: 8 asynchronous workers, the whole ladder, a budget in simulated seconds; the incumbent's full-fidelity value
at ten log-spaced fractions of the budget.
Setting B: 1 worker, full fidelity, 60 evaluations; the best value after 10, 20, 40, 60.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from strategies.history import Array
from strategies.registry import resolve_algo
from strategies.schedulers.fifo import Fifo
from strategies.searchers.base import Context, Searcher
from strategies.space import SearchSpace

from benchmarks.compare.peers import find
from benchmarks.compare.peers.base import Setup
from benchmarks.compare.peers.drive import drive
from benchmarks.compare.task import Task
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.messages import Job, Message
from ray_hpo.reports import Reports
from ray_hpo.simulation import simulate

FRACTIONS = [50.0 ** (-(9 - i) / 9) for i in range(10)]  # of setting A's budget
COUNTS = [10, 20, 40, 60]  # of setting B's evaluations
PEER = " (peer)"  # the end of the name of a peer
CURVE = " (curve)"  # that of a method that was not run: its curves come from a file


def points(setting: str) -> list[float]:
    """Where a setting's curves have their values: fractions of the budget, or numbers of evaluations."""
    return FRACTIONS if setting == "A" else [float(count) for count in COUNTS]


@dataclass(frozen=True)
class Run:
    """curve: the score at each point of the setting's grid; None while there is no incumbent.
    steps: (share of the whole budget, score from then on) at each change of it; empty where only the curve is known.
    """

    task: str
    method: str
    setting: str
    seed: int
    curve: list[float | None]
    ask_median_s: float
    best_seen: float  # the best full-fidelity value of any incumbent
    steps: list[tuple[float, float]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Timed(Searcher):
    """A searcher that notes how long each suggestion takes."""

    name: ClassVar[str] = "timed"

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.seconds: list[float] = []

    def suggest(self, context: Context) -> Array:
        began = time.process_time()
        row = self._searcher.suggest(context)
        self.seconds.append(time.process_time() - began)
        return row

    def size(self, space: SearchSpace) -> int | None:
        return self._searcher.size(space)


class Watched(SimulatedExecutor):
    """Notes the incumbent's full-fidelity value over simulated time: largest fidelity reached, then best value
    there."""

    def __init__(self, task: Task, workers: int) -> None:
        super().__init__(task, workers)
        self.trace: list[tuple[float, float]] = []
        self.values: list[float] = []  # of all trainings, in the order of their ends
        self._task = task
        self._configs: dict[int, dict[str, Any]] = {}
        self._best = (-math.inf, math.inf)

    def launch(self, job: Job) -> None:
        self._configs[job.trial] = job.config
        super().launch(job)

    def poll(self, timeout: float) -> Sequence[Message]:
        messages = super().poll(timeout)
        for message in messages:
            if isinstance(message, Reports):
                self.values.append(float(message.metrics["y"]))
                standing = (message.step, message.metrics["y"])
                if (standing[0], -standing[1]) > (self._best[0], -self._best[1]):
                    self._best = standing
                    self.trace.append((self.now(), self._task.final_value(self._configs[message.trial])))
        return messages

    def run(self, method: str, setting: str, seed: int, seconds: list[float]) -> Run:
        """What came of it. seconds: how long each suggestion took."""
        seen = min((y for _, y in self.trace), default=math.inf)
        if setting == "A":
            curve = [self.at(self._task.time_budget * fraction) for fraction in FRACTIONS]
            steps = [(when / self._task.time_budget, y) for when, y in self.trace]
        else:
            curve = [min(self.values[:count], default=None) for count in COUNTS]
            bests = np.minimum.accumulate(self.values)
            steps = [((k + 1) / COUNTS[-1], float(bests[k])) for k in np.unique(bests, return_index=True)[1][::-1]]
        return Run(self._task.name, method, setting, seed, curve, float(np.median(seconds or [0.0])), seen, steps)

    def at(self, when: float) -> float | None:
        """The incumbent's value at simulated time `when`."""
        return next((y for time, y in reversed(self.trace) if time <= when * (1 + 1e-12)), None)


def run(task: Task, method: str, seed: int, setting: str = "A", workers: int = 8) -> Run:
    """One run of one of our algorithms, by its registry name, or of a peer, by its name and `PEER`."""
    if method.endswith(PEER):
        return _run_peer(task, method, seed, setting, workers)
    return _run_ours(task, method, seed, setting, workers)


def _run_ours(task: Task, method: str, seed: int, setting: str, workers: int) -> Run:
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
    else:
        watched = Watched(task, 1)
        simulate(task, algo=Fifo(searcher=timed), num_trials=COUNTS[-1], executor=watched, **common)
    return watched.run(method, setting, seed, timed.seconds)


def _run_peer(task: Task, method: str, seed: int, setting: str, workers: int) -> Run:
    make = find(method.removesuffix(PEER), setting)
    if setting == "A":
        watched = Watched(task, workers)
        peer = make(Setup(task.space_format, len(task.levels), seed))
        seconds = drive(peer, task, watched, limit=task.time_budget)
    else:
        watched = Watched(task, 1)
        peer = make(Setup(task.space_format, 1, seed, COUNTS[-1]))
        seconds = drive(peer, task, watched, trainings=COUNTS[-1])
    return watched.run(method, setting, seed, seconds)


def _budget(task: Task, budget: float) -> float:
    """Whole where the task's budgets are: then the ladder is rounded as the protocol rounds it."""
    return max(1, int(budget)) if task.whole else budget
