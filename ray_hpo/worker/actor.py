"""The Ray actor that runs trials. It is reused from trial to trial; what it imports is what users wait for."""

from __future__ import annotations

import os
import pickle
import time
from typing import Any

import ray

from ray_hpo.messages import Job, Message, is_last, makes_way
from ray_hpo.worker import gpu_usage
from ray_hpo.worker.notices import Notices
from ray_hpo.worker.runner import StuckTrial, TrialRunner
from ray_hpo.worker.session import Setting


class Worker:
    """One trial at a time.

    `run`, `follow`, `proceed` and `more` answer with the trial's next messages: at once where it is at its milestone or
    all are over, else `window` seconds after the first one. With them go how many jobs are given back, and the seconds
    since they were begun. Jobs and messages go as bytes, which Ray passes on as they are: to have Ray pickle objects
    takes a fifth longer than all that a short trial takes.
    """

    def __init__(self, trainable: Any, setting: Setting) -> None:
        notices = Notices(ray.get_runtime_context().get_actor_id() or "")
        self._runner = TrialRunner(trainable, setting, notices.asked_to_leave)
        self._began = 0.0
        self._last: Message | None = None  # of what was answered

    def ready(self) -> tuple[str, str]:
        """Answers when the worker is up: the id of its node, and of its GPU there if it is on one."""
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        return context.get_node_id(), gpus[0] if len(gpus) == 1 else ""

    def run(self, order: bytes) -> bytes:
        """Begin jobs, one after another, `order` being (jobs, window); the trial that was at its milestone here, if
        any, is released."""
        return self._start(order, ahead=False)

    def follow(self, order: bytes) -> bytes:
        """Begin jobs as `run` does, if the last answer said that the trial before makes way; they were ordered before
        that. Else nothing of them, and what comes next of that trial, if anything does before it is told to go on."""
        if self._last is not None and makes_way(self._last):
            return self._start(order, ahead=True)
        if self._last is not None and is_last(self._last):
            return self._answer([], 0)
        _, window = pickle.loads(order)
        return self.more(window)

    def proceed(self, until: float, window: float) -> bytes:
        """Let the trial at its milestone train on."""
        self._began = time.monotonic()
        self._runner.proceed(until)
        return self.more(window)

    def more(self, window: float) -> bytes:
        """What comes next of the running trial."""
        try:
            messages, given_back = self._runner.next_batch(window)
        except StuckTrial:
            os._exit(1)
        self._last = messages[-1] if messages else None
        return self._answer(messages, given_back)

    def release(self) -> None:
        """End the trial at its milestone and free what it holds; if it will not end, end the process."""
        try:
            self._runner.release()
        except StuckTrial:
            os._exit(1)

    def clean(self) -> int:
        """End the trial at its milestone and free what it holds; the bytes of GPU memory that cannot be freed."""
        self.release()
        return gpu_usage.kept()

    def _start(self, order: bytes, ahead: bool) -> bytes:
        jobs: list[Job]
        jobs, window = pickle.loads(order)
        self._began = time.monotonic()
        self._runner.start(jobs, ahead)
        return self.more(window)

    def _answer(self, messages: list[Message], given_back: int) -> bytes:
        return pickle.dumps((messages, given_back, time.monotonic() - self._began), pickle.HIGHEST_PROTOCOL)
