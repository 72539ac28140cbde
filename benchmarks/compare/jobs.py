"""All runs of a comparison, in one process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TypeVar

from benchmarks.compare.neutral import load, task_names
from benchmarks.compare.runner import Run, run
from benchmarks.compare.synthetic import synthetic_tasks
from benchmarks.compare.task import Reference, Task

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Unit:
    """One run to do. data: the folder that the task is in; None for synthetic ones."""

    data: Path | None
    task: str
    reference: Reference
    method: str
    seed: int
    setting: str
    workers: int


def task_makers(data: Path | None) -> dict[str, Callable[[], Task]]:
    """All tasks in a folder, or the synthetic ones, by name."""
    if data is None:
        return dict(synthetic_tasks())
    return {name: partial(load, data, name) for name in task_names(data)}


def references_of(
    data: Path | None, names: Sequence[str], known: Mapping[str, Reference], jobs: int
) -> dict[str, Reference]:
    """Of every task: what is known, and for others a sample."""
    drawn = [name for name in names if name not in known]
    return {**known, **dict(zip(drawn, _map(partial(_reference, data), drawn, jobs), strict=True))}


def run_all(units: Sequence[Unit], jobs: int) -> Iterator[Run]:
    """The runs, in the order of the units; what they find does not depend on `jobs`."""
    return _map(_run, units, jobs)


def _map(function: Callable[[In], Out], items: Sequence[In], jobs: int) -> Iterator[Out]:
    if jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # peers start threads
    with ProcessPoolExecutor(min(jobs, len(items)), mp_context=context) as pool:
        yield from pool.map(function, items)


def _reference(data: Path | None, name: str) -> Reference:
    return _makers(data)[name]().reference


def _run(unit: Unit) -> Run:
    task = _task(unit.data, unit.task, unit.reference)
    return run(task, unit.method, unit.seed, unit.setting, unit.workers)


@lru_cache(maxsize=1)  # a task remembers all that was evaluated, and units come task by task
def _task(data: Path | None, name: str, reference: Reference) -> Task:
    task = _makers(data)[name]()
    task.use(reference)
    return task


@cache
def _makers(data: Path | None) -> dict[str, Callable[[], Task]]:
    return task_makers(data)
