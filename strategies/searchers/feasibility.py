"""How likely a configuration is to meet the constraints: one Gaussian process for each.

Gardner, Kusner, Xu, Weinberger and Cunningham 2014, "Bayesian optimization with inequality constraints", section 3.2:
the probability that all are met is the product of what each process says of a value below its bound. Targets are the
`excess` of the records through sign(e) log(1 + |e|) (Eriksson and Poloczek 2021, "Scalable constrained Bayesian
optimization", section 3), which keeps outliers small and the bound, at 0, in sharp focus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strategies.history import Array
from strategies.models.acquisition import HALF_LOG_TAU
from strategies.models.gp import Embedded, Features, Mask, fit
from strategies.models.posterior import Posterior
from strategies.models.warping import standardised

LEAST_LOG = -1e6  # of a probability


@dataclass(frozen=True)
class Constraint:
    """One of them: the process of its targets, and the target that stands for its bound."""

    posterior: Posterior
    bound: float


@dataclass(frozen=True)
class Feasibility:
    """The processes of those constraints about which there is something to learn: where not all results are alike."""

    constraints: Sequence[Constraint]

    @classmethod
    def of(cls, features: Features, thetas: Sequence[Array], data: Embedded, excess: Array) -> Feasibility:
        """thetas: of each constraint, from `hyperparameters`.  excess: (n, c), inf where not known."""
        found = []
        for theta, column in zip(thetas, excess.T, strict=True):
            targets, bound = _targets(column)
            if np.ptp(targets) > 0:
                found.append(Constraint(Posterior.of(features, theta, data, targets), bound))
        return cls(found)

    def log_probability(self, points: Embedded) -> Array:
        """(m,) logarithms of the probability that all constraints are met."""
        from scipy.special import log_ndtr

        logs = np.zeros(len(points.numbers))
        for constraint in self.constraints:
            mean, variance = constraint.posterior.predict(points)
            logs += np.maximum(log_ndtr((constraint.bound - mean) / np.sqrt(variance)), LEAST_LOG)
        return logs

    def gradients(self, points: Embedded) -> tuple[Array, Array]:
        """`log_probability`, and its derivatives (m, D) by the numbers.

        d log Phi(z) = phi(z) / Phi(z) dz with z = (bound - mu) / sigma.
        """
        from scipy.special import log_ndtr

        logs, by_numbers = np.zeros(len(points.numbers)), np.zeros_like(points.numbers)
        for constraint in self.constraints:
            mean, variance, mean_by_numbers, variance_by_numbers = constraint.posterior.gradients(points)
            sigma = np.sqrt(variance)
            z = (constraint.bound - mean) / sigma
            log = log_ndtr(z)
            slope = np.where(log > LEAST_LOG, np.exp(-0.5 * z**2 - HALF_LOG_TAU - log), 0.0)
            by_mean, by_variance = -slope / sigma, -slope * z / (2 * variance)
            by_numbers += by_mean[:, None] * mean_by_numbers + by_variance[:, None] * variance_by_numbers
            logs += np.maximum(log, LEAST_LOG)
        return logs, by_numbers

    def expected(self, points: Embedded) -> Mask:
        """(m,) where each constraint is expected to be met."""
        met = np.ones(len(points.numbers), dtype=np.bool_)
        for constraint in self.constraints:
            met &= constraint.posterior.solve(points)[0] <= constraint.bound
        return met


def hyperparameters(features: Features, data: Embedded, excess: Array) -> list[Array]:
    """Of the process of each constraint; excess (n, c)."""
    return [fit(features, data, _targets(column)[0]) for column in excess.T]


def _targets(excess: Array) -> tuple[Array, float]:
    """(n,) targets with mean 0 and variance 1, and which of them is the bound. What is not known is the worst."""
    finite = np.isfinite(excess)
    worst = float(excess[finite].max()) if finite.any() else 0.0
    curved = np.sign(filled := np.where(finite, excess, worst)) * np.log1p(np.abs(filled))
    std = float(curved.std())
    return standardised(curved), -float(curved.mean()) / std if std > 0 else 0.0
