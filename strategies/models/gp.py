"""Gaussian-process regression over mixed, conditional spaces: plain arrays in, plain arrays out.

Here are the kernel, and hyperparameters that fit the data; `posterior.py` predicts with them.

Notation
    n  data points        m  query points        d  columns, of which D are numbers        q  pending points
    Z       (n, d)  points: a number in [0, 1] or the index of a category; NaN where inactive
    levels  (d,)    0 where a column is a number, K >= 2 where it is one of K categories
    y       (n,)    targets, about standard normal (`strategies.models.warping`)
    N, M    (n, D), (n, p)  the embedding of Z: `Features`
    a, b    (D,)    the input warping of a number, 1 - (1 - x^a)^b, Kumaraswamy's distribution (Snoek et al. 2014)
    v       (D,)    inverse squared length scales of numbers, ARD
    w       (G,)    the price of a mismatch in each category, and one of being inactive
    s, t    the variances of signal and noise
    r       (n,)    rungs: fidelities on a logarithmic scale; one for all points, unless they are graded
    c, l    what is peculiar to a rung, relative to what all share, and how many rungs on that is forgotten
    theta   the logarithms of (v, w, s, t, a, b), then of (c, l) if graded, in this order: the hyperparameters

The kernel is a product,

    k(x, z) = s m(5 sum_j v_j (x_j - z_j)^2) exp(-sum_g w_g mismatches_g(x, z)),
    m(u) = (1 + sqrt(u) + u/3) exp(-sqrt(u))                                       Matern 5/2

An inactive number counts as one in the middle of its range, and each number that is active on one side only is a
mismatch in the last group; so two inactive ones agree. An inactive category is one more category. Mismatches are
squared distances between indicator vectors, so both factors are positive definite, and all distances come from
matrix products. If points are graded, the product has one more factor,

    (1 + c exp(-|r - r'| / l)) / (1 + c)

and the sum gets a term OFFSET exp(-|r - r'| / OFFSET_REACH): by how much all values change along the rungs. Without it,
a model that saw only good points reach the last rung took these for better than all others could be.

theta maximises the posterior, log p(y | Z, theta) + log p(theta), with a normal prior on each of its entries:

    -log p(y | Z, theta) = y' K^-1 y / 2 + log|K| / 2 + const.,  d/dK of it = (K^-1 - K^-1 y y' K^-1) / 2

(Rasmussen and Williams 2006, 2.30 and 5.9), and the chain rule does the rest: see `Objective`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Levels = NDArray[np.intp]
Mask = NDArray[np.bool_]

JITTER = 1e-8  # relative to the signal: K stays positive definite where points repeat and noise is least
LEAST_VARIANCE = 1e-10  # relative to the signal
EDGE = 1e-6  # input warping has infinite slope at 0 and 1: numbers stay this far away

# Priors: (mean, standard deviation) of the logarithms. Half to twice the width changes little.
LENGTH_PRIOR = (math.log(0.5), 0.8)  # of a length scale, for one column; the mean grows with sqrt(D)
MISMATCH_PRIOR = (math.log(0.5), 1.0)
SIGNAL_PRIOR = (0.0, 1.0)
NOISE_PRIOR = (math.log(1e-3), 2.0)
WARP_PRIOR = (0.0, 0.25)
SHARE_PRIOR = (math.log(0.5), 1.0)
REACH_PRIOR = (math.log(1.0), 1.0)
OFFSET, OFFSET_REACH = 1.0, 3.0
NOISE_BOUNDS = (math.log(1e-6), math.log(1.0))
WIDTH = 6.0  # other hyperparameters stay within this many standard deviations of their prior


class Embedded(NamedTuple):
    """numbers (n, D) in [0, 1], unwarped; marks (n, p): indicators of categories and of activity; rungs (n,)."""

    numbers: Array
    marks: Array
    rungs: Array

    def joined(self, other: Embedded) -> Embedded:
        """These points, and then the others."""
        return Embedded(*(np.concatenate(parts) for parts in zip(self, other, strict=True)))

    def only(self, chosen: Levels | slice) -> Embedded:
        """The chosen points."""
        return Embedded(*(part[chosen] for part in self))


@dataclass(frozen=True)
class Features:
    """How points become vectors.

    levels: (d,).  optional: (d,) which columns may be inactive.  graded: whether points are on several rungs.
    """

    levels: Levels
    optional: Mask
    graded: bool = False

    @cached_property
    def is_number(self) -> Mask:
        numbers: Mask = self.levels == 0
        return numbers

    @cached_property
    def groups(self) -> Levels:
        """(p,) the group of each mark: that of its category; the last one if it is about activity."""
        categories = np.flatnonzero(~self.is_number)
        sizes = [self.levels[j] + self.optional[j] for j in categories]
        sizes.append(int((self.is_number & self.optional).sum()))
        return np.repeat(np.arange(len(sizes)), sizes)

    @property
    def n_numbers(self) -> int:
        return int(self.is_number.sum())

    @property
    def n_groups(self) -> int:
        return int(self.groups[-1]) + 1 if len(self.groups) else 0

    def embed(self, Z: Array, rungs: Array) -> Embedded:
        """The vectors of Z (n, d) on rungs (n,)."""
        numbers = Z[:, self.is_number]
        missing = np.isnan(numbers)
        blocks = []
        for j in np.flatnonzero(~self.is_number):
            index = np.where(np.isnan(Z[:, j]), self.levels[j], Z[:, j])
            # 1/sqrt(2): two different indicator vectors then are at distance 1
            blocks.append((index[:, None] == np.arange(self.levels[j] + self.optional[j])) * math.sqrt(0.5))
        blocks.append(missing[:, self.optional[self.is_number]].astype(np.float64))
        return Embedded(np.where(missing, 0.5, numbers), np.concatenate(blocks, axis=1), rungs)


class Hyper(NamedTuple):
    """The hyperparameters, not their logarithms."""

    v: Array
    w: Array
    signal: float
    noise: float
    a: Array
    b: Array
    c: float = 0.0
    l: float = 1.0

    @classmethod
    def of(cls, theta: Array, features: Features) -> Hyper:
        D, G = features.n_numbers, features.n_groups
        e = np.exp(theta)
        warp, rungs = e[D + G + 2 : 3 * D + G + 2], e[3 * D + G + 2 :]
        return cls(e[:D], e[D : D + G], float(e[D + G]), float(e[D + G + 1]), warp[:D], warp[D:], *rungs.tolist())

    def kinship(self, A: Array, B: Array) -> Array:
        """(n, m) the factor of the kernel between rungs A (n,) and B (m,)."""
        kinship: Array = (1 + self.c * np.exp(-np.abs(A[:, None] - B) / self.l)) / (1 + self.c)
        return kinship

    def warped(self, x: Array) -> Array:
        """The numbers x (n, D) after input warping."""
        x = np.clip(x, EDGE, 1 - EDGE)
        warped: Array = -np.expm1(self.b * np.log1p(-(x**self.a)))
        return warped

    def slope(self, x: Array) -> Array:
        """(n, D) the derivative of `warped`."""
        x = np.clip(x, EDGE, 1 - EDGE)
        slope: Array = self.a * self.b * x ** (self.a - 1) * (1 - x**self.a) ** (self.b - 1)
        return slope


def squared_distances(A: Array, B: Array) -> Array:
    """(n, m) between the rows of A (n, D) and B (m, D)."""
    distances: Array = A @ (-2.0 * B.T)
    distances += np.einsum("ij,ij->i", A, A)[:, None]
    distances += np.einsum("ij,ij->i", B, B)
    return np.maximum(distances, 0.0, out=distances)


def matern(u: Array) -> tuple[Array, Array]:
    """m(u) and its derivative -(1 + sqrt(u)) exp(-sqrt(u)) / 6, at 5 times the squared distances u."""
    r = np.sqrt(u)
    e = np.exp(-r)
    e_r = e * r
    slope = (e + e_r) * (-1 / 6)
    value: Array = e + e_r
    value += u * e * (1 / 3)
    return value, slope


def prior(features: Features) -> tuple[Array, Array]:
    """Means and standard deviations of the entries of theta."""
    D, G = features.n_numbers, features.n_groups
    length, spread = LENGTH_PRIOR
    log_v = (-2 * length - math.log(max(D, 1)), 2 * spread)
    rungs = [SHARE_PRIOR, REACH_PRIOR] if features.graded else []
    table = np.array([log_v] * D + [MISMATCH_PRIOR] * G + [SIGNAL_PRIOR, NOISE_PRIOR] + [WARP_PRIOR] * (2 * D) + rungs)
    return table[:, 0], table[:, 1]


@dataclass(frozen=True)
class Objective:
    """-log p(y | Z, theta) - log p(theta), up to constants, with its gradient."""

    features: Features
    data: Embedded
    y: Array

    def __call__(self, theta: Array) -> tuple[float, Array]:
        from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

        features, (x, marks, rungs), y, n = self.features, self.data, self.y, len(self.y)
        D, G = features.n_numbers, features.n_groups
        hyper = Hyper.of(theta, features)
        X = hyper.warped(x)
        root = np.sqrt(5 * hyper.v)
        value, slope = matern(squared_distances(X * root, X * root))
        mismatch = np.exp(-_mismatches(marks, marks, hyper.w[features.groups])) if G else 1.0
        if features.graded:
            gap = np.abs(rungs[:, None] - rungs)
            reach = np.exp(-gap / hyper.l)
            mismatch = mismatch * ((1 + hyper.c * reach) / (1 + hyper.c))
        C = value * mismatch
        K = hyper.signal * C
        if features.graded:
            K += offset(rungs, rungs)
        K[np.diag_indices(n)] += hyper.noise + JITTER * hyper.signal
        factor, failed = dpotrf(K, lower=1, clean=0)
        mean, std = prior(self.features)
        z = (theta - mean) / std
        if failed:
            return 1e10, np.zeros_like(theta)
        alpha, _ = dpotrs(factor, y, lower=1)
        loss = 0.5 * float(y @ alpha) + float(np.log(np.diagonal(factor)).sum()) + 0.5 * float(z @ z)
        inverse, _ = dpotri(factor, lower=1)
        inverse = np.tril(inverse)
        inverse += np.tril(inverse, -1).T
        P = 0.5 * (inverse - np.outer(alpha, alpha))  # the derivative by K
        trace = float(np.trace(P))
        P *= hyper.signal
        Q = P * C  # by log C
        gradient = z / std
        gradient[D + G] += float(Q.sum()) + JITTER * hyper.signal * trace
        gradient[D + G + 1] += hyper.noise * trace
        if G:
            rows = Q.sum(axis=1)
            by_mark = 2 * (rows @ np.square(marks) - np.einsum("ij,ij->j", marks, Q @ marks))
            gradient[D : D + G] -= hyper.w * np.bincount(features.groups, by_mark, minlength=G)
        if D:
            P *= slope
            P *= 5.0 * mismatch  # by the squared distances
            rows = P.sum(axis=1)
            PX = P @ X
            gradient[:D] += hyper.v * 2 * (rows @ np.square(X) - np.einsum("ij,ij->j", X, PX))
            by_x = 4 * hyper.v * (rows[:, None] * X - PX)  # (n, D), by the warped numbers
            x = np.clip(x, EDGE, 1 - EDGE)
            power = x**hyper.a
            log_rest = np.log1p(-power)
            by_x *= hyper.b * np.exp((hyper.b - 1) * log_rest)  # b (1 - x^a)^(b - 1)
            gradient[D + G + 2 : D + G + 2 + D] += hyper.a * (by_x * power * np.log(x)).sum(axis=0)
            gradient[D + G + 2 + D : D + G + 2 + 2 * D] -= (by_x * (1 - power) * log_rest).sum(axis=0)
        if features.graded:
            share = hyper.c / (1 + hyper.c)
            Q /= (1 + hyper.c * reach) / (1 + hyper.c)
            gradient[-2] += float((Q * (reach - 1)).sum()) * share / (1 + hyper.c)
            gradient[-1] += float((Q * reach * gap).sum()) * share / hyper.l
        return loss, gradient


def offset(A: Array, B: Array) -> Array:
    """(n, m) the term of the kernel between rungs A (n,) and B (m,), whatever the points."""
    term: Array = OFFSET * np.exp(-np.abs(A[:, None] - B) / OFFSET_REACH)
    return term


def _mismatches(A: Array, B: Array, weights: Array) -> Array:
    """(n, m) the weighted number of mismatches between marks A (n, p) and B (m, p)."""
    root = np.sqrt(weights)
    return squared_distances(A * root, B * root)


def fit(features: Features, data: Embedded, y: Array) -> Array:
    """theta at a local maximum of the posterior, from the prior's mean on: a function of the data alone.

    More starting points, at longer and at shorter length scales, changed nothing measurable.
    """
    from scipy.optimize import minimize

    mean, std = prior(features)
    low, high = mean - WIDTH * std, mean + WIDTH * std
    noise = features.n_numbers + features.n_groups + 1
    low[noise], high[noise] = NOISE_BOUNDS
    found = minimize(
        Objective(features, data, y),
        mean,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options={"maxiter": 30, "ftol": 1e-5, "gtol": 1e-3},
    )
    theta: Array = found.x
    return theta
