"""What suggestions share while no new result arrives: candidates, and the lies about pending trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from strategies.growing import GrowingArray
from strategies.history import Array

DIGITS = 6  # configurations that agree to so many in the unit cube are the same
LARGEST = 700.0  # exp of it, and of minus it, is a number
ALL = slice(None)


class Started:
    """The configurations that were started so far, and what makes each the same as another."""

    def __init__(self) -> None:
        self.identities: list[bytes] = []  # by trial number
        self.seen: set[bytes] = set()

    def update(self, X: Array) -> None:
        """Take in those that were started meanwhile; X (n, columns) are all."""
        if len(X) > len(self.identities):
            new = identities(X[len(self.identities) :])
            self.identities += new
            self.seen.update(new)


class Kernels(Protocol):
    """What lies look like: a density estimate."""

    @property
    def log_height(self) -> float:
        """About the logarithm of a kernel at its own place."""

    def log_kernels_around(self, Z: Array, x: Array, /) -> Array:
        """(n, m) logarithms of the kernels around points Z (n, d), at the points x (m, d), less `log_height`.

        Each has the same bits whatever n is.
        """


class Block:
    """Candidates that some suggestions share.

    points (m, d); log_good, log_bad (m,): log l and log g.  kernels: of the lies.
    rows (m + k, columns) of the unit cube: those of the candidates, then of others that may be started too.
    log_own: makes (m + k, m), the logarithms of the kernels around all these, at the candidates, less their height.
    """

    def __init__(
        self,
        points: Array,
        rows: Array,
        log_good: Array,
        log_bad: Array,
        kernels: Kernels,
        log_own: Callable[[], Array],
    ) -> None:
        self.points, self.rows, self.log_good, self.log_bad = points, rows, log_good, log_bad
        self._kernels, self._log_own = kernels, log_own
        self._lies = GrowingArray((len(points),))
        self._lie_of: dict[int, int] = {}  # trial -> which of them

    @cached_property
    def identities(self) -> list[bytes]:
        return identities(self.rows)

    def lies_about(self, trials: Sequence[int], started: Started, points: Callable[[list[int]], Array]) -> list[int]:
        """Which lies are about these trials. points: of trials, their points (n, d)."""
        new = [trial for trial in trials if trial not in self._lie_of]
        if new:
            places = [self._places.get(started.identities[trial], -1) for trial in new]
            unknown = [trial for trial, place in zip(new, places, strict=True) if place < 0]
            if unknown:
                logs = self._kernels.log_kernels_around(points(unknown), self.points)
                self._lie_of.update(zip(unknown, self._keep(logs), strict=True))
            self._lie_of.update(
                {trial: self._own[place] for trial, place in zip(new, places, strict=True) if place >= 0}
            )
        return [self._lie_of[trial] for trial in trials]

    def log_mean(self, lies: list[int], part: slice = ALL) -> Array:
        """The logarithm of the mean of some lies, at the candidates or at a part of them."""
        total = self._lies.view[lies, part].sum(axis=0)
        logs: Array = np.log(total) + (self._kernels.log_height - math.log(len(lies)))
        return logs

    def first_but(self, lies: Container[int], order: Iterable[int]) -> Array | None:
        """The first candidate, in this order, that none of these lies is about."""
        return next((self.rows[i] for i in order if self._own[self._same[i]] not in lies), None)

    def first_fresh(self, order: Iterable[int], seen: set[bytes]) -> Array | None:
        """The first candidate, in this order, that was not tried."""
        return next((self.rows[i] for i in order if self.identities[i] not in seen), None)

    @cached_property
    def _own(self) -> range:
        """The lies about the rows: made all together, since they come one by one."""
        return self._keep(self._log_own())

    def _keep(self, logs: Array) -> range:
        """Where lies (n, m) are from now on: never 0, so that sums have logarithms."""
        start = len(self._lies)
        np.minimum(np.maximum(logs, -LARGEST, out=logs), LARGEST, out=logs)
        self._lies.extend(np.exp(logs, out=logs))
        return range(start, len(self._lies))

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {identity: i for i, identity in reversed(list(enumerate(self.identities)))}

    @cached_property
    def _same(self) -> list[int]:
        """Of each row, the first that is the same."""
        return [self._places[identity] for identity in self.identities]


def identities(rows: Array) -> list[bytes]:
    """What makes configurations (n, columns) the same: exactly in steps and categories, to `DIGITS` in numbers."""
    whole = np.rint(rows * 10.0**DIGITS)
    whole[np.isnan(whole)] = -1.0
    return [row.tobytes() for row in whole]


def first_fresh(rows: Array, seen: set[bytes]) -> Array:
    """The first row (columns,) that was not tried; the first if all were."""
    fresh = (row for row, identity in zip(rows, identities(rows), strict=True) if identity not in seen)
    found: Array = next(fresh, rows[0])
    return found
