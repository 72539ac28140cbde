"""Tables out of runs: normalised regret, ranks, and how much sooner one method reaches another's end.

regret = (y - best) / (median of random - best), clipped to [0, 1.5]; 1.5 without an incumbent. `best` is the best of
the reference sample and of anything any run found. A task's curve is the mean over its seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.runner import Run, points
from benchmarks.compare.task import Reference

NO_INCUMBENT = 1.5
BOOTSTRAPS = 2_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a comparison found.

    curves: (methods, tasks, points) mean regret over seeds.  spread: as `curves`, resampled (bootstraps, ...).
    shares: (points,) of the whole budget.
    """

    methods: list[str]
    tasks: list[str]
    curves: Array
    spread: Array
    shares: Array

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

        On one task 1/f, where f is the first share of the budget among `shares` at which the regret of `method` is no
        more than that of `other` at the end. Nothing is interpolated between them.
        """
        factors = []
        for mine, theirs in zip(self.curves[method], self.curves[other], strict=True):
            hit = np.flatnonzero(mine <= theirs[-1])
            factors.append(1 / self.shares[hit[0]] if len(hit) else 0.0)
        return float(np.median(factors))


class NoCommonRuns(ValueError):
    """There is nothing to compare."""


def score(
    runs: Sequence[Run], references: Mapping[str, Reference], known_best: Mapping[str, float], setting: str
) -> Scores:
    """Only (task, seed) pairs that every method has are counted.

    Raises:
        NoCommonRuns: there is no such pair.
    """
    table: dict[str, dict[tuple[str, int], Run]] = defaultdict(dict)
    best = dict(known_best)
    for run in runs:
        table[run.method][run.task, run.seed] = run
        best[run.task] = min(best.get(run.task, np.inf), run.best_seen)
    methods = list(table)
    keys = sorted(set.intersection(*(set(rows) for rows in table.values()))) if table else []
    if not keys:
        raise NoCommonRuns("no task and seed was run with every method")
    tasks = sorted({task for task, _ in keys})
    regrets = [[_regrets(table[m], task, keys, references[task], best) for task in tasks] for m in methods]
    curves = np.array([[rows.mean(axis=0) for rows in per_task] for per_task in regrets])
    rng = np.random.default_rng(0)
    spread = np.empty((BOOTSTRAPS, *curves.shape))
    for j in range(len(tasks)):  # tasks are fixed, seeds are resampled, for all methods alike
        seeds = len(regrets[0][j])
        chosen = rng.integers(seeds, size=(BOOTSTRAPS, seeds))
        for i in range(len(methods)):
            spread[:, i, j] = regrets[i][j][chosen].mean(axis=1)
    grid = np.array(points(setting))
    return Scores(methods, tasks, curves, spread, grid / grid[-1])


def _regrets(
    rows: Mapping[tuple[str, int], Run],
    task: str,
    keys: Sequence[tuple[str, int]],
    reference: Reference,
    best: Mapping[str, float],
) -> Array:
    """(seeds, points)."""
    floor = min(best.get(task, np.inf), reference.y_best_sample)
    scale = reference.y_median_random - floor
    out = []
    for key in keys:
        if key[0] == task:
            values = [NO_INCUMBENT if y is None else (y - floor) / scale for y in rows[key].curve]
            out.append(np.clip(values, 0.0, NO_INCUMBENT))
    return np.array(out)
