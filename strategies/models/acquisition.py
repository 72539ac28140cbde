"""Expected improvement, for minimisation, in logarithms: plain arrays in, plain arrays out.

    EI(x) = E max(best - f(x), 0) = sigma h(z),   z = (best - mu) / sigma,   h(z) = phi(z) + z Phi(z)

h underflows near z = -38, and its product form cancels far earlier. log h is computed as (Ament et al. 2023, eq. 9)

    z > -1                  log(phi(z) + z Phi(z))
    -1e4 < z <= -1          -z^2/2 - log(2 pi)/2 + log(1 - |z| sqrt(pi/2) erfcx(|z|/sqrt 2))
    z <= -1e4               -z^2/2 - log(2 pi)/2 - 2 log|z|         since h(z) -> phi(z)/z^2
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
FAR = -1e4  # beyond, 1 - |z| sqrt(pi/2) erfcx(|z|/sqrt 2) is lost to cancellation


def log_h(z: Array) -> Array:
    """log(phi(z) + z Phi(z)), of any shape."""
    from scipy.special import erfcx, ndtr

    near = np.maximum(z, -1.0)
    far = np.clip(z, FAR, -1.0)
    normal = np.exp(-0.5 * near**2 - HALF_LOG_TAU)
    rest = 1.0 + far * math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2))
    tail = np.where(z > FAR, np.log(rest), -2 * np.log(np.maximum(-z, 1.0)))
    logs: Array = np.where(z > -1.0, np.log(normal + near * ndtr(near)), -0.5 * z**2 - HALF_LOG_TAU + tail)
    return logs


def log_ei(mean: Array, variance: Array, best: float) -> Array:
    """(m,) logarithms of the improvement on `best` that is expected of normals with mean and variance (m,)."""
    sigma = np.sqrt(variance)
    logs: Array = log_h((best - mean) / sigma) + np.log(sigma)
    return logs


def log_ei_gradient(mean: Array, variance: Array, best: float) -> tuple[Array, Array, Array]:
    """`log_ei`, and its derivatives (m,) by the mean and by the variance.

    d EI/d mu = -Phi(z) and d EI/d sigma = phi(z); divided by EI.
    """
    from scipy.special import log_ndtr

    sigma = np.sqrt(variance)
    z = (best - mean) / sigma
    logs = log_h(z)
    by_mean = -np.exp(log_ndtr(z) - logs) / sigma
    by_variance = np.exp(-0.5 * z**2 - HALF_LOG_TAU - logs) / (2 * variance)
    return logs + np.log(sigma), by_mean, by_variance
