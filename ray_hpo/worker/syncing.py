"""Has the disk confirm checkpoints, in a thread, while training goes on."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ray_hpo.sync_times import to_next_sync


class Syncing:
    """Of each trial the newest checkpoint counts: one that is replaced soon need not be confirmed, and files that are
    made while others are being confirmed wait for the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of what is due
        self._due: dict[int, Callable[[], None]] = {}
        self._at_once = threading.Event()
        self._thread = ThreadPoolExecutor(1, "sync")
        self._thread.submit(int)  # begins it now, before a trial needs it

    def add(self, trial: int, sync: Callable[[], None], at_once: bool) -> None:
        """sync: confirms the newest checkpoint of a trial.  at_once: it is the last one."""
        with self._lock:
            if not self._due:
                self._thread.submit(self._round)
            self._due[trial] = sync
        if at_once:
            self._at_once.set()

    def _round(self) -> None:
        self._at_once.wait(to_next_sync())
        self._at_once.clear()
        with self._lock:
            due, self._due = self._due, {}
        for sync in due.values():
            sync()


@functools.cache
def syncing() -> Syncing:
    """That of this process."""
    return Syncing()
