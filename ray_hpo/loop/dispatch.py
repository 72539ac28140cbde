"""Trials and workers: who waits for one, and what the executor is to do once the decisions are committed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ray_hpo.executors.base import Executor
from ray_hpo.loop.hangs import Hangs
from ray_hpo.messages import GoAhead, Job
from ray_hpo.trial import Trial


class Dispatch:
    """Collects what a tick has the executor do, until `act`.

    max_budget: where training is complete.  nest: a flat config as the trainable gets it.  seed_of: the seed that a
    trial is told, by its number.
    waiting, larger: trials that are to train and want a worker, or one with a larger share of a GPU than others have.
    """

    def __init__(
        self,
        executor: Executor,
        hangs: Hangs,
        max_budget: float,
        nest: Callable[[dict[str, Any]], dict[str, Any]],
        seed_of: Callable[[int], int],
    ) -> None:
        self.waiting: list[Trial] = []
        self.larger: list[Trial] = []
        self._executor = executor
        self._hangs = hangs
        self._max_budget = max_budget
        self._nest = nest
        self._seed_of = seed_of
        self._actions: list[Callable[[], None]] = []
        self._freed = 0  # workers that these free, less those that they take

    @property
    def free(self) -> int:
        """Workers without a trial, once it has acted."""
        return self._executor.free + self._freed

    @property
    def ahead(self) -> bool:
        """Whether the next trial would be in line behind another one."""
        return 0 < self.free <= self._executor.soon

    @property
    def idle(self) -> list[Trial]:
        """All trials that are to train and have no worker."""
        return [*self.waiting, *self.larger]

    def send(self, trial: Trial) -> None:
        """A trial is to train on and has no worker."""
        if trial.gpu is None and self._executor.free + self._freed > 0:
            self._launch(trial)
        else:
            self.queue(trial)

    def queue(self, trial: Trial) -> None:
        """A trial that is to train waits for a worker."""
        (self.waiting if trial.gpu is None else self.larger).append(trial)

    def launch_waiting(self) -> None:
        """Give workers to trials that wait, as far as they go."""
        if self.larger and self._executor.room_for(self.larger[0].gpu or 0.0):
            self._launch(self.larger.pop(0))
        while self.waiting and self.free > 0:
            self._launch(self.waiting.pop(0))

    def _launch(self, trial: Trial) -> None:
        config, seed = self._nest(trial.config), self._seed_of(trial.number)
        final = trial.until >= self._max_budget and math.isfinite(trial.until)
        job = Job(trial.number, config, trial.until, trial.checkpoint, trial.since, seed, final, trial.gpu)
        self._hangs.heard(trial.number, self._executor.now())
        self._actions.append(partial(self._executor.launch, job))
        self._freed -= trial.gpu is None

    def proceed(self, trial: Trial) -> None:
        """A trial that waits at its milestone trains on, on its worker."""
        self._hangs.heard(trial.number, self._executor.now())
        self._actions.append(partial(self._executor.proceed, trial.number, trial.until))

    def go_ahead(self, trial: int, go_ahead: GoAhead) -> None:
        """A trial on its way to its milestone need not wait there."""
        self._actions.append(partial(self._executor.go_ahead, trial, go_ahead))

    def release(self, trial: Trial) -> None:
        """A trial that waits at its milestone gives its worker back."""
        self._actions.append(partial(self._executor.release, trial.number))
        self._freed += trial.gpu is None

    def kill(self, trial: Trial) -> None:
        """A trial that trains loses its worker, and the worker ends."""
        self._actions.append(partial(self._executor.kill, trial.number))

    def act(self) -> None:
        """Have the executor do it: what it is told is committed."""
        actions, self._actions, self._freed = self._actions, [], 0
        for action in actions:
            action()
