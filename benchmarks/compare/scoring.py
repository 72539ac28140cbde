"""Tables out of runs: normalised regret, ranks, and how much sooner one method reaches another's end.

regret = (y - best) / (median of random - best), clipped to [0, 1.5]; 1.5 without an incumbent. `best` is the best of
the reference sample and of anything any run found. A task's curve is the mean over its seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.runner import Run, points
from benchmarks.compare.task import Reference

NO_INCUMBENT = 1.5
BOOTSTRAPS = 2_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Anytime:
    """A mean regret over seeds as a step function: shares (k,) of the budget, and regrets (k,) from each of them on."""

    shares: Array
    regrets: Array

    @classmethod
    def mean(cls, runs: Sequence[Run], regret: Callable[[float | None], float], grid: Array) -> Anytime:
        """Of several runs on one task. grid: the shares at which a run has values of which only the curve is known."""
        paths = []
        for run in runs:
            steps = run.steps or [(share, y) for share, y in zip(grid, run.curve, strict=True) if y is not None]
            paths.append((np.array([share for share, _ in steps]), np.array([regret(y) for _, y in steps])))
        shares = np.unique(np.concatenate([shares for shares, _ in paths]))
        values = [
            np.append(NO_INCUMBENT, regrets)[np.searchsorted(own, shares, side="right")] for own, regrets in paths
        ]
        return cls(shares, np.mean(values, axis=0))

    def first_at(self, target: float) -> float:
        """The first share of the budget from which the regret is `target` or less; inf if there is none."""
        hit = np.flatnonzero(self.regrets <= target)
        return float(self.shares[hit[0]]) if len(hit) else np.inf


@dataclass(frozen=True)
class Scores:
    """What a comparison found.

    curves: (methods, tasks, points) mean regret over seeds.  spread: as `curves`, resampled (bootstraps, ...).
    paths: (methods, tasks).  seeds: of each method, the least on any task.
    """

    methods: list[str]
    tasks: list[str]
    curves: Array
    spread: Array
    paths: list[list[Anytime]]
    seeds: list[int]

    def ranks(self, curves: Array | None = None) -> Array:
        """(methods, tasks, points); ties share the mean of their ranks."""
        c = self.curves if curves is None else curves
        below = (c[:, None] > c[None]).sum(axis=1)
        ties = (c[:, None] == c[None]).sum(axis=1) - 1
        ranks: Array = 1.0 + below + ties / 2
        return ranks

    def interval(self, method: int) -> tuple[Array, Array]:
        """The 95 % bootstrap interval of the mean regret over tasks, at each point."""
        means = self.spread[:, method].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        return low, high

    def sooner(self, method: int, other: int) -> float:
        """Median over tasks: how many times sooner `method` is at the final regret of `other`; 0 where it never is.

        On one task 1/f, where f is the first share of the budget at which the regret of `method` is no more than that
        of `other` at the end.
        """
        ends = self.curves[other, :, -1]
        factors = [1 / path.first_at(end) for path, end in zip(self.paths[method], ends, strict=True)]
        return float(np.median(factors))


class NoCommonRuns(ValueError):
    """There is nothing to compare."""


def score(
    runs: Sequence[Run],
    references: Mapping[str, Reference],
    known_best: Mapping[str, float],
    setting: str,
    own_seeds: bool = False,
) -> Scores:
    """Only (task, seed) pairs that every method has are counted; with `own_seeds`, of each method all its seeds on the
    tasks that every method has.

    Raises:
        NoCommonRuns: there is no such pair, or task.
    """
    table: dict[str, dict[str, dict[int, Run]]] = defaultdict(lambda: defaultdict(dict))
    best = dict(known_best)
    for run in runs:
        table[run.method][run.task][run.seed] = run
        best[run.task] = min(best.get(run.task, np.inf), run.best_seen)
    methods = list(table)
    tasks = sorted(set.intersection(*(set(rows) for rows in table.values()))) if table else []
    if not own_seeds:
        for task in tasks:
            common = set.intersection(*(set(table[method][task]) for method in methods))
            for method in methods:
                table[method][task] = {seed: table[method][task][seed] for seed in sorted(common)}
        tasks = [task for task in tasks if table[methods[0]][task]]
    if not tasks:
        raise NoCommonRuns(f"no task {'' if own_seeds else 'and seed '}was run with every method")
    grid = np.array(points(setting))
    grid /= grid[-1]
    rng = np.random.default_rng(0)
    curves = np.empty((len(methods), len(tasks), len(grid)))
    spread = np.empty((BOOTSTRAPS, *curves.shape))
    paths: list[list[Anytime]] = [[] for _ in methods]
    for j, task in enumerate(tasks):
        regret = _Regret.of(references[task], best.get(task, np.inf))
        chosen: dict[tuple[int, ...], NDArray[np.intp]] = {}  # the same resampling for methods with the same seeds
        for i, method in enumerate(methods):
            rows = table[method][task]
            ours, seeds = list(rows.values()), tuple(rows)
            regrets = np.array([[regret(y) for y in run.curve] for run in ours])
            if seeds not in chosen:
                chosen[seeds] = rng.integers(len(seeds), size=(BOOTSTRAPS, len(seeds)))
            curves[i, j] = regrets.mean(axis=0)
            spread[:, i, j] = regrets[chosen[seeds]].mean(axis=1)  # tasks are fixed, seeds are resampled
            paths[i].append(Anytime.mean(ours, regret, grid))
    least = [min(len(table[method][task]) for task in tasks) for method in methods]
    return Scores(methods, tasks, curves, spread, paths, least)


@dataclass(frozen=True)
class _Regret:
    """Normalised regret on one task."""

    floor: float
    scale: float

    @classmethod
    def of(cls, reference: Reference, best: float) -> _Regret:
        floor = min(best, reference.y_best_sample)
        return cls(floor, reference.y_median_random - floor)

    def __call__(self, y: float | None) -> float:
        value = NO_INCUMBENT if y is None else (y - self.floor) / self.scale
        return float(np.clip(value, 0.0, NO_INCUMBENT))
