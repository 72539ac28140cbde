"""What every searcher is: a frozen set of settings with one function that proposes a configuration."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.space import SearchSpace

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Context:
    """All that a suggestion may depend on.

    history: results at every fidelity, and what runs now (`history.pending`).
    seed: the experiment's seed.  until: the milestone at which the new trial will report first.
    given: trials that began with a configuration of the user's, before the first suggestion.
    max_budget: the fidelity of a full training.
    """

    space: SearchSpace
    history: History
    seed: int
    until: float
    given: int = field(default=0, kw_only=True)
    max_budget: float = field(default=math.inf, kw_only=True)

    @property
    def number(self) -> int:
        """Which suggestion this is, counted from 0: a sequence (Sobol's, a grid) goes on here."""
        return self.history.proposed - self.given

    def rng(self) -> np.random.Generator:
        """The generator of this suggestion: a fresh one for each, so that there is no random state to save."""
        return np.random.default_rng([self.seed, self.number])


class Searcher(ABC):
    """Proposes configurations.

    Subclasses are frozen dataclasses whose fields are plain JSON values. `suggest` is a function of its context:
    it may cache what it derives, but a cache never changes what it suggests.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = True  # whether results make a difference to what it suggests
    uses_priors: ClassVar[bool] = False  # whether it makes something of what users believe (`space.prior`)

    @abstractmethod
    def suggest(self, context: Context) -> Array:
        """One configuration as a (d,) row of the unit cube: canonical, allowed, NaN where inactive."""

    def check(self, space: SearchSpace) -> None:  # noqa: B027  # most can search any space
        """Look before anything starts.

        Raises:
            InvalidInput: this searcher cannot search `space`, or lacks a package.
        """

    def size(self, space: SearchSpace) -> int | None:
        """How many configurations there are to propose in all; None if there is no end."""
        return None


def check_number(field: str, value: float, low: float, high: float | None) -> None:
    """Look at a setting.

    Raises:
        InvalidInput: it is below `low`, above `high`, or NaN.
    """
    if not low <= value or (high is not None and value > high):
        limits = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
        raise InvalidInput(f"{field} must be {limits}; got {field}={value!r}")
