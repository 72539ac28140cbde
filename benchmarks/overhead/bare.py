"""Bare Ray: warm actors in a `ray.wait` loop that remember nothing. The limit for whatever is built on Ray."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from benchmarks.overhead.workload import EPOCH_SECONDS, EPOCHS, Watch, busy, line_up, peak_mb, train_epochs, waited

BATCH = 100  # reports that travel together


@ray.remote(num_cpus=1)
class Actor:
    def line_up(self, folder: str, slots: int) -> None:
        line_up(Path(folder), slots)

    def train(self, config: dict[str, float]) -> dict[str, float]:
        return {"loss": config["x"]}

    def results(self, count: int) -> Iterator[list[dict[str, float]]]:
        for first in range(0, count, BATCH):
            yield [{"loss": 1.0 / (i + 1), "time": time.time()} for i in range(first, first + BATCH)]

    def epoch(self) -> tuple[float, float]:
        begin = time.time()
        time.sleep(EPOCH_SECONDS)
        return begin, time.time()

    def epochs(self, x: float) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = []
        train_epochs(reports.append, 1, x)
        return reports


def _actors(folder: Path, slots: int) -> list[Any]:
    actors = [Actor.remote() for _ in range(slots)]  # type: ignore[attr-defined]  # Ray's decorator
    ray.get([actor.line_up.remote(str(folder), slots) for actor in actors])
    return actors


def trials(folder: Path, slots: int, count: int) -> dict[str, float]:
    actors = _actors(folder, slots)
    with Watch() as watch:
        began = time.time()
        running = {actor.train.remote({"x": random.random()}): actor for actor in actors}
        for _ in range(count - slots):
            (done,), _rest = ray.wait(list(running), num_returns=1)
            actor = running.pop(done)
            ray.get(done)
            running[actor.train.remote({"x": random.random()})] = actor
        ray.get(list(running))
        ended = time.time()
        time.sleep(2 * Watch.PERIOD)
    return {
        "trials_per_s": count / (ended - began),
        "controller_ms_per_trial": 1e3 * watch.cpu(began, ended) / count,
        "peak_mb": peak_mb(),
    }


def results(folder: Path, slots: int, count: int) -> dict[str, float]:
    actors = _actors(folder, slots)
    began, seen = time.time(), 0
    streams = [actor.results.options(num_returns="streaming").remote(count) for actor in actors]
    while streams:
        ready, _ = ray.wait(streams, num_returns=1, fetch_local=False)
        for stream in ready:
            try:
                seen += len(ray.get(next(stream)))
            except StopIteration:
                streams.remove(stream)
    assert seen == slots * count
    return {"results_per_s": seen / (time.time() - began)}


def milestones(folder: Path, slots: int, count: int) -> dict[str, float]:
    """From the end of one call to the begin of the next one on the same actor."""
    actors = _actors(folder, slots)
    running = {actor.epoch.remote(): actor for actor in actors}
    left, waits = slots * count, []
    ended: dict[Any, float] = {}
    while running:
        (done,), _rest = ray.wait(list(running), num_returns=1)
        actor = running.pop(done)
        begin, end = ray.get(done)
        if actor in ended:
            waits.append(begin - ended[actor])
        ended[actor] = end
        if left:
            running[actor.epoch.remote()] = actor
            left -= 1
    return waited("milestone", waits)


def first_result(since: float) -> dict[str, float]:
    """With a Ray of its own."""
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="error")

    @ray.remote
    def task() -> float:
        return time.time()

    return {"first_result_s": ray.get(task.remote()) - since}


def slots_busy(folder: Path, slots: int, algo: str, count: int) -> dict[str, float]:
    actors = _actors(folder, slots)
    began = time.time()
    running = {actor.epochs.remote(random.random()): actor for actor in actors}
    reports: list[dict[str, Any]] = []
    left, last_start = count - slots, began
    while running:
        (done,), _rest = ray.wait(list(running), num_returns=1)
        actor = running.pop(done)
        reports += ray.get(done)
        if left:
            last_start = time.time()
            running[actor.epochs.remote(random.random())] = actor
            left -= 1
    assert len(reports) == count * EPOCHS
    return busy(reports, slots, began, last_start)
