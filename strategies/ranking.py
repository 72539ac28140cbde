"""Ranking where one number does not say it all: constraints, several metrics, or both.

Notation
    n  results        k  metrics, all minimised
    F  (n, k)  their values; inf where failed
    v  (n,)    the total violation of the constraints: 0 where all are met, inf where failed

One result dominates another if it violates the constraints less; or, where both violate them alike, if it is nowhere
worse and somewhere better (Deb 2000, "An efficient constraint handling method for genetic algorithms", section 3; Deb,
Pratap, Agarwal and Meyarivan 2002, "NSGA-II", definition 1). The fewer dominate a result, the better it is (Fonseca and
Fleming 1993): that number can be kept up to date as results arrive, at a cost of n k each.

Many have the same number: the front has 0. They are ordered so that those that come first lie far apart, as the epsilon
net of Schmucker et al. 2021 does ("Multi-objective asynchronous successive halving", section 4.2): the next one is the
one farthest from all before it. So a scheduler that keeps the best third keeps a part of each region of the front. The
first is the best compromise, with the least sum. Differences: the net has `NET` places at most, so that it costs no
more than n; and distances count on scales on which the front is a unit cube.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strategies.growing import GrowingArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

NET = 64  # places that are filled one by one; what comes after is sorted by its distance from these
FAR = 2.0  # sides of the box in which distances are measured; the front has sides of 1


def total_violation(excess: Iterable[float]) -> float:
    """By how much constraints are violated in all, from the `excess` of each (see `actions.Reached`); always finite."""
    return min(math.fsum(min(max(part, 0.0), sys.float_info.max / 1e3) for part in excess), sys.float_info.max)


def dominated_by(values: Array, violation: float, F: Array, v: Array) -> Mask:
    """(n,) which of the results F, v are dominated by the one with values (k,)."""
    pareto = (values <= F).all(axis=1) & (values < F).any(axis=1)
    mask: Mask = (violation < v) | ((violation == v) & pareto)
    return mask


def dominators_of(values: Array, violation: float, F: Array, v: Array) -> Mask:
    """(n,) which of the results F, v dominate the one with values (k,)."""
    pareto = (values >= F).all(axis=1) & (values > F).any(axis=1)
    mask: Mask = (v < violation) | ((v == violation) & pareto)
    return mask


def non_dominated(F: ArrayLike) -> Mask:
    """(n,) which of the values F (n, k) no other dominates; of equal ones all or none."""
    F = np.asarray(F, dtype=np.float64)
    none = np.zeros(len(F))
    return np.array([not dominators_of(row, 0.0, F, none).any() for row in F], dtype=np.bool_)


class Standings:
    """Results in the order of their arrival, ranked by who dominates whom."""

    def __init__(self, objectives: int) -> None:
        self._values = GrowingArray((objectives,))
        self._violations = GrowingArray(())
        self._dominators = np.zeros(16, dtype=np.intp)
        self._order: Indices = np.zeros(0, dtype=np.intp)
        self._places: Indices = self._order

    @classmethod
    def of(cls, F: Array, v: Array) -> Standings:
        """Those of results F (n, k), v (n,)."""
        standings = cls(F.shape[1])
        for values, violation in zip(F, v, strict=True):
            standings.add(values, float(violation))
        return standings

    def __len__(self) -> int:
        return len(self._violations)

    @property
    def objectives(self) -> int:
        """k"""
        return int(self._values.view.shape[1])

    def among(self, which: Sequence[int] | Indices) -> Standings:
        """Those of some results alone, in the order of `which`."""
        chosen = np.asarray(which, dtype=np.intp)
        return Standings.of(self._values.view[chosen], self._violations.view[chosen])

    def add(self, values: ArrayLike, violation: float) -> None:
        """One more result, with values (k,)."""
        n, row = len(self), np.asarray(values, dtype=np.float64)
        if not np.isfinite(row).all():
            row, violation = np.full(len(row), np.inf), math.inf
        F, v = self._values.view, self._violations.view
        if n == len(self._dominators):
            self._dominators = np.concatenate([self._dominators, np.zeros_like(self._dominators)])
        self._dominators[:n] += dominated_by(row, violation, F, v)
        self._dominators[n] = int(dominators_of(row, violation, F, v).sum())
        self._values.append(row)
        self._violations.append(violation)

    @property
    def dominators(self) -> Indices:
        """(n,) how many dominate each."""
        return self._dominators[: len(self)]

    @property
    def violations(self) -> Array:
        """(n,) of the constraints; inf where failed."""
        return self._violations.view

    @property
    def order(self) -> Indices:
        """(n,) all of them, best first; ties go to the earlier one."""
        if len(self._order) != len(self):
            self._order = self._ordered()
            self._places = np.empty(len(self), dtype=np.intp)
            self._places[self._order] = np.arange(len(self))
        return self._order

    @property
    def places(self) -> Indices:
        """(n,) the place of each in the order, from 0."""
        return self._places if len(self.order) else self._order

    def scores(self) -> Array:
        """(n,) the places as numbers to minimise; inf where failed."""
        scores: Array = np.where(np.isfinite(self.violations), self.places, np.inf)
        return scores

    def _ordered(self) -> Indices:
        dominators, points = self.dominators, self._scaled()
        if points.shape[1] == 1:
            return np.argsort(dominators, kind="stable")
        gaps = np.full(len(self), np.inf)  # the distance to the nearest that has a place
        chosen: list[int] = []
        for level in _levels(dominators):
            left = np.flatnonzero(dominators == level)
            while len(left) and len(chosen) < NET:
                best = np.argmax(gaps[left]) if chosen else np.argmin(points[left].sum(axis=1))
                chosen.append(int(left[best]))
                left = np.delete(left, best)
                gaps = np.minimum(gaps, np.abs(points - points[chosen[-1]]).max(axis=1))
            if len(chosen) == NET:
                break
        rest = np.setdiff1d(np.arange(len(self)), chosen)
        rest = rest[np.lexsort((rest, -gaps[rest], dominators[rest]))]
        return np.concatenate([np.array(chosen, dtype=np.intp), rest])

    def _scaled(self) -> Array:
        """(n, k) values on scales on which the front has sides of 1 from 0."""
        F, finite = self._values.view, np.isfinite(self.violations)
        if not finite.any():
            return np.zeros_like(F)
        front = F[finite & (self.dominators == 0)]
        low, high = front.min(axis=0), front.max(axis=0)
        high = np.where(high > low, high, F[finite].max(axis=0))
        with np.errstate(over="ignore"):
            sides = np.where(high > low, high - low, 1.0)
            scaled: Array = np.clip((F - low) / sides, 0.0, FAR)
        return scaled


def _levels(dominators: Indices) -> Sequence[int]:
    """The different numbers, ascending, as many as the net can need."""
    return list(np.unique(dominators)[:NET])
