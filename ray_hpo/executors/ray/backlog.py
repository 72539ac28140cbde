"""Jobs that wait for a worker, and how many of them go into one call."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from ray_hpo.messages import Job

CALL_SECONDS = 0.02  # of work in one call, at most: a call costs about 1 ms, and its last job waits so long
CALL_JOBS = 16  # at most
RISE = 0.1  # how much of the way up to what the latest call took the estimate goes: a busy machine delays some


class Backlog:
    """Very short jobs share a call, since a call takes longer than they do.

    shares: whether they may: jobs are then taken ahead of their turn, so none may depend on what others find.
    suspects: trials that may have ended a worker: they have each call to themselves, and nothing in line behind it.
    """

    def __init__(self, shares: bool) -> None:
        self._shares = shares
        self._jobs: deque[Job] = deque()
        self.suspects: set[int] = set()
        self._seconds = math.inf  # that a job takes, about

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def alone(self) -> bool:
        """Whether the next job is a suspect's."""
        return bool(self._jobs) and self._jobs[0].trial in self.suspects

    @property
    def per_call(self) -> int:
        """How many jobs go into a call as long as there are enough."""
        return min(max(1, int(CALL_SECONDS / max(self._seconds, 1e-9))), CALL_JOBS) if self._shares else 1

    def wanted(self, idle: int, workers: int, begun: int) -> int:
        """How many more jobs would be welcome: for every worker that is up one call more than it has, where calls hold
        several. begun: jobs that workers have."""
        ahead = 2 * workers * self.per_call - begun if self.per_call > 1 else 0
        return max(0, max(idle, ahead) - len(self._jobs))

    def add(self, job: Job) -> None:
        self._jobs.append(job)

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Jobs that were not begun, or not all of them."""
        self._jobs.extendleft(reversed(jobs))

    def suspect(self, jobs: Sequence[Job]) -> None:
        """Their worker is lost, and one of their trials may be the cause, nobody knows which."""
        self.suspects.update(job.trial for job in jobs)

    def take(self, workers: int) -> list[Job]:
        """The jobs of the next call: even shares for all workers at most, so that all have work to the end."""
        size = min(self.per_call, math.ceil(len(self._jobs) / workers))
        taken = [self._jobs.popleft()]
        while len(taken) < size and not self.suspects.intersection((taken[0].trial, self._jobs[0].trial)):
            taken.append(self._jobs.popleft())
        return taken

    def took(self, seconds: float, jobs: int) -> None:
        """A call took so long, and ended so many jobs."""
        each = seconds / max(1, jobs)
        self._seconds = each if each < self._seconds else self._seconds + RISE * (each - self._seconds)
