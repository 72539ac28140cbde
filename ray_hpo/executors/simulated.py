"""A discrete-event executor: any benchmark, any number of workers, no waiting.

The clock jumps from one finished job to the next, so that a sweep of thousands of trials takes seconds and gives the
same result every time. It reports once a job, at the milestone.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ray_hpo.messages import AtMilestone, Checkpoint, Crashed, Ended, GoAhead, Job, Message, Saved
from ray_hpo.reports import Reports


class Benchmark(Protocol):
    """Something to tune without training.

    evaluate: the metrics of `config` trained to `budget`, and the seconds that takes from nothing. An exception is a
    trial that crashes at once. A benchmark with `resumable = False` pays for every budget from nothing.
    """

    @property
    def space(self) -> Any: ...

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]: ...


class SimulatedExecutor:
    """`workers` simulated workers over `benchmark`. The clock starts at `start` seconds."""

    def __init__(self, benchmark: Benchmark, workers: int = 1, start: float = 0.0) -> None:
        self.benchmark = benchmark
        self._workers = workers
        self._clock = start
        self._resumable = getattr(benchmark, "resumable", True)
        self._jobs: dict[int, Job] = {}
        self._events: list[tuple[float, int, list[Message]]] = []

    soon = 0

    @property
    def free(self) -> int:
        return self._workers - len(self._jobs)

    @property
    def slots(self) -> int:
        return self._workers

    def now(self) -> float:
        return self._clock

    def launch(self, job: Job) -> None:
        self._jobs[job.trial] = job
        self._train(job, job.checkpoint.step if job.checkpoint else 0.0, job.until, job.begun)

    def room_for(self, gpu: float) -> bool:
        raise NotImplementedError("simulated workers have no GPUs")

    def arrivals(self) -> Sequence[int]:
        return ()

    def go_ahead(self, trial: int, go_ahead: GoAhead) -> None:
        raise NotImplementedError("no trial waits long for its verdict here")

    def proceed(self, trial: int, until: float) -> None:
        job = self._jobs[trial]
        self._train(job, job.until, until, self._clock)
        self._jobs[trial] = Job(trial, job.config, until, None, self._clock)

    def release(self, trial: int) -> None:
        del self._jobs[trial]

    def began(self, trial: int) -> float | None:
        return self._jobs[trial].begun

    def kill(self, trial: int) -> None:
        raise NotImplementedError("a simulated trial does not hang")

    def poll(self, timeout: float) -> Sequence[Message]:
        if not self._events or self._events[0][0] > self._clock + timeout:
            self._clock += timeout if math.isfinite(timeout) else 0.0
            return []
        self._clock, trial, messages = heapq.heappop(self._events)
        if isinstance(messages[-1], (Ended, Crashed)):
            del self._jobs[trial]
        return messages

    def shutdown(self) -> None:
        self._jobs.clear()
        self._events.clear()

    def _train(self, job: Job, done: float, until: float, begun: float) -> None:
        """Schedule what training from `done` to `until`, begun at the time `begun`, will say."""
        trial = job.trial
        try:
            metrics, seconds = self.benchmark.evaluate(job.config, until)
            if done and self._resumable:
                seconds -= self.benchmark.evaluate(job.config, done)[1]
        except Exception as error:
            self._push(begun, trial, [Crashed(trial, "user", f"{type(error).__name__}: {error}")])
            return
        end = begun + max(seconds, 0.0)
        messages: list[Message] = [Reports(trial, [(until, end, dict(metrics))])]
        if self._resumable:
            path = f"trials/{trial:05d}/simulated_{until:g}"  # nothing is there; an empty one would be the whole folder
            messages.append(Saved(trial, Checkpoint(path, until)))
        self._push(end, trial, [*messages, AtMilestone(trial)])

    def _push(self, end: float, trial: int, messages: list[Message]) -> None:
        heapq.heappush(self._events, (max(end, self._clock), trial, messages))
