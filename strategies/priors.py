"""What users believe of a whole space, before anything was tried: density, draws and mode over rows of the unit cube.

Notation: n points, d columns; U (n, d) rows of the unit cube, NaN where a parameter is inactive.

Columns are independent, each with the density of `strategies.models.prior`, and uniform where nothing is believed. Then
conditions drop what does not apply: a row's density is the product over the columns that are active in it. It is
relative to `SearchSpace.sample`, so that it is 1 everywhere for a space without priors; what forbidden clauses take
away is not made up for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from strategies.columns import Array, Column
from strategies.domains import SPREADS
from strategies.models.prior import ColumnPrior

if TYPE_CHECKING:
    from strategies.space import SearchSpace

MAX_STEPS = 64  # integers with more values are numbers
TRIES = 1000  # draws among which the mode is looked for, where the middle of the prior is forbidden


@dataclass(frozen=True)
class SpacePrior:
    """parts: of the columns with a belief."""

    space: SearchSpace
    parts: Mapping[int, ColumnPrior]

    @classmethod
    def of(cls, space: SearchSpace) -> SpacePrior:
        """What the space's domains say (`prior=`)."""
        parts = {j: column_prior(space.columns[j]) for j in space.free.tolist()}
        return cls(space, {j: part for j, part in parts.items() if part is not None})

    def around(self, row: Array, spread: float | None = None) -> SpacePrior:
        """The belief that a configuration (d,) is good: every active, free column centred there.

        spread: of all columns; by default as it is here, and medium where nothing is believed.
        """
        parts = {}
        for j in self.space.free[~np.isnan(row[self.space.free])].tolist():
            own = self.parts[j].spread if j in self.parts else SPREADS["medium"]
            parts[j] = ColumnPrior(float(row[j]), spread or own, _categories(self.space.columns[j]))
        return SpacePrior(self.space, parts)

    @property
    def informed(self) -> bool:
        """Whether anything is believed at all."""
        return bool(self.parts)

    def logpdf(self, U: Array) -> Array:
        """(n,) logarithms of the density, relative to the uniform one, at rows U (n, d)."""
        logs = np.zeros(len(U))
        for j, part in self.parts.items():
            active = ~np.isnan(U[:, j])
            logs[active] += _log_column(self.space.columns[j], part, U[active, j])
        return logs

    def warp(self, U: Array) -> Array:
        """Points (n, d) distributed as believed, not yet canonical, of points U (n, d) uniform in the cube."""
        warped = U.copy()
        for j, part in self.parts.items():
            warped[:, j] = part.warp(U[:, j])
        return warped

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """n independent allowed rows (n, d), canonical."""
        return self.space.sample(rng, n, self.warp)

    @cached_property
    def mode(self) -> Array:
        """(d,) the likeliest row; the middle of numbers and the first of options that nothing is believed of.

        If it is forbidden: the likeliest of many draws.
        """
        columns = self.space.columns
        middle = np.array([[0.5 if column.is_number else 0.0 for column in columns]])
        for j, part in self.parts.items():
            middle[0, j] = part.centre
        rows = self.space.canonical(middle)
        if not self.space.allowed(rows)[0]:
            rows = self.sample(np.random.default_rng(0), TRIES)
        best: Array = rows[np.argmax(self.logpdf(rows))]
        return best


def column_prior(column: Column) -> ColumnPrior | None:
    """What is believed of a column."""
    if column.prior is None:
        return None
    value = column.prior.value
    if column.is_number and column.q is None:  # its bounds may be rounded inwards
        value = min(max(value, column.lower), column.upper)
    centre = column.units(np.array([column.code(value)]))[0]
    return ColumnPrior(float(centre), column.prior.spread, _categories(column))


def _categories(column: Column) -> int:
    return column.n_values if column.kind == "categorical" else 0


def _log_column(column: Column, part: ColumnPrior, u: Array) -> Array:
    if column.kind == "categorical" or not 0 < column.n_values <= MAX_STEPS:
        return part.logpdf(u)
    edges = column.edges
    bins = np.searchsorted(edges[1:-1], u, side="right")
    return part.log_bins(edges[:-1], edges[1:])[bins]
