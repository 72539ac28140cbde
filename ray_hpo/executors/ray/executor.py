"""Trials on a Ray cluster: a pool of actors that are reused from trial to trial, straight on Ray core."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from ray_hpo.errors import RayHpoError
from ray_hpo.executors.base import POLL_SECONDS
from ray_hpo.executors.ray.cluster import actor_options, capacity, check_possible
from ray_hpo.executors.ray.worker_handle import WorkerHandle, WorkerLost
from ray_hpo.messages import Crashed, Ended, Job, Message
from ray_hpo.worker.actor import Worker
from ray_hpo.worker.session import Setting

MAX_FAILED_STARTS = 5  # with no worker up, before the experiment is given up
RESIZE_SECONDS = 5.0  # how often the pool is fitted to the nodes that are alive


class RayExecutor:
    """As many workers as the cluster holds, at most `max_concurrent`. Ray must be initialised.

    resources: of one trial, with Ray's names (see ray_hpo/resources.py).
    isolate: give every trial a process of its own, at about 1 s each. After a crash that is done anyhow.

    Raises:
        InvalidInput: no node can ever give `resources`.
    """

    def __init__(
        self,
        trainable: Any,
        setting: Setting,
        resources: Mapping[str, float],
        max_concurrent: int | None = None,
        isolate: bool = False,
    ) -> None:
        check_possible(resources)
        self._resources = resources
        self._max_concurrent = max_concurrent
        self._isolate = isolate
        options = actor_options(resources)
        self._actor_class: Any = ray.remote(max_restarts=0)(Worker).options(**options)
        self._trainable = ray.put(trainable)
        self._setting = setting
        self._workers: list[WorkerHandle] = []
        self._resized = 0.0
        self._failed_starts = 0
        self._resize()

    @property
    def free(self) -> int:
        return sum(worker.idle for worker in self._workers)

    @property
    def slots(self) -> int:
        return len(self._workers)

    def now(self) -> float:
        return time.time()

    def launch(self, job: Job) -> None:
        next(worker for worker in self._workers if worker.idle).run(job)

    def proceed(self, trial: int, until: float) -> None:
        self._worker_of(trial).proceed(until)

    def release(self, trial: int) -> None:
        worker = self._worker_of(trial)
        if self._isolate:
            self._replace(worker)
        else:
            worker.release()

    def poll(self, timeout: float) -> Sequence[Message]:
        timeout = min(timeout, POLL_SECONDS)
        if time.monotonic() - self._resized > RESIZE_SECONDS:
            self._resize()
        waiting = {worker.waitable: worker for worker in self._workers if worker.waitable is not None}
        if not waiting:
            time.sleep(timeout)
            return []
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=timeout, fetch_local=False)
        if ready and len(waiting) > 1:
            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0, fetch_local=False)
        messages: list[Message] = []
        for waitable in ready:
            messages += self._receive(waiting[waitable])
        return messages

    def shutdown(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _receive(self, worker: WorkerHandle) -> list[Message]:
        try:
            batch = worker.receive()
        except WorkerLost as lost:
            if not worker.up:
                self._failed_start(worker, lost)
                return []
            self._replace(worker)
            return [] if worker.trial is None else [Crashed(worker.trial, "infra", str(lost))]
        last = batch[-1] if batch else None
        if isinstance(last, Crashed):
            self._replace(worker)
        elif isinstance(last, Ended):
            worker.release()
            if self._isolate:
                self._replace(worker)
        return batch

    def _failed_start(self, worker: WorkerHandle, lost: WorkerLost) -> None:
        """One can be a lost node: the next `_resize` tries again. Many, and no worker up, are a broken trainable."""
        worker.kill()
        self._workers.remove(worker)
        self._failed_starts += 1
        if any(other.up for other in self._workers):
            return
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise RayHpoError(f"no worker can start: {lost}")
        if not self._workers:
            self._resize()

    def _worker_of(self, trial: int) -> WorkerHandle:
        return next(worker for worker in self._workers if worker.trial == trial)

    def _replace(self, worker: WorkerHandle) -> None:
        """Whatever state the process is in, a fresh one takes its place."""
        worker.kill()
        self._workers.remove(worker)
        self._resize()

    def _resize(self) -> None:
        """Start workers up to what the nodes that are alive hold. One that is busy is never taken away."""
        self._resized = time.monotonic()
        wanted = capacity(self._resources)
        if self._max_concurrent is not None:
            wanted = min(wanted, self._max_concurrent)
        for _ in range(len(self._workers), wanted):
            self._workers.append(WorkerHandle(self._actor_class.remote(self._trainable, self._setting)))
