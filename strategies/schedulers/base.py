"""What every scheduler is: a frozen set of settings with two functions of the trial table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np

from strategies.actions import Done, GoAhead, Resume, Stop, Verdict, Wait
from strategies.history import Array
from strategies.schedulers.rungs import Fidelity
from strategies.searchers.base import Searcher
from strategies.searchers.random import Random
from strategies.space import SearchSpace
from strategies.trials import TrialTable


@dataclass(frozen=True)
class New:
    """Start a new trial: whichever the searcher proposes, or what `explore` makes of its parent's configuration.

    parent, replaces: see `actions.Start`.
    """

    bracket: int
    until: float
    reason: str
    parent: int | None = None
    replaces: int | None = None


Next = New | Resume | Stop | Wait | Done


@dataclass(frozen=True)
class Scheduler(ABC):
    """Spends the budget on what `searcher` proposes.

    Its functions are pure: they read the table, and what they return becomes true only when it is folded in.
    """

    name: ClassVar[str]
    early_stopping: ClassVar[bool] = True  # whether it needs milestones below max_budget
    pauses: ClassVar[bool] = True  # whether trials pause at milestones while the budget lasts
    copies: ClassVar[bool] = False  # whether it starts trials that have a parent
    goes_ahead: ClassVar[bool] = False  # whether it knows verdicts ahead of time
    stops_most: ClassVar[bool] = False  # whether most trials are stopped at their milestone, rather than go on

    searcher: Searcher = field(default_factory=Random, kw_only=True)

    @abstractmethod
    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        """What to do now that a worker is free. A `Stop` here ends a paused trial and leaves the worker free."""

    @abstractmethod
    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        """What becomes of a trial that waits at its milestone."""

    def go_ahead(self, table: TrialTable, fidelity: Fidelity, trial: int) -> GoAhead | None:
        """Which values would let a trial that is on its way to its milestone train on from there; None: that is
        better decided when it is there."""
        return None

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        """The milestones at which trials are judged, lowest first."""
        return (fidelity.max_budget,)

    @property
    def heeds_results(self) -> bool:
        """Whether results make a difference to what it starts, or lets go on. If not, work can be handed out ahead."""
        return self.early_stopping or self.copies or self.searcher.learns

    @property
    def default_trials(self) -> int | None:
        """How many trials without a parent it starts where no limit is given; None: there is no end."""
        return None

    def explore(self, space: SearchSpace, row: Array, rng: np.random.Generator) -> Array:
        """The configuration (d,) of a trial whose parent has `row` (d,): canonical and allowed, as `row` is."""
        return row


def take_up(table: TrialTable, milestones: tuple[float, ...], bracket: int = 0) -> Resume | None:
    """For schedulers that never pause a trial of `bracket` themselves: one that a budget, which has since grown, did
    not let go on. milestones: of all trials, lowest first."""
    for milestone, following in pairwise(milestones):
        paused = table.rung(bracket, milestone).paused
        if paused:
            return Resume(min(paused), following, "goes on: the budget allows it now")
    return None


def idle(table: TrialTable) -> Wait | Done:
    """The answer when there is nothing to start and nothing to resume."""
    if table.running:
        return Wait("every worker that could help is busy")
    return Done("all trials have run")
