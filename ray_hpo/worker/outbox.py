"""What a trial says, gathered for its runner: what is said within a short window travels together."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from typing import Any

from ray_hpo.messages import Message
from ray_hpo.reports import Row, in_batches


class Outbox:
    """One trial's messages, put by its threads and taken by the thread of the runner.

    A report costs its trainable no lock: the runner is woken once a window, by the first message in it, and by one
    after which the trial waits.
    """

    def __init__(self, trial: int) -> None:
        self._trial = trial
        self._items: deque[Row | Message] = deque()
        self._signals: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: the trial waits, or is over
        self._noticed = False  # whether a signal is on its way that will have the items taken

    def report(self, step: float, metrics: dict[str, Any]) -> None:
        self._items.append((step, time.time(), metrics))
        self._signal()

    def put(self, message: Message) -> None:
        """Something besides a report; the trial goes on."""
        self._items.append(message)
        self._signal()

    def put_last(self, message: Message) -> None:
        """After this the trial waits, or is over: the runner is to know at once."""
        self._items.append(message)
        self._signals.put(True)

    def take(self, window: float, timeout: float | None = None) -> list[Message]:
        """The messages of `window` seconds from the first one on, or up to the one after which the trial waits.

        Maybe empty, and so if none comes in `timeout` seconds.
        """
        try:
            over = self._signals.get(timeout=timeout)
        except queue.Empty:
            return []
        deadline = time.monotonic() + window
        with contextlib.suppress(queue.Empty):
            while not over:
                over = self._signals.get(timeout=max(0.0, deadline - time.monotonic()))
        self._noticed = False  # before the items are taken: what comes from here on gives a new signal
        return self._batched(self._drained())

    def _signal(self) -> None:
        if not self._noticed:
            self._noticed = True
            self._signals.put(False)

    def _drained(self) -> list[Row | Message]:
        items: list[Row | Message] = []
        with contextlib.suppress(IndexError):
            while True:
                items.append(self._items.popleft())
        return items

    def _batched(self, items: list[Row | Message]) -> list[Message]:
        messages: list[Message] = []
        rows: list[Row] = []  # reports that follow on one another
        for item in items:
            if isinstance(item, tuple):
                rows.append(item)
                continue
            messages += in_batches(self._trial, rows)
            rows.clear()
            messages.append(item)
        return messages + in_batches(self._trial, rows)
