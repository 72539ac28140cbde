"""Output warping: values on any scale, failures among them, become targets with mean 0 and variance 1.

Notation: y (n,) minimised values, n > 0, inf where failed; a failure counts as the worst value there is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST = 1e150


def rank_normal(y: Array) -> Array:
    """(n,) normal scores of the ranks; equal values count as one, or the best would sink with each repetition."""
    distinct, which = np.unique(_filled(y), return_inverse=True)
    return standardised(_scores(distinct)[which])


def half_rank(y: Array) -> Array:
    """(n,) what is better than the median keeps its distances, what is worse becomes the upper half of a normal.

    So outliers have no say (Vizier's half-rank warping; Song et al. 2024, "The Vizier Gaussian process bandit").
    """
    y = _filled(y)
    below = y - np.median(y)
    scale = float(np.sqrt(np.mean(np.square(below[below <= 0]))))
    if scale < 1e-200:  # half of all values, or more, are the best one
        return standardised(_scores(y))
    return standardised(np.where(below <= 0, below / scale, np.maximum(_scores(y), 0.0)))


def _scores(y: Array) -> Array:
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores: Array = ndtri((rankdata(y) - 0.5) / len(y))
    return scores


def _filled(y: Array) -> Array:
    """Finite, and small enough to be squared."""
    y = np.clip(y, -LARGEST, np.inf)
    finite = np.isfinite(y)
    worst = min(float(y[finite].max()), LARGEST) if finite.any() else 0.0
    return np.minimum(np.where(finite, y, worst), LARGEST)


def standardised(y: Array) -> Array:
    """(n,) y with mean 0 and variance 1; zeros if all are the same."""
    if np.ptp(y) == 0:
        return np.zeros_like(y)
    scaled: Array = (y - y.mean()) / y.std()
    return scaled
