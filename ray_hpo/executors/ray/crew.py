"""The workers: how many there are, where, and who comes and goes. What they do is the executor's business."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray_hpo.errors import RayHpoError
from ray_hpo.executors.ray.cluster import draining
from ray_hpo.executors.ray.placement import place
from ray_hpo.executors.ray.pool_size import Pool
from ray_hpo.executors.ray.sharing import Held, to_leave, workers_taken
from ray_hpo.executors.ray.sizing import Sizing
from ray_hpo.executors.ray.worker_handle import WorkerHandle, WorkerLost
from ray_hpo.resources import Request

MAX_FAILED_STARTS = 5  # with no worker up, before the experiment is given up
LINGER_SECONDS = 1.0  # without a trial, after which a worker counts as idle
LEAVE_SECONDS = 20.0  # how long a trial keeps a place that is not its sweep's any more, if it does not end before
IDLE_SECONDS = 30.0  # after which it is let go, so that its node may be, too


class Crew:
    """All workers of an experiment.

    make: starts an actor with these options of Ray's.  answers: what is waited for; those of new workers are added.
    idle: workers that are up and free; the one that was busy last is the first to be busy again.
    larger: a worker with a larger share of a GPU than the others, that starts or has no trial yet.
    """

    def __init__(self, make: Callable[[dict[str, Any]], Any], sizing: Sizing, answers: dict[Any, WorkerHandle]) -> None:
        self.workers: list[WorkerHandle] = []
        self.idle: list[WorkerHandle] = []
        self.larger: WorkerHandle | None = None
        self.resized = 0.0
        self._make = make
        self._sizing = sizing
        self._answers = answers
        self._size = 0  # how many there are to be, besides those that are to go whatever comes
        self._failed_starts = 0
        self.resize(0)

    def follow(self, work: Callable[[int], int]) -> None:
        """See `executors.base.Elastic`."""
        self._sizing.follow(work)
        self.resize(0)

    def share_gpus(self, request: Request) -> None:
        """From now on workers hold what `request` says."""
        self._sizing.request = request
        self.resized = 0.0

    def resize(self, waiting: int) -> None:
        """Fit the crew to the cluster, to the work, and to what other sweeps want. waiting: jobs without a worker.

        Raises:
            RayHpoError: see `Sizing.change`.
        """
        self.resized = now = time.monotonic()
        self._leave_nodes()
        self._leave_old_shares()
        for worker in [worker for worker in self.idle if now - worker.idle_since > IDLE_SECONDS]:
            if len(self.workers) > 1:  # the last one is to hear that there is no more work
                self.end(worker)
        present = [worker for worker in self.workers if not worker.goes]
        starting = [worker for worker in present if not worker.up and worker is not self.larger]
        lasting = [worker for worker in self.idle if now - worker.idle_since > LINGER_SECONDS and worker in present]
        pool = Pool(len(present) - len(starting) - len(lasting), len(lasting), len(starting))
        by = self._sizing.change(pool, waiting, self._taken_by_larger(), [worker.node for worker in present])
        self._size = len(present) + by
        for worker in [*starting[::-1], *lasting][: max(0, -by)]:
            self.end(worker)
            present.remove(worker)
        self._have_leave([worker for worker in present if worker.share is None], len(present) - self._size)
        self._refill()

    def replace(self, worker: WorkerHandle) -> None:
        """Whatever state the process is in, a fresh one takes its place, if there is to be one."""
        self.end(worker)
        self._refill()

    def end(self, worker: WorkerHandle) -> None:
        worker.kill()
        self.workers.remove(worker)
        self._answers.pop(worker.answer, None)
        if worker in self.idle:
            self.idle.remove(worker)
        if worker is self.larger:
            self.larger = None

    def came_up(self, worker: WorkerHandle) -> None:
        if worker is not self.larger:
            self.idle.append(worker)
            return
        for other in self.workers:  # it has found its room
            other.makes_room = False

    def failed_start(self, worker: WorkerHandle, lost: WorkerLost) -> None:
        """One can be a lost node: the next `resize` tries again. Many, and no worker up, are a broken trainable.

        Raises:
            RayHpoError: no worker can start.
        """
        self.end(worker)
        self._failed_starts += 1
        if any(other.up for other in self.workers):
            return
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise RayHpoError(f"no worker can start: {lost}")
        if not self.workers:
            self.resized = 0.0

    def shutdown(self) -> None:
        self._sizing.close()
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
        self.idle.clear()
        self.larger = None

    # ---- a larger share of a GPU ----

    def room_for(self, gpu: float, waiting: int) -> bool:
        """See `Executor.room_for`."""
        new = self.larger is None
        if self.larger is None:
            self.larger = self._start(self._sizing.request.with_gpu(gpu), gpu)
        if not self.larger.up and (self._make_room(gpu) or new):
            self.resize(waiting)
        return self.larger is not None and self.larger.up and self.larger.share == gpu

    def take_larger(self) -> WorkerHandle:
        worker, self.larger = self.larger, None
        assert worker is not None
        return worker

    def _make_room(self, gpu: float) -> bool:
        """Have as many workers go as it takes for the larger one to start, those that are idle at once; whether it
        takes any."""
        held = [
            Held(one.gpu, one.request.amount("GPU"), one.share is None, one in self.idle, one.leaves)
            for one in self.workers
        ]
        staying = sum(not worker.leaves for worker in self.workers)
        chosen = [self.workers[i] for i in to_leave(held, gpu, staying - self._size)]
        for worker in chosen:
            worker.makes_room = True
            if worker in self.idle:
                self.end(worker)
        return bool(chosen)

    def _taken_by_larger(self) -> int:
        """Workers of the usual share that do not fit because of those with a larger one, besides these themselves."""
        usual = self._sizing.request.amount("GPU")
        return sum(workers_taken(worker.share, usual) - 1 for worker in self.workers if worker.share is not None)

    # ---- coming and going ----

    def _refill(self) -> None:
        for _ in range(sum(not (worker.goes or worker.surplus) for worker in self.workers), self._size):
            self._start(self._sizing.request)

    def _start(self, request: Request, share: float | None = None) -> WorkerHandle:
        """share: of a GPU, if it is larger than the others'."""
        options, group = place(request, self._sizing.avoided)
        worker = WorkerHandle(self._make(options), request, group, share)
        self.workers.append(worker)
        self._answers[worker.answer] = worker
        return worker

    def _leave_nodes(self) -> None:
        """Have workers leave nodes that are about to be shut down, and idle ones those that keep killing trials."""
        ending = draining()
        for worker in self.workers:
            if worker.node in ending:
                worker.doomed = True
                worker.ask_to_leave("its node is about to be shut down")
        for worker in [worker for worker in self.idle if worker.doomed or worker.node in self._sizing.avoided]:
            self.end(worker)

    def _leave_old_shares(self) -> None:
        """Workers with another share of a GPU than trials are to have now make way, the larger ones at once."""
        request = self._sizing.request
        for worker in [worker for worker in self.workers if worker.request is not request and worker.share is None]:
            if worker in self.idle or not worker.up:
                self.end(worker)
                continue
            worker.doomed = True
            if worker.request.amount("GPU") > request.amount("GPU"):
                worker.ask_to_leave("its GPU is to be shared from here on")

    def _have_leave(self, workers: list[WorkerHandle], count: int) -> None:
        """So many of `workers` are to give up their places when their trials are over, or paused: the newest.

        Trials that take longer than LEAVE_SECONDS go when they have saved.
        """
        for number, worker in enumerate(reversed(workers)):
            if number >= count:
                worker.let_stay()
            elif not worker.surplus:
                worker.surplus, worker.surplus_since = True, self.resized
            elif self.resized - worker.surplus_since > LEAVE_SECONDS:
                worker.ask_to_leave("its place is another sweep's share of the cluster")
