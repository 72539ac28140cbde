"""The Ray actor that runs trials. It is reused from trial to trial; what it imports is what users wait for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ray_hpo.messages import Job, Message
from ray_hpo.worker.runner import StuckTrial, TrialRunner
from ray_hpo.worker.session import Setting


class Worker:
    """One trial at a time. `run` and `proceed` stream batches of messages up to the next milestone, end or crash."""

    def __init__(self, trainable: Any, setting: Setting) -> None:
        self._runner = TrialRunner(trainable, setting)

    def ready(self) -> int:
        """Answers when the worker is up: its process id."""
        return os.getpid()

    def run(self, job: Job) -> Iterator[list[Message]]:
        self.release()
        self._runner.start(job)
        yield from self._runner.messages()

    def proceed(self, until: float) -> Iterator[list[Message]]:
        self._runner.proceed(until)
        yield from self._runner.messages()

    def release(self) -> None:
        """End the trial at its milestone and free what it holds; if it will not end, end the process."""
        try:
            self._runner.release()
        except StuckTrial:
            os._exit(1)
