"""What the limits of an experiment still allow. The limits themselves are in `Budget`."""

from __future__ import annotations

from collections.abc import Callable

from strategies.actions import Continue, Resume, Start

from ray_hpo.budget import Budget
from ray_hpo.experiment import Experiment


class Allowance:
    """The limits beside what has been used of them. now: the executor's clock.

    reserved: units of fidelity by trial that it may use, and that are not granted yet.
    """

    def __init__(self, experiment: Experiment, budget: Budget, now: Callable[[], float]) -> None:
        self._experiment = experiment
        self._budget = budget
        self._now = now
        self.reserved: dict[int, float] = {}

    def refusal(self, action: Start | Resume | Continue, promised: float = 0.0) -> str:
        """Why `action` is not allowed; empty if it is. promised: units of fidelity besides those granted."""
        if self._budget.unlimited:
            return ""
        known = self._experiment
        granted, cost = known.granted + promised + sum(self.reserved.values()), self.cost(action)
        return self._budget.refuses(self._elapsed(), granted, cost, known.in_vain) or self._used_on_workers()

    def cost(self, action: Start | Resume | Continue) -> float:
        """Units of fidelity that `action` grants."""
        known = self._experiment
        done = known.origin(action.parent) if isinstance(action, Start) else known.trials[action.trial].until
        return known.cost(done, action.until)

    def used_up(self) -> str:
        """Which limit ends the session at once, whatever trains still; empty if none does."""
        if self._budget.unlimited:
            return ""
        return self._budget.refuses(self._elapsed(), 0.0, 0.0) or self._used_on_workers()

    def time_left(self) -> float:
        """Seconds until the limit on time; inf without one."""
        return self._budget.time_left(self._elapsed())

    def _elapsed(self) -> float:
        return self._experiment.elapsed_at(self._now())

    def _used_on_workers(self) -> str:
        return self._budget.used_up(lambda: self._experiment.worker_seconds(self._now()))
