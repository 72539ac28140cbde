"""The trial table: what a scheduler knows of every trial, folded from records, indexed by rung.

Here lives the state that schedulers read; they own none. Configurations are not here (see history.py).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from strategies.actions import Continue, Failed, Limit, Pause, Reached, Record, Resume, Start, Stop
from strategies.rung import ConstrainedRung, Rung


class Status(Enum):
    """Where a trial stands, as far as a strategy cares."""

    RUNNING = "running"  # on its way to `until`
    WAITING = "waiting"  # at its milestone: a verdict is due
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


ENDED = (Status.STOPPED, Status.FAILED)


@dataclass(slots=True)
class TrialRow:
    """One trial: the bracket it belongs to, the milestone it runs to (or reached last) and the rung there, its status.

    results, best, mean: how many values it has, one at each milestone reached; the best and the mean of them.
    reached: its last milestone, or the one at which its parent was copied.  children: how often it was copied.
    """

    number: int
    bracket: int
    until: float
    rung: Rung = field(repr=False, compare=False)
    status: Status = Status.RUNNING
    results: int = 0
    best: float = math.inf
    mean: float = 0.0
    reached: float = 0.0
    children: int = 0

    @property
    def alive(self) -> bool:
        return self.status not in ENDED

    def add(self, value: float) -> None:
        self.reached = self.until
        self.results += 1
        self.best = min(self.best, value)
        self.mean += (value - self.mean) / self.results


class TrialTable:
    """A fold over records. Numbers count from 0; `trials[i].number == i`.

    plain: whether results are ranked by one value, and not by several or under constraints.
    running: trials on their way to a milestone.  in_line: how many of these are in line behind others, which a worker
    turns to when its trial leaves it.
    """

    def __init__(self, objectives: int = 1, constrained: bool = False) -> None:
        self.plain = objectives == 1 and not constrained
        self.trials: list[TrialRow] = []
        self.num_trials: int | None = None
        self.proposed = 0  # trials without a parent
        self.running = self.in_line = 0
        self.busy: dict[int, int] = defaultdict(int)  # bracket -> trials that run
        self.granted: dict[int, float] = defaultdict(float)  # bracket -> budget handed out, work done anew left out
        self.closed: dict[int, int] = {}  # bracket -> its size, where the trial limit cut it short
        self.alive: dict[int, int] = {}  # bracket -> trials neither stopped nor failed (absent: none)
        self._rungs: dict[tuple[int, float], Rung] = defaultdict(
            Rung if self.plain else partial(ConstrainedRung, objectives)
        )

    @property
    def exhausted(self) -> bool:
        """Whether the limit on the number of trials forbids to start one more."""
        return self.num_trials is not None and self.proposed >= self.num_trials

    @property
    def last_bracket(self) -> int:
        """The bracket of the newest trial; -1 before the first."""
        return self.trials[-1].bracket if self.trials else -1

    def rung(self, bracket: int, milestone: float) -> Rung:
        return self._rungs[bracket, milestone]

    def value(self, trial: int) -> float:
        """The value of a trial that waits or pauses at a milestone, there."""
        return self.trials[trial].rung.values[trial]

    def rank(self, trial: int) -> int:
        """The 1-based rank of a trial that waits or pauses at a milestone, there."""
        return self.trials[trial].rung.rank(trial)

    def least_rank(self, trial: int) -> int:
        """The best rank that it can still have there when more results have arrived."""
        return self.trials[trial].rung.least_rank(trial)

    def apply(self, record: Record) -> None:
        """Fold one record in."""
        match record:
            case Start():
                self._start(record)
            case Resume() | Continue():
                row = self.trials[record.trial]
                row.rung.leave(row.number)
                self._set(row, Status.RUNNING)
                self.in_line += isinstance(record, Resume) and bool(record.ahead)
                self.granted[row.bracket] += record.until - row.until
                row.until = record.until
                row.rung = self.rung(row.bracket, row.until)
                row.rung.entered += 1
            case Reached():
                row = self.trials[record.trial]
                row.add(record.value)
                row.rung.add(record.value, row.number, record.values, record.excess)
                if math.isfinite(record.value):
                    row.rung.add_mean(row.mean)
                self._set(row, Status.WAITING)
            case Failed():
                row = self.trials[record.trial]
                row.rung.add(math.inf, row.number)
                self._set(row, Status.FAILED)
            case Pause():
                self._set(self.trials[record.trial], Status.PAUSED)
            case Stop():
                row = self.trials[record.trial]
                row.rung.leave(row.number)
                self._set(row, Status.STOPPED)
            case Limit():
                self.num_trials = record.num_trials

    def _start(self, record: Start) -> None:
        if record.trial != len(self.trials):
            raise ValueError(f"trials start in order: expected {len(self.trials)}, got {record.trial}")
        rung = self.rung(record.bracket, record.until)
        row = TrialRow(record.trial, record.bracket, record.until, rung)
        self.trials.append(row)
        rung.entered += 1
        self.running += 1
        self.in_line += bool(record.ahead)
        self.busy[record.bracket] += 1
        self.granted[record.bracket] += record.until
        self.alive[record.bracket] = self.alive.get(record.bracket, 0) + 1
        if record.replaces is not None:
            del self.trials[record.replaces].rung.ended[record.replaces]
        if record.parent is not None:
            parent = self.trials[record.parent]
            parent.children += 1
            row.reached = parent.reached
            return
        self.proposed += 1
        if self.exhausted:
            self.closed[record.bracket] = rung.entered

    def _set(self, row: TrialRow, status: Status) -> None:
        if status is Status.PAUSED or row.status is Status.PAUSED:
            paused = row.rung.paused
            paused.add(row.number) if status is Status.PAUSED else paused.discard(row.number)
        if row.status is not Status.PAUSED and status not in (Status.RUNNING, Status.WAITING):
            self.in_line -= self.in_line > 0  # its worker is free for the next one
        started = (status is Status.RUNNING) - (row.status is Status.RUNNING)
        self.running += started
        self.busy[row.bracket] += started
        ends = row.alive and status in ENDED
        row.status = status
        if ends:
            row.rung.ended[row.number] = None
            self.alive[row.bracket] -= 1
            if not self.alive[row.bracket]:
                del self.alive[row.bracket]
