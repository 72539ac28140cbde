"""The results at one milestone of one bracket, ranked. Part of the trial table; see trials.py."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence

from strategies.ranking import Standings, total_violation

Entry = tuple[float, int]  # a value, or another number to minimise, and a trial


class Rung:
    """One metric, no constraints: values rank.

    entered: trials that were ever sent to this milestone.
    values: trial -> value, in the order of arrival.
    means: of each trial with a number here, the mean of its values up to here; ascending.
    ended: trials that were stopped here, or failed on their way, and that none replaces; in this order.
    paused: trials that pause here.
    finite: how many results are numbers.
    """

    def __init__(self) -> None:
        self.entered = 0
        self.values: dict[int, float] = {}
        self.means: list[float] = []
        self.ended: dict[int, None] = {}
        self.paused: set[int] = set()
        self.finite = 0
        self._ranking: list[Entry] = []
        self._here: list[Entry] = []

    @property
    def ranking(self) -> list[Entry]:
        """All results, best first; ties go to the earlier trial, failures (inf) come last."""
        return self._ranking

    @property
    def here(self) -> list[Entry]:
        """The part of the ranking that is neither failed, nor stopped, nor sent on from here."""
        return self._here

    def add(
        self, value: float, trial: int, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        """A result; see `actions.Reached`."""
        bisect.insort(self._ranking, (value, trial))
        self.values[trial] = value
        if math.isfinite(value):
            bisect.insort(self._here, (value, trial))
            self.finite += 1

    def leave(self, trial: int) -> None:
        """A trial with a result here was stopped or sent on."""
        entry = (self.values[trial], trial)
        if math.isfinite(entry[0]):
            del self._here[bisect.bisect_left(self._here, entry)]

    def rank(self, trial: int) -> int:
        """The 1-based rank of a trial."""
        return bisect.bisect_left(self._ranking, (self.values[trial], trial)) + 1

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
        self._known = (0, 0)  # results and trials that left, of which the lists were made

    @property
    def ranking(self) -> list[Entry]:
        self._sort()
        return self._ranking

    @property
    def here(self) -> list[Entry]:
        self._sort()
        return self._here

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

    def _sort(self) -> None:
        known = (len(self._trials), len(self._left))
        if known != self._known:
            ranked = [self._trials[i] for i in self._standings.order]
            self._ranking = [(float(place), trial) for place, trial in enumerate(ranked)]
            self._here = [entry for entry in self._ranking[: self.finite] if entry[1] not in self._left]
            self._known = known


def outcome(
    value: float, values: Sequence[float] | None, excess: Sequence[float] | None, objectives: int
) -> tuple[Sequence[float], float]:
    """What a result is to `Standings`: its values, and its total violation."""
    if math.isinf(value):
        return [math.inf] * objectives, math.inf
    return [value] * objectives if values is None else values, total_violation(excess or ())
