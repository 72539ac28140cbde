"""Results as Gaussian-process search learns from them: which of them, and as which targets."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from strategies.history import Array, History
from strategies.models.tradeoff import scalarised
from strategies.models.warping import half_rank, rank_normal
from strategies.ranking import Standings, total_violation
from strategies.searchers.base import Indices


def rung_of(fidelity: float) -> float:
    """Where a fidelity is on the model's axis: a factor of three is one step. 0 if there is but one, without end."""
    return math.log(fidelity, 3) if math.isfinite(fidelity) else 0.0


@dataclass(frozen=True)
class Data:
    """Results in order of arrival: which configuration, (n,) and (n, columns); on which rung; minimised values (n,).

    objectives: (n, k) minimised values, where there are several metrics.  excess: (n, c), where there are constraints:
    see `History.outcomes`.
    """

    numbers: Indices
    X: Array
    rungs: Array
    values: Array
    objectives: Array | None = None
    excess: Array | None = None

    @classmethod
    def of(cls, history: History) -> Data:
        numbers, fidelities, values = history.arrivals
        levels, which = np.unique(fidelities, return_inverse=True)
        rungs = np.array([rung_of(f) for f in levels.tolist()])[which]
        objectives, excess = history.outcomes
        more = objectives if history.objectives > 1 else None, excess if history.constraints else None
        return cls(numbers, history.X[numbers], rungs, values, *more)

    def first(self, n: int) -> Data:
        return self._at(np.arange(n))

    def cut(self, most: int) -> Data:
        """Of more than `most` results: the best half of so many, high fidelities first, and the latest others."""
        half = most // 2
        if len(self.values) <= most:
            return self
        ranked = np.lexsort((self._merits(), -self.rungs))
        latest = np.sort(ranked[half:])[half - most :]
        return self._at(np.sort(np.concatenate([ranked[:half], latest])))

    def targets(self, graded: bool, weights: Array | None = None) -> Array:
        """(n,) what the process models. weights: (k,) the trade-off between several metrics; None: the equal one."""
        warped = rank_normal if graded else half_rank
        if self.objectives is None:
            return warped(self.values)
        k = self.objectives.shape[1]
        T = np.column_stack([warped(y) for y in self.objectives.T])
        return scalarised(T, np.full(k, 1 / k) if weights is None else weights)

    def firsts(self) -> Data:
        """The first result of each configuration."""
        return self._at(np.sort(np.unique(self.numbers, return_index=True)[1]))

    def _at(self, chosen: Indices) -> Data:
        known = Data(self.numbers[chosen], self.X[chosen], self.rungs[chosen], self.values[chosen])
        objectives = None if self.objectives is None else self.objectives[chosen]
        return dataclasses.replace(
            known, objectives=objectives, excess=None if self.excess is None else self.excess[chosen]
        )

    def _merits(self) -> Array:
        """(n,) what ranks the results of one rung."""
        if self.objectives is None and self.excess is None:
            return self.values
        objectives = self.values[:, None] if self.objectives is None else self.objectives
        excess = np.zeros((len(objectives), 0)) if self.excess is None else self.excess
        merits = np.empty(len(self.values))
        for rung in np.unique(self.rungs):
            here = self.rungs == rung
            violations = np.array([total_violation(row) for row in excess[here]])
            merits[here] = Standings.of(objectives[here], violations).scores()
        return merits
