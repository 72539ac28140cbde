"""Trials on a Ray cluster: a pool of actors that are reused from trial to trial, straight on Ray core."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from ray_hpo.errors import RayHpoError
from ray_hpo.executors.base import POLL_SECONDS
from ray_hpo.executors.clock import SteadyClock
from ray_hpo.executors.ray.backlog import Backlog
from ray_hpo.executors.ray.cluster import actor_options, capacity, check_possible
from ray_hpo.executors.ray.worker_handle import WorkerHandle, WorkerLost
from ray_hpo.messages import Crashed, Job, Message
from ray_hpo.worker.actor import Worker
from ray_hpo.worker.session import Setting

MAX_FAILED_STARTS = 5  # with no worker up, before the experiment is given up
RESIZE_SECONDS = 5.0  # how often the pool is fitted to the nodes that are alive
WINDOW_SECONDS = (0.2, 0.5)  # the shortest and the longest time that reports wait for others to travel with
WINDOW_OF_WORKER = 0.0025  # a window is as long as the pool is large, so that the driver can keep up with all workers
FEW = 32  # workers of which the first answer is waited for; of more, all answers that are there are taken at once


class RayExecutor:
    """As many workers as the cluster holds, at most `max_concurrent`. Ray must be initialised.

    resources: of one trial, with Ray's names (see ray_hpo/resources.py).
    isolate: give every trial a process of its own, at about 1 s each. After a crash that is done anyhow.
    ahead: no job depends on what others find, so that they may be taken ahead of their turn.

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
        ahead: bool = False,
    ) -> None:
        check_possible(resources)
        self._resources = resources
        self._max_concurrent = max_concurrent
        self._isolate = isolate
        options = actor_options(resources)
        self._actor_class: Any = ray.remote(max_restarts=0)(Worker).options(**options)
        self._trainable = ray.put(trainable)
        self._setting = setting
        self._clock = SteadyClock()
        self._workers: list[WorkerHandle] = []
        self._idle: list[WorkerHandle] = []  # the one that was busy last is the first to be busy again
        self._given_back: list[WorkerHandle] = []  # since the last poll
        self._running: dict[int, WorkerHandle] = {}  # by trial, those included that a worker has yet to begin
        self._backlog = Backlog(shares=ahead and not isolate)
        self._answers: dict[Any, WorkerHandle] = {}  # what is waited for
        self._resized = 0.0
        self._failed_starts = 0
        self._resize()

    @property
    def free(self) -> int:
        return self._backlog.wanted(len(self._idle), len(self._workers), len(self._running))

    @property
    def slots(self) -> int:
        return len(self._workers)

    def now(self) -> float:
        return self._clock.now()

    def launch(self, job: Job) -> None:
        self._backlog.add(job)
        if self._backlog.per_call == 1:
            self._hand_out()

    def proceed(self, trial: int, until: float) -> None:
        worker = self._running[trial]
        worker.proceed(until, self._window)
        self._answers[worker.answer] = worker

    def release(self, trial: int) -> None:
        self._give_back(self._running.pop(trial))

    def began(self, trial: int) -> float | None:
        worker = self._running.get(trial)
        return worker.since if worker is not None and worker.jobs[0].trial == trial else None

    def kill(self, trial: int) -> None:
        worker = self._running[trial]
        self._answers.pop(worker.answer, None)
        self._backlog.give_back([job for job in worker.jobs if job.trial != trial])
        self._replace(worker)

    def poll(self, timeout: float) -> Sequence[Message]:
        timeout = min(timeout, POLL_SECONDS)
        self._hand_out()
        if time.monotonic() - self._resized > RESIZE_SECONDS:
            self._resize()
        for worker in self._given_back:
            if worker.idle:
                worker.free_memory()
        self._given_back.clear()
        if not self._answers:
            time.sleep(timeout)
            return []
        waiting = list(self._answers)
        ready, _ = ray.wait(waiting, num_returns=1, timeout=timeout, fetch_local=False)
        if ready and len(waiting) > FEW:
            ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        messages: list[Message] = []
        for answer in ready:
            messages += self._receive(self._answers.pop(answer))
        return messages

    def shutdown(self) -> None:
        for worker in self._workers:
            worker.kill()
        for workers in (self._workers, self._idle, self._given_back, self._running, self._answers):
            workers.clear()

    @property
    def _window(self) -> float:
        shortest, longest = WINDOW_SECONDS
        return min(max(shortest, WINDOW_OF_WORKER * len(self._workers)), longest)

    def _hand_out(self) -> None:
        while self._idle and self._backlog:
            worker, jobs = self._idle.pop(), self._backlog.take(len(self._workers))
            worker.run(jobs, self._window, self.now())
            self._running.update((job.trial, worker) for job in jobs)
            self._answers[worker.answer] = worker

    def _receive(self, worker: WorkerHandle) -> list[Message]:
        was_up = worker.up
        try:
            messages, over, given_back, seconds = worker.receive(self._window, self.now())
        except WorkerLost as lost:
            if not was_up:
                self._failed_start(worker, lost)
                return []
            return self._lost(worker, lost)
        if not was_up:
            self._idle.append(worker)
            return []
        if over or given_back:
            self._backlog.took(seconds, len(over))
            self._backlog.give_back(given_back)
            for job in (*over, *given_back):
                del self._running[job.trial]
        if worker.answer is not None:
            self._answers[worker.answer] = worker
        elif over and isinstance(messages[-1], Crashed):
            self._replace(worker)
        elif worker.idle:
            self._give_back(worker)
        return messages

    def _lost(self, worker: WorkerHandle, lost: WorkerLost) -> list[Message]:
        """Of several jobs nobody knows which one ended the worker, if one did: each is run again, alone."""
        jobs = worker.jobs
        self._replace(worker)
        if len(jobs) > 1:
            self._backlog.give_back(jobs, alone=True)
            return []
        return [Crashed(job.trial, lost.cause, str(lost)) for job in jobs]

    def _give_back(self, worker: WorkerHandle) -> None:
        if self._isolate:
            self._replace(worker)
            return
        worker.give_back()
        self._idle.append(worker)
        self._given_back.append(worker)

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

    def _replace(self, worker: WorkerHandle) -> None:
        """Whatever state the process is in, a fresh one takes its place."""
        worker.kill()
        self._workers.remove(worker)
        for job in worker.jobs:
            self._running.pop(job.trial, None)
        self._resize()

    def _resize(self) -> None:
        """Start workers up to what the nodes that are alive hold. One that is busy is never taken away."""
        self._resized = time.monotonic()
        wanted = capacity(self._resources)
        if self._max_concurrent is not None:
            wanted = min(wanted, self._max_concurrent)
        for _ in range(len(self._workers), wanted):
            worker = WorkerHandle(self._actor_class.remote(self._trainable, self._setting))
            self._workers.append(worker)
            self._answers[worker.answer] = worker
