"""The driver's end of one worker: its actor, what it is doing, and the stream of its messages."""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ray_hpo.messages import Job, Message


class WorkerLost(Exception):
    """The actor, its process or its node is gone."""


class WorkerHandle:
    """A worker that starts, then is idle or has a trial.

    waitable: what `ray.wait` can wait for: the answer that it is up, or the stream of the trial that runs; None while
    it is idle or its trial waits for a verdict.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.trial: int | None = None
        self.up = False
        self.waitable: Any = actor.ready.remote()

    @property
    def idle(self) -> bool:
        return self.up and self.trial is None

    def run(self, job: Job) -> None:
        self.trial = job.trial
        self.waitable = self.actor.run.remote(job)

    def proceed(self, until: float) -> None:
        self.waitable = self.actor.proceed.remote(until)

    def release(self) -> None:
        self.trial = None
        self.actor.release.remote()

    def receive(self) -> list[Message]:
        """The next batch of a `waitable` that is ready; empty when the worker is up, or its stream has ended.

        Raises:
            WorkerLost: the batch never comes.
        """
        try:
            if not self.up:
                ray.get(self.waitable)
                self.up, self.waitable = True, None
                return []
            batch: list[Message] = ray.get(next(self.waitable))
        except StopIteration:
            self.waitable = None
            return []
        except RayError as error:
            raise WorkerLost(_cause(error)) from error
        return batch

    def kill(self) -> None:
        ray.kill(self.actor)


def _cause(error: RayError) -> str:
    """Ray's many lines in one: the last where they are the traceback of what went wrong on the worker, else the
    first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if isinstance(error, RayTaskError) or "creation task" in lines[0]:
        return lines[-1]
    return f"{type(error).__name__}: {lines[0]}"
