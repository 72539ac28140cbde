"""Which workers will soon be free: their next job is put in line behind the present one.

From a trial's milestone to the next trial on its worker there are two messages, which take some milliseconds, and maybe
a suggestion. A job in line begins at once. It was decided on without the result of the one before it, and of others
that come meanwhile: so this is only done where jobs are short, and as late as can be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ray_hpo.executors.ray.worker_handle import WorkerHandle
from ray_hpo.messages import AtMilestone, Message, makes_way

WEIGHT = 0.2  # of the latest job in how long they are thought to take
LEAD_SECONDS, LEAD = 0.02, 0.4  # how long before a job's expected end the next one is wanted; also as a part of it


class Succession:
    """Workers with a job that is expected to come to its milestone within a window of reports, and none behind it.

    most: so many jobs may be in line.  now: a clock, in seconds.
    """

    def __init__(self, most: float, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._enabled = most > 0  # as long as trials have checkpoints at their milestones
        self._now = now
        self._looked = now()
        self._open: dict[WorkerHandle, float] = {}  # from when on the next job is wanted
        self._filled: set[WorkerHandle] = set()  # those with a job in line
        self._pace = math.inf  # seconds that one unit of fidelity takes, about

    def __len__(self) -> int:
        """How many jobs are wanted, as of the last look."""
        wanted = sum(due <= self._looked for due in self._open.values())
        return int(min(wanted, max(0, self._most - len(self._filled))))

    def look(self) -> None:
        """See who wants one now."""
        self._looked = self._now()

    @property
    def patience(self) -> float:
        """Seconds until there is one more to be seen."""
        due = min((due for due in self._open.values() if due > self._looked), default=math.inf)
        return max(0.0, due - self._now())

    def begun(self, worker: WorkerHandle, window: float) -> None:
        """A worker has turned to a job, and answers after `window` seconds or at its milestone."""
        self._filled.discard(worker)
        expected = worker.units * self._pace
        if self._enabled and expected < window:
            self._open[worker] = self._now() + expected - max(LEAD_SECONDS, LEAD * expected)

    def heard(self, worker: WorkerHandle, units: float, messages: Sequence[Message], seconds: float) -> None:
        """Its answer. units: of its job.  seconds: since it turned to it."""
        self._open.pop(worker, None)
        if worker.following is None:
            self._filled.discard(worker)
        last = messages[-1] if messages else None
        if isinstance(last, AtMilestone):
            self._enabled &= makes_way(last)
        if last is not None and makes_way(last):
            each = seconds / max(units, 1e-9)  # one that has ended by itself before has nothing left to do
            self._pace = each if math.isinf(self._pace) else self._pace + WEIGHT * (each - self._pace)

    def forget(self, worker: WorkerHandle) -> None:
        self._open.pop(worker, None)
        self._filled.discard(worker)

    def clear(self) -> None:
        self._open.clear()
        self._filled.clear()

    def pop(self) -> WorkerHandle:
        """The one that is free first, probably; it gets a job in line."""
        worker = min(self._open, key=self._open.__getitem__)
        del self._open[worker]
        self._filled.add(worker)
        return worker
