"""PASHA: asynchronous successive halving whose ladder grows only as far as it is needed.

Bohdal et al. 2023, "PASHA: Efficient HPO and NAS with progressive resource allocation", algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice, pairwise
from typing import ClassVar

import numpy as np

from strategies.actions import Continue, Verdict, fidelity_text
from strategies.errors import InvalidInput
from strategies.memo import Memo
from strategies.models.soft_ranking import agree, noise
from strategies.schedulers.asha import Asha
from strategies.schedulers.base import Next, take_up
from strategies.schedulers.fifo import beyond_comparison
from strategies.schedulers.rungs import Fidelity
from strategies.trials import TrialTable

WINDOW = 64  # results of a rung, the latest, that are compared: in all their pairs


@dataclass(frozen=True)
class Pasha(Asha):
    """`Asha` with two rungs at first. The next one opens while the rankings of the highest two that are open disagree.

    They agree if no trial's place changes by more than `epsilon` in value: the 90th percentile of the differences
    between trials that overtook each other and were overtaken again, which is noise. Learning curves are known at
    milestones only, so there are `points` more between two rungs, where every trial trains on at once.

    Differs from the paper, in which a rung never closes again: here the rungs that are open follow from the results
    alone, so one closes when a better estimate of the noise makes the rankings below it agree. At its end the best
    trial gets the full budget, as with `Asha`.
    """

    name: ClassVar[str] = "pasha"

    points: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.points, bool) or not isinstance(self.points, int) or self.points < 0:
            raise InvalidInput(
                f"points, the milestones between two rungs, must be a whole number of at least 0; "
                f"got points={self.points!r}"
            )

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        for path in self._paths(fidelity):
            paused = take_up(table, path[1:])
            if paused:
                return paused
        return super().next(table, fidelity)

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        until = table.trials[trial].until
        if until in self.rungs(fidelity):
            return super().verdict(table, fidelity, trial)
        unfit = beyond_comparison(table, fidelity, trial)
        if unfit:
            return unfit
        path = next(path for path in self._paths(fidelity) if until in path)
        reason = f"{fidelity_text(until)}: on its way to rung {fidelity_text(path[-1])}"
        return Continue(trial, path[path.index(until) + 1], reason)

    def _paths(self, fidelity: Fidelity) -> tuple[tuple[float, ...], ...]:
        return _paths(self.rungs(fidelity), self.points, fidelity.whole)

    def _above(self, fidelity: Fidelity, rung: float) -> float:
        return next(path[1] for path in self._paths(fidelity) if path[0] == rung)

    def _highest(self, table: TrialTable, fidelity: Fidelity) -> int:
        last = len(self.rungs(fidelity)) - 1
        highest = min(1, last)
        while highest < last and not self._settled(table, fidelity, highest):
            highest += 1
        return highest

    def _settled(self, table: TrialTable, fidelity: Fidelity, level: int) -> bool:
        """Whether the rung at `level` ranks as the rung below it."""
        memory = self._memo.setdefault(table, {})
        arrived = len(table.rung(0, self.rungs(fidelity)[level]).values)
        key = (fidelity, level)
        if key not in memory or memory[key][0] != arrived:
            memory[key] = arrived, self._compare(table, fidelity, level)
        return memory[key][1]

    def _compare(self, table: TrialTable, fidelity: Fidelity, level: int) -> bool:
        ladder = self.rungs(fidelity)
        way = [milestone for path in self._paths(fidelity)[:level] for milestone in path[1:]]
        rungs = [table.rung(0, milestone) for milestone in (ladder[0], *way)]
        latest = islice(reversed(rungs[-1].values.items()), WINDOW)
        trials = [trial for trial, value in latest if math.isfinite(value)]
        curves = np.array([rung.scores(trials) for rung in rungs]).reshape(len(rungs), len(trials)).T
        lower = np.array(table.rung(0, ladder[level - 1]).scores(trials))
        return agree(lower, curves[:, -1], 0.0) or agree(lower, curves[:, -1], noise(curves))

    @cached_property
    def _memo(self) -> Memo[dict[tuple[Fidelity, int], tuple[int, bool]]]:
        """Of each table: by fidelity and level, the results there when `_compare` was last asked, and its answer."""
        return Memo()

    def _standing(self, table: TrialTable, fidelity: Fidelity, trial: int) -> str:
        ladder, highest = self.rungs(fidelity), self._highest(table, fidelity)
        if table.trials[trial].until != ladder[highest]:
            return super()._standing(table, fidelity, trial)
        lower, upper = fidelity_text(ladder[highest - 1]), fidelity_text(ladder[highest])
        return f"{self._place(table, trial)}; higher rungs are closed while {lower} and {upper} rank alike"


@cache
def _paths(ladder: tuple[float, ...], points: int, whole: bool) -> tuple[tuple[float, ...], ...]:
    """From each rung to the next one: the milestones of that way, both ends included."""
    paths = []
    for low, high in pairwise(ladder):
        between = [low + (high - low) * i / (points + 1) for i in range(1, points + 1)]
        if whole:
            between = sorted({float(round(milestone)) for milestone in between} - {low, high})
        paths.append((low, *between, high))
    return tuple(paths)
