"""One run of a peer on the simulated clock, under the rules that our own methods run under."""

from __future__ import annotations

import json
import math
import time

from benchmarks.compare.peers.base import Peer, Training
from benchmarks.compare.task import Task, without_inactive
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.messages import Checkpoint, Job
from ray_hpo.reports import Reports

MOST_TRAININGS = 20_000  # whatever the clock says


def drive(
    peer: Peer, task: Task, executor: SimulatedExecutor, limit: float = math.inf, trainings: int = MOST_TRAININGS
) -> list[float]:
    """Give every free worker what the peer wants, until simulated time `limit` or so many trainings.

    A configuration that was trained before goes on from there, if the task's training can.

    Returns: how long each question took that had a new configuration as its answer, in seconds
    of CPU time.
    """
    budgets = task.levels[-peer.setup.levels :]
    trained: dict[str, float] = {}
    running: dict[int, tuple[Training, str]] = {}
    seconds: list[float] = []
    started = 0
    try:
        while True:
            while executor.free and started < trainings:
                began = time.process_time()
                training = peer.ask()
                took = time.process_time() - began
                if training is None:
                    break
                config = without_inactive(task.space_format, training.config)
                key = json.dumps(config, sort_keys=True)
                if key not in trained:
                    trained[key] = 0.0
                    seconds.append(took)
                until = budgets[training.level]
                done = min(trained[key], until)
                executor.launch(Job(started, config, until, Checkpoint("", done) if done else None, executor.now()))
                running[started] = training, key
                started += 1
            if not running:
                return seconds
            messages = executor.poll(math.inf)
            if executor.now() > limit:
                return seconds
            for message in messages:
                if isinstance(message, Reports):
                    training, key = running.pop(message.trial)
                    trained[key] = max(trained[key], message.step)
                    executor.release(message.trial)
                    peer.tell(training, float(message.metrics["y"]))
    finally:
        peer.close()
