"""Plateaus: where values do not change at all, one more point teaches nothing. A smooth model does not see it coming.

It takes the edge of a plateau that is better than its surroundings for a slope, and goes on trying points there. Ties
to the last digit give plateaus away: they come from parameters that round or saturate, from metrics that count, and
from recorded tables that answer with the nearest row. Where values never tie, nothing here has any effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strategies.models.gp import Array, Embedded, Mask, squared_distances

LATEST = 100  # points that tell how far plateaus reach
LEAST = 3  # ties that it takes
SAME = 1e-12  # squared distance: the same point, but for rounding, which has the same value of course


@dataclass(frozen=True)
class Plateaus:
    """What is closer than `radius` to any of the points `known` (n, .) has probably the value of that one.

    Distances are Euclidean between numbers in [0, 1], and 1 for each mismatch.
    """

    radius: float
    known: Embedded

    @classmethod
    def of(cls, points: Embedded, values: Array) -> Plateaus:
        """From points (n, .) and values (n,), in order of arrival: a value on another rung is another point's.

        The radius is the largest distance within which more than half of the latest good points have the value of the
        nearest point before them. Good ones are those in the better half of the values on their rung: bad regions are
        often flat, and say nothing about good ones.
        """
        late = np.flatnonzero(_good(points.rungs, values))[-LATEST:]
        distances = _distances(points.only(late), points)
        comparable = (np.arange(len(values)) < late[:, None]) & (points.rungs == points.rungs[late][:, None])
        distances[~comparable | (distances < SAME)] = np.inf
        nearest = distances.argmin(axis=1)
        distance = distances[np.arange(len(late)), nearest]
        order = np.argsort(distance, kind="stable")
        order = order[np.isfinite(distance[order])]
        ties = (values[late] == values[nearest])[order]
        most = np.flatnonzero(2 * np.cumsum(ties) > np.arange(1, len(ties) + 1))
        if ties.sum() < LEAST or not len(most):
            return cls(0.0, points)
        return cls(float(np.sqrt(distance[order][most[-1]])), points)

    def cover(self, points: Embedded) -> Mask:
        """(m,) which of the points (m, .) are on a plateau that is known."""
        if not self.radius:
            return np.zeros(len(points.numbers), dtype=np.bool_)
        covered: Mask = _distances(points, self.known).min(axis=1) <= self.radius**2
        return covered

    def with_point(self, point: Embedded) -> Plateaus:
        """One more known point (1, .)."""
        return Plateaus(self.radius, self.known.joined(point))


def _good(rungs: Array, values: Array) -> Mask:
    """(n,) which of the values (n,) are finite, and in the better half of all different ones on their rung."""
    good = np.zeros(len(values), dtype=np.bool_)
    for rung in np.unique(rungs):
        here = np.flatnonzero((rungs == rung) & np.isfinite(values))
        distinct, which = np.unique(values[here], return_inverse=True)
        good[here] = 2 * which < len(distinct)
    return good


def _distances(A: Embedded, B: Embedded) -> Array:
    """(m, n) squared, whatever the rungs."""
    distances: Array = squared_distances(A.numbers, B.numbers) + squared_distances(A.marks, B.marks)
    return distances
