"""Which workers will soon be free: their next job is put in line behind the present one, and begins at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ray_hpo.executors.ray.arrivals import Arrivals
from ray_hpo.executors.ray.worker_handle import WorkerHandle
from ray_hpo.messages import AtMilestone, Message, is_last, makes_way


class Succession(Arrivals):
    """Workers that are due, and have no job behind the present one.

    most: so many jobs may be in line.
    """

    def __init__(self, most: float, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._most = most
        self._enabled = most > 0  # as long as trials have checkpoints at their milestones
        self._filled: set[WorkerHandle] = set()  # those with a job in line

    def __len__(self) -> int:
        """How many jobs are wanted, as of the last look."""
        return int(min(self.due, max(0, self._most - len(self._filled))))

    def begun(self, worker: WorkerHandle) -> None:
        if self._enabled:
            super().begun(worker)

    def add(self, worker: WorkerHandle) -> None:
        """It is due, whenever its job began, as will be seen at the next look."""
        if self._enabled:
            self._expect(worker, self._now())

    def heard(self, worker: WorkerHandle, units: float, messages: Sequence[Message], seconds: float) -> None:
        super().heard(worker, units, messages, seconds)
        if worker.following is not None:
            self._filled.add(worker)
        last = messages[-1] if messages else None
        if isinstance(last, AtMilestone) and is_last(last):
            self._enabled &= makes_way(last)

    def take(self) -> WorkerHandle:
        """The one that is free first, probably; it gets a job in line."""
        worker = super().take()
        self._filled.add(worker)
        return worker

    def forget(self, worker: WorkerHandle) -> None:
        super().forget(worker)
        self._filled.discard(worker)

    def clear(self) -> None:
        super().clear()
        self._filled.clear()
