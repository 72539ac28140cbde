"""Trials one after another in this process, no Ray: for a debugger, and for a first look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ray_hpo.executors.base import POLL_SECONDS
from ray_hpo.executors.clock import SteadyClock
from ray_hpo.messages import GoAhead, Job, Message, is_over
from ray_hpo.worker.runner import TrialRunner
from ray_hpo.worker.session import Setting


class InlineExecutor:
    """One worker: a thread of this process. `breakpoint()` in a trainable works; prints go to the trial's log."""

    def __init__(self, trainable: Any, setting: Setting) -> None:
        self._runner = TrialRunner(trainable, setting)
        self._trial: int | None = None
        self._clock = SteadyClock()

    slots, soon = 1, 0

    @property
    def free(self) -> int:
        return int(self._trial is None)

    def now(self) -> float:
        return self._clock.now()

    def launch(self, job: Job) -> None:
        self._trial = job.trial
        self._runner.start([job])

    def room_for(self, gpu: float) -> bool:
        raise NotImplementedError("this process does not share its GPUs out")

    def arrivals(self) -> Sequence[int]:
        return ()

    def go_ahead(self, trial: int, go_ahead: GoAhead) -> None:
        raise NotImplementedError("no trial waits long for its verdict here")

    def proceed(self, trial: int, until: float) -> None:
        self._runner.proceed(until)

    def release(self, trial: int) -> None:
        self._runner.release()
        self._trial = None

    def began(self, trial: int) -> float | None:
        raise NotImplementedError("there is no timeout that would ask")

    def kill(self, trial: int) -> None:
        raise NotImplementedError("a thread of this process cannot be killed")

    def poll(self, timeout: float) -> Sequence[Message]:
        timeout = min(timeout, POLL_SECONDS)
        if self._trial is None:
            time.sleep(timeout)
            return []
        messages = self._runner.next_batch(timeout=timeout).messages
        if messages and is_over(messages[-1]):
            self._trial = None
        return messages

    def shutdown(self) -> None:
        self._runner.release()
