"""Random search: every configuration drawn anew from the space (Bergstra and Bengio 2012)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from strategies.history import Array
from strategies.searchers.base import Context, Searcher


@dataclass(frozen=True)
class Random(Searcher):
    """Uniform in the unit cube: log-uniform where the space says log, equal chances for categories.

    What users believe (`prior=`) changes nothing here; `PriorBand` draws from it.
    """

    name: ClassVar[str] = "random"
    learns: ClassVar[bool] = False

    def suggest(self, context: Context) -> Array:
        row: Array = context.space.sample(context.rng(), 1)[0]
        return row
