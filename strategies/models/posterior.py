"""What a Gaussian process predicts, given data and hyperparameters. Notation and kernel: see `gp.py`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from strategies.models.gp import (
    JITTER,
    LEAST_VARIANCE,
    OFFSET,
    Array,
    Embedded,
    Features,
    Hyper,
    matern,
    offset,
    squared_distances,
)


@dataclass(frozen=True)
class Baseline:
    """The value at one point, for others to be compared with.

    V: (n + q,) of it, see `Posterior.solve`.  weights: (n + q,) K^-1 k.  variance: what is left of it.
    """

    there: Embedded  # (1, .) scaled
    V: Array
    weights: Array
    variance: float


@dataclass(frozen=True)
class Posterior:
    """The process given data, for fixed hyperparameters, and given where pending points are. Never changes.

    sites: the n + q points, scaled.  factor: (n + q, n + q) the Cholesky factor L of K.  alpha: (n + q,) K^-1 y.
    """

    features: Features
    hyper: Hyper
    nugget: float  # what K has on its diagonal beyond the signal
    sites: Embedded
    factor: Array
    alpha: Array

    @classmethod
    def of(cls, features: Features, theta: Array, data: Embedded, y: Array) -> Posterior:
        """The process given (data, y)."""
        from scipy.linalg.lapack import dpotrf, dpotrs

        hyper, empty = Hyper.of(theta, features), np.empty((0, 0))
        blank = cls(features, hyper, 0.0, data, empty, empty)
        sites = blank.scaled(data)
        K = blank._kernel(sites, sites)
        jitter, failed = JITTER, 1
        while failed:
            nugget = hyper.noise + jitter * hyper.signal
            factor, failed = dpotrf(K + nugget * np.eye(len(y)), lower=1, clean=1)
            jitter *= 100
        return cls(features, hyper, nugget, sites, factor, dpotrs(factor, y, lower=1)[0])

    def scaled(self, points: Embedded) -> Embedded:
        """Numbers and marks such that squared distances are what the kernel takes."""
        numbers: Array = self.hyper.warped(points.numbers) * np.sqrt(5 * self.hyper.v)
        return Embedded(numbers, points.marks * np.sqrt(self.hyper.w[self.features.groups]), points.rungs)

    def kernel(self, points: Embedded) -> Array:
        """(m, n + q) between the points and those of the process."""
        return self._kernel(self.scaled(points), self.sites)

    def solve(self, points: Embedded) -> tuple[Array, Array]:
        """(m,) means and (n + q, m) L^-1 k, whose squares add up to the variance that is explained."""
        from scipy.linalg.lapack import dtrtrs

        k = self.kernel(points)
        return k @ self.alpha, dtrtrs(self.factor, k.T, lower=1)[0]

    def predict(self, points: Embedded) -> tuple[Array, Array]:
        """(m,) means and variances, without noise."""
        mean, V = self.solve(points)
        return mean, self._positive(self.prior_variance - np.einsum("ij,ij->j", V, V))

    def baseline(self, point: Embedded) -> Baseline:
        """The value at a point (1, .)."""
        from scipy.linalg.lapack import dtrtrs

        (V,) = self.solve(point)[1].T
        weights = dtrtrs(self.factor, V, lower=1, trans=1)[0]
        return Baseline(self.scaled(point), V, weights, self.prior_variance - float(V @ V))

    def spread(self, scaled: Embedded, V: Array, explained: Array, other: Baseline) -> Array:
        """(m,) variances of the differences between the values at scaled points and the other one.

        V: from `solve`.  explained: (m,) the sums of its squares.
        """
        covariance = self._kernel(scaled, other.there)[:, 0] - other.V @ V
        return self._positive(self.prior_variance - explained + other.variance - 2.0 * covariance)

    @property
    def prior_variance(self) -> float:
        return self.hyper.signal + (OFFSET if self.features.graded else 0.0)

    def believing(self, point: Embedded) -> Posterior:
        """The process with one more pending point, arrays of shape (1, .).

        It is taken to give what is expected of it (the kriging believer of Ginsbourger et al. 2010): the mean stays as
        it is everywhere, the variance shrinks.
        """
        _, V = self.solve(point)
        size = len(self.factor)
        factor = np.zeros((size + 1, size + 1), order="F")
        factor[:size, :size] = self.factor
        factor[size, :size] = V[:, 0]
        left = self.prior_variance + self.nugget - float(V[:, 0] @ V[:, 0])
        factor[size, size] = math.sqrt(max(left, self.nugget))
        sites = self.sites.joined(self.scaled(point))
        return dataclasses.replace(self, sites=sites, factor=factor, alpha=np.append(self.alpha, 0.0))

    def aimed(self, y: Array) -> Posterior:
        """The process with other targets y (n,): neither factor nor pending points depend on them."""
        from scipy.linalg.lapack import dpotrs

        n = len(y)
        alpha, _ = dpotrs(np.asfortranarray(self.factor[:n, :n]), y, lower=1)
        return dataclasses.replace(self, alpha=np.append(alpha, np.zeros(len(self.factor) - n)))

    def one_more(self, scaled: Embedded, V: Array) -> Array:
        """(m,) the last row of what `solve` gives for scaled points, from the rows V above it."""
        row = self.factor[-1]
        k = self._kernel(scaled, self.sites.only(slice(-1, None)))[:, 0]
        added: Array = (k - row[:-1] @ V) / row[-1]
        return added

    def gradients(self, points: Embedded, other: Baseline | None = None) -> tuple[Array, Array, Array, Array]:
        """(m,) means at the points, their variances, and the derivatives of both by the (unwarped) numbers, (m, D).

        other: a value; then the variances are those of the differences to it, as of `spread`.
        """
        from scipy.linalg.lapack import dpotrs

        scaled = self.scaled(points)
        value, slope = matern(squared_distances(scaled.numbers, self.sites.numbers))
        factor = self._factor(scaled, self.sites)
        k, slope = self._shifted(value * factor, scaled, self.sites), slope * factor * 2.0
        beta, _ = dpotrs(self.factor, k.T, lower=1)
        to_x = self.hyper.slope(points.numbers) * np.sqrt(5 * self.hyper.v)

        def by_numbers(rows: Array, sites: Array) -> Array:
            """(m, D) of sum_i weight_i slope_i |x - x_i|^2, from rows of weight_i slope_i and sites x_i"""
            derivative: Array = (rows.sum(axis=1)[:, None] * scaled.numbers - rows @ sites) * to_x
            return derivative

        variance = self.prior_variance - np.einsum("ij,ji->i", k, beta)
        weights, by_other = -2.0 * beta.T, np.zeros_like(points.numbers)
        if other is not None:
            # The covariance with the other value is a weighted sum of kernels: with all sites, and with that point.
            value, slope_other = matern(squared_distances(scaled.numbers, other.there.numbers))
            factor = self._factor(scaled, other.there)
            covariance = self._shifted(value * factor, scaled, other.there)[:, 0] - k @ other.weights
            variance += other.variance - 2.0 * covariance
            weights += 2.0 * other.weights
            by_other = by_numbers(-4.0 * slope_other * factor, other.there.numbers)
        by_sites = by_numbers(slope * weights, self.sites.numbers)
        mean_slope = by_numbers(slope * self.alpha, self.sites.numbers)
        return k @ self.alpha, self._positive(variance), mean_slope, by_sites + by_other

    def _kernel(self, A: Embedded, B: Embedded) -> Array:
        """(m, k) between scaled points."""
        value, _ = matern(squared_distances(A.numbers, B.numbers))
        return self._shifted(value * self._factor(A, B), A, B)

    def _factor(self, A: Embedded, B: Embedded) -> Array | float:
        """(m, k) what the kernel between scaled points has beside the numbers' factor."""
        factor: Array | float = self.hyper.signal
        if self.features.n_groups:
            factor = factor * np.exp(-squared_distances(A.marks, B.marks))
        if self.features.graded:
            factor = factor * self.hyper.kinship(A.rungs, B.rungs)
        return factor

    def _shifted(self, product: Array, A: Embedded, B: Embedded) -> Array:
        """The kernel (m, k) from its product."""
        return product + offset(A.rungs, B.rungs) if self.features.graded else product

    def _positive(self, variance: Array) -> Array:
        """Variances (m,) that are never nothing."""
        left: Array = np.maximum(variance, LEAST_VARIANCE * self.hyper.signal)
        return left
