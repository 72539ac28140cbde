"""The contract of an executor: it carries jobs to workers and brings back messages. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ray_hpo.messages import Job, Message

POLL_SECONDS = 0.5  # the longest wait on a real clock: how soon an interrupt is noticed while nothing arrives


class Executor(Protocol):
    """Workers, each with one trial at a time.

    A trial holds its worker from `launch` until `release`, or until the executor says that it is over (see
    `messages.is_over`). After either, no message of that attempt arrives.
    """

    @property
    def free(self) -> int:
        """How many jobs could be taken now: by workers that are free, or shortly will be."""

    @property
    def slots(self) -> int:
        """Workers in all, those still starting included."""

    def now(self) -> float:
        """The clock, in seconds."""

    def launch(self, job: Job) -> None:
        """Give `job` to a free worker, or to the next one."""

    def proceed(self, trial: int, until: float) -> None:
        """Let a trial that waits at its milestone train on to `until`."""

    def release(self, trial: int) -> None:
        """End a trial that waits at its milestone, on its worker; the worker is free again."""

    def began(self, trial: int) -> float | None:
        """When its worker turned to a trial that trains; None while it still waits for its turn."""

    def kill(self, trial: int) -> None:
        """End a trial that trains, whatever it does, and its worker with it; another worker takes its place."""

    def poll(self, timeout: float) -> Sequence[Message]:
        """Messages that have arrived, in order; waits up to `timeout` seconds for the first, or less."""

    def shutdown(self) -> None:
        """Give all workers back. Trials that run are cut off."""
