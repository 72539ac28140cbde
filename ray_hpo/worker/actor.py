"""The Ray actor that runs trials. It is reused from trial to trial; what it imports is what users wait for."""

from __future__ import annotations

import os
import pickle
from typing import Any

import ray

from ray_hpo.worker import gpu_usage, saving, syncing
from ray_hpo.worker.notices import Notices
from ray_hpo.worker.runner import StuckTrial, TrialRunner
from ray_hpo.worker.session import Setting

LINE = "line"  # the concurrency group of `offer` and `go_ahead`, which are heard while `run`, `proceed` or `more` waits


class Worker:
    """One trial at a time.

    `run`, `proceed` and `more` answer with the trial's next messages: at once where it is at its milestone or all are
    over, else `window` seconds after the first one: see `runner.Batch`. Jobs and messages go as bytes, which Ray passes
    on as they are: to have Ray pickle objects takes a fifth longer than all that a short trial takes.
    """

    def __init__(self, trainable: Any, setting: Setting) -> None:
        saving.prepare()
        syncing.syncing()
        notices = Notices(ray.get_runtime_context().get_actor_id() or "")
        self._runner = TrialRunner(trainable, setting, notices.asked_to_leave)

    def ready(self) -> tuple[str, str]:
        """Answers when the worker is up: the id of its node, and of its GPU there if it is on one."""
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        return context.get_node_id(), gpus[0] if len(gpus) == 1 else ""

    def run(self, order: bytes) -> bytes:
        """Begin jobs, one after another, `order` being (jobs, window); the trial that was at its milestone here, if
        any, is released."""
        jobs, window = pickle.loads(order)
        self._runner.start(jobs)
        return self._answer(window)

    @ray.method(concurrency_group=LINE)
    def offer(self, offer: bytes) -> None:
        """What to begin when the present trial makes way, `offer` being (job, turn): see `TrialRunner.offer`."""
        self._runner.offer(*pickle.loads(offer))

    @ray.method(concurrency_group=LINE)
    def go_ahead(self, known: bytes) -> None:
        """The present trial's verdict at its milestone, `known` being (go-ahead, turn): see `TrialRunner.go_ahead`."""
        self._runner.go_ahead(*pickle.loads(known))

    def proceed(self, order: bytes) -> bytes:
        """Let the trial at its milestone train on, `order` being (until, window)."""
        until, window = pickle.loads(order)
        self._runner.proceed(until)
        return self._answer(window)

    def more(self, window: bytes) -> bytes:
        """What comes next of the running trial."""
        return self._answer(pickle.loads(window))

    def _answer(self, window: float) -> bytes:
        try:
            batch = self._runner.next_batch(window)
        except StuckTrial:
            os._exit(1)
        return pickle.dumps(tuple(batch), pickle.HIGHEST_PROTOCOL)

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
