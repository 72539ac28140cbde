"""What is believed of one column of the unit cube: densities and draws, plain arrays in, plain arrays out.

Notation
    m  the column's believed value, in [0, 1]       s  the spread       K  the options of a category

Every density is relative to the uniform one, so that 1 means: no likelier than by chance.

    number      phi((u - m)/s) / (s (Phi((1 - m)/s) - Phi(-m/s)))       a normal, cut to [0, 1]
    step        the mean of that over the step's bin
    category    K / (1 + (K - 1) s) for the option at m; s times as much for each other one

The form is that of Mallik et al. 2023 (PriorBand) in their code; there a category's 1/s is 2, 4 and 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LOG_ROOT_2PI = math.log(2 * math.pi) / 2


@dataclass(frozen=True)
class ColumnPrior:
    """centre: m.  spread: s.  categories: K; 0 for numbers and steps."""

    centre: float
    spread: float
    categories: int = 0

    def logpdf(self, u: Array) -> Array:
        """(n,) logarithms of the density of a number, or of the category, at u (n,) in [0, 1]."""
        if self.categories:
            logs: Array = self.log_options[self._option(u)] + math.log(self.categories)
        else:
            logs = (
                -np.square((u - self.centre) / self.spread) / 2 - LOG_ROOT_2PI - math.log(self.spread) - self._log_mass
            )
        return logs

    def log_bins(self, low: Array, high: Array) -> Array:
        """(n,) logarithms of the mean density over bins from low (n,) to high (n,) > low."""
        inside = _log_interval((low - self.centre) / self.spread, (high - self.centre) / self.spread)
        logs: Array = inside - self._log_mass - np.log(high - low)
        return logs

    @property
    def log_options(self) -> Array:
        """(K,) logarithms of the chances of the options of a category."""
        weights = np.full(self.categories, self.spread)
        weights[self._option(np.array([self.centre]))] = 1.0
        logs: Array = np.log(weights / weights.sum())
        return logs

    def warp(self, u: Array) -> Array:
        """Draws (n,), in [0, 1], of u (n,) that are uniform there: the inverse of the distribution function."""
        if self.categories:
            ends = np.cumsum(np.exp(self.log_options))
            options = np.minimum(np.searchsorted(ends, u, side="right"), self.categories - 1)
            return np.asarray((options + 0.5) / self.categories, dtype=np.float64)
        from scipy.special import ndtr, ndtri

        low, high = ndtr(-self.centre / self.spread), ndtr((1 - self.centre) / self.spread)
        draws: Array = np.clip(self.centre + self.spread * ndtri(low + u * (high - low)), 0.0, 1.0)
        return draws

    @property
    def _log_mass(self) -> float:
        """The logarithm of what the normal has in [0, 1]: at least almost a third of it for s <= 1."""
        from scipy.special import ndtr

        return math.log(ndtr((1 - self.centre) / self.spread) - ndtr(-self.centre / self.spread))

    def _option(self, u: Array) -> NDArray[np.intp]:
        return np.minimum(u * self.categories, self.categories - 1).astype(np.intp)


def _log_interval(a: Array, b: Array) -> Array:
    """(n,) log(Phi(b) - Phi(a)) for a < b, in the tails as well: there it takes the other side's, which is small."""
    from scipy.special import log_ndtr

    flip = a > 0
    low, high = np.where(flip, -b, a), np.where(flip, -a, b)
    top = log_ndtr(high)
    logs: Array = top + np.log1p(-np.exp(log_ndtr(low) - top))
    return logs
