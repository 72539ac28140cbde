"""Quasi-random search: the points of one scrambled Sobol sequence (Sobol 1967, Owen 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from strategies.history import Array
from strategies.searchers.base import Context, Searcher

BLOCK = 256  # points made at once: a power of two, as the sequence likes it


@dataclass(frozen=True)
class Sobol(Searcher):
    """Even coverage of the space. Suggestion k is point k of the sequence that the seed scrambles.

    A point that is forbidden gives way to a random one.
    """

    name: ClassVar[str] = "sobol"
    learns: ClassVar[bool] = False

    def suggest(self, context: Context) -> Array:
        space = context.space
        if len(space.free):
            block, k = divmod(context.number, BLOCK)
            point = np.full((1, space.dim), np.nan)
            point[0, space.free] = _block(len(space.free), context.seed, block)[k]
            rows = space.canonical(point)
            if not space.allowed(rows)[0]:
                rows = space.sample(context.rng(), 1)
        else:
            rows = space.sample(context.rng(), 1)
        row: Array = rows[0]
        return row


@lru_cache(maxsize=16)
def _block(dim: int, seed: int, block: int) -> Array:
    """(BLOCK, dim): the points from number BLOCK * block on."""
    from scipy.stats.qmc import Sobol as Sequence

    sequence = Sequence(dim, scramble=True, seed=np.random.default_rng(seed))  # `rng=` needs SciPy 1.15
    if block:  # fast_forward(0) raises
        sequence.fast_forward(BLOCK * block)
    points: Array = sequence.random(BLOCK)
    return points
