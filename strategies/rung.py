"""The results at one milestone of one bracket, ranked. Part of the trial table; see trials.py."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from strategies.entries import Least, Sorted
from strategies.ranking import Standings, total_violation

Entry = tuple[float, int]  # a value, or another number to minimise, and a trial


class Rung:
    """One metric, no constraints: values rank.

    entered: trials that were ever sent to this milestone.
    values: trial -> value, in the order of arrival.
    ended: trials that were stopped here, or failed on their way, and that none replaces; in this order.
    paused: trials that pause here.
    finite: how many results are numbers.
    """

    def __init__(self) -> None:
        self.entered = 0
        self.values: dict[int, float] = {}
        self._means = Sorted()
        self.ended: dict[int, None] = {}
        self.paused: set[int] = set()
        self.finite = 0
        self._ranking = Sorted()
        self._here = Least()
        self._not_among: tuple[Entry, int] | None = None  # the best one here is not among so many

    @property
    def ranking(self) -> Sequence[Entry]:
        """All results, best first; ties go to the earlier trial, failures (inf) come last."""
        ranking: Sequence[Entry] = self._ranking.entries
        return ranking

    @property
    def best_here(self) -> Entry | None:
        """The best of the results that are neither failed, nor stopped, nor sent on from here."""
        best: Entry | None = self._here.entry
        return best

    def promotable(self, keep: int) -> int | None:
        """The trial of `best_here`, if it is among the best `keep` of all results. Asked after every result, which
        seldom makes a difference."""
        best = self.best_here
        if best is None or keep < 1:
            return None
        known = self._not_among
        if known is not None and known[0] == best and keep <= known[1]:
            return None  # with more results its rank can only be worse
        if best <= self.ranking[min(keep, len(self.values)) - 1]:
            return best[1]
        self._not_among = best, keep
        return None

    def add(
        self, value: float, trial: int, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        """A result; see `actions.Reached`."""
        entry = value, trial
        self._ranking.add(entry)
        self.values[trial] = value
        if math.isfinite(value):
            self._here.add(entry)
            self.finite += 1

    @property
    def means(self) -> Sequence[float]:
        """Of each trial with a number here, the mean of its values up to here; ascending."""
        means: Sequence[float] = self._means.entries
        return means

    def add_mean(self, mean: float) -> None:
        self._means.add(mean)

    def leave(self, trial: int) -> None:
        """A trial with a result here was stopped or sent on."""
        entry = (self.values[trial], trial)
        if math.isfinite(entry[0]):
            self._here.remove(entry)

    def rank(self, trial: int) -> int:
        """The 1-based rank of a trial."""
        return int(self._ranking.entries.bisect_left((self.values[trial], trial))) + 1

    def least_rank(self, trial: int) -> int:
        """The best rank that the trial can still have when more results have arrived."""
        return self.rank(trial)

    def top(self, k: int) -> list[int]:
        """The best `k` trials, best first, none of them failed."""
        return [trial for _, trial in self.ranking[: min(k, self.finite)]]

    def scores(self, trials: Iterable[int]) -> list[float]:
        """Of trials without failures a number each that ranks them as the results here do, whatever others there
        are."""
        return [self.values[trial] for trial in trials]


class ConstrainedRung(Rung):
    """Several metrics, or constraints: who is dominated by fewest ranks first (`strategies.ranking`).

    Ranks change when others arrive, so they are worked out when they are asked for.
    """

    def __init__(self, objectives: int) -> None:
        super().__init__()
        self._standings = Standings(objectives)
        self._trials: list[int] = []
        self._indices: dict[int, int] = {}
        self._left: set[int] = set()
        self._known = 0  # results of which the next one was made
        self._ranked: list[Entry] = []

    @property
    def ranking(self) -> Sequence[Entry]:
        if len(self._trials) != self._known:
            self._ranked = [(float(place), self._trials[i]) for place, i in enumerate(self._standings.order)]
            self._known = len(self._trials)
        return self._ranked

    @property
    def best_here(self) -> Entry | None:
        return next((entry for entry in self.ranking[: self.finite] if entry[1] not in self._left), None)

    def promotable(self, keep: int) -> int | None:
        """Like that of `Rung`, but ranks may get better."""
        best = self.best_here
        return best[1] if best is not None and best[0] < keep else None

    def add(
        self, value: float, trial: int, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        self.values[trial] = value
        self.finite += math.isfinite(value)
        self._indices[trial] = len(self._trials)
        self._trials.append(trial)
        self._standings.add(*outcome(value, values, excess, self._standings.objectives))

    def leave(self, trial: int) -> None:
        self._left.add(trial)

    def rank(self, trial: int) -> int:
        return int(self._standings.places[self._indices[trial]]) + 1

    def least_rank(self, trial: int) -> int:
        """All that dominate it now rank before it for ever: whatever dominates them dominates it."""
        return int(self._standings.dominators[self._indices[trial]]) + 1

    def scores(self, trials: Iterable[int]) -> list[float]:
        places: list[float] = self._standings.among([self._indices[trial] for trial in trials]).scores().tolist()
        return places


def outcome(
    value: float, values: Sequence[float] | None, excess: Sequence[float] | None, objectives: int
) -> tuple[Sequence[float], float]:
    """What a result is to `Standings`: its values, and its total violation."""
    if math.isinf(value):
        return [math.inf] * objectives, math.inf
    return [value] * objectives if values is None else values, total_violation(excess or ())
