"""Suggestions ahead of time, in a thread of its own: a free worker need not wait for a model, nor a verdict.

The thread has a strategy of its own, which is told the same records; so nothing is shared, and what it proposes depends
on the records alone. Which of its proposals becomes true is a matter of time, as the order is in which trials report;
the journal has what became true.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strategies.actions import Record
from strategies.schedulers.base import New, Scheduler
from strategies.strategy import Problem, Strategy

SLOW_SECONDS, SLOW_TIMES = 0.003, 3  # suggestions that take longer, so many times, are worth a thread
PATIENCE = 0.01  # of the time that a job takes: so long a worker may wait for a suggestion that knows all results
SOON = 0.002  # seconds after which to look again for one that is being made


@dataclass(frozen=True)
class _Proposal:
    """A configuration for suggestion `number`, of a trial that runs to `until`, made of the first `known` records."""

    number: int
    until: float
    known: int
    config: Mapping[str, Any]


class Foresight:
    """What to suggest next. As long as suggestions are quick, they are made when they are asked for.

    strategy: the controller's.  records: all that it was told, in order; the list grows with it.
    """

    def __init__(self, strategy: Strategy, records: Sequence[Record]) -> None:
        self._strategy = strategy
        self._records = records
        self._thinker: _Thinker | None = None
        self._asked_at: float | None = None  # since when a worker waits
        self._slow = 0
        self._jobs, self._seconds = 0, 0.0

    @property
    def timeout(self) -> float:
        """How long at most to wait for other things before asking again, in seconds."""
        return math.inf if self._asked_at is None else SOON

    def job_took(self, seconds: float) -> None:
        """A trial was trained for so long without a question."""
        self._jobs += 1
        self._seconds += seconds

    def news(self) -> None:
        """There are new records."""
        if self._thinker is not None:
            self._thinker.wake()

    def suggest(self, until: float) -> Mapping[str, Any] | None:
        """The configuration of a new trial that runs to `until`; None if it is to be asked for again, soon."""
        now = time.monotonic()
        if self._thinker is None:
            config = self._strategy.suggestion(until)
            self._slow += time.monotonic() - now > SLOW_SECONDS
            if self._slow == SLOW_TIMES:
                self._thinker = _Thinker(self._strategy, self._records, until)
            return config
        proposal = self._thinker.proposal(self._strategy.history.proposed, until)
        if self._asked_at is None:
            self._asked_at = now
        patience = PATIENCE * self._seconds / max(1, self._jobs)
        if proposal is None or (proposal.known < len(self._records) and now - self._asked_at < patience):
            return None
        self._asked_at = None
        return proposal.config

    def close(self) -> None:
        if self._thinker is not None:
            self._thinker.close()


class _Thinker:
    """The thread, and the last proposal that it made."""

    def __init__(self, strategy: Strategy, records: Sequence[Record], until: float) -> None:
        self._records = records
        self._until = until  # of the trial that was asked for last
        self._waiting = False  # whether somebody waits for a proposal to there
        self._proposal: _Proposal | None = None
        self._error: BaseException | None = None
        self._closed = False
        self._wake = threading.Condition()
        algo = copy.deepcopy(strategy.algo)  # what it keeps in mind is not to be shared
        self._thread = threading.Thread(target=self._run, args=(algo, strategy.problem), name="foresight", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        with self._wake:
            self._wake.notify()

    def proposal(self, number: int, until: float) -> _Proposal | None:
        """What it has for suggestion `number` of a trial that runs to `until`."""
        if self._error is not None:
            raise self._error
        ready = self._proposal
        found = ready if ready is not None and (ready.number, ready.until) == (number, until) else None
        with self._wake:
            self._until, self._waiting = until, found is None
            self._wake.notify()
        return found

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self, algo: Scheduler, problem: Problem) -> None:
        try:
            self._think(Strategy(algo, problem))
        except BaseException as error:
            self._error = error

    def _think(self, strategy: Strategy) -> None:
        known, thought = 0, math.nan  # records told; to where the trial was to run that was thought of last

        def is_due() -> bool:
            return self._closed or known < len(self._records) or (self._waiting and self._until != thought)

        while True:
            with self._wake:
                self._wake.wait_for(is_due)
            if self._closed:
                return
            while known < len(self._records):
                strategy.apply(self._records[known])
                known += 1
            thought = self._until if self._waiting else _foreseen(strategy, self._until)
            number = strategy.history.proposed
            if number >= len(strategy.problem.points) and not strategy.table.exhausted:
                self._proposal = _Proposal(number, thought, known, strategy.suggestion(thought))


def _foreseen(strategy: Strategy, otherwise: float) -> float:
    """To where the next new trial will run, as far as can be seen."""
    action = strategy.algo.next(strategy.table, strategy.problem.fidelity)
    return action.until if isinstance(action, New) and action.parent is None else otherwise
