"""BOHB clearly beats Hyperband, which clearly beats random search, at the same total budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from ray_hpo.simulation import simulate
from tests.counting_ones import CountingOnes

BUDGET = 20 * 729  # of 20 full trainings
FALSE_ALARM = 1e-6  # were two algorithms alike, the chance that the test calls one better


def regrets(algo: str, seeds: int) -> NDArray[np.float64]:
    """(seeds,) true regret of the incumbent at the end."""
    benchmark = CountingOnes(categorical=8, continuous=8)
    found = []
    for seed in range(seeds):
        experiment = simulate(
            benchmark,
            algo=algo,
            metric="loss",
            max_budget=729,
            min_budget=9,
            total_budget=BUDGET,
            workers=4,
            seed=seed,
        )
        assert experiment.best is not None
        assert experiment.granted <= BUDGET
        found.append(benchmark.regret(experiment.best.config))
    return np.array(found)


def test_bohb_beats_hyperband_beats_random() -> None:
    """Wilcoxon's signed-rank test, paired by seed, for each of the two comparisons."""
    bohb, hyperband, random = regrets("bohb", 28), regrets("hyperband", 60), regrets("random", 60)
    assert wilcoxon(bohb, hyperband[:28], alternative="less").pvalue < FALSE_ALARM
    assert wilcoxon(hyperband, random, alternative="less").pvalue < FALSE_ALARM
