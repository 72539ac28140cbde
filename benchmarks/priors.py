"""What priors are worth: regret over the budget with right ones, wrong ones and none. `python -m benchmarks.priors`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from strategies.domains import Domain
from strategies.history import Array
from strategies.registry import resolve_algo
from strategies.schedulers.base import Scheduler

from benchmarks.compare.runner import FRACTIONS, Watched
from benchmarks.compare.synthetic import SyntheticTask, branin, hartmann
from benchmarks.compare.task import Reference
from ray_hpo.simulation import simulate

Make = Callable[[], SyntheticTask]

MISS = 0.1  # the standard deviation, in each coordinate, by which a right prior misses the optimum
TASKS: dict[str, Make] = {"hartmann": hartmann, "branin": branin}
BEST = {
    "hartmann": np.array([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]),
    "branin": np.array([0.5428, 0.1517]),  # one of three
}
WORST = {"hartmann": np.where(BEST["hartmann"] > 0.5, 0.02, 0.98), "branin": np.array([0.02, 0.02])}
SETTINGS: list[tuple[str, str, str]] = [  # algorithm, prior, confidence
    ("hyperband", "none", ""),
    ("bohb", "none", ""),
    ("priorband", "none", ""),
    ("priorband", "right", "low"),
    ("priorband", "right", "medium"),
    ("priorband", "right", "high"),
    ("priorband", "wrong", "medium"),
    ("priorband", "wrong", "high"),
]


class Believed:
    """A task whose parameters have priors. values: those believed in; None for no priors."""

    resumable = True

    def __init__(self, task: SyntheticTask, values: Sequence[float] | None, confidence: str) -> None:
        self._task, self._values, self._confidence = task, values, confidence
        self.evaluate = task.evaluate
        self.final_value = task.final_value

    @property
    def space(self) -> dict[str, Domain]:
        space = self._task.space
        if self._values is None:
            return space
        return {
            name: dataclasses.replace(domain, prior=(value, self._confidence))
            for (name, domain), value in zip(space.items(), self._values, strict=True)
        }


@cache
def reference(make: Make) -> Reference:
    return make().reference


def regrets(
    make: Make,
    algo: Scheduler,
    seed: int,
    values: Sequence[float] | None = None,
    confidence: str = "medium",
    shares: Sequence[float] = (1.0,),
) -> Array:
    """The incumbent's full-fidelity regret at each of `shares` of setting A's budget, on 8 workers; NaN before it."""
    task, known = make(), reference(make)
    task.use(known)
    believed: Any = Believed(task, values, confidence)
    watched = Watched(believed, workers=8)
    limit = task.time_budget * max(shares)
    simulate(believed, algo=algo, metric="y", max_budget=27, time_limit=limit, seed=seed, executor=watched)
    found = [watched.at(task.time_budget * share) for share in shares]
    scale = known.y_median_random - known.y_best_sample
    return np.array([np.nan if value is None else (value - known.y_best_sample) / scale for value in found])


def believed_values(task: str, prior: str, seed: int) -> list[float] | None:
    """What a user believes: nothing, about the optimum, or a corner far from it."""
    if prior == "none":
        return None
    noise = np.random.default_rng([seed, 99]).normal(0, MISS, len(BEST[task]))
    values: list[float] = (np.clip(BEST[task] + noise, 0, 1) if prior == "right" else WORST[task]).tolist()
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), default="hartmann")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    print(f"{options.task}: mean regret over {options.seeds} seeds at these shares of the budget")
    print(f"{'':28}", *(f"{share:6.3f}" for share in FRACTIONS))
    for algo, prior, confidence in SETTINGS:
        curves = np.array(
            [
                regrets(
                    TASKS[options.task],
                    resolve_algo(algo),
                    seed,
                    believed_values(options.task, prior, seed),
                    confidence,
                    FRACTIONS,
                )
                for seed in range(options.seeds)
            ]
        )
        label = f"{algo}, {prior} {confidence}".strip()
        print(f"{label:28}", *(f"{value:6.3f}" for value in np.nanmean(curves, axis=0)))


if __name__ == "__main__":
    main()
