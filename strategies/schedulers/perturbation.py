"""A configuration near another one: what population based training explores with.

Notation: d columns, n candidates, u unit values of one column, factors (n,) by which values are to change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from strategies.columns import Column
from strategies.history import Array
from strategies.space import SearchSpace

TRIES = 64  # candidates, of which the first that is allowed is taken


def explore(
    space: SearchSpace, row: Array, rng: np.random.Generator, resample_probability: float, factors: Sequence[float]
) -> Array:
    """A row (d,) near `row` (d,): each parameter is drawn anew with `resample_probability`, else perturbed by one of
    the factors. What becomes active is drawn too. If nothing near is allowed, `row` itself."""
    shape = (TRIES, space.dim)
    drawn, chosen = rng.random(shape), rng.choice(np.asarray(factors, dtype=np.float64), shape)
    anew = (rng.random(shape) < resample_probability) | np.isnan(row)
    near = np.stack([perturbed(column, row[j], chosen[:, j]) for j, column in enumerate(space.columns)], axis=1)
    candidates = space.canonical(np.where(anew, drawn, near))
    allowed = np.flatnonzero(space.allowed(candidates))
    found: Array = candidates[allowed[0]] if len(allowed) else row
    return found


def perturbed(column: Column, u: float, factors: Array) -> Array:
    """Unit values (n,), at most 0 and 1 away, of a column's value at `u` that is changed by each of `factors`.

    On a logarithmic scale the value is multiplied by the factor. On a linear one multiplication would never leave
    zero, nor cross it; there the value moves by (factor - 1) / 2 of the range, as far as multiplication moves the
    middle of a range that begins at zero. Whole numbers, and multiples of a q, move by a step at least; an ordinal
    moves to its neighbour; a category stays.
    """
    if column.kind in ("categorical", "constant"):
        return np.full(len(factors), u)
    steps = column.n_values > 0
    if not steps:
        return np.clip(u + (np.log(factors) / column.scale if column.log else (factors - 1) / 2), 0.0, 1.0)
    (code,) = column.codes(np.array([u]))
    if column.kind == "ordinal":
        moves = np.zeros(len(factors))
    else:
        moves = np.rint(code * (factors - 1) if column.log else column.n_values * (factors - 1) / 2)
    moves = np.where(moves == 0, np.sign(factors - 1), moves)
    return column.units(np.clip(code + moves, column.first, column.first + column.n_values - 1))
