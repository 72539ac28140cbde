"""Which workers will soon be free: their next job is put in line behind the present one.

From a trial's milestone to the next trial on its worker there are two messages, which take some milliseconds, and maybe
a suggestion. A job in line begins at once. It was decided on without the result of the one before it, so this is only
done where jobs are so short that hardly any result is missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ray_hpo.executors.ray.worker_handle import WorkerHandle
from ray_hpo.messages import AtMilestone, Message, makes_way

WEIGHT = 0.2  # of the latest job in how long they are thought to take


class Succession:
    """Workers with a job that is expected to come to its milestone within a window of reports, and none behind it.

    enabled: whether a trial at its milestone may have to leave for the next one.
    """

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled  # as long as trials have checkpoints at their milestones
        self._open: dict[WorkerHandle, None] = {}  # the one that began first comes first
        self._pace = math.inf  # seconds that one unit of fidelity takes, about

    def __len__(self) -> int:
        return len(self._open)

    def begun(self, worker: WorkerHandle, window: float) -> None:
        """A worker has turned to a job, and answers after `window` seconds or at its milestone."""
        if self._enabled and worker.units * self._pace < window:
            self._open[worker] = None

    def heard(self, worker: WorkerHandle, units: float, messages: Sequence[Message], seconds: float) -> None:
        """Its answer. units: of its job.  seconds: since it turned to it."""
        self.forget(worker)
        last = messages[-1] if messages else None
        if isinstance(last, AtMilestone):
            self._enabled &= makes_way(last)
        if last is not None and makes_way(last):
            each = seconds / max(units, 1e-9)  # one that has ended by itself before has nothing left to do
            self._pace = each if math.isinf(self._pace) else self._pace + WEIGHT * (each - self._pace)

    def forget(self, worker: WorkerHandle) -> None:
        self._open.pop(worker, None)

    def clear(self) -> None:
        self._open.clear()

    def pop(self) -> WorkerHandle:
        """The one that is free first, probably."""
        worker = next(iter(self._open))
        del self._open[worker]
        return worker
