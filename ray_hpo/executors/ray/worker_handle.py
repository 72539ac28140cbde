"""The driver's end of one worker: its actor, what it is doing, and what it is to answer."""

from __future__ import annotations

import dataclasses
import math
import pickle
import time
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from ray_hpo.executors.ray.causes import cause_of, line_of
from ray_hpo.messages import AtMilestone, GoAhead, Job, Message, is_last, is_over, makes_way
from ray_hpo.resources import Request
from ray_hpo.worker import notices
from ray_hpo.worker.gpu_usage import KEPT_BYTES


class WorkerLost(Exception):
    """The actor, its process or its node is gone."""

    def __init__(self, error: RayError) -> None:
        super().__init__(line_of(error))
        self.cause = cause_of(error)


class Answer(NamedTuple):
    """What came from a worker.

    over: jobs that it has finished.  given_back: jobs that it has not begun and will not.  seconds: since it was given
    them all.
    """

    messages: list[Message]
    over: list[Job]
    given_back: list[Job]
    seconds: float


class WorkerHandle:
    """A worker that starts, then is idle or has jobs.

    answer: what `ray.wait` can wait for: that it is up, or the next messages of the trials that run; None while it is
    idle or its trial waits for a verdict.
    jobs: what it is to do, in order. After its first answer this is one job at most.
    following: what it is to do after that without being told again, if it can: see `offer`.
    units: how far the one job trains from where it began, or went on, to its milestone.
    since: when it turned to the first of them, in whatever time `run` and `receive` are told.
    idle_since: when it came up or gave its last trial back, on the monotonic clock.
    request: what it holds.  group: the placement group that is its alone, if it has one.
    share: its share of a GPU, if that is larger than the other workers' is.
    node, gpu: the id of its node, and of the GPU on which it is, if it is on one; empty until it is up.
    cleaning: whether it is about to be idle, once its last trial's memory is freed.
    doomed: its node is about to be shut down, or it holds the wrong share of a GPU.  makes_room: for one with a larger
    share.  surplus: there are too many workers, since `surplus_since`.  In each case it `leaves` when its trial is
    over, or paused.
    """

    def __init__(
        self, actor: Any, request: Request, group: PlacementGroup | None = None, share: float | None = None
    ) -> None:
        self.actor = actor
        self.request = request
        self.share = share
        self._group = group
        self.jobs: list[Job] = []
        self.following: Job | None = None
        self._turn = 0  # as the worker counts them: see `TrialRunner.offer`
        self._stays = False  # whether the trial may go on from its milestone: it had a verdict ahead of time
        self.units = math.inf
        self.since = 0.0
        self.idle_since = time.monotonic()
        self.up = self.cleaning = False
        self.doomed = self.makes_room = self.surplus = False
        self.surplus_since = 0.0
        self.node = self.gpu = ""
        self._told = False
        self.answer: Any = actor.ready.remote()
        self._holds = False  # whether a trial that gave it back is still to be ended

    @property
    def goes(self) -> bool:
        """Whether it leaves whatever comes."""
        return self.doomed or self.makes_room

    @property
    def leaves(self) -> bool:
        return self.goes or self.surplus

    @property
    def all_jobs(self) -> list[Job]:
        return self.jobs if self.following is None else [*self.jobs, self.following]

    @property
    def idle(self) -> bool:
        return self.up and not self.jobs

    def run(self, jobs: list[Job], window: float, now: float) -> None:
        """The trial before, if it still holds memory, is ended first."""
        self._next_turn()
        self.jobs, self.since, self._holds = jobs, now, True
        self.units = _units(jobs[0]) if len(jobs) == 1 else math.inf
        self.answer = self.actor.run.remote(_bytes((jobs, window)))

    def offer(self, job: Job) -> None:
        """Have `job` begin once the one that trains now is over, or at its milestone with a checkpoint. If it gets
        there too late, it begins when the driver hears of that; it is given back without a checkpoint, after a crash,
        and where the other one goes on, or may."""
        self.following = job
        self.actor.offer.remote(_bytes((job, self._turn)))

    def go_ahead(self, known: GoAhead) -> None:
        """The verdict at the next milestone of the one that trains now."""
        self._stays = True
        self.actor.go_ahead.remote(_bytes((known, self._turn)))

    def proceed(self, until: float, window: float) -> None:
        self._goes_on(until)
        self.answer = self.actor.proceed.remote(_bytes((until, window)))

    def _next_turn(self) -> None:
        self._turn += 1
        self._stays = False

    def _goes_on(self, until: float) -> None:
        self._next_turn()
        self.units = until - self.jobs[0].until
        self.jobs = [dataclasses.replace(self.jobs[0], until=until)]

    def give_back(self) -> None:
        """Its trial is over, or paused: others may have it."""
        self.jobs = []
        self.idle_since = time.monotonic()

    def clean(self) -> None:
        """End its last trial and free the GPU memory that it holds; `answer` is there when that is done."""
        self._holds, self.cleaning = False, True
        self.answer = self.actor.clean.remote()

    def is_clean(self) -> bool:
        """Whether all of it was freed.

        Raises:
            WorkerLost: the answer never comes.
        """
        try:
            left: int = ray.get(self.answer)
        except RayError as error:
            raise WorkerLost(error) from error
        self.answer, self.cleaning = None, False
        return left <= KEPT_BYTES

    def free_memory(self) -> None:
        """No other trial has come: end the last one on its worker, and free what it holds."""
        if self._holds:
            self._holds = False
            self.actor.release.remote()

    def receive(self, window: float, now: float) -> Answer:
        """An `answer` that is there; it holds nothing when the worker is up.

        Raises:
            WorkerLost: the answer never comes.
        """
        try:
            answer = ray.get(self.answer)
        except RayError as error:
            raise WorkerLost(error) from error
        if not self.up:
            self.up, self.answer = True, None
            self.idle_since = time.monotonic()
            self.node, gpu = answer
            self.gpu = f"{self.node}/{gpu}" if gpu else ""
            return Answer([], [], [], 0.0)
        messages: list[Message]
        messages, back, seconds, made_way = pickle.loads(answer)
        went_on = [m.went_on for m in messages if isinstance(m, AtMilestone) and m.went_on is not None]
        for until in went_on:
            self._goes_on(until)
        if made_way or (self.following is not None and messages and not went_on and self._made_way_late(messages[-1])):
            return self._next(messages, seconds, window, now, begun=made_way)
        begun, given_back = self.jobs[: len(self.jobs) - back], self.jobs[len(self.jobs) - back :]
        last = messages[-1] if messages and begun and messages[-1].trial == begun[-1].trial else None
        self.jobs = [] if last is not None and is_over(last) else begun[-1:]
        if len(begun) > 1:
            self.since = now
        waits = last is not None and is_last(last)
        if self.following is not None and (waits or went_on):
            given_back, self.following = [self.following], None
        self.answer = self.actor.more.remote(_bytes(window)) if self.jobs and not waits else None
        return Answer(messages, begun[: len(begun) - len(self.jobs)], given_back, seconds)

    def _made_way_late(self, last: Message) -> bool:
        """Whether a trial that has said this would have made way to what follows, had it known of it in time."""
        return makes_way(last) and (is_over(last) or not self._stays)

    def _next(self, messages: list[Message], seconds: float, window: float, now: float, begun: bool) -> Answer:
        """Turn to what is in line. begun: it has begun, before the driver heard of the end of the one before."""
        assert self.following is not None
        over, following, self.following = self.jobs, self.following, None
        if begun:
            self._next_turn()
            self.jobs, self.since, self.units = [following], now, _units(following)
            self.answer = self.actor.more.remote(_bytes(window))
        else:
            self.run([following], window, now)
        last = messages[-1]
        if isinstance(last, AtMilestone):
            messages[-1] = dataclasses.replace(last, released=True)
        return Answer(messages, over, [], seconds)

    def ask_to_leave(self, reason: str) -> None:
        """Have its trial leave as soon as it has saved."""
        if not self._told:
            self._told = True
            notices.tell(self._id, reason)

    def let_stay(self) -> None:
        """There are not too many workers any more."""
        self.surplus = False
        if not self.goes:
            self._retract()

    def kill(self) -> None:
        ray.kill(self.actor)
        self._retract()
        if self._group is not None:
            remove_placement_group(self._group)

    def _retract(self) -> None:
        if self._told:
            self._told = False
            notices.retract(self._id)

    @property
    def _id(self) -> str:
        actor_id: str = self.actor._actor_id.hex()
        return actor_id


def _bytes(order: Any) -> bytes:
    """What Ray passes on as it is: see `Worker`."""
    return pickle.dumps(order, pickle.HIGHEST_PROTOCOL)


def _units(job: Job) -> float:
    return job.until - (0.0 if job.checkpoint is None else job.checkpoint.step)
