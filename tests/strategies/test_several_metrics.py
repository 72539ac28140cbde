"""Several metrics and constraints at once: every searcher and every scheduler, and what searchers are worth there.

The contract for one metric is in test_contract.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from strategies.actions import Reached, Start, record_from_json, record_to_json
from strategies.domains import uniform
from strategies.earlier import Earlier, earlier_results
from strategies.registry import SCHEDULERS, SEARCHERS
from strategies.schedulers.async_hyperband import AsyncHyperband
from strategies.schedulers.base import Scheduler
from strategies.schedulers.fifo import Fifo
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Searcher
from strategies.searchers.de import DE
from strategies.searchers.gp import GP
from strategies.searchers.kde import KDE
from strategies.searchers.tpe import TPE
from strategies.space_builder import as_space

from tests.strategies.test_contract import assert_legal, make, space_for
from tests.strategies.world import hash01, run, starts

PAIRS = [(name, "async_hyperband") for name in sorted(SEARCHERS)] + [("random", name) for name in sorted(SCHEDULERS)]
pairs = pytest.mark.parametrize(("searcher", "scheduler"), PAIRS)


def result(trial: int, config: dict[str, Any], until: float) -> tuple[Any, ...] | None:
    """Two metrics that pull apart, and two constraints, of which one is about the configuration alone; sometimes a
    crash, and sometimes what is reported is no number."""
    luck, lr = hash01(trial, until), math.log10(float(config["lr"]))
    if luck < 0.05:
        return None
    values = (lr**2 + 1 / until, (lr + 3) ** 2 + hash01(trial) if luck > 0.1 else math.inf)
    excess = (math.inf if luck > 0.9 else luck - 0.7, (config["layers"] - 3) / 3)
    return (values[0] if all(map(math.isfinite, values)) else math.inf, values, excess)


def constrained(trial: int, config: dict[str, Any], until: float) -> tuple[Any, ...] | None:
    """The same with one metric."""
    found = result(trial, config, until)
    return None if found is None else (found[0], None, found[2])


@pairs
@pytest.mark.parametrize(("objective", "objectives"), [(result, 2), (constrained, 1)], ids=["two", "one"])
def test_runs_to_its_end_and_rebuilds_anywhere(
    searcher: str, scheduler: str, objective: Callable[..., Any], objectives: int
) -> None:
    space, what = space_for(searcher), {"objective": objective, "objectives": objectives, "constraints": 2}
    earlier = earlier_results(
        run(make("random", "asha"), space, num_trials=8, seed=11, **what), space, (1.0, 3.0, 9.0), 3
    )
    earlier = Earlier.from_json(json.loads(json.dumps(earlier.to_json())))
    assert len(earlier.more) == len(earlier.results)
    whole = run(make(searcher, scheduler), space, num_trials=16, earlier=earlier, **what)
    assert len(starts(whole)) == 16
    for start in starts(whole):
        assert_legal(space, dict(start.config))
    for cut in range(1, len(whole), max(1, len(whole) // 5)):
        stored = [record_from_json(json.loads(json.dumps(record_to_json(record)))) for record in whole[:cut]]
        assert stored == whole[:cut]
        assert run(make(searcher, scheduler), space, records=stored, earlier=earlier, **what) == whole


@pytest.mark.parametrize("scheduler", sorted({*SCHEDULERS} - {"fifo"}))
def test_budget_goes_to_those_that_meet_the_constraints(scheduler: str) -> None:
    """Some configurations look best, and are forbidden by a constraint: fewer of these are trained in full."""
    space = as_space({"x": uniform(0, 1)})

    def forbidden(constrained: bool) -> float:
        """Their share of the full trainings."""

        def tempting(trial: int, config: dict[str, Any], until: float) -> tuple[Any, ...]:
            wrong = config["x"] < 0.2
            value = config["x"] - wrong + 1 / until
            return value, None, (0.5 if wrong else -0.5,) if constrained else None

        records = run(make("random", scheduler), space, objective=tempting, num_trials=60, constraints=int(constrained))
        configs = {record.trial: record.config for record in records if isinstance(record, Start)}
        full = [configs[r.trial]["x"] for r in records if isinstance(r, Reached) and r.fidelity == 9]
        return sum(x < 0.2 for x in full) / len(full)

    assert forbidden(constrained=True) < 0.5 * forbidden(constrained=False)


# --- what searchers are worth --------------------------------------------------------------------------


def hypervolume(points: list[tuple[float, ...]], reference: tuple[float, float]) -> float:
    """What two-dimensional points dominate of the box below `reference`."""
    volume, height = 0.0, reference[1]
    for x, y in sorted(points):
        if x < reference[0] and y < height:
            volume, height = volume + (reference[0] - x) * (height - y), y
    return volume


def test_a_hypervolume_worked_by_hand() -> None:
    assert hypervolume([(1, 3), (2, 1), (2, 2), (5, 0)], (4, 4)) == 3 * 1 + 2 * 2


def zdt1(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Zitzler, Deb and Thiele 2000, with four parameters; its front is g = 1."""
    g = 1 + 9 * float(np.mean(x[1:]))
    return (float(x[0]), g * (1 - math.sqrt(x[0] / g))), ()


def tilted(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A sphere whose centre, at 0.7, a constraint cuts off: the best is at 0.5."""
    return (float(np.square(x - 0.7).sum()),), (float(x.sum() / (len(x) / 2) - 1),)


def found(algo: Searcher | Scheduler, problem: Callable[..., Any], dim: int, n: int, seed: int) -> list[Any]:
    """(values, excess) of the full trainings of n trials, one at a time."""
    space, full = as_space({f"x{i}": uniform(0, 1) for i in range(dim)}), Fidelity.of(9)
    results = []

    def objective(trial: int, config: dict[str, Any], until: float) -> tuple[Any, ...]:
        values, excess = problem(np.array([config[f"x{i}"] for i in range(dim)]))
        if until == full.max_budget:
            results.append((values, excess))
        values = tuple(value + (1 / until - 1 / 9) for value in values)
        return values[0], values if len(values) > 1 else None, excess or None

    values, excess = problem(np.zeros(dim))
    algo = algo if isinstance(algo, Scheduler) else Fifo(searcher=algo)
    counts = {"objectives": len(values), "constraints": len(excess)}
    run(algo, space, objective=objective, num_trials=n, seed=seed, fidelity=full, workers=1, **counts)
    return results


def volume(results: list[Any]) -> float:
    return hypervolume([values for values, _ in results], (1.1, 6.0))


def least(results: list[Any]) -> float:
    """The best value that meets the constraints; worse than any without one."""
    return min((values[0] for values, excess in results if max(excess) <= 0), default=9.0)


def at_random(problem: Callable[..., Any], dim: int, n: int, seed: int) -> list[Any]:
    """What random search finds."""
    return [problem(x) for x in np.random.default_rng(seed).random((n, dim))]


def chance(better: list[float], worse: list[float]) -> float:
    """That numbers of one distribution would lie so far on the right sides of each other (Wilcoxon's rank sum)."""
    return float(mannwhitneyu(better, worse, alternative="less").pvalue)


FRONTS = {
    "gp": (GP(), 20, 6),
    "mobster": (AsyncHyperband(searcher=GP()), 25, 4),
    "tpe": (TPE(), 40, 12),
    "kde": (KDE(), 60, 12),
    "de": (DE(), 100, 24),
}


@pytest.mark.parametrize("name", FRONTS)
def test_a_front_beats_that_of_random_search(name: str) -> None:
    """What is found of ZDT1, by full trainings, beside n full trainings at random. False alarm: what is no better
    passes with a chance of 1e-6."""
    algo, n, runs = FRONTS[name]
    random = [-volume(at_random(zdt1, 4, n, seed)) for seed in range(100)]
    assert chance([-volume(found(algo, zdt1, 4, n, seed)) for seed in range(runs)], random) < 1e-6


BESTS = {
    "gp": (GP(), 16, 5),
    "mobster": (AsyncHyperband(searcher=GP()), 25, 4),
    "tpe": (TPE(), 50, 12),
    "kde": (KDE(), 60, 24),
    "de": (DE(), 120, 24),
}


@pytest.mark.parametrize("name", BESTS)
def test_the_best_that_meets_the_constraints_beats_that_of_random_search(name: str) -> None:
    """False alarm: as above."""
    algo, n, runs = BESTS[name]
    random = [least(at_random(tilted, 4, n, seed)) for seed in range(100)]
    assert chance([least(found(algo, tilted, 4, n, seed)) for seed in range(runs)], random) < 1e-6
