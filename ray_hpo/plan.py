"""What an experiment is going to take, before it starts: `tune_run(..., dry_run=True)` and `ray-hpo plan`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strategies.actions import Limit, fidelity_text
from strategies.plan import Planned, plan_ahead
from strategies.registry import describe

from ray_hpo.budget import duration_text
from ray_hpo.progress import unit
from ray_hpo.spec import Spec
from ray_hpo.summary import hours_text

SCALES = (1, 2, 4)  # times the workers at hand


@dataclass(frozen=True)
class Plan:
    """The plan of an experiment that has not started. Budgets are in units of fidelity (epochs, say).

    reached: (bracket, milestone) -> trials that get there.  total: units in all; None where nothing limits the trials.
    full: units if every trial were trained in full, as random search does; None without a max_budget.
    wall_clock: workers -> units of budget one after the other, from the start to the end.
    seconds_per_unit: what one unit takes; None where that is not known.
    devices: GPUs of a trial, or its CPUs where it has no GPU.  device: which.
    """

    spec: Spec
    workers: int
    reached: Mapping[tuple[int, float], int]
    total: float | None
    full: float | None
    num_trials: int | None
    wall_clock: Mapping[int, float]
    seconds_per_unit: float | None = None
    devices: float = 1.0
    device: str = "CPU"

    def hours(self, units: float) -> float | None:
        """GPU-hours (or CPU-hours) of so many units."""
        return None if self.seconds_per_unit is None else units * self.seconds_per_unit * self.devices / 3600

    def to_json(self) -> dict[str, Any]:
        """The plan for scripts."""
        rungs = [{"bracket": b, "milestone": m, "trials": n} for (b, m), n in sorted(self.reached.items())]
        clocks = {str(n): None if self.seconds_per_unit is None else t * self.seconds_per_unit
                  for n, t in self.wall_clock.items()}  # fmt: skip
        return {
            "algo": describe(self.spec.algo),
            "trials": self.num_trials,
            "workers": self.workers,
            "rungs": rungs,
            "total_budget": self.total,
            "full_training": self.full,
            "seconds_per_unit": self.seconds_per_unit,
            f"{self.device.lower()}_hours": None if self.total is None else self.hours(self.total),
            "seconds_by_workers": clocks,
        }

    def lines(self) -> list[str]:
        """The plan as people read it."""
        spec, units = self.spec, unit(self.spec)
        lines = [f"plan: {describe(spec.algo)}, {spec.goals}, {self._trials()}, {_workers(self.workers)}"]
        lines += [f"  {line}" for line in self._brackets()]
        if self.total is None:
            return [*lines, "in all: no telling without a limit on trials; num_trials gives one"]
        saved = ""
        if self.full is not None and self.full > self.total:
            saved = f"; full training of each: {fidelity_text(round(self.full))} ({self.full / self.total:.1f} x)"
        lines.append(f"in all: {fidelity_text(round(self.total))} {units}{saved}")
        if self.seconds_per_unit is None:
            return [*lines, f"time: not known; say how long one of the {units} takes"]
        hours = self.hours(self.total) or 0.0
        clocks = [f"{duration_text(t * self.seconds_per_unit)} on {_workers(n)}" for n, t in self.wall_clock.items()]
        lines.append(f"time: {hours_text(hours)} {self.device}-hours; {', '.join(clocks)}")
        if self.full is not None and self.num_trials:
            rounds = math.ceil(self.num_trials / self.workers) * (spec.max_budget or 0)
            alone = duration_text(rounds * self.seconds_per_unit)
            lines.append(
                f"random search, {self.num_trials} full trainings: {hours_text(self.hours(self.full) or 0.0)} "
                f"{self.device}-hours; {alone} on {_workers(self.workers)}"
            )
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _trials(self) -> str:
        return "trials without end" if self.num_trials is None else f"{self.num_trials} trials"

    def _brackets(self) -> list[str]:
        if self.spec.max_budget is None:
            return ["each trial runs to its end"]
        brackets: dict[int, list[str]] = {}
        for (bracket, milestone), count in sorted(self.reached.items()):
            brackets.setdefault(bracket, []).append(f"{count} to {fidelity_text(milestone)}")
        shown = [f"bracket {number}: {', '.join(rungs)}" for number, rungs in list(brackets.items())[:10]]
        return shown + ([f"... {len(brackets) - 10} more brackets"] if len(brackets) > 10 else [])


def make_plan(spec: Spec, workers: int, seconds_per_unit: float | None = None) -> Plan:
    """The plan of `spec` on `workers` workers, and on more."""
    problem = spec.problem()
    limits = [] if spec.num_trials is None else [Limit(spec.num_trials)]
    plans: dict[int, Planned | None] = {}
    for scale in SCALES:
        n = max(1, workers * scale)
        plans[n] = plan_ahead(spec.algo, problem, limits, n) if math.isfinite(problem.fidelity.max_budget) else None
    now = plans[max(1, workers)]
    ends = (spec.num_trials, spec.algo.searcher.size(spec.space), spec.algo.default_trials)
    num_trials = min((end for end in ends if end is not None), default=None)
    full = None if spec.max_budget is None or num_trials is None else spec.max_budget * num_trials
    total = None if now is None else now.budget
    if total is not None and spec.total_budget is not None:
        total = min(total, float(spec.total_budget))
    gpus = spec.request.amount("GPU")
    return Plan(
        spec=spec,
        workers=workers,
        reached={} if now is None else now.reached,
        total=total,
        full=full,
        num_trials=num_trials,
        wall_clock={n: planned.longest for n, planned in plans.items() if planned is not None},
        seconds_per_unit=seconds_per_unit,
        devices=gpus or spec.request.amount("CPU") or 1.0,
        device="GPU" if gpus else "CPU",
    )


def with_time(plan: Plan, seconds_per_unit: float) -> Plan:
    """`plan`, now that it is known what a unit of budget takes."""
    return dataclasses.replace(plan, seconds_per_unit=seconds_per_unit)


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"
