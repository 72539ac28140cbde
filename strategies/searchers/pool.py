"""The candidates that suggestions share, and which configurations are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strategies.history import Array
from strategies.models.parzen import Mixture

DIGITS = 6  # configurations that agree to so many in the unit cube are the same


@dataclass(frozen=True)
class Pool:
    """Candidates: points, rows of the unit cube, log l and log g at each. lies: kernels around the points."""

    points: Array
    rows: Array
    log_good: Array
    log_bad: Array
    lies: Mixture

    @cached_property
    def identities(self) -> list[bytes]:
        return identities(self.rows)

    @cached_property
    def places(self) -> dict[bytes, int]:
        """Where to find a candidate."""
        return {identity: i for i, identity in enumerate(self.identities)}

    @cached_property
    def log_lies(self) -> Array:
        """(m, m) the logarithm of the lie about each candidate, at each: made once, when the first of them runs."""
        return self.lies.log_kernels(self.points)

    def first_fresh(self, order: Iterable[int], seen: set[bytes]) -> Array | None:
        """The first candidate, in this order, that was not tried."""
        return next((self.rows[i] for i in order if self.identities[i] not in seen), None)


def identities(rows: Array) -> list[bytes]:
    """What makes configurations (n, columns) the same: exactly in steps and categories, to `DIGITS` in numbers."""
    whole = np.nan_to_num(rows * 10.0**DIGITS, nan=-1.0)
    return [row.tobytes() for row in np.rint(whole, out=whole)]


def first_fresh(rows: Array, seen: set[bytes]) -> Array:
    """The first row (columns,) that was not tried; the first if all were."""
    fresh = (row for row, identity in zip(rows, identities(rows), strict=True) if identity not in seen)
    found: Array = next(fresh, rows[0])
    return found
