"""What model-based searchers know of a space: how its points become vectors, and which points are near."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strategies.history import Array
from strategies.models.gp import Embedded, Features, Mask
from strategies.searchers.base import Indices
from strategies.searchers.kde import Coordinates
from strategies.space import SearchSpace

DECIMALS = 8  # of the unit cube: points that agree in these differ by rounding


@dataclass(frozen=True)
class Terrain:
    """A space as the model sees it."""

    space: SearchSpace
    coordinates: Coordinates
    features: Features

    @classmethod
    def of(cls, space: SearchSpace, graded: bool = False) -> Terrain:
        coordinates = Coordinates.of(space)
        optional = np.array([space.columns[j].name in space.conditions for j in space.free], dtype=np.bool_)
        return cls(space, coordinates, Features(coordinates.levels, optional, graded))

    def embed(self, rows: Array, rungs: Array | float = 0.0) -> Embedded:
        """The model's vectors of rows of the unit cube (n, columns) on rungs (n,), or all on one."""
        return self.features.embed(self.coordinates.points(rows), np.broadcast_to(np.float64(rungs), (len(rows),)))

    @cached_property
    def number_columns(self) -> Indices:
        """(D,) the columns of the space that are numbers to the model."""
        columns: Indices = self.space.free[self.features.is_number]
        return columns

    @cached_property
    def continuous(self) -> Mask:
        """(D,) which of the numbers may take any value."""
        return np.array([not self.space.columns[j].n_values for j in self.number_columns], dtype=np.bool_)

    @cached_property
    def unordered(self) -> Mask:
        """(columns,) where there is no step to a near value."""
        return np.array([c.kind in ("categorical", "constant") for c in self.space.columns], dtype=np.bool_)

    @cached_property
    def least_steps(self) -> Array:
        """(columns,) the width of one value."""
        return np.array([1.0 / c.n_values if c.n_values else 0.0 for c in self.space.columns])

    def neighbours(self, rows: Array, scale: float, rng: np.random.Generator) -> Array:
        """Allowed points, at most as many as rows (n, columns), each from its row in one or some columns.

        Numbers take a normal step and rebound from the bounds; categories, and what was inactive, are drawn anew.
        """
        n, free = len(rows), self.space.free
        change = rng.random(rows.shape) < 2.0 / len(free)
        change[np.arange(n), free[rng.integers(len(free), size=n)]] = True
        stepped = rows + np.maximum(scale, self.least_steps) * rng.standard_normal(rows.shape)
        stepped = 1.0 - np.abs(1.0 - np.abs(stepped))
        anew = self.unordered | np.isnan(rows)
        stepped = np.where(anew, rng.random(rows.shape), stepped)
        moved = self.space.canonical(np.where(change | np.isnan(rows), stepped, rows))
        return moved[self.space.allowed(moved)]

    @staticmethod
    def first_new(rows: Array, others: Array) -> Array | None:
        """The first of the rows (m, columns) that is not among the others (n, columns), but for rounding."""
        known = {row.tobytes() for row in _rounded(others)}
        for row, key in zip(rows, _rounded(rows), strict=True):
            if key.tobytes() not in known:
                new: Array = row
                return new
        return None


def _rounded(rows: Array) -> Array:
    return np.asarray(np.round(np.nan_to_num(rows, nan=-1.0), DECIMALS) + 0.0, dtype=np.float64)  # no -0.0
