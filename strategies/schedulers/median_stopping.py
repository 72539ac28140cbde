"""The median stopping rule: Golovin et al. 2017, "Google Vizier: a service for black-box optimization", section 3.2."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from strategies.actions import Continue, GoAhead, Stop, Verdict, fidelity_text
from strategies.errors import InvalidInput
from strategies.schedulers.base import New, Next, Scheduler, idle, take_up
from strategies.schedulers.fifo import beyond_comparison
from strategies.schedulers.rungs import Fidelity, check_interval
from strategies.trials import TrialTable


@dataclass(frozen=True)
class MedianStopping(Scheduler):
    """Stops a trial at step s if its best value up to s is worse than the median of the others' running averages.

    The running average of a trial up to s is the mean of its values at the milestones up to s. These lie evenly, as
    the paper's steps do, `interval` units of budget apart; by default a tenth of `max_budget`. The others are all
    trials with a number at s, whatever became of them. No trial is stopped before `grace_period`, nor by fewer than
    `min_trials` others. With several metrics, or constraints, a trial is stopped where more than half rank before it.
    """

    name: ClassVar[str] = "median_stopping"
    pauses: ClassVar[bool] = False
    goes_ahead: ClassVar[bool] = True

    interval: float | None = None
    grace_period: float = 0.0
    min_trials: int = 5

    def __post_init__(self) -> None:
        check_interval(self.interval)
        grace = self.grace_period
        if isinstance(grace, bool) or not isinstance(grace, (int, float)) or not 0 <= grace < math.inf:
            raise InvalidInput(f"grace_period must be a budget of at least 0; got grace_period={grace!r}")
        if isinstance(self.min_trials, bool) or not isinstance(self.min_trials, int) or self.min_trials < 1:
            raise InvalidInput(f"min_trials must be a whole number of at least 1; got min_trials={self.min_trials!r}")

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        return fidelity.evenly(self.interval)

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        milestones = self.rungs(fidelity)
        paused = take_up(table, milestones)
        if paused:
            return paused
        if table.exhausted:
            return idle(table)
        return New(0, milestones[0], f"a new configuration, to {fidelity_text(milestones[0])}")

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        row = table.trials[trial]
        at = f"at {fidelity_text(row.until)}"
        ended = beyond_comparison(table, fidelity, trial, "at")
        if ended:
            return ended
        rung = row.rung
        means, others = rung.means, rung.finite - 1
        milestones = self.rungs(fidelity)
        following = milestones[bisect_right(milestones, row.until)]
        if row.until < self.grace_period:
            return Continue(trial, following, f"{at}: within the grace period, to {fidelity_text(self.grace_period)}")
        if others < self.min_trials:
            return Continue(trial, following, f"{at}: {others} others got here so far, {self.min_trials} are needed")
        if not table.plain:
            return self._by_rank(table, trial, following)
        median = f"than the median of the running averages of {others} others"
        if row.best > median_without(means, row.mean):
            return Stop(trial, f"{at}: its best is worse {median}")
        return Continue(trial, following, f"{at}: its best is no worse {median}")

    def go_ahead(self, table: TrialTable, fidelity: Fidelity, trial: int) -> GoAhead | None:
        row = table.trials[trial]
        if not table.plain or row.until >= fidelity.max_budget:
            return None
        rung, milestones = row.rung, self.rungs(fidelity)
        at, below = f"at {fidelity_text(row.until)}", math.inf
        if row.until < self.grace_period or rung.finite < self.min_trials:
            reason = f"{at}: too early to be stopped"
        else:
            average = median(rung.means)
            reason = f"{at}: its best is no worse than the median of the running averages of {rung.finite} others"
            below = math.inf if row.best <= average else math.nextafter(average, math.inf)
        following = milestones[bisect_right(milestones, row.until)]
        return GoAhead(trial, following, below, f"{reason}, as known shortly before")

    def _by_rank(self, table: TrialTable, trial: int, following: float) -> Verdict:
        """The rule where results have no mean: stop what ranks behind more than half of the others."""
        row = table.trials[trial]
        rank, others = table.rank(trial), row.rung.finite - 1
        text = f"at {fidelity_text(row.until)}: {rank - 1} of {others} others are better"
        if 2 * (rank - 1) > others:
            return Stop(trial, f"{text}, more than half")
        return Continue(trial, following, f"{text}, no more than half")


def median(ascending: Sequence[float]) -> float:
    """Of at least one."""
    n = len(ascending)
    return (ascending[(n - 1) // 2] + ascending[n // 2]) / 2


def median_without(ascending: Sequence[float], value: float) -> float:
    """The median of `ascending` with one `value`, which is in it, left out. At least one must be left."""
    left_out, n = bisect_left(ascending, value), len(ascending) - 1

    def at(i: int) -> float:
        return ascending[i + (i >= left_out)]

    return (at((n - 1) // 2) + at(n // 2)) / 2
