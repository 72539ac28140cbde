"""The loop: strategy x executor x journal, in one thread.

A tick hears what arrived, decides, commits, acts, in this order: what was acted on is always in the journal. It knows
neither Ray nor SQL, and has no state that the journal does not hold but the actions of the current tick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strategies.actions import Continue, Done, Pause, Resume, Start, Stop
from strategies.appetite import work_at_hand
from strategies.strategy import Strategy

from ray_hpo.budget import Budget
from ray_hpo.executors.base import Executor
from ray_hpo.experiment import Experiment
from ray_hpo.foresight import Foresight
from ray_hpo.journal.journal import Writer
from ray_hpo.loop.allowance import Allowance
from ray_hpo.loop.dispatch import Dispatch
from ray_hpo.loop.faults import Faults
from ray_hpo.loop.go_aheads import GoAheads
from ray_hpo.loop.hangs import Hangs
from ray_hpo.loop.scribe import Scribe, ran
from ray_hpo.loop.tidying import Tidying
from ray_hpo.messages import AtMilestone, Crashed, Ended, Message, Notice, Saved, is_last, went_on
from ray_hpo.reports import Reports
from ray_hpo.trial import Trial

SAVING_SECONDS = 10.0  # for trials that save when they are asked to, at the end of a session
MANY_RECORDS = 50_000  # to look ahead in so many would hold up the loop


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
        self._foresight = foresight
        self._on_tick = on_tick
        self._ask_to_save = ask_to_save
        self._hangs = Hangs(trial_timeout)
        self._scribe = Scribe(experiment, strategy, journal, executor.now)
        self._allowance = Allowance(experiment, budget, executor.now)
        self._dispatch = Dispatch(executor, self._hangs, experiment.max_budget, nest, seed_of)
        self._go_aheads = GoAheads(strategy, experiment.goals, self._allowance, self._dispatch)
        self._faults = Faults(experiment, self._scribe, self._dispatch, self._hangs, max_failures, more_gpu)
        self._tidying = Tidying(experiment, journal, discard)
        self._finished = ""  # why no more work is to be found
        self._asked_to_end = ""

    def interrupt(self, reason: str) -> None:
        """Ask `run` to stop at the next tick. May be called from a signal handler."""
        self._asked_to_end = reason

    @property
    def interrupted(self) -> str:
        """Why `run` is to end, or has ended, before its time; empty if it is not."""
        return self._asked_to_end or self._faults.hopeless

    def work(self, most: int) -> int:
        """How many of `most` more workers would have something to do now."""
        count, known = len(self._dispatch.waiting), self._experiment
        if count >= most or self._finished or self.interrupted:
            return min(count, most)
        if len(known.records) > MANY_RECORDS:
            return most
        granted = 0.0
        for action in work_at_hand(self._strategy, known.records):
            if count == most or self._allowance.refusal(action, granted):
                break
            granted += self._allowance.cost(action)
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
            self._go_aheads.give(self._executor.arrivals())
            self._commit_and_act()
            reason = self._over()
            if reason:
                break
            for message in self._executor.poll(self._patience()):
                self._hear(message)
            for trial in self._faults.end_hangs(self._executor.now(), self._executor.began):
                self._go_aheads.forget(trial)
        self._save_running()
        self._scribe.event("closed", None, {"reason": reason})
        self._journal.commit()
        self._journal.sync()
        self._tidying.at_end()
        return reason

    def _save_running(self) -> None:
        """Give trials that run, and can save at any time, a moment to do so."""
        idle = self._dispatch.idle
        running = {t.number for t in self._experiment.trials if t.state == "running" and t not in idle}
        if not running or not self._ask_to_save():
            return
        give_up = self._executor.now() + SAVING_SECONDS
        while running and self._executor.now() < give_up:
            for message in self._executor.poll(give_up - self._executor.now()):
                if not is_last(message):
                    self._hear(message)
                if not isinstance(message, Reports) and not went_on(message):
                    running.discard(message.trial)

    # ---- one tick ----

    def _take_up(self) -> None:
        """Go on where the journal ends: verdicts that are due, trials that were running."""
        for number in self._strategy.waiting():
            self._judge(self._experiment.trials[number], holds_worker=False)
        idle = self._dispatch.idle
        for trial in self._experiment.trials:
            if trial.state == "running" and trial not in idle:
                self._dispatch.queue(trial)

    def _fill(self) -> None:
        """Find work for every free worker."""
        dispatch = self._dispatch
        if (dispatch.waiting or dispatch.larger) and not self._allowance.used_up():
            dispatch.launch_waiting()
        while self._may_ask and not (dispatch.waiting or self._finished or self.interrupted):
            suggest = None if self._foresight is None else self._foresight.suggest
            action = self._strategy.next(suggest, ahead=dispatch.ahead)
            if isinstance(action, Done):
                self._finished = action.reason
            elif isinstance(action, Stop):
                self._scribe.record(action)
            elif isinstance(action, (Start, Resume)):
                if self._refusal(action):
                    return
                self._scribe.record(action)
                trial = self._experiment.trials[action.trial]
                if isinstance(action, Start):
                    self._note_missing_checkpoint(trial)
                self._send(trial)
            else:
                return

    def _refusal(self, action: Start | Resume | Continue) -> str:
        """Why `action` is not allowed; empty if it is. If not, nothing will be, unless what is reserved is not used."""
        refusal = self._allowance.refusal(action)
        if refusal and not self._allowance.reserved:
            self._finished = refusal
        return refusal

    @property
    def _may_ask(self) -> bool:
        """Whether the strategy is asked what comes next. Without any worker, too, once nothing runs any more: a pool
        for which there is no work may have none left, and the strategy still has to say that it is done."""
        return self._dispatch.free > 0 or bool(self._experiment.trials and not self._strategy.table.running)

    def _note_missing_checkpoint(self, trial: Trial) -> None:
        """A copy of a trial that saved nothing trains on nothing, and takes longer."""
        if trial.parent is not None and trial.checkpoint is None:
            text = f"starts from nothing: trial {trial.parent}, of which it is a copy, saved no checkpoint up to there"
            self._scribe.event("notice", trial.number, {"text": text})

    def _commit_and_act(self) -> None:
        self._journal.commit()
        self._dispatch.act()
        self._tidying.after_commit()
        if self._foresight is not None:
            self._foresight.news()
        self._on_tick()

    def _patience(self) -> float:
        """Seconds after which there is something to do even if nothing arrives."""
        left = min(self._allowance.time_left(), self._hangs.patience(self._executor.now()))
        if self._foresight is None or self._dispatch.free <= 0:
            return left
        return min(left, self._foresight.timeout)

    def _over(self) -> str:
        """Why the loop ends now; empty while it goes on."""
        ended = self.interrupted or self._allowance.used_up()
        return ended or ("" if self._strategy.table.running else self._finished)

    # ---- hearing and judging ----

    def _hear(self, message: Message) -> None:
        trial = self._experiment.trials[message.trial]
        self._hangs.heard(message.trial, self._executor.now())
        if is_last(message):
            self._hangs.forget(message.trial)
            self._go_aheads.forget(message.trial)
        match message:
            case Reports():
                self._faults.some_report = True
                new = message.after(trial.step)  # a step that is delivered again, after a crash, changes nothing
                if new is not None:
                    self._journal.report(new)
                    self._experiment.report(trial.number, new.step, new.metrics)
            case Saved():
                body = {"path": message.checkpoint.path, "step": message.checkpoint.step}
                self._scribe.event("saved", trial.number, body)
            case Notice():
                self._scribe.event("notice", trial.number, {"text": message.text})
            case AtMilestone():
                if message.seconds is not None:
                    self._scribe.event("ran", trial.number, {"seconds": message.seconds})
                self._reached(trial, not message.released, went_on(message))
            case Ended():
                self._scribe.event("ended", trial.number, ran(message.seconds))
                self._reached(trial, holds_worker=False)
            case Crashed():
                self._faults.crashed(trial, message.kind, message.error, message.traceback, message.seconds)

    def _reached(self, trial: Trial, holds_worker: bool, goes_on: bool = False) -> None:
        missing = self._experiment.missing(trial)
        if missing:
            self._faults.metric_missing(trial, missing[0], holds_worker)
            return
        if self._foresight is not None:
            self._foresight.job_took(self._executor.now() - trial.since)
        self._scribe.record(self._experiment.reached(trial))
        if goes_on:
            self._scribe.record(self._go_aheads.used(trial.number))
        else:
            self._judge(trial, holds_worker)

    def _judge(self, trial: Trial, holds_worker: bool) -> None:
        """Ask for the verdict on a trial that waits at its milestone, and see to it."""
        verdict = self._strategy.verdict(trial.number)
        if isinstance(verdict, Continue):
            refusal = self._refusal(verdict)
            if refusal:
                verdict = Pause(trial.number, refusal)
        self._scribe.record(verdict)
        if isinstance(verdict, Continue):
            if holds_worker and not trial.ended:
                self._dispatch.proceed(trial)
            else:
                self._send(trial)
        elif holds_worker:
            self._dispatch.release(trial)

    def _send(self, trial: Trial) -> None:
        """A trial is to train on and has no worker. One that has ended by itself is at its next milestone already."""
        if trial.ended:
            self._reached(trial, holds_worker=False)
        else:
            self._dispatch.send(trial)
