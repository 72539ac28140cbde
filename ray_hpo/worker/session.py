"""What a trainable talks to: `report`, `get_checkpoint`, `get_context`.

One trial at a time runs in a process. Its reports go into an outbox; at a milestone its thread sleeps until the verdict
arrives.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import pickle
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_hpo.errors import StorageError
from ray_hpo.messages import AtMilestone, Checkpoint, Crashed, Job, Measured, Message, Notice, Saved
from ray_hpo.storage import Pickled, Savable, TrialStore
from ray_hpo.worker import gpu_usage
from ray_hpo.worker.outbox import Bell, Outbox
from ray_hpo.worker.saving import Saving, copied
from ray_hpo.worker.setting import Setting as Setting, open_store
from ray_hpo.worker.syncing import syncing

FIRST_MEASUREMENTS, MEASURE_SECONDS = 3, 30.0  # of GPU memory: at so many first reports, and then so often
SAVE_SECONDS = 60.0  # how much work a trainable that saves on demand may lose
HEAD_START, HEAD_START_SECONDS = 0.04, 0.002  # of the next trial, as a part of how long this one took; at most
_sleep = time.sleep  # where tests wait for an event

CheckpointLike = Mapping[str, Any] | str | os.PathLike[str]


class TrialReleased(BaseException):
    """Raised out of `report` when the trial is to give its worker back. Not an Exception: user code should let it
    pass."""


@dataclass(frozen=True)
class Context:
    """Where a trainable finds itself.

    trial: its number.  config: as it was called.  until: the milestone it trains to now, on the fidelity axis.
    folder: this trial's folder below the experiment's, for files of its own.
    seed: a number below 2^31 of this trial's own, the same after a pause or a crash: for random, NumPy, torch. The
    same configuration gets other seeds when the winner is verified.
    """

    trial: int
    config: dict[str, Any]
    until: float
    experiment: str
    folder: Path
    seed: int


class Session:
    """One trial's link to its runner.

    alone: no other job came with this one.  timed: it tells how long it had its worker: it was launched ahead of its
    turn.  store: default: a new one for `setting`.
    asked_to_leave: why the trial is to go on elsewhere, from its next checkpoint; empty if it is not.
    make_way: leaves the worker to the next job, if one is there, and says whether one is.
    goes_on: to where the trial goes on from its milestone with such a value of the metric, if that is known.
    """

    def __init__(
        self,
        job: Job,
        setting: Setting,
        bell: Bell,
        alone: bool = True,
        timed: bool = False,
        asked_to_leave: Callable[[], str] = str,
        make_way: Callable[[], bool] = bool,
        goes_on: Callable[[float], float | None] = lambda value: None,
        store: TrialStore | None = None,
    ) -> None:
        self.job = job
        self.setting = setting
        self.until = job.until
        self.step = 0.0
        self.outbox = Outbox(job.trial, bell)
        self._bell = bell
        self._alone, self._timed = alone, timed
        self._began = time.monotonic()
        self._store = store or open_store(setting)
        self._saving = Saving()
        self._saved_at = time.monotonic()
        self._saved_step = -math.inf
        self._asked_to_leave = asked_to_leave
        self._make_way = make_way
        self._goes_on = goes_on
        self._measured, self._measured_at = 0, 0.0
        self._leaves = ""  # why the trial is to leave, once it is asked to
        self.left = False
        self._verdict: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._released = False
        self._departed: float | None = None  # when

    # ---- the trainable's side ----

    def report(
        self, metrics: Mapping[str, Any], checkpoint: CheckpointLike | None = None, *, last: bool = False
    ) -> None:
        """See `ray_hpo.report`. last: the trainable ends here, so that there is no verdict to wait for."""
        plain = plain_metrics(metrics)
        self._report(self.next_step(plain), plain, checkpoint, last)

    def report_at(
        self, step: float, metrics: Mapping[str, Any], checkpoint: CheckpointLike | None = None, *, last: bool = False
    ) -> None:
        """Report metrics at `step`; returns when training may go on."""
        self._report(step, plain_metrics(metrics), checkpoint, last)

    def load_checkpoint(self) -> dict[str, Any] | Path | None:
        """See `ray_hpo.get_checkpoint`. From here on steps count from the checkpoint's."""
        if self.job.checkpoint is None:
            return None
        try:
            loaded = self._store.load(self.job.checkpoint.path)
        except (EOFError, pickle.UnpicklingError, FileNotFoundError) as error:
            # A power failure came before the disk had all of it, or an older copy of the journal was put back.
            text = f"checkpoint at {self.job.checkpoint.step:g} is damaged ({error}): starts from nothing"
            self.outbox.put(Notice(self.job.trial, text))
            return None
        self.step = self.job.checkpoint.step
        return loaded

    def checkpoint_is_due(self, metrics: Mapping[str, Any]) -> bool:
        """Whether a trainable that saves on demand should save with the report of `metrics`."""
        self._leaves = self._leaves or self._asked_to_leave()
        overdue = bool(self._leaves) or time.monotonic() - self._saved_at > SAVE_SECONDS
        return overdue or self.next_step(plain_metrics(metrics)) >= self.until

    def save(self, checkpoint: Savable) -> None:
        """Save as of the last report. A full disk or a missing mount must not cost the result: training goes on, and
        the user is told."""
        self._saving.settle(also_next=False)
        self._save(self.step, checkpoint)

    def settle(self) -> None:
        """Wait for what is being saved, unless the trial's last word does."""
        if self._departed is None:
            self._saving.settle(also_next=True)

    @property
    def asked_to_save(self) -> bool:
        """Whether the session of the driver ends, so that whoever can save should do so now."""
        return self._store.asked_to_save

    def context(self) -> Context:
        folder = self._store.trial_folder(self.job.trial)
        with contextlib.suppress(OSError):  # a full disk is the trainable's business only if it writes there
            folder.mkdir(parents=True, exist_ok=True)
        return Context(self.job.trial, self.job.config, self.until, self.setting.name, folder, self.job.seed)

    @property
    def released(self) -> bool:
        """Whether the trial is to end: for trainables that can tell before their next report."""
        return self._released

    @property
    def seconds(self) -> float | None:
        """How long it has had its worker, where others had it since the launch."""
        until = time.monotonic() if self._departed is None else self._departed
        return until - self._began if self._timed else None

    # ---- the runner's side ----

    def proceed(self, until: float) -> None:
        self.until = until
        self._verdict.put(None)

    def release(self) -> None:
        """The next, or the present, `report` raises `TrialReleased`."""
        self._released = True
        self._verdict.put(None)

    def _save(self, step: float, checkpoint: Savable) -> None:
        self._saved_at = time.monotonic()
        try:
            path = self._store.save(self.job.trial, step, checkpoint)
        except OSError as error:
            self._not_saved(step, error)
            return
        self._saved_step = step
        self.outbox.put(Saved(self.job.trial, Checkpoint(path, step)))
        at_end = step >= self.setting.max_budget
        syncing().add(self.job.trial, functools.partial(self._sync, path, step), at_once=at_end)

    def _save_meanwhile(self, checkpoint: CheckpointLike) -> None:
        """Save while training goes on, if that can be done with little memory and nobody waits for it."""
        copy = None if self._leaves else self._copied(checkpoint)
        if copy is None:
            self.save(checkpoint)
        else:
            self._saving.put(functools.partial(self._save, self.step, copy))

    def _save_before_others(self, checkpoint: CheckpointLike | None) -> None:
        """Once the milestone is told of, a copy of this trial may begin from what it has saved by then."""
        if checkpoint is None:
            self.settle()
        else:
            self.save(checkpoint)

    def _save_and_leave(self, checkpoint: CheckpointLike, step: float) -> None:
        """At a milestone: if a job waits for the worker, leave it, and save meanwhile."""
        copy = self._copied(checkpoint)
        if copy is None or not self._make_way():
            self.save(checkpoint if copy is None else copy)
            return
        self.depart(functools.partial(self._at_milestone, step), functools.partial(self._save, step, copy))
        raise TrialReleased

    def _copied(self, checkpoint: CheckpointLike) -> Pickled | None:
        return copied(checkpoint) if isinstance(checkpoint, Mapping) else None

    def depart(self, last_word: Callable[[], Message], save: Callable[[], None] = lambda: None) -> None:
        """The trial has made way. Its last word, after what is to be saved before, comes from another thread, once the
        next trial has begun: the answer's way keeps the interpreter busy, and the cores, where several trials of a node
        make way at once."""
        self._released, self._departed = True, time.monotonic()
        head_start = min(HEAD_START * (self._departed - self._began), HEAD_START_SECONDS)

        def say() -> None:
            _sleep(head_start)
            try:
                save()
            finally:
                self.outbox.put(last_word())
                self._bell.ring_out()

        self._saving.put(say)

    def _at_milestone(self, step: float) -> AtMilestone:
        return AtMilestone(self.job.trial, self._released, self.seconds, self._saved_step == step)

    def _report(self, step: float, plain: dict[str, Any], checkpoint: CheckpointLike | None, last: bool) -> None:
        if self._released:
            raise TrialReleased
        for metric in (self.setting.metric, *self.setting.further):
            if metric in plain and not isinstance(plain[metric], (int, float)):
                raise TypeError(f"metric {metric!r} must be a number; got {plain[metric]!r}")
        self.step = step
        if checkpoint is not None:
            self._leaves = self._leaves or self._asked_to_leave()
        went_on = step >= self.until and not last and self._go_on(plain.get(self.setting.metric))
        at_milestone = step >= self.until
        self.outbox.report(step, plain)  # before its checkpoint, beyond which it would not be trained again
        if went_on:
            if self.setting.copied:
                self._save_before_others(checkpoint)
                checkpoint = None
            self.outbox.put(AtMilestone(self.job.trial, went_on=self.until))
            self._bell.ring_out()
        if checkpoint is not None:
            if at_milestone and not last:
                self._save_and_leave(checkpoint, step)
            else:
                self._save_meanwhile(checkpoint)
        if self.setting.measures_gpu:
            self._measure_gpu()
        if self._saved_step == step and not at_milestone:
            self._leave_if_asked()
        if at_milestone and not last:
            self.settle()  # the verdict is about what is there
            self._store.flush()
        while self.step >= self.until and not last:
            if (self._saved_step == step or self._final) and self._make_way():
                self.depart(functools.partial(self._at_milestone, step))
                raise TrialReleased
            self._released |= self._final
            self.outbox.put(self._at_milestone(step))
            if self._alone:
                self._bell.ring_out()
            if self._released:
                raise TrialReleased
            self._verdict.get()
            if self._released:
                raise TrialReleased

    def _go_on(self, value: Any) -> bool:
        """Whether the verdict on a trial at its milestone is known: then it has another milestone."""
        known = isinstance(value, (int, float)) and not self._leaves
        until = self._goes_on(value) if known else None
        self.until = self.until if until is None else until
        return until is not None

    @property
    def _final(self) -> bool:
        """Whether nothing is to be decided at the milestone, since training is complete there."""
        return self.job.final or (math.isfinite(self.until) and self.until >= self.setting.max_budget)

    def _measure_gpu(self) -> None:
        """At the first reports, and then now and then."""
        now = time.monotonic()
        if self._measured >= FIRST_MEASUREMENTS and now - self._measured_at < MEASURE_SECONDS:
            return
        self._measured, self._measured_at = self._measured + 1, now
        usage = gpu_usage.measure()
        if usage is not None:
            self.outbox.put(Measured(self.job.trial, usage.peak, usage.total))

    def _leave_if_asked(self) -> None:
        """The trial has just saved, so that it loses nothing."""
        self._leaves = self._leaves or self._asked_to_leave()
        if self._leaves:
            self.outbox.put(Crashed(self.job.trial, "preempted", self._leaves, seconds=self.seconds))
            self.left = self._released = True
            raise TrialReleased

    def next_step(self, metrics: Mapping[str, Any]) -> float:
        """The step of a report of `metrics` that would come now."""
        name = self.setting.fidelity
        if name is None:
            return self.step + 1
        if not isinstance(metrics.get(name), (int, float)):
            raise TypeError(f"fidelity {name!r} must be a number in every report; this one holds {sorted(metrics)}")
        if not math.isfinite(metrics[name]):
            raise ValueError(f"fidelity {name!r} must be a finite number; got {metrics[name]}")
        return float(metrics[name])

    def _sync(self, path: str, step: float) -> None:
        try:
            self._store.sync(path)
        except OSError as error:
            self._not_saved(step, error)

    def _not_saved(self, step: float, error: OSError) -> None:
        if isinstance(error, StorageError) and error.again:
            return  # storage is away for every trial: one word of each worker is enough
        self.outbox.put(Notice(self.job.trial, f"checkpoint at {step:g} could not be written: {error}"))


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as JSON values: NumPy and torch scalars become numbers.

    Raises:
        TypeError: not a mapping, or a value that is not a scalar.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"report takes a dict of metrics; got {type(metrics).__name__}")
    return {str(name): _plain(name, value) for name, value in metrics.items()}


_TOO_LARGE = 2**1023  # whole numbers that no float holds, as those of a training that diverges


def _plain(name: str, value: Any) -> Any:
    if value is None or type(value) in (bool, float, str):
        return value
    if callable(getattr(value, "item", None)):
        value = value.item()  # a NumPy or torch scalar; larger arrays raise
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < _TOO_LARGE else math.copysign(math.inf, value > 0 or -1)
    if isinstance(value, str):
        return str.__str__(value)  # of a class that the driver may not know
    if hasattr(value, "__float__"):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, inner) for inner in value]
    raise TypeError(f"metric {name!r} must be a number or another JSON value; got {type(value).__name__}")


# One trial at a time in a process; threads that the trainable starts see it as well.
_current: Session | None = None


def current() -> Session:
    """The session of the trial that runs in this process.

    Raises:
        RuntimeError: none does.
    """
    if _current is None:
        raise RuntimeError(
            "report, get_checkpoint and get_context work only inside a trial: call tune_run on the trainable"
        )
    return _current


def running() -> Session | None:
    """The session of the trial that runs in this process, if one does."""
    return _current


def enter(session: Session | None) -> None:
    """Make `session` the one that the functions below talk to."""
    global _current
    _current = session


def report(metrics: Mapping[str, Any], checkpoint: CheckpointLike | None = None) -> None:
    """Report metrics of the running trial, and a checkpoint to go on from.

    Each call is one step on the fidelity axis, unless the experiment names a metric as `fidelity`. Returns at once,
    but at a milestone waits for the verdict; a trial that is paused or stopped does not return from it.

    Args:
        metrics: name -> number (NumPy and torch scalars too).
        checkpoint: a dict, which is pickled, or the path of a folder, which is copied.

    Raises:
        TypeError: metrics that are not numbers, or a checkpoint of another type.
    """
    current().report(metrics, checkpoint)


def get_checkpoint() -> dict[str, Any] | Path | None:
    """The last checkpoint that this trial reported, as the same kind (dict, or path of a folder); None at its first
    start."""
    return current().load_checkpoint()


def get_context() -> Context:
    """The running trial: number, config, milestone, folder, seed."""
    return current().context()
