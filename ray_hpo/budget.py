"""When to stop handing out work: whichever limit comes first. The limit on trials is the strategy's own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from strategies.actions import fidelity_text


@dataclass(frozen=True)
class Budget:
    """Limits of an experiment over all its sessions.

    time_limit: seconds while a driver is at work.  total_budget: units of fidelity granted to all trials together.
    """

    time_limit: float | None = None
    total_budget: float | None = None

    def refuses(self, elapsed: float, granted: float, cost: float) -> str:
        """Why `cost` more units may not be granted now; empty if they may."""
        if self.out_of_time(elapsed):
            return f"time_limit of {duration_text(self.time_limit or 0)} is used up"
        if self.total_budget is not None and granted + cost > self.total_budget * (1 + 1e-9):
            return f"total_budget of {fidelity_text(self.total_budget)} is spent"
        return ""

    def time_left(self, elapsed: float) -> float:
        """Seconds; inf without a limit."""
        return math.inf if self.time_limit is None else max(0.0, self.time_limit - elapsed)

    def out_of_time(self, elapsed: float) -> bool:
        return self.time_limit is not None and elapsed >= self.time_limit


def duration_text(seconds: float) -> str:
    """Seconds as people write them: 45s, 30m, 2h 5m, 3d 4h."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h" if hours else f"{days}d"
