"""What goes between the controller and an executor: jobs down, messages up. Plain data, cheap to pickle.

Steps and `until` are on the fidelity axis, in the user's unit; times are seconds of the executor's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ray_hpo.reports import Reports

# Why an attempt at a trial broke off. The first three count as the trial's own failures; journals of 0.1 may say
# "infra" for any of the others. "unreachable" is a worker whose connection broke: Ray does not know yet what became
# of it. "storage": a checkpoint could not be fetched from remote storage.
Cause = Literal[
    "user",
    "timeout",
    "gpu out of memory",
    "worker lost",
    "node lost",
    "unreachable",
    "out of memory",
    "preempted",
    "storage",
    "infra",
]
OWN_FAULTS = frozenset({"user", "timeout", "gpu out of memory"})


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on storage: `path` relative to the experiment's folder, taken at `step`."""

    path: str
    step: float


@dataclass(frozen=True)
class Job:
    """Train `config` (nested, as the user wrote the space) from `checkpoint`, or from nothing, to `until`.

    begun: when the controller decided it; the simulated clock goes on from there.  seed: the trial's own.
    final: there is nothing to decide at `until`, as training is complete there: the trial need not wait for a verdict.
    gpu: the share of a GPU that it needs, if that is more than the other trials have.
    """

    trial: int
    config: dict[str, Any]
    until: float
    checkpoint: Checkpoint | None
    begun: float
    seed: int = 0
    final: bool = False
    gpu: float | None = None


@dataclass(frozen=True)
class GoAhead:
    """A verdict ahead of time: at its milestone a trial trains on to `until` if its metric is between `low` and `high`
    there. Else, or where this comes too late, it waits for a verdict."""

    until: float
    low: float
    high: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint is complete on storage."""

    trial: int
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Notice:
    """Something a user should know that does not end the trial."""

    trial: int
    text: str


@dataclass(frozen=True)
class Measured:
    """GPU memory that the trial's process has taken at most so far, of how much there is; in bytes. For the executor,
    which keeps it to itself."""

    trial: int
    peak: int
    total: int


@dataclass(frozen=True)
class AtMilestone:
    """The trial has reported at its `until` or beyond. Its worker waits for the verdict, unless it has been released,
    or had it ahead of time.

    seconds: here and below: how long it had its worker, where that is not the time since its launch: it was launched
    ahead of its turn.  saved: it has a checkpoint of here, so that it can go on elsewhere.
    went_on: to where it trains on by its `GoAhead`.
    """

    trial: int
    released: bool = False
    seconds: float | None = None
    saved: bool = False
    went_on: float | None = None


@dataclass(frozen=True)
class Ended:
    """The trainable returned by itself; the worker is free."""

    trial: int
    seconds: float | None = None


@dataclass(frozen=True)
class Crashed:
    """The trial's attempt is over; its worker is gone or free.

    kind: "user" or "gpu out of memory" for an exception of the trainable, else what became of its worker.
    """

    trial: int
    kind: Cause
    error: str
    traceback: str = ""
    seconds: float | None = None


Message = Reports | Saved | Notice | Measured | AtMilestone | Ended | Crashed


def went_on(message: Message) -> bool:
    """Whether the trial had its verdict ahead of time, and trains on."""
    return isinstance(message, AtMilestone) and message.went_on is not None


def is_over(message: Message) -> bool:
    """Whether the trial has given its worker back with `message`."""
    return isinstance(message, (Ended, Crashed)) or (isinstance(message, AtMilestone) and message.released)


def is_last(message: Message) -> bool:
    """Whether nothing of the trial follows `message` until it is told to go on."""
    return isinstance(message, (Ended, Crashed)) or (isinstance(message, AtMilestone) and not went_on(message))


def makes_way(message: Message) -> bool:
    """Whether with `message` another trial may have the worker: this one is over, or loses nothing by it."""
    return isinstance(message, Ended) or (isinstance(message, AtMilestone) and (message.released or message.saved))
