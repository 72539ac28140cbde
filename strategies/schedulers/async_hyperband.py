"""Asynchronous Hyperband: its most aggressive bracket and the one without early stopping, side by side.

Successive halving finds good regions soon, but what it learns at low fidelities is biased, and a good configuration
must win at every rung to be trained in full. Full trainings of what a model thinks best have neither flaw, but a model
needs many results before it thinks well. Here workers are shared between both, and a searcher that learns from all
rungs learns from both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from strategies.actions import Continue, Verdict, fidelity_text
from strategies.errors import InvalidInput
from strategies.schedulers.asha import Asha
from strategies.schedulers.base import New, Next, take_up
from strategies.schedulers.rungs import Fidelity
from strategies.trials import TrialTable

HALVING, FULL = 0, 1  # the brackets
ANEW_RUNGS = 3  # at most, where each rung is paid in full
WORKERS_EACH, MOST_BRACKETS = 4, 3  # for so many workers one bracket's results, for so many brackets at most


@dataclass(frozen=True)
class AsyncHyperband(Asha):
    """Asha with patience, and beside it trials that go straight to the full budget.

    Asha promotes the best of the first three, which is mostly luck, though none of its trials comes to `max_budget`
    before each rung has had as many results as in Hyperband's most aggressive bracket, eta^k where k rungs are above.
    Here a rung promotes only then: the first that get there are chosen among all of these. With more than four workers
    it waits for more, up to three such brackets: a full training takes its time anyhow, and the more workers there are,
    the more can be known by its end. It does not wait for what no trial is left to bring.

    Where trials resume, the second kind begins once the first has brought a trial to `max_budget`; then it gets
    `share` of the workers, or of the budget if there is but one worker at a time.
    Where each rung is trained to from nothing, rungs cost half as much again as a full training, so that halving only
    serves to begin with: for `warmup` results, on the upper three rungs.

    share: of the workers, for full trainings.
    warmup: results of halving before all trials are full trainings, where rungs are paid in full.
    """

    name: ClassVar[str] = "async_hyperband"

    share: float = 0.5
    warmup: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1:
            raise InvalidInput(f"share, of the workers for full trainings, must be between 0 and 1; got {self.share!r}")
        if isinstance(self.warmup, bool) or not isinstance(self.warmup, int) or self.warmup < 0:
            raise InvalidInput(f"warmup must be a whole number of at least 0; got warmup={self.warmup!r}")

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        ladder = super().rungs(fidelity)
        return ladder if fidelity.resumable else ladder[-ANEW_RUNGS:]

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        paused = take_up(table, self.rungs(fidelity), FULL)
        if paused:
            return paused
        if table.exhausted or not self._full_is_due(table, fidelity):
            return super().next(table, fidelity)
        ladder = self.rungs(fidelity)
        until = ladder[0] if fidelity.resumable else ladder[-1]
        return New(FULL, until, f"a new configuration, straight to {fidelity_text(ladder[-1])}")

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        row = table.trials[trial]
        if row.bracket == HALVING:
            return super().verdict(table, fidelity, trial)
        unfit = self._unfit(table, fidelity, trial)
        if unfit:
            return unfit
        ladder = self.rungs(fidelity)
        until = ladder[ladder.index(row.until) + 1]
        return Continue(trial, until, f"goes straight to {fidelity_text(ladder[-1])}")

    def _least(self, table: TrialTable, fidelity: Fidelity, milestone: float) -> int:
        ladder = self.rungs(fidelity)
        above = len(ladder) - 1 - ladder.index(milestone)
        brackets = min(max(1.0, (table.running + 1) / WORKERS_EACH), MOST_BRACKETS)
        return self.eta if table.exhausted else math.ceil(brackets * self.eta**above)

    def _full_is_due(self, table: TrialTable, fidelity: Fidelity) -> bool:
        ladder = self.rungs(fidelity)
        if not fidelity.resumable:
            return len(table.rung(HALVING, ladder[0]).ranking) >= self.warmup
        if not table.rung(HALVING, ladder[-1]).ranking:
            return False
        if table.running:
            return table.busy[FULL] < self.share * (table.running + 1)
        return table.granted[FULL] <= self.share * (table.granted[FULL] + table.granted[HALVING])
