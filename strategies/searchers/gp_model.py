"""What Gaussian-process search makes of its results: a model of the space, and what is best to try under it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from strategies.growing import Stack
from strategies.history import Array
from strategies.models.acquisition import log_ei, log_ei_gradient
from strategies.models.gp import Embedded, Mask
from strategies.models.plateaus import Plateaus
from strategies.models.posterior import Baseline, Posterior
from strategies.searchers.feasibility import Feasibility
from strategies.searchers.terrain import Terrain

RANDOM = 1000  # candidates from the whole space
NEAR = 100  # at each scale, candidates near the best results
TOP = 5  # how many results count as the best ones
STEPS = 40  # that local search tries at each scale
ASCENTS = 3  # how many candidates it starts from
FEW = 8  # pending points, from which on there is none
LONG, SHORT = 30, 10  # iterations along the gradient, without pending points and with some
SCALES = (0.2, 0.05, 0.01)  # of steps from one candidate to the next, in the unit cube


@dataclass(frozen=True)
class Candidates:
    """Configurations to choose from, m of them, and what is known of them on the rung on which values count.

    scaled: as the process sees them.  mean: (m,) expected there.  V and explained: see `Posterior.solve` and `spread`.
    log_feasible: (m,) logarithms of the probability that they meet the constraints; 0 without any.
    covered: (m,) which of them are on a known plateau.
    """

    rows: Array  # (m, columns)
    points: Embedded
    scaled: Embedded
    mean: Array
    V: Stack
    explained: Array
    log_feasible: Array
    covered: Mask


@dataclass(frozen=True)
class Model:
    """A process, and some candidates under it; `believed` are the pending trials that it has taken in so far.

    goal: the rung on which values count.
    feasibility: None if there are no constraints.
    tried: (t, columns) the configurations so far, pending ones included.
    best, incumbent: the least value expected there of any of them that is expected to meet the constraints, and that
    configuration; inf and any one if none is.
    believed: (configuration, rung).
    """

    terrain: Terrain
    goal: float
    posterior: Posterior
    feasibility: Feasibility | None
    plateaus: Plateaus
    tried: Array
    best: float
    incumbent: Embedded  # (1, .)
    candidates: Candidates
    believed: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(
        cls,
        terrain: Terrain,
        goal: float,
        posterior: Posterior,
        feasibility: Feasibility | None,
        plateaus: Plateaus,
        tried: Array,
        seed: Sequence[int],
    ) -> Model:
        """The model of a posterior that knows the results of the configurations `tried`."""
        rng = np.random.default_rng(seed)
        there = terrain.embed(tried, goal)
        expected = _expected(posterior, feasibility, there)
        unlikely = -feasibility.log_probability(there) if feasibility else expected
        ranked = tried[np.lexsort((unlikely, expected))]
        top = ranked[:TOP][np.arange(NEAR) % min(TOP, len(ranked))]
        near = [terrain.neighbours(top, scale, rng) for scale in SCALES]
        rows = np.concatenate([terrain.space.sample(rng, RANDOM), *near])
        points = terrain.embed(rows, goal)
        mean, V = posterior.solve(points)
        log_feasible = feasibility.log_probability(points) if feasibility else np.zeros(len(rows))
        explained = np.einsum("ij,ij->j", V, V)
        candidates = Candidates(
            rows, points, posterior.scaled(points), mean, Stack(V), explained, log_feasible, plateaus.cover(points)
        )
        best, incumbent = float(expected.min()), terrain.embed(ranked[:1], goal)
        return cls(terrain, goal, posterior, feasibility, plateaus, tried, best, incumbent, candidates)

    def aimed(self, y: Array) -> Model:
        """The model with other targets y (n,)."""
        from scipy.linalg.lapack import dtrtrs

        posterior, n = self.posterior.aimed(y), len(y)
        white, _ = dtrtrs(np.asfortranarray(posterior.factor[:n, :n]), y, lower=1)
        there = self.terrain.embed(self.tried, self.goal)
        expected = _expected(posterior, self.feasibility, there)
        first = int(expected.argmin())
        return dataclasses.replace(
            self,
            posterior=posterior,
            best=float(expected[first]),
            incumbent=there.only(slice(first, first + 1)),
            candidates=dataclasses.replace(self.candidates, mean=white @ self.candidates.V.view[:n]),
        )

    def believing(self, number: int, row: Array, rung: float) -> Model:
        """The model with one more pending trial of the configuration `row` (columns,)."""
        posterior, known = self.posterior.believing(self.terrain.embed(row[None, :], rung)), self.candidates
        last = posterior.one_more(known.scaled, known.V.view)
        there = self.terrain.embed(row[None, :], self.goal)
        expected = float(_expected(posterior, self.feasibility, there)[0])
        candidates = dataclasses.replace(
            known,
            V=known.V.plus(last),
            explained=known.explained + np.square(last),
            covered=known.covered | Plateaus(self.plateaus.radius, there).cover(known.points),
        )
        return dataclasses.replace(
            self,
            posterior=posterior,
            plateaus=self.plateaus.with_point(there),
            tried=np.concatenate([self.tried, row[None, :]]),
            best=min(self.best, expected),
            incumbent=there if expected < self.best else self.incumbent,
            candidates=candidates,
            believed=(*self.believed, (number, rung)),
        )

    @cached_property
    def baseline(self) -> Baseline:
        """The incumbent's value."""
        return self.posterior.baseline(self.incumbent)

    def ranked(self) -> Array:
        """The candidates that are on no known plateau, best first."""
        known = self.candidates
        scores = self._improvement(known.scaled, known.mean, known.V.view, known.explained) + known.log_feasible
        order = np.argsort(-scores, kind="stable")
        ranked: Array = known.rows[order[~known.covered[order]]]
        return ranked

    def best_of(self, rows: Array) -> Array:
        """(1, columns) the first of the best rows (m, columns), those on known plateaus last."""
        points = self.terrain.embed(rows, self.goal)
        mean, V = self.posterior.solve(points)
        scores = self._improvement(self.posterior.scaled(points), mean, V, np.einsum("ij,ij->j", V, V))
        if self.feasibility:
            scores = scores + self.feasibility.log_probability(points)
        return rows[[int(np.argmax(np.where(self.plateaus.cover(points), -np.inf, scores)))]]

    def _improvement(self, scaled: Embedded, mean: Array, V: Array, explained: Array) -> Array:
        """(m,) the logarithm of what is expected; without anything to improve on all are alike."""
        if math.isinf(self.best):
            return np.zeros_like(mean)
        return log_ei(mean, self.posterior.spread(scaled, V, explained, self.baseline), self.best)

    def improved(self, rows: Array, rng: np.random.Generator) -> Array:
        """(k, columns) rows, and before them the best that local search finds from them, if it does search.

        The more suggestions are asked for at once, the more precision is in vain: with few pending trials the search is
        short, with many there is none.
        """
        if not len(rows) or len(self.believed) >= FEW:
            return rows
        alone = not self.believed
        best = self.best_of(
            np.concatenate([rows[:ASCENTS], self.ascended(rows[:ASCENTS], LONG)]) if alone else rows[:1]
        )
        for scale in SCALES:
            near = self.terrain.neighbours(np.repeat(best, STEPS, axis=0), scale, rng)
            best = self.best_of(np.concatenate([best, near]))
        best = self.best_of(np.concatenate([best, self.ascended(best, LONG if alone else SHORT)]))
        return np.concatenate([best, rows])

    def ascended(self, rows: Array, most: int) -> Array:
        """Allowed rows near local maxima of log EI over the continuous columns, from rows (k, columns); maybe fewer.

        most: iterations.
        """
        from scipy.optimize import minimize

        columns = self.terrain.number_columns
        free = self.terrain.continuous & ~np.isnan(rows[:, columns])
        if not free.any():
            return rows[:0]
        numbers, marks, rungs = self.terrain.embed(rows, self.goal)

        def loss(x: Array) -> tuple[float, Array]:
            numbers[free] = x
            points, values, gradient = Embedded(numbers, marks, rungs), np.zeros(1), np.zeros_like(numbers)
            if math.isfinite(self.best):
                mean, spread, slope, spread_slope = self.posterior.gradients(points, self.baseline)
                values, by_mean, by_spread = log_ei_gradient(mean, spread, self.best)
                gradient = by_mean[:, None] * slope + by_spread[:, None] * spread_slope
            if self.feasibility:
                log_feasible, slope = self.feasibility.gradients(points)
                values, gradient = values + log_feasible, gradient + slope
            return -float(values.sum()), -gradient[free]

        start = numbers[free]
        found = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(start), options={"maxiter": most}
        )
        values = rows[:, columns]
        values[free] = found.x
        moved = rows.copy()
        moved[:, columns] = values
        moved = self.terrain.space.canonical(moved)
        return moved[self.terrain.space.allowed(moved)]


def _expected(posterior: Posterior, feasibility: Feasibility | None, points: Embedded) -> Array:
    """(m,) the values expected at points; inf where a constraint is not expected to be met."""
    expected, _ = posterior.solve(points)
    return np.where(feasibility.expected(points), expected, np.inf) if feasibility else expected
