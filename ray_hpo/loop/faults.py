"""What becomes of trials that break off, hang, or never report the metric."""

from __future__ import annotations

from collections.abc import Callable

from strategies.actions import Failed

from ray_hpo.budget import duration_text
from ray_hpo.errors import MetricMissing, near_matches
from ray_hpo.experiment import Experiment
from ray_hpo.loop.dispatch import Dispatch
from ray_hpo.loop.hangs import Hangs
from ray_hpo.loop.scribe import Scribe, ran
from ray_hpo.messages import OWN_FAULTS
from ray_hpo.trial import Trial

HOPELESS = 10  # trials of a session that fail before any report: the trainable is broken, not its configs
MAX_LOSSES = 5  # workers a trial may lose in all before it counts as failed: it may be what kills them


class Faults:
    """Has trials tried again, or fail.

    max_failures: how often a trial is tried again after an exception.
    more_gpu: the share of a GPU to try a trial with again that ran out of its memory, by the share that it had (None:
    what all have); None: it has failed.
    some_report: whether any trial of this session has reported yet; kept by whoever hears it.
    hopeless: why it makes no sense to try further trials; empty while it does.
    """

    def __init__(
        self,
        experiment: Experiment,
        scribe: Scribe,
        dispatch: Dispatch,
        hangs: Hangs,
        max_failures: int,
        more_gpu: Callable[[float | None], float | None],
    ) -> None:
        self.some_report = False
        self.hopeless = ""
        self._experiment = experiment
        self._scribe = scribe
        self._dispatch = dispatch
        self._hangs = hangs
        self._max_failures = max_failures
        self._more_gpu = more_gpu
        self._silent = 0  # trials that failed before the first report

    def crashed(self, trial: Trial, kind: str, error: str, traceback: str = "", seconds: float | None = None) -> None:
        """An attempt at a trial is over, and its worker gone or free."""
        had, more = trial.gpu, self._more_gpu(trial.gpu) if kind == "gpu out of memory" else None
        grown = {} if more is None else {"gpu": more}
        body = {"cause": kind, "error": error, "traceback": traceback, **grown, **ran(seconds)}
        self._scribe.event("crashed", trial.number, body)
        own = kind in OWN_FAULTS
        retry = trial.failures <= self._max_failures if own else kind == "preempted" or trial.losses <= MAX_LOSSES
        if more is not None:
            share = "its share" if had is None else f"{had:g}"
            text = f"its GPU was out of memory with {share} of it: it goes on from its last checkpoint with {more:g}"
            self._scribe.event("notice", trial.number, {"text": text})
            self._dispatch.queue(trial)
        elif retry:
            self._dispatch.queue(trial)
        else:
            self._fail(trial)

    def end_hangs(self, now: float, began: Callable[[int], float | None]) -> list[int]:
        """Trials that have not been heard of for too long lose their workers; which. now, began: see
        `Hangs.overdue`."""
        overdue = self._hangs.overdue(now, began)
        for number in overdue:
            trial = self._experiment.trials[number]
            self._dispatch.kill(trial)
            error = f"no report for {duration_text(self._hangs.limit or 0.0)} (trial_timeout): it was killed"
            self.crashed(trial, "timeout", error)
        return overdue

    def metric_missing(self, trial: Trial, metric: str, holds_worker: bool) -> None:
        """A trial is at its milestone, or at its end, without the metric, or what a constraint is about.

        Raises:
            MetricMissing: no trial has reported it, and there are reports.
        """
        known, seen = self._experiment, ", ".join(sorted(trial.metrics)) or "nothing"
        if trial.metrics and all(metric in known.missing(other) for other in known.trials):
            field = "metric=" if metric in known.goals.metrics else "constraints: "
            near = near_matches(metric, trial.metrics)
            raise MetricMissing(
                f"{field}{metric!r} was not reported by trial {trial.number} up to {trial.step:g}; it reported {seen}"
                + (f": {near}" if near.startswith("did you mean") else "")
            )
        what = f"never reported {metric!r}; it reported {seen}" if trial.metrics else "ended without a report"
        self._scribe.event("crashed", trial.number, {"cause": "user", "error": what, "traceback": ""})
        self._fail(trial)
        if holds_worker:
            self._dispatch.release(trial)

    def _fail(self, trial: Trial) -> None:
        self._scribe.record(Failed(trial.number, trial.until))
        if not self.some_report:
            self._silent += 1
            if self._silent == HOPELESS:
                self.hopeless = f"the first {HOPELESS} trials all failed without a report, the last with {trial.error}"
