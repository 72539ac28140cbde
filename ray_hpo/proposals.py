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
    """A configuration for suggestion `number`, of a trial that runs to `until`, made of the first `known` records."""

    number: int
    until: float
    known: int
    config: Mapping[str, Any]


class Proposals:
    """A strategy that is told the records, with a searcher that supposes that all proposals but the last run.

    Only the searcher does: which bracket a trial belongs to, say, is decided when it begins.

    records: what became true, in order; the list grows.  ready: what is proposed for the next trials.
    """

    def __init__(self, algo: Scheduler, problem: Problem, records: Sequence[Record]) -> None:
        self.ready: list[Proposal] = []
        self._algo = algo
        self._problem = problem
        self._records = records
        self._known = 0
        self._supposed = 0  # so many of `ready`, from the first on, run as far as the searcher knows
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
            elif self._supposed and not _is_of(record, self.ready[0]):
                self.forget()
            elif self._supposed:
                self._strategy.table.apply(record)  # the searcher knows it already
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

        asked: to where its trial runs; None: to where the scheduler would send one now, `otherwise` if it starts none.
        """
        strategy = self._strategy
        if self._supposed < len(self.ready):
            last = self.ready[-1]
            strategy.history.start(self._problem.space.encode(last.config), last.until)
            self._supposed += 1
        action = strategy.algo.next(strategy.table, self._problem.fidelity)
        new = action if isinstance(action, New) and action.parent is None else None
        until = asked if asked is not None else otherwise if new is None else new.until
        self.ready.append(Proposal(strategy.history.proposed, until, self._known, strategy.suggestion(until)))


def _is_of(start: Start, proposal: Proposal) -> bool:
    """Whether a searcher that supposed `proposal` knows of this trial."""
    return start.parent is None and (start.until, start.config) == (proposal.until, proposal.config)
