"""The space as `strategies.models.parzen` sees it: free columns only, steps and categories as indices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strategies.columns import Column
from strategies.history import Array
from strategies.models.parzen import Axis, centres, indices
from strategies.priors import MAX_STEPS, column_prior
from strategies.space import SearchSpace


@dataclass(frozen=True)
class Frame:
    """Between the unit cube (all columns) and the model's points: free columns, steps and categories as indices."""

    space: SearchSpace
    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, space: SearchSpace) -> Frame:
        return cls(space, tuple(_axis(space.columns[j]) for j in space.free))

    @cached_property
    def finite(self) -> bool:
        return all(column.n_values for column in self.space.columns)

    def points(self, U: Array) -> Array:
        """(n, d) of canonical rows U (n, columns); NaN stays NaN."""
        return indices(self.axes, U[:, self.space.free])

    def numbers(self, Z: Array) -> Array:
        """Points Z (n, d) with all in the unit cube."""
        return centres(self.axes, Z)

    def rows(self, Z: Array) -> Array:
        """Canonical rows of the unit cube for points Z (n, d)."""
        U = np.full((len(Z), self.space.dim), np.nan)
        U[:, self.space.free] = self.numbers(Z)
        return self.space.canonical(U)


def _axis(column: Column) -> Axis:
    prior = column_prior(column)
    if column.kind != "categorical" and not 0 < column.n_values <= MAX_STEPS:
        return Axis(prior=prior)
    return Axis(column.edges, ordered=column.kind != "categorical", prior=prior)
