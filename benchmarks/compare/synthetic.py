"""Tasks that need no data: counting ones, and Hartmann and Branin with a fidelity. Costs are budgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.compare.task import Config, Task, Values


class SyntheticTask(Task):
    """A formula of (x in the unit cube, budget as a share of the full one)."""

    def __init__(
        self,
        name: str,
        space_format: Sequence[dict[str, Any]],
        formula: Callable[[Values, float], Values],
        best: float,
        max_budget: float = 27.0,
    ) -> None:
        super().__init__(name, space_format, max_budget, resumable=True)
        self._formula, self._best = formula, best

    def raw(self, configs: Sequence[Config], budget: float) -> tuple[Values, Values]:
        x = np.array([[config[p["name"]] for p in self.space_format] for config in configs], dtype=float)
        return self._formula(x, budget / self.max_budget), np.full(len(configs), float(budget))

    def optimum(self) -> float:
        return self._best


def _floats(names: Sequence[str], low: float = 0.0, high: float = 1.0) -> list[dict[str, Any]]:
    return [{"name": name, "type": "float", "lower": low, "upper": high} for name in names]


def counting_ones(categorical: int, continuous: int) -> SyntheticTask:
    """Falkner et al. 2018, section 5.1; the draws' noise is a fixed function of the configuration and the budget."""
    space = [{"name": f"c{i}", "type": "categorical", "choices": [0, 1]} for i in range(categorical)]
    d = categorical + continuous

    def formula(x: Values, share: float) -> Values:
        draws = max(1, round(share * 729))
        out = []
        for row in x:
            rng = np.random.default_rng([draws, *(row * 2**32).astype(np.uint64)])
            means = rng.binomial(draws, row[categorical:]) / draws
            out.append(-(row[:categorical].sum() + means.sum()))
        return np.array(out)

    return SyntheticTask(
        f"counting_ones/{categorical}+{continuous}",
        [*space, *_floats([f"p{i}" for i in range(continuous)])],
        formula,
        -float(d),
    )


def branin() -> SyntheticTask:
    """The augmented Branin function (Kandasamy et al. 2017, "Multi-fidelity Bayesian optimisation", appendix)."""

    def formula(x: Values, share: float) -> Values:
        a, b = 15 * x[:, 0] - 5, 15 * x[:, 1]
        quadratic = 5.1 / (4 * np.pi**2) - 0.1 * (1 - share)
        return (b - quadratic * a**2 + 5 / np.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10

    return SyntheticTask("branin/2", _floats(["x0", "x1"]), formula, 0.397887)


_HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann() -> SyntheticTask:
    """The augmented Hartmann 6 function (Kandasamy et al. 2017)."""

    def formula(x: Values, share: float) -> Values:
        alpha = np.array([1.0, 1.2, 3.0, 3.2]) - 0.1 * (1 - share) * np.array([1.0, 1.0, 1.0, 1.0])
        inner = (_HARTMANN_A * (x[:, None, :] - _HARTMANN_P) ** 2).sum(axis=2)
        return -(np.exp(-inner) @ alpha)

    return SyntheticTask("hartmann/6", _floats([f"x{i}" for i in range(6)]), formula, -3.32237)


def synthetic_tasks() -> dict[str, Callable[[], SyntheticTask]]:
    return {
        "branin/2": branin,
        "counting_ones/8+8": lambda: counting_ones(8, 8),
        "counting_ones/4+4": lambda: counting_ones(4, 4),
        "hartmann/6": hartmann,
    }
