"""Suggestions ahead of time, in a thread of its own: a free worker need not wait for a model, nor a verdict.

The thread has a strategy of its own, which is told the same records; so nothing is shared, and what it proposes depends
on the records alone. Which of its proposals becomes true is a matter of time, as the order is in which trials report;
the journal has what became true.

Where jobs are short, several workers are free before a slow model has made one suggestion. Then the thread keeps a
queue: each proposal is made as if those before it ran already.
"""

from __future__ import annotations

import copy
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from strategies.actions import Record
from strategies.schedulers.base import Scheduler
from strategies.strategy import Problem, Strategy

from ray_hpo.proposals import Proposal, Proposals

SLOW_SECONDS, SLOW_TIMES = 0.003, 3  # suggestions that take longer, so many times, are worth a thread
PATIENCE = 0.01  # of the time that a job takes: so long a worker may wait for a suggestion that knows all results
SOON = 0.002  # seconds after which to look again for one that is being made
REST = 3.0  # times as long as it took, after which a suggestion that nobody took yet is made anew with newer results
LONGEST = 8  # proposals in a queue: the last of them lacks the results of so many trials
WEIGHT = 0.2  # of the latest suggestion in how long one is thought to take
SWITCH_SECONDS = 0.0001  # how long threads may keep the interpreter from the controller


class Foresight:
    """What to suggest next. As long as suggestions are quick, they are made when they are asked for.

    strategy: the controller's.  records: all that it was told, in order; the list grows with it.
    workers: how many there are.
    expected: seconds that a suggestion will take once there are results, about; 0 as long as nobody knows.
    """

    def __init__(
        self,
        strategy: Strategy,
        records: Sequence[Record],
        workers: Callable[[], int] = lambda: 1,
        expected: Callable[[], float] = float,
    ) -> None:
        self._strategy = strategy
        self._records = records
        self._workers = workers
        self._expected = expected
        self._thinker: _Thinker | None = None
        self._asked_at: float | None = None  # since when a worker waits
        self._slow = 0
        self._jobs, self._seconds = 0, 0.0
        self._switch_before = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_SECONDS, self._switch_before))

    @property
    def timeout(self) -> float:
        """How long at most to wait for other things before asking again, in seconds."""
        return math.inf if self._asked_at is None else SOON

    @property
    def ready(self) -> int:
        """How many suggestions wait to be asked for."""
        return 0 if self._thinker is None else self._thinker.ready(self._strategy.history.proposed)

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
        if self._thinker is None and self._expected() > SLOW_SECONDS:
            self._begin(until)
        if self._thinker is None:
            config = self._strategy.suggestion(until)
            self._slow += time.monotonic() - now > SLOW_SECONDS
            if self._slow == SLOW_TIMES:
                self._begin(until)
            return config
        self._asked_at = now if self._asked_at is None else self._asked_at
        workers, patience = self._workers(), PATIENCE * self._seconds / max(1, self._jobs)
        has_queue = workers * self._thinker.takes > patience  # all may be free at the same moment
        self._thinker.length = min(workers, LONGEST) if has_queue else 1
        wants_fresh = not has_queue and patience > SOON and now - self._asked_at < patience
        proposal = self._thinker.proposal(self._strategy.history.proposed, until, wants_fresh)
        if proposal is None:
            return None
        self._asked_at = None
        return proposal.config

    def _begin(self, until: float) -> None:
        self._thinker = _Thinker(self._strategy, self._records, until, self._expected())

    def close(self) -> None:
        if self._thinker is not None:
            self._thinker.close()
        sys.setswitchinterval(self._switch_before)


class _Thinker:
    """The thread, and what it proposes next.

    takes: how long a suggestion takes, in seconds, about.  length: how many to have ready.
    """

    def __init__(self, strategy: Strategy, records: Sequence[Record], until: float, takes: float) -> None:
        self.takes = takes
        self.length = 1
        self._records = records
        self._number, self._until = -1, until  # of the trial that was asked for last
        self._waiting = False  # whether somebody waits for a proposal to there
        self._ready: tuple[Proposal, ...] = ()  # one after another
        self._error: BaseException | None = None
        self._closed = False
        self._wake = threading.Condition()
        algo = copy.deepcopy(strategy.algo)  # what it keeps in mind is not to be shared
        self._thread = threading.Thread(target=self._run, args=(algo, strategy.problem), name="foresight", daemon=True)
        self._thread.start()

    def ready(self, number: int) -> int:
        """How many there are for suggestion `number` and those after it."""
        return sum(proposal.number >= number for proposal in self._ready)

    def wake(self) -> None:
        with self._wake:
            self._wake.notify()

    def proposal(self, number: int, until: float, wants_fresh: bool) -> Proposal | None:
        """What it has for suggestion `number` of a trial that runs to `until`; if nothing, it begins to think.

        wants_fresh: nothing less than what takes account of all records.
        """
        if self._error is not None:
            raise self._error
        for ready in self._ready:
            fits = (ready.number, ready.until) == (number, until)
            if fits and (ready.known == len(self._records) or not wants_fresh):
                return ready
        with self._wake:
            self._number, self._until, self._waiting = number, until, True
            self._wake.notify()
        return None

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self, algo: Scheduler, problem: Problem) -> None:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

        try:
            # The matrices are small: a second thread takes a core from the workers, and from the controller.
            with threadpool_limits(1, user_api="blas"):
                self._think(Proposals(algo, problem, self._records))
        except BaseException as error:
            self._error = error

    def _think(self, proposals: Proposals) -> None:
        rested = 0.0  # when it may think again of what nobody waits for

        def has_room() -> bool:
            return len(proposals.ready) < self.length and proposals.can_propose

        def has_work() -> bool:
            return self._closed or self._waiting or proposals.has_news or has_room()

        while True:
            with self._wake:
                self._wake.wait_for(has_work)
                waiting, self._waiting = self._waiting, False
            if self._closed:
                return
            began = time.monotonic()
            misfit = waiting and any(p.number == self._number and p.until != self._until for p in proposals.ready)
            # A new result costs a model several times what one more suggestion does: it hears of them once a queue.
            if not has_room() or not proposals.ready or misfit:
                proposals.hear()
            if misfit and proposals.ready:
                proposals.forget()
            elif self.length == 1 == len(proposals.ready) and proposals.is_old and (waiting or began >= rested):
                proposals.drop_last()
            if has_room():
                asked = self._until if waiting and not proposals.ready else None
                proposals.propose(asked, self._until)
                took = time.monotonic() - began
                self.takes += WEIGHT * (took - self.takes)
                rested = began + (1 + REST) * took
            self._ready = tuple(proposals.ready)
