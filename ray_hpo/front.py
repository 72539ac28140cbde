"""The Pareto front of an experiment with several metrics, kept up to date as trials reach milestones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from strategies.ranking import Standings

from ray_hpo.goals import Goals

if TYPE_CHECKING:
    from ray_hpo.trial import Trial


class Front:
    """Of the trials that meet the constraints and got furthest those that none of them dominates."""

    def __init__(self, goals: Goals) -> None:
        self._goals = goals
        self._fidelity = -math.inf
        self._members: list[tuple[tuple[float, ...], Trial]] = []

    @property
    def trials(self) -> list[Trial]:
        """Sorted by the first metric, then by the others, best first."""
        return [trial for _, trial in sorted(self._members, key=lambda member: (member[0], member[1].number))]

    def add(self, trial: Trial) -> None:
        """A trial with a result at its milestone; nobody reaches the same one twice."""
        assert trial.fidelity is not None
        values = self._goals.minimised(trial.values)
        if not (trial.feasible and all(map(math.isfinite, values))) or trial.fidelity < self._fidelity:
            return
        if trial.fidelity > self._fidelity:
            self._fidelity, self._members = trial.fidelity, []
        if not any(_dominates(other, values) for other, _ in self._members):
            self._members = [member for member in self._members if not _dominates(values, member[0])]
            self._members.append((values, trial))


def ranked_by_domination(trials: Sequence[Trial], goals: Goals) -> list[Trial]:
    """Trials that are comparable, those first that the fewest others dominate."""
    F = np.array([goals.minimised(trial.values) for trial in trials])
    return [trials[i] for i in Standings.of(F, np.zeros(len(trials))).order]


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
