"""Counting ones, the synthetic benchmark of the BOHB paper (Falkner, Klein and Hutter 2018, section 5.1).

f(x) = -(sum of the categorical parameters + sum of the means of `budget` Bernoulli(p_j) draws). The best value is -d.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from strategies.domains import choice, uniform


class CountingOnes:
    """`categorical` parameters in {0, 1} and `continuous` ones in [0, 1]; the budget is the number of draws."""

    resumable = False

    def __init__(self, categorical: int, continuous: int) -> None:
        self.dim = categorical + continuous
        self.space: dict[str, Any] = {f"c{i}": choice([0, 1]) for i in range(categorical)}
        self.space |= {f"p{i}": uniform(0.0, 1.0) for i in range(continuous)}

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[dict[str, float], float]:
        """The noise depends on the configuration and the budget alone."""
        digest = hashlib.sha256(repr((sorted(config.items()), budget)).encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        ones = sum(value for name, value in config.items() if name.startswith("c"))
        means = sum(rng.binomial(int(budget), value) / budget for name, value in config.items() if name.startswith("p"))
        return {"loss": -float(ones + means)}, float(budget)

    def regret(self, config: dict[str, Any]) -> float:
        """Without noise: how much is missing to the optimum, as a share of it."""
        return float(1.0 - sum(config.values()) / self.dim)
