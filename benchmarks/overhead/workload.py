"""What is trained in each measurement, and how its driver is watched. The same for every subject."""

from __future__ import annotations

import bisect
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EPOCHS, EPOCH_SECONDS = 27, 0.05

Report = Callable[[dict[str, Any]], None]


def line_up(folder: Path, slots: int) -> None:
    """Wait, once in each worker process, until all of them are up: starting them is not what is measured."""
    mine = folder / str(os.getpid())
    if mine.exists():
        return
    mine.touch()
    while len(os.listdir(folder)) < slots:
        time.sleep(0.002)


def all_up(folder: Path, slots: int) -> float:
    """When the last of the first `slots` workers came."""
    return sorted(file.stat().st_mtime for file in folder.iterdir())[slots - 1]


def train_epochs(report: Report, first: int, x: float) -> None:
    """Epochs that sleep; each report says where and when."""
    for epoch in range(first, EPOCHS + 1):
        began = time.time()
        time.sleep(EPOCH_SECONDS)
        report({"loss": (x - 0.3) ** 2 + 1 / epoch, "pid": os.getpid(), "began": began, "ended": time.time()})


def busy(reports: list[dict[str, Any]], slots: int, since: float, until: float) -> dict[str, float]:
    """The share of the workers' time in which they trained, from `since` on.

    steady: up to `until`, when the last new trial began: after that there may be nothing left to do for some workers.
    whole: up to the last report.
    """
    last = max(row["ended"] for row in reports)
    return {"steady": _share(reports, slots, since, until), "whole": _share(reports, slots, since, last)}


def _share(reports: list[dict[str, Any]], slots: int, since: float, until: float) -> float:
    trained = sum(max(0.0, min(row["ended"], until) - max(row["began"], since)) for row in reports)
    return trained / (slots * (until - since))


def waited(name: str, seconds: list[float]) -> dict[str, float]:
    """Of waits, the median and what 95 of 100 take at most."""
    ordered = sorted(seconds)
    return {
        f"{name}_ms": 1e3 * ordered[len(ordered) // 2],
        f"{name}_p95_ms": 1e3 * ordered[19 * len(ordered) // 20],
    }


class Watch:
    """Notes the CPU time of this process, all its threads included, over time: the controller runs in it."""

    PERIOD = 0.005

    def __enter__(self) -> Watch:
        self._times: list[float] = []
        self._cpu: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def cpu(self, since: float, until: float) -> float:
        """Seconds of CPU time between two moments."""
        return self._at(until) - self._at(since)

    def _at(self, moment: float) -> float:
        return self._cpu[min(bisect.bisect_left(self._times, moment), len(self._cpu) - 1)]

    def _run(self) -> None:
        while not self._done.is_set():
            self._times.append(time.time())
            self._cpu.append(time.process_time())
            self._done.wait(self.PERIOD)


def peak_mb() -> float:
    """The largest size that this process had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
