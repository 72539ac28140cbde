"""What searchers find with several metrics, or under constraints, beside Optuna's. `python -m benchmarks.fronts`.

One trial at a time, full trainings only, no noise. Each figure is a mean over seeds with its standard error: of two
metrics the hypervolume (higher is better), under constraints the best value that meets them (lower is better).
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strategies.domains import uniform
from strategies.registry import SEARCHERS

from ray_hpo.simulation import simulate

PEERS = ("optuna_tpe", "optuna_gp", "optuna_nsga2")
Found = list[dict[str, float]]


@dataclass(frozen=True)
class Task:
    """dim parameters in [0, 1], metrics to minimise, constraints; score: of all that was found."""

    dim: int
    metrics: tuple[str, ...]
    constraints: Mapping[str, str]
    measure: Callable[[Sequence[float]], dict[str, float]]
    score: Callable[[Found], float]

    @property
    def space(self) -> dict[str, Any]:
        return {f"x{i}": uniform(0.0, 1.0) for i in range(self.dim)}

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[dict[str, float], float]:
        return self.measure([config[name] for name in self.space]), 1.0


def zdt1(x: Sequence[float]) -> dict[str, float]:
    """Zitzler, Deb and Thiele 2000."""
    g = 1 + 9 * float(np.mean(x[1:]))
    return {"a": x[0], "b": g * (1 - math.sqrt(x[0] / g))}


def gramacy(x: Sequence[float]) -> dict[str, float]:
    """Gramacy et al. 2016, equation 2: the least sum that meets both constraints is 0.5998."""
    a, b = x
    wavy = 1.5 - a - 2 * b - 0.5 * math.sin(2 * math.pi * (a * a - 2 * b))
    return {"sum": a + b, "wavy": wavy, "far": a * a + b * b}


def tilted(x: Sequence[float]) -> dict[str, float]:
    """A sphere whose centre, at 0.7, a constraint cuts off: the best is 0.04 for each parameter."""
    return {"distance": float(np.square(np.array(x) - 0.7).sum()), "total": float(np.sum(x))}


def hypervolume(found: Found) -> float:
    """What is dominated of the box below (1.1, 6)."""
    volume, height = 0.0, 6.0
    for point in sorted(found, key=lambda values: (values["a"], values["b"])):
        if point["a"] < 1.1 and point["b"] < height:
            volume, height = volume + (1.1 - point["a"]) * (height - point["b"]), point["b"]
    return volume


def least(metric: str, limits: Mapping[str, float], otherwise: float) -> Callable[[Found], float]:
    """The best value that meets the limits."""

    def score(found: Found) -> float:
        met = [values[metric] for values in found if all(values[name] <= most for name, most in limits.items())]
        return min(met, default=otherwise)

    return score


TASKS = {
    "zdt1": Task(4, ("a", "b"), {}, zdt1, hypervolume),
    "gramacy": Task(
        2,
        ("sum",),
        {"wavy": "<= 0", "far": "<= 1.5"},
        gramacy,
        least("sum", {"wavy": 0.0, "far": 1.5}, 2.0),
    ),
    "tilted": Task(4, ("distance",), {"total": "<= 2"}, tilted, least("distance", {"total": 2.0}, 2.0)),
}


def ours(task: Task, algo: str, trials: int, seed: int) -> Found:
    """What one of our searchers finds."""
    goals: dict[str, Any] = {"metric": list(task.metrics), "constraints": task.constraints}
    experiment = simulate(task, algo=SEARCHERS[algo](), max_budget=1.0, num_trials=trials, seed=seed, **goals)
    return [dict(trial.metrics) for trial in experiment.trials]


def optuna(task: Task, sampler: str, trials: int, seed: int) -> Found:
    """What one of Optuna's samplers finds, told the same of the constraints."""
    import optuna as package

    package.logging.set_verbosity(package.logging.ERROR)
    samplers = package.samplers
    kinds = {"tpe": samplers.TPESampler, "gp": samplers.GPSampler, "nsga2": samplers.NSGAIISampler}
    limits = {name: float(text.removeprefix("<= ")) for name, text in task.constraints.items()}
    found: Found = []
    options = {"constraints_func": lambda trial: trial.user_attrs["excess"]} if limits else {}

    def objective(trial: Any) -> list[float]:
        values = task.measure([trial.suggest_float(name, 0.0, 1.0) for name in task.space])
        trial.set_user_attr("excess", [values[name] - most for name, most in limits.items()])
        found.append(values)
        return [values[metric] for metric in task.metrics]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = package.create_study(
            directions=["minimize"] * len(task.metrics), sampler=kinds[sampler](seed=seed, **options)
        )
        study.optimize(objective, n_trials=trials)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", default="random,de,cmaes,kde,tpe,gp", help="ours, by comma")
    parser.add_argument("--peers", default="", help=f"of {','.join(PEERS)}, by comma")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    methods = [name for name in f"{arguments.algos},{arguments.peers}".split(",") if name]
    print(f"{'':14}" + "".join(f"{name:>18}" for name in TASKS))
    for method in methods:
        row = f"{method:14}"
        for task in TASKS.values():
            run, name = (optuna, method.removeprefix("optuna_")) if method in PEERS else (ours, method)
            scores = [task.score(run(task, name, arguments.trials, seed)) for seed in range(arguments.seeds)]
            error = np.std(scores, ddof=1) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan
            row += f"{np.mean(scores):>11.3f} +- {error:.3f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
