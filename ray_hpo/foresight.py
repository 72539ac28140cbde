"""Suggestions ahead of time, in a thread of its own: a free worker need not wait for a model, nor a verdict.

The thread has a strategy of its own, which is told the same records; so nothing is shared, and what it proposes depends
on the records alone. Which of its proposals becomes true is a matter of time, as the order is in which trials report;
the journal has what became true.
"""

from __future__ import annotations

import copy
import math
import sys
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
REST = 3.0  # times as long as it took, after which a suggestion that nobody took yet is made anew with newer results
SWITCH_SECONDS = 0.0005  # how long the thread may keep the interpreter from the controller


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
        self._asked_at = now if self._asked_at is None else self._asked_at
        patience = PATIENCE * self._seconds / max(1, self._jobs)
        wants_fresh = patience > SOON and now - self._asked_at < patience
        proposal = self._thinker.proposal(self._strategy.history.proposed, until, wants_fresh)
        if proposal is None:
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
        self._switch_before = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_SECONDS, self._switch_before))
        self._thread.start()

    def wake(self) -> None:
        with self._wake:
            self._wake.notify()

    def proposal(self, number: int, until: float, wants_fresh: bool) -> _Proposal | None:
        """What it has for suggestion `number` of a trial that runs to `until`; if nothing, it begins to think.

        wants_fresh: nothing less than what takes account of all records.
        """
        if self._error is not None:
            raise self._error
        ready = self._proposal
        fits = ready is not None and (ready.number, ready.until) == (number, until)
        if ready is not None and fits and (ready.known == len(self._records) or not wants_fresh):
            return ready
        with self._wake:
            self._until, self._waiting = until, True
            self._wake.notify()
        return None

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        sys.setswitchinterval(self._switch_before)

    def _run(self, algo: Scheduler, problem: Problem) -> None:
        try:
            self._think(Strategy(algo, problem))
        except BaseException as error:
            self._error = error

    def _think(self, strategy: Strategy) -> None:
        known = 0  # records that the strategy was told
        rested = 0.0  # when it may think again of what nobody waits for

        def has_news() -> bool:
            return self._closed or self._waiting or known < len(self._records)

        while True:
            with self._wake:
                self._wake.wait_for(has_news)
                waiting, self._waiting = self._waiting, False
            if self._closed:
                return
            while known < len(self._records):
                strategy.apply(self._records[known])
                known += 1
            number = strategy.history.proposed
            until = self._until if waiting else _foreseen(strategy, self._until)
            ready, began = self._proposal, time.monotonic()
            is_thought_of = ready is not None and (ready.number, ready.until) == (number, until)
            if number < len(strategy.problem.points) or strategy.table.exhausted:
                continue
            if is_thought_of and not waiting and began < rested:
                continue
            self._proposal = _Proposal(number, until, known, strategy.suggestion(until))
            rested = began + (1 + REST) * (time.monotonic() - began)


def _foreseen(strategy: Strategy, otherwise: float) -> float:
    """To where the next new trial will run, as far as can be seen."""
    action = strategy.algo.next(strategy.table, strategy.problem.fidelity)
    return action.until if isinstance(action, New) and action.parent is None else otherwise
