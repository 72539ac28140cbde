"""Parzen estimators over mixed and conditional spaces (the densities of TPE): plain arrays in, plain arrays out.

Notation
    n  kernels        d  axes (columns of the space, constants left out)        m  query points
    Z, X    (n, d), (m, d)  points: a number in [0, 1], or the index of a step or a category; NaN where inactive
    h       (d,)    bandwidths, in the unit cube; unused at categories
    b       what smooths categories

The estimate is one mixture of product kernels, the last of them the prior (Bergstra et al. 2011; the multivariate form:
Falkner et al. 2018; its parts are compared by Watanabe 2023, section 3.3):

    f(x) = sum_i w_i prod_j k_j(x_j | Z_ij, h_j) + w_0 prod_j u_j(x_j)

    number      k(x|z) = phi((x - z)/h) / h / (Phi((1 - z)/h) - Phi(-z/h))      a normal, cut to [0, 1];   u = 1
    step        the same, integrated over the step's bin: a probability;                                  u = its width
    category    k(x|z) = (1[x = z] + K b u(x)) / (1 + K b), a smoothed count;                             u = 1/K

or u_j is what a user believes of axis j (`strategies.models.prior`).

Inactive parameters need no made-up values. Read a kernel as a recipe: draw every axis from k_j, or from u_j where
Z_ij is inactive, then let the conditions drop what does not apply. At a point x that recipe has the density above with
k_j = u_j where Z_ij is NaN, the product taken over the axes that are active in x. So f is a distribution over the union
of all active sets, whichever they are; kernels of x's own active set dominate, since others miss it in a parent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strategies.models.prior import ColumnPrior

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

ROOT_2PI = math.sqrt(2 * math.pi)
ROOT_HALF = math.sqrt(0.5)
REFERENCE = 1.06  # Scott's rule of thumb, (4/3)^(1/5), as in `strategies.models.kde`
UNIFORM_VARIANCE = 1 / 12
TINY = 1e-300  # the least probability of a step


@dataclass(frozen=True)
class Axis:
    """One dimension. edges: (K + 1,) the bins of K steps in [0, 1]; None for a continuous number.

    ordered: False for categories; only the number of their bins matters.
    prior: what is believed of it; None for the uniform distribution.
    """

    edges: Array | None = None
    ordered: bool = True
    prior: ColumnPrior | None = None

    @property
    def size(self) -> int:
        """K; 0 for a continuous number."""
        return 0 if self.edges is None else len(self.edges) - 1

    @cached_property
    def log_prior(self) -> Array:
        """(K,) the logarithms of u."""
        assert self.edges is not None
        if not self.ordered:
            return np.full(self.size, -math.log(self.size)) if self.prior is None else self.prior.log_options
        logs: Array = np.log(np.diff(self.edges))
        return logs if self.prior is None else logs + self.prior.log_bins(self.edges[:-1], self.edges[1:])


def indices(axes: Sequence[Axis], U: Array) -> Array:
    """Points (n, d) from numbers U (n, d) in the unit cube: their bins, where there are any; NaN stays NaN."""
    Z = U.copy()
    for j, axis in enumerate(axes):
        if axis.edges is not None:
            bins = np.searchsorted(axis.edges[1:-1], U[:, j], side="right")
            Z[:, j] = np.where(np.isnan(U[:, j]), np.nan, bins)
    return Z


def centres(axes: Sequence[Axis], Z: Array) -> Array:
    """Numbers (n, d) in the unit cube from points Z (n, d): their bins' centres; NaN stays NaN."""
    U = Z.copy()
    for j, axis in enumerate(axes):
        if axis.edges is not None:
            middles = np.append((axis.edges[1:] + axis.edges[:-1]) / 2, np.nan)
            U[:, j] = middles[_index(Z[:, j], axis.size)]
    return U


def shrunk_bandwidths(Z: Array, factor: float, minimum: float) -> Array:
    """(d,) bandwidths for few points: factor 1.06 s (m + 1)^(-1/(d + 4)), where m points are active in an axis.

    s^2 is the mean square deviation of the m points, and of one more whose square is 1/12: that of the uniform
    distribution. Without it a few points that agree by chance leave no room to search.

    Z: (n, d) numbers in the unit cube, n >= 1; NaN where inactive.
    """
    d, m = Z.shape[1], (~np.isnan(Z)).sum(axis=0)
    mean = np.nansum(Z, axis=0) / np.maximum(m, 1)
    variance = (np.nansum(np.square(Z - mean), axis=0) + UNIFORM_VARIANCE) / (m + 1)
    h: Array = np.maximum(factor * REFERENCE * np.sqrt(variance) * (m + 1.0) ** (-1 / (d + 4)), minimum)
    return h


def flat_bandwidths(n: int, d: int, scale: float, minimum: float) -> Array:
    """(d,) bandwidths scale n^(-1/(d + 4)), whatever the n >= 1 points are (Optuna's; Watanabe 2023, section 3.3.4)."""
    return np.full(d, max(scale * n ** (-1 / (d + 4)), minimum))


@dataclass(frozen=True)
class Mixture:
    """The estimate. Its n kernels weigh 1 each, the prior `prior` > 0. smoothing: b > 0."""

    axes: tuple[Axis, ...]
    Z: Array
    h: Array
    prior: float
    smoothing: float

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return len(self.Z) + self.prior

    def logpdf(self, X: Array) -> Array:
        """(m,) logarithms of f at the points X (m, d), m >= 1."""
        logs = np.empty(len(X))
        for rows, active in patterns(X):
            part = X[rows]
            logs[rows] = math.log(self.prior) + self._log_prior(part, active)
            if len(self.Z):
                logs[rows] = np.logaddexp(logs[rows], log_sum(self._log_kernels(part, active)))
        logs -= math.log(self.total)
        return logs

    @cached_property
    def log_height(self) -> float:
        """About the logarithm of a kernel at its own place."""
        return -float(np.log(self.h[self._is_number] * ROOT_2PI).sum())

    def log_kernels(self, X: Array) -> Array:
        """(n, m) logarithms of the kernels, but for the prior, at the points X (m, d), m >= 1, less `log_height`."""
        logs = np.empty((len(X), len(self.Z)))
        for rows, active in patterns(X):
            logs[rows] = self._log_kernels(X[rows], active)
        logs -= self.log_height
        return logs.T

    def log_kernels_around(self, Z: Array, X: Array) -> Array:
        """(n, m) the same for kernels around any points Z (n, d).

        Term by term, so that each kernel has the same bits whatever n is: it may be kept while others come and go.
        """
        numbers, h = self._is_number, self.h[self._is_number, None]
        z, x = Z.T[numbers] / h, X.T[numbers] / h
        terms = ROOT_HALF * x[:, None] - ROOT_HALF * z[:, :, None]  # (numbers, n, m)
        np.square(terms, out=terms)
        np.subtract(_log_peaks(z, h)[:, :, None], terms, out=terms)
        if np.isnan(x).any() or np.isnan(z).any():
            terms[np.isnan(terms)] = 0.0
        logs = np.full((len(Z), len(X)), -self.log_height)
        for term in terms:
            logs += term
        for j in self._tables:
            K = self.axes[j].size
            table = np.append(self._log_squares[j], np.zeros((1, K + 1)), axis=0)
            logs += table[_index(X[:, j], K), _index(Z[:, j], K)[:, None]]
        return logs

    def draw(self, rng: np.random.Generator, m: int) -> tuple[Array, Indices]:
        """m points (m, d), every axis filled, and the kernels (m,) that they come from; n stands for the prior."""
        from scipy.special import ndtr, ndtri

        n, d = self.Z.shape
        kernels = np.minimum((rng.random(m) * self.total).astype(np.intp), n)
        Z = np.append(self.Z, np.full((1, d), np.nan), axis=0)[kernels]
        chance, X = rng.random((m, d)), rng.random((m, d))  # X: where there is but the prior
        for j, axis in enumerate(self.axes):
            if axis.prior is not None:
                X[:, j] = axis.prior.warp(X[:, j])
        ordered = [j for j, axis in enumerate(self.axes) if axis.ordered]
        if ordered:
            middles, h = centres(self.axes, self.Z)[:, ordered], self.h[ordered]
            beyond = np.full((1, len(ordered)), np.nan)
            z, low, high = (
                np.append(part, beyond, axis=0)[kernels]
                for part in (middles, ndtr(-middles / h), ndtr((1 - middles) / h))
            )
            drawn = z + h * ndtri(low + chance[:, ordered] * (high - low))
            X[:, ordered] = np.where(np.isnan(z), X[:, ordered], np.clip(drawn, 0.0, 1.0))
        X = indices(self.axes, X)
        for j, axis in enumerate(self.axes):
            if not axis.ordered:
                keep = ~np.isnan(Z[:, j]) & (chance[:, j] < 1 / (1 + axis.size * self.smoothing))
                X[:, j] = np.where(keep, Z[:, j], X[:, j])
        return X, kernels

    def _log_prior(self, X: Array, active: Mask) -> Array:
        """(m,) logarithms of the prior kernel at points that are active in the axes `active` (d,)."""
        logs: Array = self._log_believed(X, active).sum(axis=1)
        for j in self._tables:
            if active[j]:
                logs += self.axes[j].log_prior[X[:, j].astype(np.intp)]
        return logs

    def _log_believed(self, X: Array, active: Mask) -> Array:
        """(m, numbers) logarithms of u at the active axes that are numbers."""
        numbers = np.flatnonzero(self._is_number & active)
        logs = np.zeros((len(X), len(numbers)))
        for i, j in enumerate(numbers):
            prior = self.axes[j].prior
            if prior is not None:
                logs[:, i] = prior.logpdf(X[:, j])
        return logs

    def _log_kernels(self, X: Array, active: Mask) -> Array:
        """(m, n) logarithms of each kernel at points that are active in the axes `active` (d,).

        The exponent -(x - z)^2 / 2h^2 is multiplied out. Not by BLAS: its threads would fight with the workers for
        cores, and its sums depend on their number.
        """
        scaled, peaks, known, complete = self._numbers
        numbers = active[self._is_number]
        if not numbers.all():
            scaled, peaks, known = scaled[numbers], peaks[numbers], known[numbers]
        x = (X / self.h)[:, self._is_number & active]
        logs: Array = np.einsum("ij,jk->ik", x, scaled)
        logs += peaks.sum(axis=0) - np.einsum("jk,jk->k", scaled, scaled) / 2
        if complete:
            logs -= np.einsum("ij,ij->i", x, x)[:, None] / 2
        else:
            logs -= np.einsum("ij,jk->ik", np.square(x) / 2, known.astype(np.float64))
            if self._believes:
                logs += np.einsum("ij,jk->ik", self._log_believed(X, active), (~known).astype(np.float64))
        for j in self._tables:
            if active[j]:
                logs += self._log_tables[j][X[:, j].astype(np.intp)]
        return logs

    @cached_property
    def _is_number(self) -> Mask:
        return np.array([axis.edges is None for axis in self.axes], dtype=np.bool_)

    @cached_property
    def _believes(self) -> bool:
        return any(axis.prior is not None for axis in self.axes)

    @cached_property
    def _tables(self) -> list[int]:
        return [j for j, axis in enumerate(self.axes) if axis.edges is not None]

    @cached_property
    def _numbers(self) -> tuple[Array, Array, Mask, bool]:
        """Of the axes that are numbers, each (axes, n): Z/h, the logarithm of k(z|z), and where Z is not NaN.

        The first two are 0 where Z is NaN. The last value is whether it nowhere is.
        """
        z = self.Z.T[self._is_number]
        h = self.h[self._is_number, None]
        known = ~np.isnan(z)
        scaled = z / h
        peaks = _log_peaks(scaled, h)
        if known.all():
            return scaled, peaks, known, True
        return np.where(known, scaled, 0.0), np.where(known, peaks, 0.0), known, False

    @cached_property
    def _log_tables(self) -> dict[int, Array]:
        """Axis -> (K, n) logarithms of the kernels at every step or category."""
        return {j: self._log_squares[j][:, _index(self.Z[:, j], self.axes[j].size)] for j in self._tables}

    @cached_property
    def _log_squares(self) -> dict[int, Array]:
        """Axis -> (K, K + 1) logarithms of the kernel around every step or category, and around NaN, at every one."""
        return {j: self._log_square(j) for j in self._tables}

    def _log_square(self, j: int) -> Array:
        from scipy.special import ndtr

        axis = self.axes[j]
        assert axis.edges is not None
        K, b = axis.size, self.smoothing
        if axis.ordered:
            below = ndtr((axis.edges[:, None] - (axis.edges[1:] + axis.edges[:-1]) / 2) / self.h[j])
            square = np.log(np.maximum(np.diff(below, axis=0), TINY)) - np.log(below[-1] - below[0])
        else:
            square = np.log((np.eye(K) + K * b * np.exp(axis.log_prior)[:, None]) / (1 + K * b))
        whole: Array = np.append(square, axis.log_prior[:, None], axis=1)
        return whole


def _log_peaks(scaled: Array, h: Array) -> Array:
    """The logarithms of k(z|z) for numbers, from z/h and h."""
    from scipy.special import ndtr

    peaks: Array = -np.log(h * ROOT_2PI * (ndtr(1 / h - scaled) - ndtr(-scaled)))
    return peaks


def log_sum(logs: Array) -> Array:
    """(m,) the logarithm of the sum of exp(logs), (m, n), over each row."""
    top = logs.max(axis=1)
    terms = logs - top[:, None]
    np.exp(terms, out=terms)
    sums: Array = np.log(terms.sum(axis=1)) + top
    return sums


def patterns(X: Array) -> Iterator[tuple[Indices | slice, Mask]]:
    """The rows of each active set among the points X (m, d), m >= 1, and that set as a mask (d,)."""
    active = ~np.isnan(X)
    if (active == active[0]).all():
        yield slice(None), active[0]
        return
    sets, which = np.unique(np.packbits(active, axis=1), axis=0, return_inverse=True)
    for i in range(len(sets)):
        rows = np.flatnonzero(which.ravel() == i)
        yield rows, active[rows[0]]


def _index(z: Array, missing: int) -> Indices:
    indices: Indices = np.where(np.isnan(z), missing, z).astype(np.intp)
    return indices
