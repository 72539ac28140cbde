"""A trial as people see it: one configuration and all that became of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from strategies.actions import Decision

from ray_hpo.messages import Checkpoint

State = Literal["running", "paused", "stopped", "completed", "failed"]


@dataclass(slots=True)
class Trial:
    """One configuration and all that became of it.

    fidelity, value: the last milestone reached and the metric (of several, the first) there, in the user's sign; None
    before the first.
    values, violation: where there are several metrics, or constraints, all that these are about, at that milestone; and
    by how much constraints are violated there in all: 0 if they are met.
    step, metrics: of the last report.  why: the reason of the last decision, in words.
    parent: the trial of which this one is a copy, trained on from `origin`, the step of the parent's checkpoint.
    """

    number: int
    config: dict[str, Any]
    until: float
    bracket: int = 0
    parent: int | None = None
    origin: float = 0.0
    state: State = "running"
    why: str = ""
    fidelity: float | None = None
    value: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    violation: float = 0.0
    step: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    latest: float | None = None  # the metric in the last report that had it
    measured: dict[str, float] = field(default_factory=dict)  # likewise, where there are several, or constraints
    checkpoint: Checkpoint | None = None
    at_milestone: Checkpoint | None = None  # what it was at the last milestone; only where trials are copied
    since: float = 0.0  # when it was last allowed to train on
    begun: float = 0.0  # when it was last sent to a worker
    seconds: float = 0.0  # on workers, until the last time it gave one back
    ended: bool = False  # the trainable returned by itself
    failures: int = 0  # exceptions of the trainable, and times that it hung
    losses: int = 0  # workers or nodes lost
    gpu: float | None = None  # its share of a GPU, once it has a larger one than the experiment's trials
    size: float = 1.0  # how many workers of the usual size its worker counts for
    error: str = ""  # why its last attempt broke off; empty once it got further
    traceback: str = ""  # of its last exception
    crashes: list[tuple[float, str, str]] = field(default_factory=list)  # when, cause and error of each lost attempt
    decided: list[tuple[float, Decision]] = field(default_factory=list)  # what the strategy decided of it, and when

    @property
    def decisions(self) -> list[tuple[float, str]]:
        """What the strategy decided of it: when, and what and why in words."""
        return [(time, f"{type(decision).__name__.lower()}: {decision.reason}") for time, decision in self.decided]

    @property
    def came_to(self) -> float | None:
        """How far it had come at its last milestone; None before the first. Without max_budget the only milestone is
        its end, wherever that is: its last step."""
        return self.step if self.fidelity == math.inf else self.fidelity

    @property
    def feasible(self) -> bool:
        """Whether the constraints are met, as far as it is known."""
        return self.violation == 0

    @property
    def has_value(self) -> bool:
        """Whether the result at its last milestone is a number."""
        return self.value is not None and math.isfinite(self.value)
