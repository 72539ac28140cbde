"""Which trials lead: the best one, or the Pareto front, kept up to date as results come in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from strategies.actions import minimised

from ray_hpo.errors import RayHpoError
from ray_hpo.front import Front, ranked_by_domination
from ray_hpo.goals import Goals
from ray_hpo.trial import Trial

Standing = tuple[float, float, float, int]  # violation, fidelity reached, value, number: less is better


class Leaders:
    """Tell it of each result (`add`) and of each trial that ends (`ended`).

    trials: all there are; the list grows with the experiment.
    in_vain: trials that have ended since the best, or the front, became better.
    """

    def __init__(self, goals: Goals, trials: Sequence[Trial]) -> None:
        self.in_vain = 0
        self._goals = goals
        self._trials = trials
        self._improved = -1  # the trial that last became the best, or one of the front
        self._front = Front(goals)
        self._best: Trial | None = None
        self._best_is_known = True

    @property
    def best(self) -> Trial | None:
        """The trial with the best value among those that got furthest; if none meets the constraints, the one that
        violates them least.

        Raises:
            RayHpoError: there are several metrics.
        """
        if self._goals.several:
            names = ", ".join(self._goals.metrics)
            raise RayHpoError(
                f"no trial is the best, since there are several metrics ({names}): pareto_front lists the trials that "
                "no other beats in all of them"
            )
        if not self._best_is_known:
            self._best, self._best_is_known = min(self._with_value(), key=self._standing, default=None), True
        return self._best

    @property
    def front(self) -> list[Trial]:
        """Of the trials that meet the constraints and got furthest those that no other beats: none is at least as good
        in all metrics and better in one. Sorted by the first metric, best first. With one metric: the best trial."""
        if self._goals.several:
            return self._front.trials
        best = self.best
        return [] if best is None or not best.feasible else [best]

    def ranked(self, trials: Iterable[Trial] | None = None) -> list[Trial]:
        """Of `trials`, by default all, those that have a value, the best first: those that meet the constraints, by how
        far they got, then by the value there, or by how many beat them where there are several metrics; then others,
        by the violation."""
        with_value = self._with_value() if trials is None else [trial for trial in trials if trial.has_value]
        if not self._goals.several:
            return sorted(with_value, key=self._standing)
        feasible = [trial for trial in with_value if trial.feasible]
        ranked: list[Trial] = []
        for fidelity in sorted({trial.fidelity or 0.0 for trial in feasible}, reverse=True):
            ranked += ranked_by_domination([t for t in feasible if t.fidelity == fidelity], self._goals)
        return ranked + sorted((trial for trial in with_value if not trial.feasible), key=self._standing)

    def add(self, row: Trial) -> None:
        """A trial has a new value: it may be the best now, or be so no more."""
        if not self._goals.plain:
            self._front.add(row)
        if row is self._best and not self._goals.plain:
            self._best_is_known = False
        elif not row.has_value:
            self._best_is_known = self._best_is_known and self._best is not row
        elif self._best is None or self._standing(row) < self._standing(self._best):
            self._best = row
        if (row is self._best and self._best_is_known) or (self._goals.several and row in self._front.trials):
            self._improved, self.in_vain = row.number, 0

    def ended(self, row: Trial) -> None:
        """A trial gets no more budget."""
        self.in_vain += row.number != self._improved

    def _with_value(self) -> list[Trial]:
        return [trial for trial in self._trials if trial.has_value]

    def _standing(self, trial: Trial) -> Standing:
        assert trial.fidelity is not None and trial.value is not None
        return trial.violation, -trial.fidelity, minimised(trial.value, self._goals.modes[0]), trial.number
