"""The ladder of milestones, and the sizes of Hyperband's brackets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

from strategies.errors import InvalidInput
from strategies.numbers import is_finite


@dataclass(frozen=True)
class Fidelity:
    """The axis of training: `min_budget` to `max_budget`, in the user's unit.

    whole: milestones are whole numbers (epochs, steps); they are when both ends are ints.
    resumable: a trial goes on where it paused; else each milestone is trained to from nothing.
    """

    min_budget: float
    max_budget: float
    whole: bool
    resumable: bool = True

    @classmethod
    def of(cls, max_budget: float | None, min_budget: float | None = None, resumable: bool = True) -> Fidelity:
        """From what a user gives. Without `min_budget`: 1 if `max_budget` is an int, else a 27th of it.

        Without `max_budget` a trial runs until it ends by itself.

        Raises:
            InvalidInput: a budget is not a positive finite number, or they are in the wrong order.
        """
        for name, budget in (("max_budget", max_budget), ("min_budget", min_budget)):
            if budget is None:
                continue
            if isinstance(budget, bool) or not isinstance(budget, (int, float)):
                raise InvalidInput(f"{name} must be a number; got {name}={budget!r}")
            if not (is_finite(budget) and budget > 0):
                raise InvalidInput(f"{name} must be a positive number; got {name}={budget!r}")
        if max_budget is None:
            if min_budget is not None:
                raise InvalidInput(
                    f"min_budget={min_budget} needs max_budget as well: give the budget of a full training"
                )
            return cls(math.inf, math.inf, False, resumable)
        if min_budget is None:
            min_budget = 1 if isinstance(max_budget, int) else max_budget / 27
        if max_budget < min_budget:
            raise InvalidInput(
                f"max_budget must be at least min_budget; got max_budget={max_budget}, min_budget={min_budget}"
            )
        whole = isinstance(max_budget, int) and isinstance(min_budget, int)
        return cls(float(min_budget), float(max_budget), whole, resumable)

    def ladder(self, eta: int) -> tuple[float, ...]:
        """Milestones r_i = max_budget eta^-(s_max - i), i = 0..s_max, s_max = floor(log_eta(max/min)).

        Counted from the top, as Hyperband does (Li et al. 2018, algorithm 1): the last is `max_budget` itself and the
        first may lie above `min_budget`. Rounded where the fidelity is whole.
        """
        ladder = self._ladders.get(eta)
        if ladder is None:
            ladder = self._ladders[eta] = _ladder(self, eta)
        return ladder

    @cached_property
    def _ladders(self) -> dict[int, tuple[float, ...]]:
        return {}  # asked for several times at every decision

    def evenly(self, interval: float | None) -> tuple[float, ...]:
        """Milestones at the multiples of `interval` from `min_budget` on, and at `max_budget`.

        Rounded where the fidelity is whole. Without an interval: a tenth of `max_budget`, at least `min_budget`.
        """
        return _evenly(self, interval)


@cache
def _evenly(fidelity: Fidelity, interval: float | None) -> tuple[float, ...]:
    last = fidelity.max_budget
    if math.isinf(last):
        return (last,)
    step = max(last / 10, fidelity.min_budget) if interval is None else interval
    multiples = [step * i for i in range(1, math.ceil(last / step))]
    milestones = [float(math.floor(m + 0.5)) if fidelity.whole else m for m in multiples]
    return (*sorted({m for m in milestones if fidelity.min_budget <= m < last * (1 - 1e-9)}), last)


def _ladder(fidelity: Fidelity, eta: int) -> tuple[float, ...]:
    if math.isinf(fidelity.max_budget):
        return (math.inf,)
    steps = 0
    while fidelity.max_budget / eta ** (steps + 1) >= fidelity.min_budget * (1 - 1e-9):
        steps += 1
    rungs = [fidelity.max_budget / eta**i for i in range(steps, -1, -1)]
    return tuple(float(math.floor(r + 0.5)) for r in rungs) if fidelity.whole else tuple(rungs)


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving: `size` configurations at the first of `rungs`."""

    size: int
    rungs: tuple[float, ...]

    def sizes(self, eta: int) -> list[int]:
        """How many configurations each rung holds when none fails: floor(size / eta^i), at least one."""
        return [max(1, self.size // eta**i) for i in range(len(self.rungs))]


@cache
def hyperband_brackets(ladder: tuple[float, ...], eta: int) -> tuple[Bracket, ...]:
    """Hyperband's brackets, the most aggressive first: s = s_max .. 0.

    Size floor((s_max+1)/(s+1)) eta^s, the form that gives table 1 of Li et al. 2018 (81/27/9/6/5 for 1..81, eta 3)
    and that HpBandSter uses. The ceil form in the paper's algorithm 1 gives 81/34/15/8/5 and is not used.
    """
    s_max = len(ladder) - 1
    return tuple(Bracket((s_max + 1) // (s + 1) * eta**s, ladder[s_max - s :]) for s in range(s_max, -1, -1))


def check_interval(interval: float | None) -> None:
    if interval is None:
        return
    if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not 0 < interval < math.inf:
        raise InvalidInput(f"interval, the budget between milestones, must be positive; got interval={interval!r}")


def check_eta(eta: int) -> None:
    if isinstance(eta, bool) or not isinstance(eta, int) or eta < 2:
        raise InvalidInput(f"eta, the reduction factor, must be a whole number of at least 2; got eta={eta!r}")
