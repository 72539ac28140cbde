"""One target out of several: ParEGO's random trade-offs. Plain arrays in, plain arrays out.

Knowles 2006, "ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective optimization
problems", equation 2: the augmented Tchebycheff norm

    max_j w_j t_j + RHO sum_j w_j t_j

of targets t (n, k) between 0 and 1. Unlike a weighted sum it reaches the concave parts of a front.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strategies.models.warping import standardised

Array = NDArray[np.float64]

RHO = 0.05  # the paper's


def random_weights(k: int, rng: np.random.Generator) -> Array:
    """(k,) that add up to 1, uniform among all such."""
    return rng.dirichlet(np.ones(k))


def scalarised(T: Array, weights: Array) -> Array:
    """(n,) targets with mean 0 and variance 1 out of targets T (n, k) on any scales."""
    span = np.ptp(T, axis=0)
    weighted = weights * (T - T.min(axis=0)) / np.where(span > 0, span, 1.0)
    return standardised(weighted.max(axis=1) + RHO * weighted.sum(axis=1))
