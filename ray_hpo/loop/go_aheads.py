"""Verdicts ahead of time, for trials that will be at their milestones before an answer could be there."""

from __future__ import annotations

from collections.abc import Iterable

from strategies.actions import Continue, GoAhead
from strategies.strategy import Strategy

from ray_hpo import messages
from ray_hpo.goals import Goals
from ray_hpo.loop.allowance import Allowance
from ray_hpo.loop.dispatch import Dispatch


class GoAheads:
    """Those that were given, until it is known whether they were used.

    Their budget is set aside meanwhile, so that no other trial is granted it.
    """

    def __init__(self, strategy: Strategy, goals: Goals, allowance: Allowance, dispatch: Dispatch) -> None:
        self._strategy = strategy
        self._goals = goals
        self._allowance = allowance
        self._dispatch = dispatch
        self._given: dict[int, GoAhead] = {}

    def give(self, trials: Iterable[int]) -> None:
        """To those of `trials` whose verdicts are known ahead, and allowed."""
        for trial in trials:
            known = self._strategy.go_ahead(trial)
            if known is None:
                continue
            granted = Continue(trial, known.until)
            if self._allowance.refusal(granted):
                continue
            self._given[trial] = known
            self._allowance.reserved[trial] = self._allowance.cost(granted)
            low, high = self._goals.range_below(known.below)
            self._dispatch.go_ahead(trial, messages.GoAhead(known.until, low, high))

    def used(self, trial: int) -> Continue:
        """A trial at its milestone has trained on by its own: what became true."""
        known, verdict = self._given[trial], self._strategy.verdict(trial)
        self.forget(trial)
        if isinstance(verdict, Continue) and verdict.until == known.until:
            return verdict  # it would be so by all that is known now
        return Continue(trial, known.until, known.reason)

    def forget(self, trial: int) -> None:
        """It cannot be used any more."""
        self._given.pop(trial, None)
        self._allowance.reserved.pop(trial, None)
