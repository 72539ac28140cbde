"""The experiment as a fold over the journal's rows: the controller, the display, results and the command line all read
this one."""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

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
from ray_hpo.checkpoint_uses import CheckpointUses
from ray_hpo.goals import Goals, Metric, Mode
from ray_hpo.leaders import Leaders
from ray_hpo.messages import OWN_FAULTS, Checkpoint
from ray_hpo.tally import Tally
from ray_hpo.trial import Trial


class Experiment:
    """The fold: `apply` each event and `report` each report, in the journal's order.

    metric, mode, constraints: see `Goals`.
    copies: whether trials may begin from the checkpoint that another one had at its last milestone.
    keep_checkpoints: how many trials that completed keep their last checkpoint, the best ones; None: all of them.
    records: what the strategy is to be told, in order.
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
        self.trials: list[Trial] = []
        self.records: list[Record] = []
        self.notices: list[str] = []
        self.budget = Budget()
        self.closed = ""  # why the last session ended; empty while it runs, or after a crash
        self.granted = 0.0  # units of fidelity handed out to trials
        self._trained = 0.0
        self._leaders = Leaders(self.goals, self.trials)
        self._checkpoints = CheckpointUses(keep_checkpoints)
        self._tally = Tally()

    # ---- what there is to know ----

    @property
    def best(self) -> Trial | None:
        """The best trial; see `Leaders.best`.

        Raises:
            RayHpoError: there are several metrics.
        """
        return self._leaders.best

    @property
    def pareto_front(self) -> list[Trial]:
        """The trials that no other beats; see `Leaders.front`."""
        return self._leaders.front

    def ranked(self) -> list[Trial]:
        """The trials that have a value, the best first; see `Leaders.ranked`."""
        return self._leaders.ranked()

    @property
    def in_vain(self) -> int:
        """Trials that have ended since the best became better."""
        return self._leaders.in_vain

    @property
    def checkpoints(self) -> Set[str]:
        """Paths of all checkpoints that trials refer to."""
        return self._checkpoints.paths

    @property
    def unneeded(self) -> list[str]:
        """Paths of checkpoints that no trial refers to any more; whoever deletes them empties it."""
        return self._checkpoints.unneeded

    @property
    def proposed(self) -> int:
        """Trials that are not copies of others: those that the limit on trials counts."""
        return self._tally.proposed

    @property
    def over(self) -> int:
        """Of the proposed trials, those that have come to their end."""
        return self._tally.over

    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return self._tally.counts()

    @property
    def elapsed(self) -> float:
        """Seconds of all sessions."""
        return self._tally.elapsed

    def elapsed_at(self, time: float) -> float:
        """Seconds of all sessions up to `time`."""
        return self._tally.elapsed_at(time)

    def worker_seconds(self, time: float) -> float:
        """Seconds that trials have been on workers up to `time`, all together."""
        return self._tally.worker_seconds(time)

    @property
    def last_time(self) -> float:
        """When something was last heard of: time of the executor's clock; 0 before the beginning."""
        return max((time for t in self.trials for time, _ in t.decided[-1:]), default=0.0)

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

    # ---- the fold ----

    def report(self, trial: int, step: float, metrics: dict[str, Any]) -> None:
        """A report that is new: its step lies beyond all earlier ones of the trial. metrics: kept as they are."""
        row = self.trials[trial]
        self._trained += step - row.step
        row.step, row.metrics = step, metrics
        value = metrics.get(self.goals.metrics[0])
        if isinstance(value, (int, float)):
            row.latest = float(value)
        if not self.goals.plain:
            known = {name: metrics.get(name) for name in self.goals.names}
            row.measured |= {name: float(value) for name, value in known.items() if isinstance(value, (int, float))}

    def apply(self, time: float, kind: str, trial: int | None, body: Mapping[str, Any]) -> None:
        """Fold one event in. `body` is its JSON; the records of the strategy hold their own `trial`."""
        if kind == "session":
            self._tally.session_begins(time)
            self.closed = ""
        elif kind == "budget":
            self.budget = Budget(**body)
        elif kind == "closed":
            self._tally.session_ends(time)
            self.closed = body["reason"]
        elif kind in _RUNTIME_EVENTS:
            assert trial is not None
            self._tally.tick(time)
            self._runtime(time, kind, self.trials[trial], body)
        else:
            fields = body if trial is None else {"trial": trial, **body}
            self.record(time, record_from_json({"kind": kind, **fields}))

    def record(self, time: float, record: Record) -> None:
        """Fold a strategy's record in."""
        self._tally.tick(time)
        self.records.append(record)
        if isinstance(record, Limit):
            return
        if isinstance(record, Start):
            self._start(record)
        row = self.trials[record.trial]
        if not isinstance(record, (Reached, Failed)):
            row.why = record.reason
            row.decided.append((time, record))
        match record:
            case Start():
                row.begun = row.since = time
            case Resume():
                self._tally.enter(row, "running")
                row.begun = time
                self._grant(row, record.until, time)
            case Continue():
                self._grant(row, record.until, time)
            case Reached():
                self._result(row, record)
            case Failed():
                self._leaders.ended(row)
                self._tally.leave(row, "failed", time)
                row.why = row.error
                self._checkpoints.failed(row)
            case Pause():
                self._tally.leave(row, "paused", time)
            case Stop():
                self._stop(row, time)

    def _start(self, record: Start) -> None:
        row = Trial(record.trial, dict(record.config), record.until, record.bracket, record.parent)
        self.trials.append(row)
        self._tally.started(row)
        self._inherit(row)
        if not row.ended:
            self.granted += self.cost(row.origin, record.until)

    def _inherit(self, row: Trial) -> None:
        """A trial with a parent begins as the parent was at its last milestone."""
        parent = None if row.parent is None else self.trials[row.parent]
        if parent is None or parent.at_milestone is None:
            return
        row.checkpoint = self._checkpoints.refer(None, parent.at_milestone)
        row.origin = row.step = parent.at_milestone.step
        if row.origin >= (parent.step if parent.ended else self.max_budget):  # nothing is left that it could train
            row.ended, row.latest, row.metrics = True, parent.latest, dict(parent.metrics)
            row.measured = dict(parent.measured)

    def _grant(self, row: Trial, until: float, time: float) -> None:
        if not row.ended:
            self.granted += self.cost(row.until, until)
        row.until, row.since = until, time

    def _result(self, row: Trial, record: Reached) -> None:
        row.fidelity, row.value, row.error = record.fidelity, row.latest, ""
        if not self.goals.plain:
            row.values, row.violation = dict(row.measured), total_violation(record.excess or ())
        self._leaders.add(row)
        if self.copies:
            row.at_milestone = self._checkpoints.refer(row.at_milestone, row.checkpoint)

    def _stop(self, row: Trial, time: float) -> None:
        self._leaders.ended(row)
        if row.until >= self.max_budget:
            self._tally.leave(row, "completed", time)
            self._checkpoints.completed(row, self._leaders.ranked)
        else:
            self._tally.leave(row, "stopped", time)
            self._checkpoints.stopped(row)

    def _runtime(self, time: float, kind: str, row: Trial, body: Mapping[str, Any]) -> None:
        if "seconds" in body:  # it was launched ahead of its turn
            row.begun = max(row.begun, time - body["seconds"])
        match kind:
            case "saved":
                row.checkpoint = self._checkpoints.refer(row.checkpoint, Checkpoint(body["path"], body["step"]))
            case "ended":
                row.ended = True
            case "notice":
                self.notices.append(f"trial {row.number}: {body['text']}")
            case "crashed":
                self._tally.count_seconds(row, time)
                row.begun = time
                row.error, row.traceback = body["error"], body["traceback"]
                row.crashes.append((time, body["cause"], body["error"]))
                if "gpu" in body:  # it is tried again with more
                    row.gpu = body["gpu"]
                    row.size = body["gpu"] / self.budget.gpus if self.budget.gpus else 1.0
                elif body["cause"] in OWN_FAULTS:
                    row.failures += 1
                elif body["cause"] != "preempted":  # of which no trial is the cause
                    row.losses += 1


_RUNTIME_EVENTS = frozenset({"saved", "ended", "notice", "crashed", "ran"})
