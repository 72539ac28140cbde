"""The driver's end of one worker: its actor, what it is doing, and what it is to answer."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from ray_hpo.executors.ray.causes import cause_of, line_of
from ray_hpo.messages import Job, Message, is_last, is_over


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
    since: when it turned to the first of them, in whatever time `run` and `receive` are told.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.jobs: list[Job] = []
        self.since = 0.0
        self.up = False
        self.answer: Any = actor.ready.remote()
        self._holds = False  # whether a trial that gave it back is still to be ended

    @property
    def idle(self) -> bool:
        return self.up and not self.jobs

    def run(self, jobs: list[Job], window: float, now: float) -> None:
        """The trial before, if it still holds memory, is ended first."""
        self.jobs, self.since, self._holds = jobs, now, True
        self.answer = self.actor.run.remote(pickle.dumps((jobs, window), pickle.HIGHEST_PROTOCOL))

    def proceed(self, until: float, window: float) -> None:
        self.answer = self.actor.proceed.remote(until, window)

    def give_back(self) -> None:
        """Its trial is over, or paused: others may have it."""
        self.jobs = []

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
            return Answer([], [], [], 0.0)
        messages: list[Message]
        messages, back, seconds = pickle.loads(answer)
        begun, given_back = self.jobs[: len(self.jobs) - back], self.jobs[len(self.jobs) - back :]
        last = messages[-1] if messages and begun and messages[-1].trial == begun[-1].trial else None
        self.jobs = [] if last is not None and is_over(last) else begun[-1:]
        if len(begun) > 1:
            self.since = now
        more = self.jobs and not (last is not None and is_last(last))
        self.answer = self.actor.more.remote(window) if more else None
        return Answer(messages, begun[: len(begun) - len(self.jobs)], given_back, seconds)

    def kill(self) -> None:
        ray.kill(self.actor)
