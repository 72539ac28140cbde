"""When to stop handing out work: whichever limit comes first. The limit on trials is the strategy's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from strategies.actions import fidelity_text


@dataclass(frozen=True)
class Budget:
    """Limits of an experiment over all its sessions.

    time_limit: seconds while a driver is at work.  total_budget: units of fidelity granted to all trials together.
    gpu_hours: hours of trials on workers, times their GPUs.  cost: in whatever `price` is.  patience: trials in a row
    that end without a new best.  gpus: of one trial.  price: of a GPU for an hour; of a trial's worker if it has none.
    """

    time_limit: float | None = None
    total_budget: float | None = None
    gpu_hours: float | None = None
    cost: float | None = None
    patience: int | None = None
    gpus: float = 0.0
    price: float = 0.0

    @cached_property
    def unlimited(self) -> bool:
        """Whether nothing is ever refused."""
        limits = self.time_limit, self.total_budget, self.gpu_hours, self.cost, self.patience
        return all(limit is None for limit in limits)

    def refuses(self, elapsed: float, granted: float, cost: float, in_vain: int = 0) -> str:
        """Why `cost` more units may not be granted now; empty if they may. in_vain: trials since the last new best."""
        if self.out_of_time(elapsed):
            return f"time_limit of {duration_text(self.time_limit or 0)} is used up"
        if self.total_budget is not None and granted + cost > self.total_budget * (1 + 1e-9):
            return f"total_budget of {fidelity_text(self.total_budget)} is spent"
        if self.patience is not None and in_vain >= self.patience:
            return f"patience: {in_vain} trials in a row brought nothing better"
        return ""

    def used_up(self, seconds: Callable[[], float]) -> str:
        """Why trials that run have to end now; empty if they need not. seconds: of all trials on workers; not asked
        where no limit counts them."""
        if self.gpu_hours is None and self.cost is None:
            return ""
        hours = seconds() / 3600
        if self.gpu_hours is not None and hours * self.gpus >= self.gpu_hours:
            return f"gpu_hours of {self.gpu_hours:g} are used up"
        if self.cost is not None and hours * self.rate >= self.cost:
            return f"cost of {self.cost:g} is spent"
        return ""

    @property
    def rate(self) -> float:
        """The price of one trial on its worker for an hour."""
        return self.price * (self.gpus or 1.0)

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
