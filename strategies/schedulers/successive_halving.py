"""Synchronous successive halving, bracket after bracket (Jamieson and Talwalkar 2016).

A rung is judged when all its trials have reported or failed: the best floor(size / eta) go on. A free worker never
waits for a rung while trials may still be started: it opens the next bracket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from strategies.actions import Continue, Pause, Resume, Stop, Verdict, fidelity_text
from strategies.errors import InvalidInput
from strategies.rung import Rung
from strategies.schedulers.base import New, Next, Scheduler, idle
from strategies.schedulers.fifo import beyond_comparison
from strategies.schedulers.rungs import Bracket, Fidelity, check_eta
from strategies.trials import TrialTable


@dataclass(frozen=True)
class SuccessiveHalving(Scheduler):
    """Brackets of `size` configurations (default eta^s_max, so that one reaches `max_budget`), eta-fold fewer at each
    rung."""

    name: ClassVar[str] = "sh"

    eta: int = 3
    size: int | None = None

    def __post_init__(self) -> None:
        check_eta(self.eta)
        if self.size is not None and self.size < 1:
            raise InvalidInput(f"size, the configurations of a bracket, must be at least 1; got size={self.size}")

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        return fidelity.ladder(self.eta)

    def bracket(self, fidelity: Fidelity, index: int) -> Bracket:
        """The plan of the bracket opened as number `index`, counted from 0."""
        ladder = self.rungs(fidelity)
        return Bracket(self.size or self.eta ** (len(ladder) - 1), ladder)

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        for index in sorted(table.alive):
            for state in self._judged(table, fidelity, index):
                action = state.settle(table)
                if action:
                    return action
        if table.exhausted:
            return idle(table)
        index = max(table.last_bracket, 0)
        plan = self.bracket(fidelity, index)
        entered = table.rung(index, plan.rungs[0]).entered
        if entered >= table.closed.get(index, plan.size):
            index, entered = index + 1, 0
            plan = self.bracket(fidelity, index)
        until = plan.rungs[0]
        return New(
            index, until, f"bracket {index}: configuration {entered + 1} of {plan.size}, to {fidelity_text(until)}"
        )

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        row = table.trials[trial]
        plan = self.bracket(fidelity, row.bracket)
        level = plan.rungs.index(row.until)
        ended = beyond_comparison(table, fidelity, trial)
        if ended:
            return ended
        for state in self._judged(table, fidelity, row.bracket):
            if state.milestone == row.until:
                return state.verdict(table, trial)
        return self._early_verdict(table, plan, trial, level)

    def _early_verdict(self, table: TrialTable, plan: Bracket, trial: int, level: int) -> Verdict:
        """Before the rung is full: out if enough others are better already, else wait for the rest."""
        row = table.trials[trial]
        sizes = plan.sizes(self.eta)
        rank, keep = table.rank(trial), sizes[level + 1]
        arrived = len(row.rung.ranking)
        at = f"rung {fidelity_text(row.until)}: ranked {rank} of {arrived} so far"
        if table.least_rank(trial) > keep:
            return Stop(trial, f"{at}, only the top {keep} of {sizes[level]} continue")
        return Pause(trial, f"{at}, waits for the rung of {sizes[level]} to fill; the top {keep} continue")

    def _judged(self, table: TrialTable, fidelity: Fidelity, index: int) -> Iterator[_JudgedRung]:
        """The rungs of a bracket whose results are all in, highest first, the last rung left out."""
        plan = self.bracket(fidelity, index)
        size = table.closed.get(index, plan.size)
        if len(table.rung(index, plan.rungs[0]).ranking) < size:
            return
        planned = Bracket(size, plan.rungs).sizes(self.eta)
        judged = []
        for level, milestone in enumerate(plan.rungs[:-1]):
            rung = table.rung(index, milestone)
            if len(rung.ranking) < size:
                break
            keep = min(planned[level + 1], rung.finite)
            judged.append(_JudgedRung(rung, milestone, plan.rungs[level + 1], keep))
            size = keep
        yield from reversed(judged)


@dataclass(frozen=True)
class _JudgedRung:
    """A rung with all its results: its best `keep` go on to `next_milestone`, the others are out."""

    rung: Rung
    milestone: float
    next_milestone: float
    keep: int

    def settle(self, table: TrialTable) -> Resume | Stop | None:
        """The next paused trial here that is to be resumed or stopped; None when none is left."""
        if not self.rung.paused:
            return None
        trial = min(self.rung.paused, key=table.rank)
        rank = table.rank(trial)
        if rank <= self.keep:
            return Resume(trial, self.next_milestone, self._reason(rank))
        return Stop(trial, self._reason(rank))

    def verdict(self, table: TrialTable, trial: int) -> Verdict:
        rank = table.rank(trial)
        if rank <= self.keep:
            return Continue(trial, self.next_milestone, self._reason(rank))
        return Stop(trial, self._reason(rank))

    def _reason(self, rank: int) -> str:
        verb = "continues" if self.keep == 1 else "continue"
        return (
            f"rung {fidelity_text(self.milestone)}: ranked {rank} of {len(self.rung.ranking)}, top {self.keep} {verb}"
        )
