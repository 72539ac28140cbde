"""The driver's end of one worker: its actor, what it is doing, and what it is to answer."""

from __future__ import annotations

import pickle
import time
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from ray_hpo.executors.ray.causes import cause_of, line_of
from ray_hpo.messages import Job, Message
from ray_hpo.worker import notices
from ray_hpo.worker.runner import is_last


class WorkerLost(Exception):
    """The actor, its process or its node is gone."""

    def __init__(self, error: RayError) -> None:
        super().__init__(line_of(error))
        self.cause = cause_of(error)


class WorkerHandle:
    """A worker that starts, then is idle or has a trial.

    answer: what `ray.wait` can wait for: that it is up, or the next messages of the trial that runs; None while it is
    idle or its trial waits for a verdict.
    group: the placement group that is this worker's alone, if it has one.
    since: when it came up or its last trial was over, on the monotonic clock.
    node: the id of its node; empty until it is up.
    leaves: whether it gives up its place when its trial is over, or paused; since `leaves_since`.
    doomed: whether that is because its node is about to be shut down.
    """

    def __init__(self, actor: Any, group: PlacementGroup | None = None) -> None:
        self.actor = actor
        self._group = group
        self.trial: int | None = None
        self.up = self.leaves = self.doomed = False
        self.since = time.monotonic()
        self.node = ""
        self.leaves_since = 0.0
        self._told = False
        self.answer: Any = actor.ready.remote()
        self._holds = False  # whether a trial that gave it back is still to be ended

    @property
    def idle(self) -> bool:
        return self.up and self.trial is None

    def run(self, job: Job, window: float) -> None:
        """The trial before, if it still holds memory, is ended first."""
        self.trial, self._holds = job.trial, False
        self.answer = self.actor.run.remote(pickle.dumps((job, window), pickle.HIGHEST_PROTOCOL))

    def proceed(self, until: float, window: float) -> None:
        self.answer = self.actor.proceed.remote(until, window)

    def give_back(self) -> None:
        """Its trial is over, or paused: another one may have it."""
        self.trial, self._holds = None, True
        self.since = time.monotonic()

    def free_memory(self) -> None:
        """No other trial has come: end the last one on its worker, and free what it holds."""
        if self._holds:
            self._holds = False
            self.actor.release.remote()

    def receive(self, window: float) -> list[Message]:
        """The messages of an `answer` that is there; maybe none, and none when the worker is up.

        Raises:
            WorkerLost: the answer never comes.
        """
        try:
            answer = ray.get(self.answer)
        except RayError as error:
            raise WorkerLost(error) from error
        if not self.up:
            self.up, self.answer = True, None
            self.since = time.monotonic()
            self.node, _ = answer
            return []
        messages: list[Message] = pickle.loads(answer)
        over = bool(messages) and is_last(messages[-1])
        self.answer = None if over else self.actor.more.remote(window)
        return messages

    def ask_to_leave(self, reason: str) -> None:
        """Have its trial leave as soon as it has saved."""
        if not self._told:
            self._told = True
            notices.tell(self._id, reason)

    def let_stay(self) -> None:
        self.leaves = False
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
