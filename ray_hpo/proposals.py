"""Suggestions for the next trials, one after another, each as if those before it ran already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strategies.actions import Record, Start
from strategies.schedulers.base import New, Scheduler
from strategies.strategy import Problem, Strategy


@dataclass(frozen=True)
class Proposal:
    """A configuration for suggestion `number`, of a trial that runs to `until`, made of the first `known` records.

    start: how its trial is expected to begin; None where the scheduler would not start one now.
    """

    number: int
    until: float
    known: int
    config: Mapping[str, Any]
    start: Start | None


class Proposals:
    """A strategy that is told the records, and then supposes that all proposals but the last run.

    records: what became true, in order; the list grows.  ready: what is proposed for the next trials.
    """

    def __init__(self, algo: Scheduler, problem: Problem, records: Sequence[Record]) -> None:
        self.ready: list[Proposal] = []
        self._algo = algo
        self._problem = problem
        self._records = records
        self._known = 0
        self._supposed = 0  # so many of `ready`, from the first on, run as far as the strategy knows
        self._strategy = Strategy(algo, problem)

    @property
    def has_news(self) -> bool:
        return self._known < len(self._records)

    @property
    def is_old(self) -> bool:
        """Whether there have been records since the last proposal."""
        return bool(self.ready) and self.ready[-1].known < self._known

    @property
    def can_propose(self) -> bool:
        """Whether there may be one more trial, after those that are proposed."""
        if self.ready and self._supposed < len(self.ready) and self.ready[-1].start is None:
            return False
        begun = self._strategy.history.proposed + len(self.ready) - self._supposed
        limit = self._strategy.table.num_trials
        return begun >= len(self._problem.points) and (limit is None or begun < limit)

    def hear(self) -> None:
        """Take in what became true. A proposal whose trial began is gone; if that was another one than was supposed,
        all are."""
        while self.has_news:
            record = self._records[self._known]
            self._known += 1
            if not isinstance(record, Start):
                self._strategy.apply(record)
            elif self._supposed and not _alike(record, self.ready[0].start):
                self.forget()
            elif self._supposed:
                del self.ready[0]
                self._supposed -= 1
            else:
                self._strategy.apply(record)
                if record.parent is None:
                    self.ready.clear()

    def forget(self) -> None:
        """Begin anew with the records alone."""
        self.ready.clear()
        self._supposed = 0
        self._strategy = Strategy.rebuild(self._algo, self._problem, self._records[: self._known])

    def drop_last(self) -> None:
        """Take back the last proposal, on which nothing was built yet."""
        self.ready.pop()
        self._supposed = min(self._supposed, len(self.ready))

    def propose(self, asked: float | None, otherwise: float) -> None:
        """Make one more.

        asked: to where its trial runs; None: to where the scheduler would send it, `otherwise` if it starts none now.
        """
        if self._supposed < len(self.ready):
            start = self.ready[-1].start
            assert start is not None
            self._strategy.apply(start)
            self._supposed += 1
        strategy = self._strategy
        action = strategy.algo.next(strategy.table, strategy.problem.fidelity)
        new = action if isinstance(action, New) and action.parent is None else None
        until = asked if asked is not None else otherwise if new is None else new.until
        config = strategy.suggestion(until)
        start = None
        if new is not None and new.until == until:
            start = Start(len(strategy.table.trials), config, until, new.bracket)
        self.ready.append(Proposal(strategy.history.proposed, until, self._known, config, start))


def _alike(real: Start, supposed: Start | None) -> bool:
    """Whether a strategy that was told `supposed` is as one that was told `real`."""
    return (
        supposed is not None
        and real.replaces is None
        and real.parent is None
        and (
            (real.trial, real.until, real.bracket, real.config)
            == (supposed.trial, supposed.until, supposed.bracket, supposed.config)
        )
    )
