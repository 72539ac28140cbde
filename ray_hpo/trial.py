"""A trial as people see it, and the experiment as a fold over the journal's rows.

The controller, the display, results and the command line all read this one fold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from strategies.actions import (
    Continue,
    Failed,
    Limit,
    Pause,
    Reached,
    Record,
    Resume,
    Start,
    Stop,
    minimised,
    record_from_json,
)
from strategies.ranking import total_violation

from ray_hpo.budget import Budget
from ray_hpo.errors import RayHpoError
from ray_hpo.front import Front, ranked_by_domination
from ray_hpo.goals import Goals, Metric, Mode
from ray_hpo.messages import OWN_FAULTS, Checkpoint

State = Literal["running", "paused", "stopped", "completed", "failed"]
Standing = tuple[float, float, float, int]  # violation, fidelity reached, value, number: less is better


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
    error: str = ""  # why its last attempt broke off; empty once it got further
    traceback: str = ""  # of its last exception
    crashes: list[tuple[float, str, str]] = field(default_factory=list)  # when, cause and error of each lost attempt
    decisions: list[tuple[float, str]] = field(default_factory=list)

    @property
    def feasible(self) -> bool:
        """Whether the constraints are met, as far as it is known."""
        return self.violation == 0


class Experiment:
    """The fold: `apply` each event and `report` each report, in the journal's order.

    metric, mode, constraints: see `Goals`.
    copies: whether trials may begin from the checkpoint that another one had at its last milestone.
    keep_checkpoints: how many trials that are over keep their last checkpoint, the best ones; None: all that completed.
    records: what the strategy is to be told, in order.  unneeded: paths of checkpoints that no trial refers to any
    more; whoever deletes them empties it.
    """

    def __init__(
        self,
        metric: Metric,
        mode: Mode,
        max_budget: float,
        resumable: bool = True,
        copies: bool = False,
        *,
        constraints: Mapping[str, str] = MappingProxyType({}),
        keep_checkpoints: int | None = None,
    ) -> None:
        self.goals = Goals.of(metric, mode, constraints)
        self.max_budget = max_budget
        self.resumable = resumable
        self.copies = copies
        self.keep_checkpoints = keep_checkpoints
        self.trials: list[Trial] = []
        self.records: list[Record] = []
        self.notices: list[str] = []
        self.unneeded: list[str] = []
        self.budget = Budget()
        self.closed = ""  # why the last session ended; empty while it runs, or after a crash
        self.elapsed = 0.0  # seconds of all sessions
        self.granted = 0.0  # units of fidelity handed out to trials
        self.in_vain = 0  # trials that have ended since the best became better
        self._improved = -1  # the trial that last became the best, or one of the front
        self._last_time: float | None = None
        self._front = Front(self.goals)
        self._kept: list[Trial] = []  # completed trials that keep their checkpoints
        self._uses: Counter[str] = Counter()  # path of a checkpoint -> how often trials refer to it
        # What displays ask for at every tick is counted as it changes.
        self.proposed = 0  # trials that are not copies of others: those that the limit on trials counts
        self.over = 0  # of these, those that have come to their end
        self._states: Counter[State] = Counter()
        self._running: dict[int, Trial] = {}
        self._worked = 0.0  # seconds of all trials, as in `Trial.seconds`
        self._trained = 0.0
        self._best: Trial | None = None
        self._best_is_known = True

    @property
    def checkpoints(self) -> Set[str]:
        """Paths of all checkpoints that trials refer to."""
        return self._uses.keys()

    @property
    def best(self) -> Trial | None:
        """The trial with the best value among those that got furthest; if none meets the constraints, the one that
        violates them least.

        Raises:
            RayHpoError: there are several metrics.
        """
        if self.goals.several:
            names = ", ".join(self.goals.metrics)
            raise RayHpoError(
                f"no trial is the best, since there are several metrics ({names}): pareto_front lists the trials that "
                "no other beats in all of them"
            )
        if not self._best_is_known:
            self._best, self._best_is_known = min(self._with_value(), key=self._standing, default=None), True
        return self._best

    @property
    def pareto_front(self) -> list[Trial]:
        """Of the trials that meet the constraints and got furthest those that no other beats: none is at least as good
        in all metrics and better in one. Sorted by the first metric, best first. With one metric: the best trial."""
        if self.goals.several:
            return self._front.trials
        best = self.best
        return [] if best is None or not best.feasible else [best]

    def ranked(self) -> list[Trial]:
        """The trials that have a value, the best first: those that meet the constraints, by how far they got, then by
        the value there, or by how many beat them where there are several metrics; then others, by the violation."""
        return self._ranked(self._with_value())

    def _ranked(self, trials: list[Trial]) -> list[Trial]:
        if not self.goals.several:
            return sorted(trials, key=self._standing)
        feasible = [trial for trial in trials if trial.feasible]
        ranked: list[Trial] = []
        for fidelity in sorted({trial.fidelity or 0.0 for trial in feasible}, reverse=True):
            ranked += ranked_by_domination([t for t in feasible if t.fidelity == fidelity], self.goals)
        return ranked + sorted((trial for trial in trials if not trial.feasible), key=self._standing)

    @property
    def spent(self) -> float:
        """Units of fidelity trained, work that was redone after crashes left out."""
        return self._trained if self.resumable else self.granted

    def cost(self, done: float, until: float) -> float:
        """Units of fidelity that it takes to bring a trial from `done` to `until`."""
        return max(until - done, 0.0) if self.resumable else until

    def origin(self, parent: int | None) -> float:
        """The step at which a copy of `parent` would begin now; 0 without a parent, or without its checkpoint."""
        checkpoint = None if parent is None else self.trials[parent].at_milestone
        return checkpoint.step if checkpoint else 0.0

    def _with_value(self) -> list[Trial]:
        return [trial for trial in self.trials if _is_finite(trial.value)]

    def _standing(self, trial: Trial) -> Standing:
        assert trial.fidelity is not None and trial.value is not None
        return trial.violation, -trial.fidelity, minimised(trial.value, self.goals.modes[0]), trial.number

    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return {state: count for state, count in self._states.items() if count}

    def elapsed_at(self, time: float) -> float:
        """Seconds of all sessions up to `time`."""
        if self._last_time is None or time < self._last_time:
            return self.elapsed
        return self.elapsed + time - self._last_time

    def worker_seconds(self, time: float) -> float:
        """Seconds that trials have been on workers up to `time`, all together."""
        return self._worked + sum(max(0.0, time - row.begun) * self._size(row) for row in self._running.values())

    @property
    def last_time(self) -> float:
        """When something was last heard of: time of the executor's clock; 0 before the beginning."""
        return max((time for t in self.trials for time, _ in t.decisions[-1:]), default=0.0)

    def tick(self, time: float) -> None:
        """Time passed while a driver was at work."""
        self.elapsed = self.elapsed_at(time)
        self._last_time = time

    def report(self, trial: int, step: float, metrics: Mapping[str, Any]) -> None:
        """A report that is new: its step lies beyond all earlier ones of the trial."""
        row = self.trials[trial]
        self._trained += step - row.step
        row.step, row.metrics = step, dict(metrics)
        value = metrics.get(self.goals.metrics[0])
        if isinstance(value, (int, float)):
            row.latest = float(value)
        if not self.goals.plain:
            known = {name: metrics.get(name) for name in self.goals.names}
            row.measured |= {name: float(value) for name, value in known.items() if isinstance(value, (int, float))}

    def missing(self, trial: Trial) -> list[str]:
        """What a trial must report for a result and has not reported so far."""
        if self.goals.plain:
            return [] if trial.latest is not None else [self.goals.metrics[0]]
        return [name for name in self.goals.names if name not in trial.measured]

    def reached(self, trial: Trial) -> Reached:
        """What the strategy is told of a trial at its milestone; nothing must be missing."""
        if self.goals.plain:
            assert trial.latest is not None
            return Reached(trial.number, trial.until, minimised(trial.latest, self.goals.modes[0]))
        return self.goals.reached(trial.number, trial.until, trial.measured)

    def apply(self, time: float, kind: str, trial: int | None, body: Mapping[str, Any]) -> None:
        """Fold one event in. `body` is its JSON; the records of the strategy hold their own `trial`."""
        if kind == "session":
            self._put_down(self._last_time)  # its driver died
            for row in self._running.values():
                row.begun = row.since = time
            self._last_time, self.closed = time, ""
        elif kind == "budget":
            self.budget = Budget(**body)
        elif kind == "closed":
            self.tick(time)
            self._put_down(time)
            self.closed = body["reason"]
            self._last_time = None
        elif kind in _RUNTIME_EVENTS:
            assert trial is not None
            self.tick(time)
            self._runtime(time, kind, self.trials[trial], body)
        else:
            fields = body if trial is None else {"trial": trial, **body}
            self.record(time, record_from_json({"kind": kind, **fields}))

    def record(self, time: float, record: Record) -> None:
        """Fold a strategy's record in."""
        self.tick(time)
        self.records.append(record)
        if isinstance(record, Limit):
            return
        if isinstance(record, Start):
            self.trials.append(Trial(record.trial, dict(record.config), record.until, record.bracket, record.parent))
            self.proposed += record.parent is None
            self._states["running"] += 1
            self._running[record.trial] = self.trials[-1]
            self._inherit(self.trials[-1])
            if not self.trials[-1].ended:
                self.granted += self.cost(self.trials[-1].origin, record.until)
        row = self.trials[record.trial]
        if not isinstance(record, (Reached, Failed)):
            row.why = record.reason
            row.decisions.append((time, f"{type(record).__name__.lower()}: {record.reason}"))
        match record:
            case Start():
                row.begun = row.since = time
            case Resume():
                self._enter(row, "running")
                row.begun = time
                self._grant(row, record.until, time)
            case Continue():
                self._grant(row, record.until, time)
            case Reached():
                row.fidelity, row.value, row.error = record.fidelity, row.latest, ""
                if not self.goals.plain:
                    row.values, row.violation = dict(row.measured), total_violation(record.excess or ())
                    self._front.add(row)
                self._compare(row)
                if self.copies:
                    row.at_milestone = self._refer(row.at_milestone, row.checkpoint)
            case Failed():
                self.in_vain += row.number != self._improved
                self._leave(row, "failed", time)
                row.why = row.error
                row.at_milestone = self._refer(row.at_milestone, None)
                if self.keep_checkpoints is not None:
                    row.checkpoint = self._refer(row.checkpoint, None)
            case Pause():
                self._leave(row, "paused", time)
            case Stop():
                self.in_vain += row.number != self._improved
                self._leave(row, "completed" if row.until >= self.max_budget else "stopped", time)
                row.at_milestone = self._refer(row.at_milestone, None)
                if row.state == "stopped":  # it will not be needed again, and disks fill up
                    row.checkpoint = self._refer(row.checkpoint, None)
                else:
                    self._keep_best(row)

    def _put_down(self, time: float | None) -> None:
        """A session is over at `time`, None if that is known already: nobody trains until the next one."""
        for row in self._running.values():
            if time is not None:
                self._count_seconds(row, time)
                row.begun = time

    def _inherit(self, row: Trial) -> None:
        """A trial with a parent begins as the parent was at its last milestone."""
        parent = None if row.parent is None else self.trials[row.parent]
        if parent is None or parent.at_milestone is None:
            return
        row.checkpoint = self._refer(None, parent.at_milestone)
        row.origin = row.step = parent.at_milestone.step
        if row.origin >= (parent.step if parent.ended else self.max_budget):  # nothing is left that it could train
            row.ended, row.latest, row.metrics = True, parent.latest, dict(parent.metrics)
            row.measured = dict(parent.measured)

    def _refer(self, old: Checkpoint | None, new: Checkpoint | None) -> Checkpoint | None:
        """`new`, which takes the place of `old` in a trial."""
        if new is not None:
            self._uses[new.path] += 1
        if old is not None:
            self._uses[old.path] -= 1
            if not self._uses[old.path]:
                del self._uses[old.path]
                self.unneeded.append(old.path)
        return new

    def _keep_best(self, row: Trial) -> None:
        """A trial completed: of those that did, the worst beyond `keep_checkpoints` loses its checkpoint."""
        if self.keep_checkpoints is None or row.checkpoint is None:
            return
        self._kept.append(row)
        if len(self._kept) > self.keep_checkpoints:
            with_value = [trial for trial in self._kept if _is_finite(trial.value)]
            without = [trial for trial in self._kept if not _is_finite(trial.value)]
            worst = without[-1] if without else self._ranked(with_value)[-1]
            self._kept.remove(worst)
            worst.checkpoint = self._refer(worst.checkpoint, None)

    def _grant(self, row: Trial, until: float, time: float) -> None:
        if not row.ended:
            self.granted += self.cost(row.until, until)
        row.until, row.since = until, time

    def _leave(self, row: Trial, state: State, time: float) -> None:
        if row.state == "running":
            self._count_seconds(row, time)
        self._enter(row, state)

    def _enter(self, row: Trial, state: State) -> None:
        self._states[row.state] -= 1
        self._states[state] += 1
        if row.parent is None:
            self.over += (state in _OVER) - (row.state in _OVER)
        row.state = state
        if state == "running":
            self._running[row.number] = row
        else:
            self._running.pop(row.number, None)

    def _count_seconds(self, row: Trial, time: float) -> None:
        """A trial has been on a worker since it began."""
        row.seconds += time - row.begun
        self._worked += (time - row.begun) * self._size(row)

    def _size(self, row: Trial) -> float:
        """How many workers of the usual size its worker counts for."""
        return 1.0 if row.gpu is None or not self.budget.gpus else row.gpu / self.budget.gpus

    def _compare(self, row: Trial) -> None:
        """See whether a trial with a new value is the best now, or is not any more."""
        if row is self._best and not self.goals.plain:
            self._best_is_known = False
        elif not _is_finite(row.value):
            self._best_is_known = self._best_is_known and self._best is not row
        elif self._best is None or self._standing(row) < self._standing(self._best):
            self._best = row
        if (row is self._best and self._best_is_known) or (self.goals.several and row in self._front.trials):
            self._improved, self.in_vain = row.number, 0

    def _runtime(self, time: float, kind: str, row: Trial, body: Mapping[str, Any]) -> None:
        match kind:
            case "saved":
                row.checkpoint = self._refer(row.checkpoint, Checkpoint(body["path"], body["step"]))
            case "ended":
                row.ended = True
            case "notice":
                self.notices.append(f"trial {row.number}: {body['text']}")
            case "crashed":
                self._count_seconds(row, time)
                row.begun = time
                row.error, row.traceback = body["error"], body["traceback"]
                row.crashes.append((time, body["cause"], body["error"]))
                if "gpu" in body:  # it is tried again with more
                    row.gpu = body["gpu"]
                elif body["cause"] in OWN_FAULTS:
                    row.failures += 1
                else:
                    row.losses += 1


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


_OVER = frozenset({"completed", "stopped", "failed"})
_RUNTIME_EVENTS = frozenset({"saved", "ended", "notice", "crashed"})
