"""An experiment on a benchmark instead of a cluster: the same controller, a simulated clock, no Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from strategies.actions import Record
from strategies.earlier import Earlier
from strategies.points import first_points
from strategies.registry import resolve_algo
from strategies.schedulers.base import Scheduler
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Searcher
from strategies.strategy import Problem, Strategy

from ray_hpo import collecting
from ray_hpo.budget import Budget
from ray_hpo.controller import Controller
from ray_hpo.errors import InvalidInput
from ray_hpo.executors.simulated import Benchmark, SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.goals import Goals
from ray_hpo.journal.journal import Event
from ray_hpo.reports import Reports
from ray_hpo.spaces import to_space
from ray_hpo.warm_start import Source, read_earlier


def simulate(
    benchmark: Benchmark,
    *,
    algo: str | Searcher | Scheduler,
    metric: str | Sequence[str],
    mode: Literal["min", "max"] | Sequence[Literal["min", "max"]] = "min",
    constraints: Mapping[str, str] = MappingProxyType({}),
    max_budget: float | None = None,
    min_budget: float | None = None,
    num_trials: int | None = None,
    time_limit: float | None = None,
    total_budget: float | None = None,
    points_to_evaluate: Sequence[Mapping[str, Any]] = (),
    warm_start: Sequence[Source] = (),
    workers: int = 1,
    seed: int = 0,
    executor: SimulatedExecutor | None = None,
) -> Experiment:
    """Run `algo` on `benchmark` with `workers` simulated workers; the arguments mean what they mean in `tune_run`.

    A copy of another trial (pbt) has the values of its own configuration: a benchmark has no checkpoints.
    time_limit: simulated seconds.  warm_start: what this function returned, too.
    executor: one that watches, say; default: a plain one with `workers` workers.

    Raises:
        InvalidInput: an argument makes no sense, or nothing limits the run.
    """
    chosen = resolve_algo(algo)
    space = to_space(benchmark.space)
    points = first_points(space, points_to_evaluate, seed)
    resumable = getattr(benchmark, "resumable", True)
    if chosen.copies and not resumable:
        raise InvalidInput(f"algo {chosen.name} needs a benchmark that goes on from checkpoints; got resumable=False")
    goals = Goals.of(metric, mode, constraints)
    fidelity, counts = Fidelity.of(max_budget, min_budget, resumable), (len(goals.metrics), len(goals.constraints))
    problem = Problem(space, fidelity, seed, points, Earlier(), *counts)
    problem = dataclasses.replace(problem, earlier=read_earlier(warm_start, problem, chosen, goals)[1])
    limits = (num_trials, time_limit, total_budget, chosen.default_trials, chosen.searcher.size(space))
    if all(limit is None for limit in limits):
        raise InvalidInput("simulate needs num_trials, time_limit or total_budget, or it would never end")
    full = problem.fidelity.max_budget
    experiment = Experiment(metric, mode, full, resumable, chosen.copies, constraints=constraints)
    journal = Forgetful()
    executor = executor or SimulatedExecutor(benchmark, workers)
    for kind, body in (("session", {}), ("limit", {"num_trials": num_trials})):
        journal.event(Event(0.0, kind, None, body))
        experiment.apply(0.0, kind, None, body)
    strategy = Strategy.rebuild(chosen, problem, experiment.records)
    budget = Budget(time_limit, total_budget)
    controller = Controller(experiment, strategy, executor, journal, budget=budget, nest=space.nest)
    with collecting.rarely():
        controller.run()
    return experiment


class Forgetful:
    """A journal that keeps nothing: what a simulation does is in its `Experiment`."""

    syncs = 0

    def event(self, event: Event) -> None:
        pass

    def record(self, time: float, record: Record) -> None:
        pass

    def report(self, reports: Reports) -> None:
        pass

    def commit(self) -> None:
        self.syncs += 1  # there is nothing that could be lost

    def sync(self) -> None:
        pass
