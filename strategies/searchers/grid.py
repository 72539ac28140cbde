"""Grid search: every combination of some values of each parameter, once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from strategies.columns import Column
from strategies.errors import InvalidInput
from strategies.history import Array
from strategies.searchers.base import Context, Searcher
from strategies.space import SearchSpace

Steps = NDArray[np.intp]

LARGEST = 1_000_000  # combinations; more are a mistake, and would not fit into memory for long


@dataclass(frozen=True)
class Grid(Searcher):
    """The full product of all choices, and of `points` evenly spaced values of each number, both ends included.

    Evenly on the log scale where the space says log. Integers, and multiples of a q, of which there are no more than
    `points` are all taken. Combinations that differ in inactive parameters only are one; forbidden ones are left out.

    The order is that of nested loops, the space's first parameter outermost, values ascending, choices as the
    user lists them. Suggestion k is row k of it; after the last row it starts anew.

    Raises: InvalidInput if there are more than a million combinations, or none that is allowed.
    """

    name: ClassVar[str] = "grid"
    learns: ClassVar[bool] = False

    points: int = 5

    def __post_init__(self) -> None:
        if self.points < 2:
            raise InvalidInput(f"points must be at least 2: both ends of a range; got points={self.points!r}")

    def suggest(self, context: Context) -> Array:
        rows = _rows(context.space, self.points)
        row: Array = rows[context.number % len(rows)].copy()
        return row

    def size(self, space: SearchSpace) -> int:
        return len(_rows(space, self.points))


@lru_cache(maxsize=4)
def _rows(space: SearchSpace, points: int) -> Array:
    """(size, dim) the grid, canonical and allowed, in its order."""
    axes = [_axis(column, points) for column in space.columns]
    lengths = [len(axis) for axis in axes]
    raw = math.prod(lengths)
    if raw > LARGEST:
        product = " x ".join(str(length) for length in lengths if length > 1)
        raise InvalidInput(
            f"points={points}: the grid has {product} = {raw} combinations, more than {LARGEST}; "
            "take fewer points, fix some parameters, or use algo='sobol'"
        )
    steps = _steps(lengths)
    rows = space.canonical(np.stack([axis[step] for axis, step in zip(axes, steps, strict=True)], axis=1))
    rows = rows[_first_of_each(rows, steps, lengths)]
    rows = rows[space.allowed(rows)]
    if not len(rows):
        raise InvalidInput(
            f"points={points}: the forbidden clauses leave none of {raw} combinations; take more points, "
            "loosen a clause, or use algo='random'"
        )
    return rows


def _axis(column: Column, points: int) -> Array:
    """The canonical values, ascending, that one column contributes."""
    n = column.n_values
    if n and (n <= points or column.values):
        return column.units(column.first + np.arange(n, dtype=np.float64))
    # On a linear scale of n values the first and the last have their centres half a bin from the ends.
    margin = 0.5 / n if n and not column.log else 0.0
    return np.unique(column.units(column.codes(np.linspace(margin, 1 - margin, points))))


def _steps(lengths: list[int]) -> Steps:
    """(len(lengths), raw) for each combination the index on each axis; the last varies fastest."""
    strides = [math.prod(lengths[j + 1 :]) for j in range(len(lengths))]
    number = np.arange(math.prod(lengths))
    return np.stack([number // stride % length for stride, length in zip(strides, lengths, strict=True)])


def _first_of_each(rows: Array, steps: Steps, lengths: list[int]) -> Steps:
    """The indices, ascending, of the rows left when those that are equal after deactivation are one."""
    if not np.isnan(rows).any():
        return np.arange(len(rows))
    codes = np.zeros(len(rows), dtype=np.int64)  # below 3^20: lengths of at least 2, each plus one for inactive
    for j, length in enumerate(lengths):
        if length > 1:  # whether a constant is active follows from the others
            codes = codes * (length + 1) + np.where(np.isnan(rows[:, j]), 0, steps[j] + 1)
    return np.sort(np.unique(codes, return_index=True)[1])
