"""Spaces and histories for the tests of searchers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from strategies.actions import Reached
from strategies.domains import choice, loguniform, ordinal, randint, uniform
from strategies.history import Array, History
from strategies.searchers.base import Context, Searcher
from strategies.space import SearchSpace
from strategies.space_builder import as_space

FLAT = as_space({"x": uniform(0, 1), "y": loguniform(1e-4, 1), "k": randint(1, 9), "c": choice(list("abc"))})
SQUARE = as_space({"x": uniform(0, 1), "y": uniform(0, 1)})
CONDITIONAL = as_space(
    {
        "depth": randint(1, 4).when(kind="deep"),  # column 0: hpbandster cannot impute that
        "kind": choice(["deep", "wide"]),
        "width": uniform(0, 1).when(kind="wide"),
        "size": ordinal([8, 16, 64]),
        "tail": choice(list("ab")).when("width > 0.5"),
    }
)
CATEGORIES = as_space({"a": choice(list("abc")), "b": choice(range(7)), "fixed": 3})
each_space = pytest.mark.parametrize(
    "space", [FLAT, CONDITIONAL, CATEGORIES], ids=["flat", "conditional", "categories"]
)


def total(u: Array) -> float:
    return float(np.nansum(u))


def record(history: History, rows: Array, values: list[float] | Array, fidelity: float = 1.0) -> History:
    """One finished trial for each row."""
    for row, value in zip(rows, values, strict=True):
        history.start(row, fidelity)
        history.apply(Reached(len(history) - 1, fidelity, float(value)))
    return history


def history_of(space: SearchSpace, n: int, value: Callable[[Array], float] = total, seed: int = 0) -> History:
    """n random configurations with their values."""
    rows = space.sample(np.random.default_rng(seed), n)
    return record(History(space.dim), rows, [value(row) for row in rows])


def suggest(searcher: Searcher, space: SearchSpace, history: History, seed: int = 0, max_budget: float = 1.0) -> Array:
    """What the searcher proposes next: canonical and allowed."""
    row = searcher.suggest(Context(space, history, seed, 1.0, max_budget=max_budget))
    assert np.array_equal(space.canonical(row[None, :])[0], row, equal_nan=True)
    assert space.allowed(row[None, :])[0]
    return row
