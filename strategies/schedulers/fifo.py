"""First in, first out: every trial gets the full budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from strategies.actions import Stop, Verdict, fidelity_text
from strategies.schedulers.base import New, Next, Scheduler, idle
from strategies.schedulers.rungs import Fidelity
from strategies.trials import TrialTable


@dataclass(frozen=True)
class Fifo(Scheduler):
    """No early stopping. Without a `max_budget` a trial runs until it ends by itself."""

    name: ClassVar[str] = "fifo"
    pauses: ClassVar[bool] = False
    early_stopping: ClassVar[bool] = False

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        if table.exhausted:
            return idle(table)
        return New(0, fidelity.max_budget, "runs to the end")

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        return full_budget(trial, fidelity)


def full_budget(trial: int, fidelity: Fidelity) -> Stop:
    """The end of a trial that has had all there is."""
    if fidelity.max_budget == float("inf"):
        return Stop(trial, "ran to its end")
    return Stop(trial, f"completed: reached max_budget {fidelity_text(fidelity.max_budget)}")


def beyond_comparison(table: TrialTable, fidelity: Fidelity, trial: int, at: str = "rung") -> Stop | None:
    """The end of a trial at a milestone whose result is none, or that has had all there is; None for others.

    at: what a milestone is called.
    """
    until = table.trials[trial].until
    if math.isinf(table.value(trial)):
        return Stop(trial, f"{at} {fidelity_text(until)}: its result is not a finite number")
    return full_budget(trial, fidelity) if until == fidelity.max_budget else None
