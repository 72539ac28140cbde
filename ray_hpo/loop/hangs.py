"""Trials that have not been heard of for too long."""

from __future__ import annotations

import math
from collections.abc import Callable


class Hangs:
    """Who trains now, and when each was heard of last. Times are seconds of the executor's clock.

    limit: seconds without a word after which a trial counts as hanging; None: none ever does.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._heard: dict[int, float] = {}

    def heard(self, trial: int, now: float) -> None:
        """The trial trains, and this is a sign of it."""
        if self.limit is not None:
            self._heard[trial] = now

    def forget(self, trial: int) -> None:
        """The trial does not train any more, or waits for a verdict."""
        self._heard.pop(trial, None)

    def overdue(self, now: float, began: Callable[[int], float | None]) -> list[int]:
        """The trials that hang, which are then forgotten. began: when a worker turned to a trial that was launched;
        None while it waits for its turn, which is not its fault."""
        if self.limit is None:
            return []
        hanging = []
        for trial in [trial for trial, heard in self._heard.items() if now - heard >= self.limit]:
            turn = began(trial)
            if turn is None or now - turn < self.limit:
                self._heard[trial] = now if turn is None else turn
            else:
                del self._heard[trial]
                hanging.append(trial)
        return hanging

    def patience(self, now: float) -> float:
        """Seconds until the next one may count as hanging."""
        if self.limit is None or not self._heard:
            return math.inf
        return max(0.0, min(self._heard.values()) + self.limit - now)
