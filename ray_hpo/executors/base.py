"""The contract of an executor: it carries jobs to workers and brings back messages. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from ray_hpo.messages import GoAhead, Job, Message

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
    def soon(self) -> int:
        """How many of these would be in line behind trials that will leave their workers shortly."""

    @property
    def slots(self) -> int:
        """Workers in all, those still starting included."""

    def now(self) -> float:
        """The clock, in seconds."""

    def launch(self, job: Job) -> None:
        """Give `job` to a free worker, or to the next one."""

    def room_for(self, gpu: float) -> bool:
        """Whether a job that needs this share of a GPU, more than others have, can be launched now. Asked again and
        again until it can: the first time room is begun to be made. Of several shares one is served after the other."""

    def arrivals(self) -> Sequence[int]:
        """Trials that will probably be at their milestones before an answer could be there: verdicts ahead of time
        would save them the wait. Each is named once a milestone."""

    def go_ahead(self, trial: int, go_ahead: GoAhead) -> None:
        """Give such a trial its verdict ahead of time. If it uses it, its message at the milestone says so, and it
        trains on; else it waits for another verdict, as ever."""

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


@runtime_checkable
class Elastic(Protocol):
    """An executor whose workers come and go with the work."""

    def follow(self, work: Callable[[int], int]) -> None:
        """From now on have no more workers than there is work for: `work(most)` says how many of `most` further
        workers would have something to do now."""
