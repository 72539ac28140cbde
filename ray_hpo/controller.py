"""The loop: strategy x executor x journal, in one thread.

A tick hears what arrived, decides, commits, acts, in this order: what was acted on is always in the journal. It knows
neither Ray nor SQL, and has no state that the journal does not hold but the actions of the current tick.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from strategies.actions import (
    Continue,
    Done,
    Failed,
    Pause,
    Record,
    Resume,
    Start,
    Stop,
)
from strategies.appetite import work_at_hand
from strategies.strategy import Strategy

from ray_hpo.budget import Budget, duration_text
from ray_hpo.errors import MetricMissing, near_matches
from ray_hpo.executors.base import Executor
from ray_hpo.experiment import Experiment
from ray_hpo.foresight import Foresight
from ray_hpo.hangs import Hangs
from ray_hpo.journal.journal import Event, Writer
from ray_hpo.messages import OWN_FAULTS, AtMilestone, Crashed, Ended, Job, Message, Notice, Saved
from ray_hpo.reports import Reports
from ray_hpo.trial import Trial

SAVING_SECONDS = 10.0  # for trials that save when they are asked to, at the end of a session
HOPELESS = 10  # trials of a session that fail before any report: the trainable is broken, not its configs
MANY_RECORDS = 50_000  # to look ahead in so many would hold up the loop
MAX_LOSSES = 5  # workers a trial may lose in all before it counts as failed: it may be what kills them


class Controller:
    """Runs an experiment from wherever its journal stands to its end.

    experiment, strategy: both rebuilt from the journal.  nest: a flat config as the trainable gets it.  seed_of: the
    seed that a trial is told, by its number.
    foresight: makes suggestions; default: the strategy, when they are needed.
    on_tick: called after each tick, with nothing to decide: displays.  discard: told of checkpoints that are not
    needed any more.  ask_to_save: has trials that can do so at any time save now; whether there are such.
    max_failures: how often a trial is tried again after an exception.  trial_timeout: seconds without a report after
    which a trial is killed, and has failed; None: never.
    more_gpu: the share of a GPU to try a trial with again that ran out of its memory, by the share that it had (None:
    what all have); None: it has failed.
    """

    def __init__(
        self,
        experiment: Experiment,
        strategy: Strategy,
        executor: Executor,
        journal: Writer,
        *,
        budget: Budget = Budget(),
        max_failures: int = 0,
        trial_timeout: float | None = None,
        more_gpu: Callable[[float | None], float | None] = lambda share: None,
        nest: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        seed_of: Callable[[int], int] = lambda trial: trial,
        foresight: Foresight | None = None,
        on_tick: Callable[[], None] = lambda: None,
        discard: Callable[[str], None] = lambda path: None,
        ask_to_save: Callable[[], bool] = lambda: False,
    ) -> None:
        self._experiment = experiment
        self._strategy = strategy
        self._executor = executor
        self._journal = journal
        self._budget = budget
        self._max_failures = max_failures
        self._hangs = Hangs(trial_timeout)
        self._more_gpu = more_gpu
        self._nest = nest
        self._seed_of = seed_of
        self._foresight = foresight
        self._on_tick = on_tick
        self._discard = discard
        self._ask_to_save = ask_to_save
        self._relaunch: list[Trial] = []  # running trials that want a worker
        self._larger: list[Trial] = []  # those of them that want one with a larger share of a GPU
        self._actions: list[Callable[[], None]] = []  # to do after the commit
        self._unneeded: list[str] = []  # paths of checkpoints that are to be deleted
        self._doomed: list[str] = []  # those that were so when the journal was last synced
        self._syncs = journal.syncs  # of the journal so far
        self._freed = 0  # workers that these actions free, less those that they take
        self._silent_failures = 0  # trials that failed in this session before the first report; -1 once there is one
        self._finished = ""  # why no more work is to be found
        self._interrupted = ""

    def interrupt(self, reason: str) -> None:
        """Ask `run` to stop at the next tick. May be called from a signal handler."""
        self._interrupted = reason

    @property
    def interrupted(self) -> bool:
        """Whether `run` ended because it was asked to."""
        return bool(self._interrupted)

    def work(self, most: int) -> int:
        """How many of `most` more workers would have something to do now."""
        count, known = len(self._relaunch), self._experiment
        if count >= most or self._finished or self._interrupted:
            return min(count, most)
        if len(known.records) > MANY_RECORDS:
            return most
        granted = 0.0
        for action in work_at_hand(self._strategy, known.records):
            if count == most or self._refusal(action, granted):
                break
            granted += self._cost(action)
            count += 1
        return count

    def run(self) -> str:
        """Run to the end of the strategy or of the budget, or to an interrupt; return which, in words.

        Trials that run when time is up or an interrupt arrives are left as they are, after those that can have saved:
        a resume takes them up again from their last checkpoints.

        Raises:
            MetricMissing: a trial arrives at its milestone, and none has reported the metric yet.
        """
        self._take_up()
        while True:
            self._fill()
            self._commit_and_act()
            reason = self._over()
            if reason:
                break
            for message in self._executor.poll(self._patience()):
                self._hear(message)
            self._end_hangs()
        self._save_running()
        self._event("closed", None, {"reason": reason})
        self._journal.commit()
        self._journal.sync()
        for path in (*self._doomed, *self._unneeded):
            self._discard(path)
        return reason

    def _save_running(self) -> None:
        """Give trials that run, and can save at any time, a moment to do so."""
        idle = [*self._relaunch, *self._larger]
        running = {t.number for t in self._experiment.trials if t.state == "running" and t not in idle}
        if not running or not self._ask_to_save():
            return
        give_up = self._executor.now() + SAVING_SECONDS
        while running and self._executor.now() < give_up:
            for message in self._executor.poll(give_up - self._executor.now()):
                if isinstance(message, (Reports, Saved, Notice)):
                    self._hear(message)
                if not isinstance(message, Reports):
                    running.discard(message.trial)

    # ---- one tick ----

    def _take_up(self) -> None:
        """Go on where the journal ends: verdicts that are due, trials that were running."""
        for number in self._strategy.waiting():
            self._judge(self._experiment.trials[number], holds_worker=False)
        for trial in self._experiment.trials:
            if trial.state == "running" and trial not in self._relaunch and trial not in self._larger:
                self._queue(trial)

    def _fill(self) -> None:
        """Find work for every free worker."""
        if self._larger and not self._out_of_time() and self._executor.room_for(self._larger[0].gpu or 0.0):
            self._launch(self._larger.pop(0))
        while self._free > 0 and self._relaunch and not self._out_of_time():
            self._launch(self._relaunch.pop(0))
        while self._free > 0 and not (self._relaunch or self._finished or self._interrupted):
            action = self._strategy.next(None if self._foresight is None else self._foresight.suggest)
            if isinstance(action, Done):
                self._finished = action.reason
            elif isinstance(action, Stop):
                self._record(action)
            elif isinstance(action, (Start, Resume)):
                self._finished = self._refusal(action)
                if not self._finished:
                    self._record(action)
                    trial = self._experiment.trials[action.trial]
                    if isinstance(action, Start):
                        self._note_missing_checkpoint(trial)
                    self._send(trial)
            else:
                return

    @property
    def _free(self) -> int:
        return self._executor.free + self._freed

    def _commit_and_act(self) -> None:
        self._journal.commit()
        actions, self._actions, self._freed = self._actions, [], 0
        for act in actions:
            act()
        self._delete()
        if self._foresight is not None:
            self._foresight.news()
        self._on_tick()

    def _delete(self) -> None:
        """After a power failure the journal may be as old as its last sync, and checkpoints may lack what was saved in
        the half second before: what is left must be there. So a checkpoint is deleted at the second sync from when it
        was not needed any more: that knows so, and was begun half a second after the first."""
        if self._journal.syncs != self._syncs:
            self._syncs = self._journal.syncs
            for path in self._doomed:
                self._discard(path)
            self._doomed, self._unneeded = self._unneeded, []

    def _patience(self) -> float:
        """Seconds after which there is something to do even if nothing arrives."""
        left = min(self._budget.time_left(self._elapsed()), self._hangs.patience(self._executor.now()))
        return min(left, self._foresight.timeout) if self._foresight is not None and self._free > 0 else left

    def _over(self) -> str:
        """Why the loop ends now; empty while it goes on."""
        if self._interrupted:
            return self._interrupted
        if self._out_of_time():
            return self._budget.refuses(self._elapsed(), 0.0, 0.0) or self._used_up()
        return "" if self._strategy.table.running else self._finished

    # ---- hearing ----

    def _hear(self, message: Message) -> None:
        trial = self._experiment.trials[message.trial]
        self._hangs.heard(message.trial, self._executor.now())
        if isinstance(message, (AtMilestone, Ended, Crashed)):
            self._hangs.forget(message.trial)
        match message:
            case Reports():
                self._silent_failures = -1
                new = message.after(trial.step)  # a step that is delivered again, after a crash, changes nothing
                if new is not None:
                    self._journal.report(new)
                    self._experiment.report(trial.number, new.step, new.metrics)
            case Saved():
                self._event("saved", trial.number, {"path": message.checkpoint.path, "step": message.checkpoint.step})
            case Notice():
                self._event("notice", trial.number, {"text": message.text})
            case AtMilestone():
                if message.seconds is not None:
                    self._event("ran", trial.number, {"seconds": message.seconds})
                self._reached(trial, holds_worker=not message.released)
            case Ended():
                self._event("ended", trial.number, _ran(message.seconds))
                self._reached(trial, holds_worker=False)
            case Crashed():
                self._crash(trial, message.kind, message.error, message.traceback, message.seconds)

    def _reached(self, trial: Trial, holds_worker: bool) -> None:
        missing = self._experiment.missing(trial)
        if missing:
            self._missing_metric(trial, missing[0], holds_worker)
            return
        if self._foresight is not None:
            self._foresight.job_took(self._executor.now() - trial.since)
        self._record(self._experiment.reached(trial))
        self._judge(trial, holds_worker)

    def _judge(self, trial: Trial, holds_worker: bool) -> None:
        """Ask for the verdict on a trial that waits at its milestone, and see to it."""
        verdict = self._strategy.verdict(trial.number)
        if isinstance(verdict, Continue):
            refusal = self._refusal(verdict)
            if refusal:
                self._finished, verdict = refusal, Pause(trial.number, refusal)
        self._record(verdict)
        if isinstance(verdict, Continue):
            if holds_worker and not trial.ended:
                until = verdict.until
                self._hangs.heard(trial.number, self._executor.now())
                self._actions.append(lambda: self._executor.proceed(trial.number, until))
            else:
                self._send(trial)
        elif holds_worker:
            self._release(trial)

    def _crash(self, trial: Trial, kind: str, error: str, traceback: str = "", seconds: float | None = None) -> None:
        had, more = trial.gpu, self._more_gpu(trial.gpu) if kind == "gpu out of memory" else None
        grown = {} if more is None else {"gpu": more}
        body = {"cause": kind, "error": error, "traceback": traceback, **grown, **_ran(seconds)}
        self._event("crashed", trial.number, body)
        own = kind in OWN_FAULTS
        retry = trial.failures <= self._max_failures if own else kind == "preempted" or trial.losses <= MAX_LOSSES
        if more is not None:
            share = "its share" if had is None else f"{had:g}"
            text = f"its GPU was out of memory with {share} of it: it goes on from its last checkpoint with {more:g}"
            self._event("notice", trial.number, {"text": text})
            self._queue(trial)
        elif retry:
            self._queue(trial)
        else:
            self._fail(trial)

    def _end_hangs(self) -> None:
        """Trials that have not been heard of for too long lose their workers."""
        now = self._executor.now()
        for number in self._hangs.overdue(now):
            began = self._executor.began(number)
            if began is None or now - began < (self._hangs.limit or 0.0):  # it waited for its turn
                self._hangs.heard(number, now if began is None else began)
                continue
            self._hangs.forget(number)
            self._actions.append(partial(self._executor.kill, number))
            error = f"no report for {duration_text(self._hangs.limit or 0.0)} (trial_timeout): it was killed"
            self._crash(self._experiment.trials[number], "timeout", error)

    def _fail(self, trial: Trial) -> None:
        self._record(Failed(trial.number, trial.until))
        if self._silent_failures >= 0:
            self._silent_failures += 1
            if self._silent_failures == HOPELESS:
                self.interrupt(f"the first {HOPELESS} trials all failed without a report, the last with {trial.error}")

    def _missing_metric(self, trial: Trial, metric: str, holds_worker: bool) -> None:
        """A trial is at its milestone, or at its end, without the metric, or what a constraint is about."""
        known, seen = self._experiment, ", ".join(sorted(trial.metrics)) or "nothing"
        if trial.metrics and all(metric in known.missing(other) for other in known.trials):
            field = "metric=" if metric in known.goals.metrics else "constraints: "
            near = near_matches(metric, trial.metrics)
            raise MetricMissing(
                f"{field}{metric!r} was not reported by trial {trial.number} up to {trial.step:g}; it reported {seen}"
                + (f": {near}" if near.startswith("did you mean") else "")
            )
        what = f"never reported {metric!r}; it reported {seen}" if trial.metrics else "ended without a report"
        self._event("crashed", trial.number, {"cause": "user", "error": what, "traceback": ""})
        self._fail(trial)
        if holds_worker:
            self._release(trial)

    # ---- deciding ----

    def _refusal(self, action: Start | Resume | Continue, promised: float = 0.0) -> str:
        """Why the budget does not allow `action`; empty if it does. promised: units besides those granted."""
        known = self._experiment
        granted, cost = known.granted + promised, self._cost(action)
        return self._budget.refuses(self._elapsed(), granted, cost, known.in_vain) or self._used_up()

    def _cost(self, action: Start | Resume | Continue) -> float:
        known = self._experiment
        done = known.origin(action.parent) if isinstance(action, Start) else known.trials[action.trial].until
        return known.cost(done, action.until)

    def _note_missing_checkpoint(self, trial: Trial) -> None:
        """A copy of a trial that saved nothing trains on nothing, and takes longer."""
        if trial.parent is not None and trial.checkpoint is None:
            text = f"starts from nothing: trial {trial.parent}, of which it is a copy, saved no checkpoint up to there"
            self._event("notice", trial.number, {"text": text})

    def _send(self, trial: Trial) -> None:
        """A trial is to train on and has no worker. One that has ended by itself is at its next milestone already."""
        if trial.ended:
            self._reached(trial, holds_worker=False)
        elif self._free > 0 and trial.gpu is None:
            self._launch(trial)
        else:
            self._queue(trial)

    def _queue(self, trial: Trial) -> None:
        """A trial that is to train waits for a worker."""
        (self._relaunch if trial.gpu is None else self._larger).append(trial)

    def _launch(self, trial: Trial) -> None:
        config, seed = self._nest(trial.config), self._seed_of(trial.number)
        final = trial.until >= self._experiment.max_budget and math.isfinite(trial.until)
        job = Job(trial.number, config, trial.until, trial.checkpoint, trial.since, seed, final, trial.gpu)
        self._hangs.heard(trial.number, self._executor.now())
        self._actions.append(lambda: self._executor.launch(job))
        self._freed -= trial.gpu is None

    def _release(self, trial: Trial) -> None:
        self._actions.append(lambda: self._executor.release(trial.number))
        self._freed += trial.gpu is None

    def _tidy(self) -> None:
        """Have the checkpoints deleted that no trial refers to any more, once the disk knows that."""
        if self._experiment.unneeded:
            self._unneeded += self._experiment.unneeded
            self._experiment.unneeded.clear()

    # ---- remembering ----

    def _record(self, record: Record) -> None:
        now = self._executor.now()
        self._journal.record(now, record)
        self._experiment.record(now, record)
        self._strategy.apply(record)
        self._tidy()

    def _event(self, kind: str, trial: int | None, body: dict[str, Any]) -> None:
        now = self._executor.now()
        self._journal.event(Event(now, kind, trial, body))
        self._experiment.apply(now, kind, trial, body)
        self._tidy()

    def _elapsed(self) -> float:
        return self._experiment.elapsed_at(self._executor.now())

    def _out_of_time(self) -> bool:
        return self._budget.out_of_time(self._elapsed()) or bool(self._used_up())

    def _used_up(self) -> str:
        """Which limit on the trials' time on workers is reached; empty if none is."""
        return self._budget.used_up(lambda: self._experiment.worker_seconds(self._executor.now()))


def _ran(seconds: float | None) -> dict[str, Any]:
    """How long a trial that was launched ahead of its turn had its worker, for the journal."""
    return {} if seconds is None else {"seconds": seconds}
