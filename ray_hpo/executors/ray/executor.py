"""Trials on a Ray cluster: a crew of actors that are reused from trial to trial, straight on Ray core."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray

from ray_hpo.budget import duration_text
from ray_hpo.executors.base import POLL_SECONDS
from ray_hpo.executors.clock import SteadyClock
from ray_hpo.executors.ray.arrivals import Arrivals
from ray_hpo.executors.ray.backlog import Backlog
from ray_hpo.executors.ray.bad_nodes import AVOID_SECONDS, STRIKES
from ray_hpo.executors.ray.cluster import check_possible, node_name
from ray_hpo.executors.ray.crew import Crew
from ray_hpo.executors.ray.gpu_packing import GpuPacking
from ray_hpo.executors.ray.sizing import Sizing
from ray_hpo.executors.ray.succession import Succession
from ray_hpo.executors.ray.worker_handle import WorkerHandle, WorkerLost
from ray_hpo.messages import Crashed, GoAhead, Job, Message, Notice, went_on
from ray_hpo.resources import Request
from ray_hpo.worker.actor import LINE, Worker
from ray_hpo.worker.session import Setting

RESIZE_SECONDS = 5.0  # how often the crew is fitted to the cluster, to the work, and to other sweeps
WINDOW_SECONDS = (0.2, 0.5)  # the shortest and the longest time that reports wait for others to travel with
WINDOW_OF_WORKER = 0.0025  # a window is as long as the crew is large, so that the driver can keep up with all workers
FEW = 32  # workers of which the first answer is waited for; of more, all answers that are there are taken at once


class RayExecutor:
    """As many workers as the cluster holds and there is work for, at most `max_concurrent`. Ray must be initialised.

    request: what one trial holds.  priority: beside other sweeps on the same cluster.
    isolate: give every trial a process of its own, at about 1 s each. After a crash that is done anyhow.
    ahead: no job depends on what others find, so that they may be taken ahead of their turn.
    most_in_line: so many trials may be promised a worker while another one has it, where that one is mostly paused at
    its milestone.
    goes_ahead: verdicts of short jobs are asked for ahead of time.
    pauses: trials pause at milestones. Then those are soon to leave their workers that get no verdict ahead of time;
    else those that do get one, which says from where on they stay.

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
        most_in_line: float = 0,
        goes_ahead: bool = False,
        pauses: bool = True,
        priority: float = 1.0,
    ) -> None:
        check_possible(request)
        self._packing = GpuPacking(request) if request.auto_gpu else None
        self._isolate = isolate
        self._clock = SteadyClock()
        self._given_back: list[WorkerHandle] = []  # since the last poll
        self._running: dict[int, WorkerHandle] = {}  # by trial, those included that a worker has yet to begin
        reused = not isolate and not request.amount("GPU")  # at once, by the next trial
        self._backlog = Backlog(shares=ahead and reused)
        self._succession = Succession(most_in_line if reused and not ahead else 0)
        self._arrivals = Arrivals()
        self._goes_ahead = goes_ahead
        self._pauses = pauses
        self._answers: dict[Any, WorkerHandle] = {}  # what is waited for
        always: dict[str, Any] = {"max_restarts": 0, "concurrency_groups": {LINE: 1}}
        actor_class = ray.remote(**always)(Worker)
        sent = ray.put(trainable)
        self._sizing = Sizing(request, max_concurrent, priority)
        self._crew = Crew(
            lambda options: actor_class.options(**options).remote(sent, setting), self._sizing, self._answers
        )

    def follow(self, work: Callable[[int], int]) -> None:
        """See `executors.base.Elastic`."""
        self._crew.follow(work)

    @property
    def free(self) -> int:
        return self._backlog.wanted(len(self._crew.idle) + self.soon, self.slots, len(self._running))

    @property
    def soon(self) -> int:
        return len(self._succession) if self.slots > 1 else 0  # with one worker every decision shall know all results

    @property
    def slots(self) -> int:
        return len(self._crew.workers)

    def now(self) -> float:
        return self._clock.now()

    def launch(self, job: Job) -> None:
        if job.gpu is not None:
            self._run(self._crew.take_larger(), [job])
            return
        self._backlog.add(job)
        if self._backlog.per_call == 1:
            self._hand_out()

    def room_for(self, gpu: float) -> bool:
        return self._crew.room_for(gpu, len(self._backlog))

    def arrivals(self) -> Sequence[int]:
        arrived = [self._arrivals.take() for _ in range(self._arrivals.due)]
        if self._pauses:
            for worker in arrived:
                self._succession.add(worker)
        return [worker.jobs[0].trial for worker in arrived]

    def go_ahead(self, trial: int, go_ahead: GoAhead) -> None:
        worker = self._running.get(trial)
        if worker is not None and worker.jobs and worker.jobs[0].trial == trial:  # else it was killed in this tick
            worker.go_ahead(go_ahead)
            if self._pauses:
                self._succession.forget(worker)
            else:
                self._succession.add(worker)  # now it leaves only if it most probably is to

    def proceed(self, trial: int, until: float) -> None:
        worker = self._running[trial]
        worker.proceed(until, self._window)
        self._answers[worker.answer] = worker
        self._begun(worker)

    def release(self, trial: int) -> None:
        self._give_back(self._running.pop(trial))

    def began(self, trial: int) -> float | None:
        worker = self._running.get(trial)
        return worker.since if worker is not None and worker.jobs[0].trial == trial else None

    def kill(self, trial: int) -> None:
        worker = self._running[trial]
        self._backlog.give_back([job for job in worker.all_jobs if job.trial != trial])
        self._replace(worker)

    def poll(self, timeout: float) -> Sequence[Message]:
        self._hand_out()
        timeout = min(timeout, POLL_SECONDS, self._succession.patience, self._arrivals.patience)
        if time.monotonic() - self._crew.resized > RESIZE_SECONDS:
            self._crew.resize(len(self._backlog))
        for worker in self._given_back:
            if worker.idle:
                worker.free_memory()
        self._given_back.clear()
        if not self._answers:
            time.sleep(timeout)
            self._look()
            return []
        waiting = list(self._answers)
        whole = math.ceil(1e3 * timeout) / 1e3  # Ray rounds down to milliseconds: the last one would be spun away
        ready, _ = ray.wait(waiting, num_returns=1, timeout=whole, fetch_local=False)
        if ready and len(waiting) > FEW:
            ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        messages: list[Message] = []
        for answer in ready:
            if answer in self._answers:  # else its worker has just been ended, because of another answer
                messages += self._receive(self._answers.pop(answer))
        self._look()
        return messages

    def shutdown(self) -> None:
        self._crew.shutdown()
        for workers in (self._given_back, self._running, self._answers, self._succession, self._arrivals):
            workers.clear()

    @property
    def _window(self) -> float:
        shortest, longest = WINDOW_SECONDS
        return min(max(shortest, WINDOW_OF_WORKER * self.slots), longest)

    def _hand_out(self) -> None:
        while self._crew.idle and self._backlog:
            self._run(self._crew.idle.pop(), self._backlog.take(self.slots))
        while self._succession and self._backlog and not self._backlog.alone:
            worker = self._succession.take()
            if worker.leaves:
                self._forget(worker)
                continue
            (job,) = self._backlog.take(self.slots)
            worker.offer(job)
            self._running[job.trial] = worker

    def _run(self, worker: WorkerHandle, jobs: list[Job]) -> None:
        worker.run(jobs, self._window, self.now())
        self._running.update((job.trial, worker) for job in jobs)
        self._answers[worker.answer] = worker
        self._begun(worker)

    def _begun(self, worker: WorkerHandle) -> None:
        """It has turned to a job, or to its next milestone."""
        if worker.jobs[0].trial in self._backlog.suspects:
            return
        foreseen = self._arrivals if self._goes_ahead else self._succession
        foreseen.begun(worker)

    def _look(self) -> None:
        self._succession.look()
        self._arrivals.look()

    def _forget(self, worker: WorkerHandle) -> None:
        self._succession.forget(worker)
        self._arrivals.forget(worker)

    def _receive(self, worker: WorkerHandle) -> list[Message]:
        if worker.cleaning:
            self._cleaned(worker)
            return []
        was_up, units = worker.up, worker.units
        try:
            messages, over, given_back, seconds = worker.receive(self._window, self.now())
        except WorkerLost as lost:
            if not was_up:
                self._crew.failed_start(worker, lost)
                return []
            return self._lost(worker, lost)
        if not was_up:
            self._crew.came_up(worker)
            return []
        for foreseen in (self._succession, self._arrivals):
            foreseen.heard(worker, units, messages, seconds)
        if over or given_back:
            self._backlog.took(seconds, len(over))
            self._backlog.give_back(given_back)
            for job in (*over, *given_back):
                del self._running[job.trial]
        if over or worker.answer is None:
            self._sizing.losses.went_well(worker.node)
        if worker.answer is not None:
            self._answers[worker.answer] = worker
            if (over and len(worker.jobs) == 1) or any(map(went_on, messages)):
                self._begun(worker)
        elif over and isinstance(messages[-1], Crashed):
            self._replace(worker)
        elif worker.idle:
            self._give_back(worker)
        return messages if self._packing is None else self._pack(self._packing, messages)

    def _lost(self, worker: WorkerHandle, lost: WorkerLost) -> list[Message]:
        """Of several jobs nobody knows which one ended the worker, if one did: each is run again, alone, whenever it is
        run. So is one that was in line, since it may have begun."""
        jobs, avoided = worker.jobs, self._sizing.avoided
        for job in worker.all_jobs:
            del self._running[job.trial]
        self._backlog.suspect(worker.all_jobs)
        self._backlog.give_back(worker.all_jobs[len(jobs) :])
        self._forget(worker)
        for job in jobs[:1]:
            self._sizing.losses.add(worker.node, job.trial, time.monotonic())
        self._crew.end(worker)
        self._crew.resize(len(self._backlog))
        notices = [_avoids(node, jobs[0].trial) for node in self._sizing.avoided - avoided if jobs]
        if len(jobs) > 1:
            self._backlog.give_back(jobs)
            return [*notices]
        where = node_name(worker.node)
        return [*notices, *(Crashed(job.trial, lost.cause, f"{lost}; on node {where}") for job in jobs)]

    def _give_back(self, worker: WorkerHandle) -> None:
        if self._isolate or worker.leaves or worker.share is not None:
            self._replace(worker)
            return
        worker.give_back()
        if worker.request.amount("GPU"):
            worker.clean()
            self._answers[worker.answer] = worker
            return
        self._crew.idle.append(worker)
        self._given_back.append(worker)

    def _cleaned(self, worker: WorkerHandle) -> None:
        """A process that keeps a trial's GPU memory ends: only that frees it."""
        try:
            clean = worker.is_clean()
        except WorkerLost:
            clean = False
        if clean and not worker.leaves:
            self._crew.idle.append(worker)
        else:
            self._replace(worker)

    def _pack(self, packing: GpuPacking, messages: list[Message]) -> list[Message]:
        """What others are to hear of `messages`; the crew is fitted to what the measurements among them say."""
        others = packing.sort(messages)
        if packing.request is not self._sizing.request:
            self._crew.share_gpus(packing.request)
        return others

    def _replace(self, worker: WorkerHandle) -> None:
        self._forget(worker)
        for job in worker.all_jobs:
            self._running.pop(job.trial, None)
        self._crew.replace(worker)
        if worker.share is not None:  # others fit where it was
            self._crew.resized = 0.0


def _avoids(node: str, trial: int) -> Notice:
    return Notice(
        trial,
        f"node {node_name(node)} has lost {STRIKES} trials in a row and is avoided: for "
        f"{duration_text(AVOID_SECONDS)} new workers start on other nodes",
    )
