"""Asynchronous successive halving, in both its forms.

`Asha` promotes (Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2): a trial pauses
at its rung and goes on when it is among the best floor(n / eta) of the n results there. `AshaStopping` lets a trial
train on or stops it at once; nothing is ever resumed, but for what a budget that was raised since had paused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from strategies.actions import Continue, GoAhead, Pause, Resume, Stop, Verdict, fidelity_text
from strategies.schedulers.base import New, Next, Scheduler, idle, take_up
from strategies.schedulers.fifo import beyond_comparison
from strategies.schedulers.rungs import Fidelity, check_eta
from strategies.trials import TrialTable


@dataclass(frozen=True)
class _Asynchronous(Scheduler):
    """What the two forms share: one ladder, new trials at its foot."""

    eta: int = 3

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        return fidelity.ladder(self.eta)

    def _new(self, table: TrialTable, fidelity: Fidelity) -> New:
        first = self.rungs(fidelity)[0]
        return New(0, first, f"a new configuration, to {fidelity_text(first)}")

    def _above(self, fidelity: Fidelity, rung: float) -> float:
        """The milestone that a trial runs to that goes on from `rung`."""
        ladder = self.rungs(fidelity)
        return ladder[ladder.index(rung) + 1]


@dataclass(frozen=True)
class Asha(_Asynchronous):
    """Promotes as soon as a trial is in the top 1/eta of its rung, from the highest rung down, else starts a new one.

    When no trial may be started any more and none has reached `max_budget`, the best of the highest rung goes on, so
    that a small experiment does not end with everything paused.
    """

    name: ClassVar[str] = "asha"

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        promotion = self._promotion(table, fidelity)
        if promotion:
            return promotion
        if not table.exhausted:
            return self._new(table, fidelity)
        if not table.running:
            last = self._last_promotion(table, fidelity)
            if last:
                return last
        return idle(table)

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        unfit = beyond_comparison(table, fidelity, trial)
        if unfit:
            return unfit
        if self._promotable(table, fidelity, table.trials[trial].until) == trial:
            promotion = self._promotion(table, fidelity)
            if promotion and promotion.trial == trial:
                return Continue(trial, promotion.until, promotion.reason)
        return Pause(trial, self._standing(table, fidelity, trial))

    def _highest(self, table: TrialTable, fidelity: Fidelity) -> int:
        """The level of the highest rung that trials may be promoted to, counted from 0."""
        return len(self.rungs(fidelity)) - 1

    def _least(self, table: TrialTable, fidelity: Fidelity, milestone: float) -> int:
        """From how many results on a rung promotes."""
        return self.eta

    def _promotable(self, table: TrialTable, fidelity: Fidelity, milestone: float) -> int | None:
        """The trial that goes on from a rung next, if one is good enough."""
        rung = table.rung(0, milestone)
        arrived = len(rung.values)
        return rung.promotable(arrived // self.eta) if arrived >= self._least(table, fidelity, milestone) else None

    def _promotion(self, table: TrialTable, fidelity: Fidelity) -> Resume | None:
        ladder = self.rungs(fidelity)
        for milestone in reversed(ladder[: self._highest(table, fidelity)]):
            best = self._promotable(table, fidelity, milestone)
            if best is not None:
                return Resume(best, self._above(fidelity, milestone), self._standing(table, fidelity, best))
        return None

    def _last_promotion(self, table: TrialTable, fidelity: Fidelity) -> Resume | None:
        ladder = self.rungs(fidelity)
        if table.rung(0, ladder[-1]).finite:
            return None
        for milestone in reversed(ladder[:-1]):
            paused = table.rung(0, milestone).paused
            if paused:
                best, at = min(paused, key=table.rank), fidelity_text(milestone)
                reason = f"rung {at}: the best left, and none has reached max_budget yet"
                return Resume(best, self._above(fidelity, milestone), reason)
        return None

    def _place(self, table: TrialTable, trial: int) -> str:
        row = table.trials[trial]
        return f"rung {fidelity_text(row.until)}: ranked {row.rung.rank(trial)} of {len(row.rung.values)} so far"

    def _standing(self, table: TrialTable, fidelity: Fidelity, trial: int) -> str:
        row = table.trials[trial]
        least, arrived = self._least(table, fidelity, row.until), len(row.rung.values)
        if arrived < least:
            return f"{self._place(table, trial)}, from {least} on the top {least // self.eta} continue"
        return f"{self._place(table, trial)}, top {arrived // self.eta} continue"


@dataclass(frozen=True)
class AshaStopping(_Asynchronous):
    """A trial trains on if it is among the best max(1, floor(n / eta)) of the n results so far, itself included.

    This is the rule of Optuna and Determined; Ray Tune's and Syne Tune's differ in small ways.
    """

    name: ClassVar[str] = "asha_stopping"
    pauses: ClassVar[bool] = False
    goes_ahead: ClassVar[bool] = True
    stops_most: ClassVar[bool] = True

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        paused = take_up(table, self.rungs(fidelity))
        if paused:
            return paused
        return idle(table) if table.exhausted else self._new(table, fidelity)

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        unfit = beyond_comparison(table, fidelity, trial)
        if unfit:
            return unfit
        row = table.trials[trial]
        arrived = len(row.rung.values)
        rank, keep = table.rank(trial), self._keep(arrived)
        reason = f"rung {fidelity_text(row.until)}: ranked {rank} of {arrived} so far, top {keep} continue"
        return Stop(trial, reason) if rank > keep else Continue(trial, self._above(fidelity, row.until), reason)

    def go_ahead(self, table: TrialTable, fidelity: Fidelity, trial: int) -> GoAhead | None:
        """Not among few results, where each makes a difference."""
        row = table.trials[trial]
        others = row.rung.ranking
        if not table.plain or len(others) < self.eta or row.until >= fidelity.max_budget:
            return None
        keep = self._keep(len(others) + 1)
        reason = f"rung {fidelity_text(row.until)}: in the top {keep} of {len(others) + 1}, as known shortly before"
        return GoAhead(trial, self._above(fidelity, row.until), others[keep - 1][0], reason)

    def _keep(self, arrived: int) -> int:
        return max(1, arrived // self.eta)
