"""Trials on a Ray cluster: a pool of actors that are reused from trial to trial, straight on Ray core."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray

from ray_hpo.errors import RayHpoError
from ray_hpo.executors.base import POLL_SECONDS
from ray_hpo.executors.clock import SteadyClock
from ray_hpo.executors.ray.backlog import Backlog
from ray_hpo.executors.ray.cluster import check_possible, draining
from ray_hpo.executors.ray.gpu_packing import GpuPacking
from ray_hpo.executors.ray.placement import place
from ray_hpo.executors.ray.pool_size import Pool
from ray_hpo.executors.ray.sizing import Sizing
from ray_hpo.executors.ray.worker_handle import WorkerHandle, WorkerLost
from ray_hpo.messages import Crashed, Job, Message
from ray_hpo.resources import Request
from ray_hpo.worker.actor import Worker
from ray_hpo.worker.session import Setting

MAX_FAILED_STARTS = 5  # with no worker up, before the experiment is given up
RESIZE_SECONDS = 5.0  # how often the pool is fitted to the cluster, to the work, and to other sweeps
LINGER_SECONDS = 1.0  # without a trial, after which a worker counts as idle
LEAVE_SECONDS = 20.0  # how long a trial keeps a place that is not its sweep's any more, if it does not end before
IDLE_SECONDS = 30.0  # after which it is let go, so that its node may be, too
WINDOW_SECONDS = (0.2, 0.5)  # the shortest and the longest time that reports wait for others to travel with
WINDOW_OF_WORKER = 0.0025  # a window is as long as the pool is large, so that the driver can keep up with all workers
FEW = 32  # workers of which the first answer is waited for; of more, all answers that are there are taken at once


class RayExecutor:
    """As many workers as the cluster holds and there is work for, at most `max_concurrent`. Ray must be initialised.

    request: what one trial holds.  priority: beside other sweeps on the same cluster.
    isolate: give every trial a process of its own, at about 1 s each. After a crash that is done anyhow.
    ahead: no job depends on what others find, so that they may be taken ahead of their turn.

    Raises:
        InvalidInput: no node can ever give `request`.
    """

    def __init__(
        self,
        trainable: Any,
        setting: Setting,
        request: Request,
        max_concurrent: int | None = None,
        isolate: bool = False,
        ahead: bool = False,
        priority: float = 1.0,
    ) -> None:
        check_possible(request)
        self._packing = GpuPacking(request) if request.auto_gpu else None
        self._sizing = Sizing(request, max_concurrent, priority)
        self._isolate = isolate
        self._actor_class: Any = ray.remote(max_restarts=0)(Worker)
        self._trainable = ray.put(trainable)
        self._setting = setting
        self._clock = SteadyClock()
        self._workers: list[WorkerHandle] = []
        self._idle: list[WorkerHandle] = []  # the one that was busy last is the first to be busy again
        self._given_back: list[WorkerHandle] = []  # since the last poll
        self._running: dict[int, WorkerHandle] = {}  # by trial, those included that a worker has yet to begin
        self._backlog = Backlog(shares=ahead and not isolate and not request.amount("GPU"))
        self._answers: dict[Any, WorkerHandle] = {}  # what is waited for
        self._resized = 0.0
        self._size = 0  # how many workers there are to be, those that leave not counted
        self._failed_starts = 0
        self._resize()

    def follow(self, work: Callable[[int], int]) -> None:
        """See `executors.base.Elastic`."""
        self._sizing.follow(work)
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
        self._sizing.close()
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
        if worker.cleaning:
            self._cleaned(worker)
            return []
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
        return messages if self._packing is None else self._pack(self._packing, messages)

    def _pack(self, packing: GpuPacking, messages: list[Message]) -> list[Message]:
        """What others are to hear of `messages`; the pool is fitted to what the measurements among them say."""
        others = packing.sort(messages)
        if packing.request is not self._sizing.request:
            self._sizing.request = packing.request
            self._resized = 0.0
        return others

    def _cleaned(self, worker: WorkerHandle) -> None:
        """A process that keeps a trial's GPU memory ends: only that frees it."""
        try:
            clean = worker.is_clean()
        except WorkerLost:
            clean = False
        if clean and not worker.leaves:
            self._idle.append(worker)
        else:
            self._replace(worker)

    def _lost(self, worker: WorkerHandle, lost: WorkerLost) -> list[Message]:
        """Of several jobs nobody knows which one ended the worker, if one did: each is run again, alone."""
        jobs = worker.jobs
        self._replace(worker)
        if len(jobs) > 1:
            self._backlog.give_back(jobs, alone=True)
            return []
        return [Crashed(job.trial, lost.cause, str(lost)) for job in jobs]

    def _give_back(self, worker: WorkerHandle) -> None:
        if self._isolate or worker.leaves:
            self._replace(worker)
            return
        worker.give_back()
        if worker.request.amount("GPU"):
            worker.clean()
            self._answers[worker.answer] = worker
            return
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
        """Whatever state the process is in, a fresh one takes its place, if there is to be one."""
        for job in worker.jobs:
            self._running.pop(job.trial, None)
        self._end(worker)
        self._refill()

    def _end(self, worker: WorkerHandle) -> None:
        worker.kill()
        self._workers.remove(worker)
        self._answers.pop(worker.answer, None)
        if worker in self._idle:
            self._idle.remove(worker)

    def _refill(self) -> None:
        for _ in range(sum(not worker.leaves for worker in self._workers), self._size):
            request = self._sizing.request
            options, group = place(request)
            actor = self._actor_class.options(**options).remote(self._trainable, self._setting)
            worker = WorkerHandle(actor, request, group)
            self._workers.append(worker)
            self._answers[worker.answer] = worker

    def _resize(self) -> None:
        """Fit the pool to the cluster, to the work, and to what other sweeps want."""
        self._resized = now = time.monotonic()
        self._leave_nodes()
        self._leave_old_shares()
        doomed = sum(worker.doomed for worker in self._workers)
        for worker in [worker for worker in self._idle if now - worker.idle_since > IDLE_SECONDS]:
            self._end(worker)
        starting = [worker for worker in self._workers if not worker.up]
        lasting = [worker for worker in self._idle if now - worker.idle_since > LINGER_SECONDS]
        count, idle = len(self._workers) - doomed, len(lasting)
        by = self._sizing.change(Pool(count - len(starting) - idle, idle, len(starting)), len(self._backlog))
        self._size = count + by
        for worker in [*starting[::-1], *lasting][: max(0, -by)]:
            self._end(worker)
        self._have_leave(len(self._workers) - doomed - self._size)
        self._refill()

    def _leave_nodes(self) -> None:
        """Have workers leave nodes that are about to be shut down."""
        nodes = draining()
        for worker in [worker for worker in self._workers if worker.node in nodes]:
            if worker in self._idle:
                self._end(worker)
            else:
                worker.leaves = worker.doomed = True
                worker.ask_to_leave("its node is about to be shut down")

    def _leave_old_shares(self) -> None:
        """Workers with another share of a GPU than trials are to have now make way, the larger ones at once."""
        share = self._sizing.request.amount("GPU")
        for worker in [worker for worker in self._workers if worker.request is not self._sizing.request]:
            if worker in self._idle or not worker.up:
                self._end(worker)
                continue
            worker.leaves = worker.doomed = True
            if worker.request.amount("GPU") > share:
                worker.ask_to_leave("its GPU is to be shared from here on")

    def _have_leave(self, count: int) -> None:
        """So many workers are to give up their places when their trials are over, or paused: the newest.

        Trials that take longer than LEAVE_SECONDS go when they have saved.
        """
        for place_, worker in enumerate(reversed([worker for worker in self._workers if not worker.doomed])):
            if place_ >= count:
                worker.let_stay()
            elif not worker.leaves:
                worker.leaves, worker.leaves_since = True, self._resized
            elif self._resized - worker.leaves_since > LEAVE_SECONDS:
                worker.ask_to_leave("its place is another sweep's share of the cluster")
