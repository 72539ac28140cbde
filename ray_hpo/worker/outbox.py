"""What a trial says, gathered for its runner: what is said within a short window travels together."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from typing import Any

from ray_hpo.messages import Message
from ray_hpo.reports import Row, in_batches


class Bell:
    """By which the thread of the trials wakes that of the runner.

    A report costs its trainable no lock: it rings once a window, for the first message in it.
    """

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: there is nothing more to wait for
        self._rung = False  # whether somebody will look at what is there

    def ring(self) -> None:
        """There is something to take, some time."""
        if not self._rung:
            self._rung = True
            self._rings.put(False)

    def ring_out(self) -> None:
        """From here on the trial waits, or all are over: the runner is to know at once."""
        self._rings.put(True)

    def wait(self, window: float, timeout: float | None = None) -> None:
        """Until `window` seconds after the first ring, or until nothing more is to come; `timeout` seconds at most
        for the first one.

        What is put into an outbox after this has returned rings again.
        """
        with contextlib.suppress(queue.Empty):
            over = self._rings.get(timeout=timeout)
            deadline = time.monotonic() + window
            while not over:
                over = self._rings.get(timeout=max(0.0, deadline - time.monotonic()))
        self._rung = False


class Outbox:
    """One trial's messages, put by its threads and taken by the thread of the runner."""

    def __init__(self, trial: int, bell: Bell) -> None:
        self._trial = trial
        self._bell = bell
        self._items: deque[Row | Message] = deque()

    def report(self, step: float, metrics: dict[str, Any]) -> None:
        self._items.append((step, time.time(), metrics))
        self._bell.ring()

    def put(self, message: Message) -> None:
        """Something besides a report."""
        self._items.append(message)
        self._bell.ring()

    def take(self) -> list[Message]:
        """What is there, in order."""
        messages: list[Message] = []
        rows: list[Row] = []  # reports that follow on one another
        for item in self._drained():
            if isinstance(item, tuple):
                rows.append(item)
                continue
            messages += in_batches(self._trial, rows)
            rows.clear()
            messages.append(item)
        return messages + in_batches(self._trial, rows)

    def _drained(self) -> list[Row | Message]:
        items: list[Row | Message] = []
        with contextlib.suppress(IndexError):
            while True:
                items.append(self._items.popleft())
        return items
