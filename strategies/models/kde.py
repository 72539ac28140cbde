"""Product-kernel density estimates over mixed numbers and categories: plain arrays in, plain arrays out.

Notation
    n  data points        d  dimensions        m  query points
    Z       (n, d)  points: a number in [0, 1] or, for a category, its index
    levels  (d,)    0 where a dimension is a number, K >= 2 where it is one of K categories
    h       (d,)    bandwidths

The estimate is that of statsmodels' `KDEMultivariate`, which BOHB (Falkner et al. 2018) uses:

    f(x) = 1/n sum_i prod_j k_j(x_j, Z_ij)

    number      k(x, z) = exp(-((x - z)/h)^2 / 2) / (h sqrt(2 pi))            Gaussian
    category    k(x, z) = 1 - h if x = z, else h / (K - 1)                    Aitchison and Aitken 1976

with one difference: statsmodels takes for K how many categories it finds in the data, which is no distribution
over the K that there are, and divides by zero if it finds one only. Here K is the true number. Where the data hold
every category the two agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Levels = NDArray[np.intp]

ROOT_HALF = math.sqrt(0.5)
REFERENCE = 1.06  # Scott's rule of thumb: (4/3)^(1/5), rounded as statsmodels rounds it


def normal_reference(Z: Array) -> Array:
    """Bandwidths (d,) by the rule of thumb for normal data: 1.06 std n^(-1/(4 + d)); a category by its index."""
    n, d = Z.shape
    bandwidths: Array = REFERENCE * Z.std(axis=0) * n ** (-1.0 / (4 + d))
    return bandwidths


def clip_bandwidths(h: Array, levels: Levels, minimum: float) -> Array:
    """Bandwidths (d,) of at least `minimum`, and for K categories at most (K - 1)/K.

    At (K - 1)/K the kernel is uniform. Beyond, a category would be the *less* likely the more often it was seen,
    and beyond 1 densities are negative. hpbandster has no such cap, and gets there: the spread of an index over
    K >= 4 categories is that large unless one category prevails.
    """
    cap = np.where(levels > 0, 1.0 - 1.0 / np.maximum(levels, 1), np.inf)
    clipped: Array = np.minimum(np.maximum(h, minimum), cap)
    return clipped


@dataclass(frozen=True)
class Density:
    """A density estimate. data: (n, d) without NaN, n >= 1; bandwidths (d,), as `clip_bandwidths` leaves them."""

    data: Array
    bandwidths: Array
    levels: Levels

    @classmethod
    def fit(cls, data: Array, levels: Levels, minimum: float) -> Density:
        """The estimate from `data` with the bandwidths of the rule of thumb."""
        return cls(data, clip_bandwidths(normal_reference(data), levels, minimum), levels)

    def logpdf(self, x: Array) -> Array:
        """(m,) logarithms of the density at the points x (m, d)."""
        logs = self.log_kernels(x)
        top = logs.max(axis=0)
        logs -= top
        np.exp(logs, out=logs)
        density: Array = np.log(logs.sum(axis=0)) + (top + self.log_height - math.log(len(self.data)))
        return density

    def log_kernels(self, x: Array) -> Array:
        """(n, m) logarithms of the kernels at the points x (m, d), less `log_height`."""
        scaled = self._scaled(x)
        # -1/2 |x/h - z/h|^2, multiplied out, points along the rows, since they are many. Not by BLAS: its
        # threads would fight with the workers for cores (16 ms instead of 1), and its sums depend on their number.
        logs: Array = np.einsum("ji,jk->ik", self._data_scaled, scaled)
        logs -= self._half_squares[:, None]
        logs -= 0.5 * np.square(scaled).sum(axis=0)
        for j in np.flatnonzero(self.levels):
            seen, which = np.unique(x[:, j], return_inverse=True)
            logs -= (self._mismatch(j) * (seen != self.data[:, j, None]))[:, which]
        return logs

    def log_kernels_around(self, Z: Array, x: Array) -> Array:
        """(k, m) the same for kernels around any points Z (k, d).

        Term by term, so that each kernel has the same bits whatever k is: it may be kept while others come and go.
        """
        terms = ROOT_HALF * self._scaled(x)[:, None] - ROOT_HALF * self._scaled(Z)[:, :, None]  # (numbers, k, m)
        np.square(terms, out=terms)
        logs = np.zeros((len(Z), len(x)))
        for term in terms:
            logs -= term
        for j in np.flatnonzero(self.levels):
            logs -= self._mismatch(j) * (Z[:, j, None] != x[:, j])
        return logs

    @cached_property
    def log_height(self) -> float:
        """The logarithm of a kernel at its own place."""
        h = self.bandwidths
        peaks = np.where(self.levels > 0, 1 - np.where(self.levels > 0, h, 0.0), 1 / (h * math.sqrt(2 * math.pi)))
        return float(np.log(peaks).sum())

    def _mismatch(self, j: np.intp) -> float:
        """By how much the logarithm falls where the category j differs."""
        return math.log((self.levels[j] - 1) * (1 - self.bandwidths[j]) / self.bandwidths[j])

    def _scaled(self, x: Array) -> Array:
        """(numbers, m) from (m, d)."""
        numbers = self.levels == 0
        scaled: Array = x.T[numbers] / self.bandwidths[numbers, None]
        return scaled

    @cached_property
    def _data_scaled(self) -> Array:
        return self._scaled(self.data)

    @cached_property
    def _half_squares(self) -> Array:
        """(n,) half the squared lengths of the scaled data."""
        half: Array = 0.5 * np.square(self._data_scaled).sum(axis=0)
        return half


def log_mixture(first: Array, second: Array, weight: float) -> Array:
    """The logarithm of the mixture that gives `weight`, in (0, 1), to the second of two log-densities."""
    mixed: Array = np.logaddexp(first + math.log1p(-weight), second + math.log(weight))
    return mixed


def impute(Z: Array, levels: Levels, rng: np.random.Generator, donors: Array | None = None) -> Array:
    """A copy of Z (n, d) with the NaN filled: from a random donor that has the row's first missing entry.

    The donor gives all that it has of what the row misses; the next gap asks another. Where no donor has a value,
    it is drawn uniformly. Donors are the rows of `donors`, by default of Z itself. (BOHB, `impute_conditional_data`;
    there a row in which column 0 alone is missing stays as it is, by mistake.)
    """
    donors = Z if donors is None else donors
    filled = Z.copy()
    for j in np.flatnonzero(np.isnan(Z).any(axis=0)):
        rows = np.flatnonzero(np.isnan(filled[:, j]))
        having = np.flatnonzero(~np.isnan(donors[:, j]))
        if not len(having):
            K = levels[j]
            filled[rows, j] = rng.integers(K, size=len(rows)) if K else rng.random(len(rows))
        elif len(rows):
            given = donors[rng.choice(having, size=len(rows))]
            filled[rows] = np.where(np.isnan(filled[rows]), given, filled[rows])
    return filled


def truncated_normal(mean: Array, scale: Array, rng: np.random.Generator) -> Array:
    """Draws (m, d) from normals with mean (m, d), each in [0, 1], and scale (d,), cut to [0, 1]."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-mean / scale), ndtr((1 - mean) / scale)
    draws: Array = mean + scale * ndtri(low + rng.random(mean.shape) * (high - low))
    return np.clip(draws, 0.0, 1.0)
