"""Population based training: Jaderberg et al. 2017, "Population based training of neural networks", algorithm 1."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile
from typing import Any, ClassVar

import numpy as np

from strategies.actions import Continue, GoAhead, Pause, Resume, Stop, Verdict, fidelity_text
from strategies.errors import InvalidInput
from strategies.history import Array
from strategies.rung import Rung
from strategies.schedulers.base import New, Next, Scheduler, idle
from strategies.schedulers.fifo import beyond_comparison
from strategies.schedulers.perturbation import explore
from strategies.schedulers.rungs import Fidelity, check_interval
from strategies.space import SearchSpace
from strategies.trials import TrialTable

MOST_PARENTS = 50  # of a large population, the best so many take turns as parents


@dataclass(frozen=True)
class PBT(Scheduler):
    """Trains a population side by side; the worst are replaced by perturbed copies of the best as they train.

    Every `interval` (default: a tenth of `max_budget`) a trial is ranked among those that got there so far. Exploit: if
    it is among the worst `quantile_fraction`, it is stopped, and a new trial takes its place. That one begins from the
    checkpoint of one of the best `quantile_fraction`, at the milestone where this parent is. Explore: its configuration
    is the parent's, in which each parameter is drawn anew with `resample_probability`, else perturbed by one of
    `perturbation_factors` (how, says `perturbation.perturbed`). A trial that fails is replaced in the same way.

    The searcher proposes the population. `num_trials` is its size, else `population_size`; replacements are trials of
    their own, which do not count. Nobody waits for anybody: ranked too early, among fewer than 1 / quantile_fraction,
    no one is replaced. Where there are fewer workers than trials, a trial pauses while others are behind it.

    Differs from the paper in that parents are not drawn, but take turns: the one with the fewest copies is next.
    """

    name: ClassVar[str] = "pbt"
    copies: ClassVar[bool] = True
    goes_ahead: ClassVar[bool] = True

    population_size: int = 20
    interval: float | None = None
    quantile_fraction: float = 0.25
    resample_probability: float = 0.25
    perturbation_factors: tuple[float, ...] = (0.8, 1.2)

    def __post_init__(self) -> None:
        size = self.population_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 2:
            raise InvalidInput(f"population_size must be a whole number of at least 2; got population_size={size!r}")
        check_interval(self.interval)
        _check_share("quantile_fraction", self.quantile_fraction, 0.5)
        _check_share("resample_probability", self.resample_probability, 1.0)
        factors: Any = self.perturbation_factors
        if not (isinstance(factors, (tuple, list)) and factors and all(_is_number(f) and f > 0 for f in factors)):
            raise InvalidInput(
                f"perturbation_factors must be positive, as in (0.8, 1.2); got perturbation_factors={factors!r}"
            )
        object.__setattr__(self, "perturbation_factors", tuple(factors))  # JSON has lists

    @property
    def default_trials(self) -> int:
        return self.population_size

    def rungs(self, fidelity: Fidelity) -> tuple[float, ...]:
        return fidelity.evenly(self.interval)

    def explore(self, space: SearchSpace, row: Array, rng: np.random.Generator) -> Array:
        return explore(space, row, rng, self.resample_probability, self.perturbation_factors)

    def next(self, table: TrialTable, fidelity: Fidelity) -> Next:
        """Whatever is furthest behind."""
        milestones = self.rungs(fidelity)
        if not table.exhausted:
            return New(0, milestones[0], f"one of the first population, to {fidelity_text(milestones[0])}")
        for milestone, following in pairwise(milestones):
            copy = self._copy(table, fidelity, milestone)
            if copy:
                return copy
            rung = table.rung(0, milestone)
            best = rung.best_here if rung.paused else None
            if best:
                return Resume(best[1], following, f"at {fidelity_text(milestone)}: none is further behind now")
        return idle(table)

    def verdict(self, table: TrialTable, fidelity: Fidelity, trial: int) -> Verdict:
        row = table.trials[trial]
        at = f"at {fidelity_text(row.until)}"
        ended = beyond_comparison(table, fidelity, trial, "at")
        if ended:
            return ended
        rung = row.rung
        arrived = len(rung.ranking)
        worst = self._quantile(table, arrived)
        ranked = f"{at}: ranked {table.rank(trial)} of {arrived} so far"
        if table.rank(trial) > arrived - worst and any(True for _ in self._parents(table, fidelity, rung, worst)):
            return Stop(trial, f"{ranked}, among the worst {worst}: a copy of a better one takes its place")
        if self._is_ahead(table, fidelity, row.until):
            return Pause(trial, f"{ranked}; others are further behind")
        return Continue(trial, self._above(fidelity, row.until), ranked)

    def go_ahead(self, table: TrialTable, fidelity: Fidelity, trial: int) -> GoAhead | None:
        """Not where it may have to wait for others, nor among too few: a population that trains in step would get
        there before anybody is ranked."""
        row = table.trials[trial]
        if not table.plain or row.until >= fidelity.max_budget or self._is_ahead(table, fidelity, row.until):
            return None
        rung = row.rung
        others = rung.ranking
        worst = self._quantile(table, len(others) + 1)
        if self.quantile_fraction and not worst:
            return None
        below, why = math.inf, "none is replaced"
        if any(True for _ in self._parents(table, fidelity, rung, worst)):
            below, why = others[-worst][0], f"not among the worst {worst} of {len(others) + 1}"
        reason = f"at {fidelity_text(row.until)}: {why}, as known shortly before"
        return GoAhead(trial, self._above(fidelity, row.until), below, reason)

    def _above(self, fidelity: Fidelity, milestone: float) -> float:
        milestones = self.rungs(fidelity)
        return milestones[bisect_right(milestones, milestone)]

    def _is_ahead(self, table: TrialTable, fidelity: Fidelity, milestone: float) -> bool:
        """Whether others wait for a worker to get to that milestone, or are to be started."""
        behind = takewhile(lambda before: before < milestone, self.rungs(fidelity))
        return not table.exhausted or any(table.rung(0, before).paused for before in behind)

    def _quantile(self, table: TrialTable, arrived: int) -> int:
        """How many of so many results at a rung are the best, and how many the worst; 0 while there are too few.

        Enough are 1 / quantile_fraction, or all that are alive.
        """
        if not self.quantile_fraction or arrived < min(math.ceil(1 / self.quantile_fraction), table.alive.get(0, 0)):
            return 0
        return min(max(1, math.floor(arrived * self.quantile_fraction + 1e-9)), arrived // 2)

    def _parents(self, table: TrialTable, fidelity: Fidelity, rung: Rung, quantile: int) -> Iterator[int]:
        """The best so many at a rung, in so far as they still train: best first."""
        for _, trial in islice(rung.ranking, min(quantile, rung.finite)):
            row = table.trials[trial]
            if row.alive and row.reached < fidelity.max_budget:
                yield trial

    def _copy(self, table: TrialTable, fidelity: Fidelity, milestone: float) -> New | None:
        """A copy in place of a trial that ended at `milestone`, if there is any to replace and any to copy."""
        rung = table.rung(0, milestone)
        if not rung.ended:
            return None
        quantile = self._quantile(table, len(rung.ranking))
        parents = islice(self._parents(table, fidelity, rung, quantile), MOST_PARENTS)
        parent = min(parents, key=lambda trial: table.trials[trial].children, default=None)
        if parent is None:
            return None
        replaced, origin = next(iter(rung.ended)), table.trials[parent].reached
        rank, arrived = rung.rank(parent), len(rung.ranking)
        reason = (
            f"replaces trial {replaced} by a perturbed copy of trial {parent}, ranked {rank} of {arrived} at "
            f"{fidelity_text(milestone)}, from its checkpoint at {fidelity_text(origin)}"
        )
        return New(0, self._above(fidelity, origin), reason, parent, replaced)


def _check_share(field: str, share: Any, most: float) -> None:
    if not _is_number(share) or not 0 <= share <= most:
        raise InvalidInput(f"{field} must be between 0 and {most:g}; got {field}={share!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
