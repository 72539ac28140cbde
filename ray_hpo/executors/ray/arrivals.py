"""Which workers' trials will soon be at their milestones, as far as that can be foretold: where jobs are short.

From a trial's milestone to its verdict, or to the next trial on its worker, there are two messages, which take some
milliseconds, and maybe a suggestion. What is decided before costs no wait, and lacks the results that come meanwhile:
so this is only done where jobs are short, and as late as can be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import count
from weakref import WeakSet

from sortedcontainers import SortedList  # type: ignore[import-untyped]  # it has no types

from ray_hpo.executors.ray.worker_handle import WorkerHandle
from ray_hpo.messages import Crashed, Message, is_last, went_on

WEIGHT = 0.2  # of the latest job in how long they are thought to take
SHORT_SECONDS = 1.0  # of longer jobs, which some milliseconds hardly add to, nothing is foretold
LEAD = 0.4  # how long before a job's expected end its worker is due, as a part of it
LEAD_SECONDS = (0.02, 0.08)  # at least and at most


_Due = tuple[float, int, WorkerHandle]  # from when on, a number that tells those of the same moment apart, who


class Arrivals:
    """Workers with a short job, as far as its milestone can be foretold, until they are taken.

    now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._looked = now()
        self._numbers = count()
        self._expected: dict[WorkerHandle, _Due] = {}
        self._order = SortedList()  # of these
        self._since: dict[WorkerHandle, float] = {}  # when they turned to their jobs
        self._warm: WeakSet[WorkerHandle] = WeakSet()  # those that have done a job: the first one imports, and compiles
        self._pace = math.inf  # seconds that one unit of fidelity takes, about
        self._spread = 0.0  # by how much jobs differ from that, about
        self._settled = False  # whether that is known of warm ones

    def look(self) -> None:
        """See who is due now."""
        self._looked = self._now()

    @property
    def due(self) -> int:
        """How many are to be seen to, as of the last look."""
        seen: int = self._order.bisect_right((self._looked, math.inf))
        return seen

    @property
    def patience(self) -> float:
        """Seconds until there is one more to be seen."""
        due = self.due
        return max(0.0, self._order[due][0] - self._now()) if due < len(self._order) else math.inf

    def begun(self, worker: WorkerHandle) -> None:
        """A worker has turned to a job."""
        now, expected = self._now(), worker.units * self._pace
        self._since[worker] = now
        if worker.units * (self._pace + self._spread) < SHORT_SECONDS:
            least, most = LEAD_SECONDS
            self._expect(worker, now + expected - min(max(least, LEAD * expected), most))

    def heard(self, worker: WorkerHandle, units: float, messages: Sequence[Message], seconds: float) -> None:
        """Its answer. units: of its job.  seconds: since it turned to it, unless it has turned to another one."""
        since = self._since.get(worker, self._now())
        last = messages[-1] if messages else None
        if last is not None and is_last(last):
            if not isinstance(last, Crashed):
                self._took(worker, seconds, units)
            self.forget(worker)
        elif any(map(went_on, messages)):
            self._took(worker, self._now() - since, units)
            self.forget(worker)

    def take(self) -> WorkerHandle:
        """The one of those that are due that is first at its milestone; it is seen to."""
        worker: WorkerHandle = self._order.pop(0)[2]
        del self._expected[worker]
        return worker

    def forget(self, worker: WorkerHandle) -> None:
        """Its trial is at its milestone, or it is gone."""
        self._since.pop(worker, None)
        self._expect_no_more(worker)

    def clear(self) -> None:
        for workers in (self._expected, self._since, self._order):
            workers.clear()

    def _expect(self, worker: WorkerHandle, when: float) -> None:
        self._expect_no_more(worker)
        self._expected[worker] = when, next(self._numbers), worker
        self._order.add(self._expected[worker])

    def _expect_no_more(self, worker: WorkerHandle) -> None:
        known = self._expected.pop(worker, None)
        if known is not None:
            self._order.remove(known)

    def _took(self, worker: WorkerHandle, seconds: float, units: float) -> None:
        each = seconds / max(units, 1e-9)  # one that has ended by itself before has nothing left to do
        if worker in self._warm:
            if self._settled:
                self._spread += WEIGHT * (abs(each - self._pace) - self._spread)
                self._pace += WEIGHT * (each - self._pace)
            else:
                self._pace, self._settled = each, True
        else:
            self._warm.add(worker)
            self._pace = self._pace if self._settled else min(self._pace, each)
