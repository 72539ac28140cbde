"""Bayesian optimisation with a Gaussian process: what is expected to improve most is tried next.

One model learns from the results at all fidelities and predicts those of full trainings, as MOBSTER does (Klein, Tiao,
Lienart, Archambeau and Seeger 2020, "Model-based asynchronous hyperparameter and neural architecture search").
The numerics are in `strategies.models.gp`, `acquisition` and `warping`; here is what to model, and where to look.

With several metrics each suggestion draws a trade-off of its own between them, and looks for what improves on that one
(ParEGO: `strategies.models.tradeoff`). The covariances do not depend on the targets, so a new trade-off is cheap; the
hyperparameters are those of the equal one. Under constraints the improvement is multiplied by the probability that all
are met (`feasibility.py`); as long as none is expected to be met anywhere, that probability alone counts.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from strategies.history import Array, History
from strategies.memo import Memo
from strategies.models.acquisition import log_ei, log_ei_gradient
from strategies.models.gp import Embedded, Posterior, fit
from strategies.models.tradeoff import random_weights, scalarised
from strategies.models.warping import half_rank, rank_normal
from strategies.ranking import Standings, total_violation
from strategies.searchers.base import Context, Indices, Searcher, check_number
from strategies.searchers.feasibility import Feasibility, hyperparameters
from strategies.searchers.sobol import Sobol
from strategies.searchers.terrain import Terrain

MAX_PENDING = 64  # so many pending points always enter the model, and up to twice as many
REFIT_BITS = 5  # with 2^k results or more, hyperparameters are refitted at every 2^(k + 1 - REFIT_BITS) more
RANDOM = 1000  # candidates from the whole space
NEAR = 100  # at each scale, candidates near the best results
TOP = 5  # how many results count as the best ones
ASCENTS = 3  # how many candidates local search starts from
STEPS = 40  # that it tries at each scale
PRECISE = 8  # pending points, from which on it is short
TRADEOFF = 4  # what sets the draws of trade-offs apart from those of suggestions
SCALES = (0.2, 0.05, 0.01)  # of steps from one candidate to the next, in the unit cube


@dataclass(frozen=True)
class Data:
    """Results in order of arrival: which configuration, (n,) and (n, columns); on which rung; minimised values (n,).

    objectives: (n, k) minimised values, where there are several metrics.  excess: (n, c), where there are constraints:
    see `History.outcomes`.
    """

    numbers: Indices
    X: Array
    rungs: Array
    values: Array
    objectives: Array | None = None
    excess: Array | None = None

    @classmethod
    def of(cls, history: History) -> Data:
        numbers, fidelities, values = history.arrivals
        levels, which = np.unique(fidelities, return_inverse=True)
        rungs = np.array([_rung(f) for f in levels.tolist()])[which]
        objectives, excess = history.outcomes
        more = objectives if history.objectives > 1 else None, excess if history.constraints else None
        return cls(numbers, history.X[numbers], rungs, values, *more)

    def first(self, n: int) -> Data:
        return self._at(np.arange(n))

    def cut(self, most: int) -> Data:
        """Of more than `most` results: the best half of so many, high fidelities first, and the latest others."""
        half = most // 2
        if len(self.values) <= most:
            return self
        ranked = np.lexsort((self._merits(), -self.rungs))
        latest = np.sort(ranked[half:])[half - most :]
        return self._at(np.sort(np.concatenate([ranked[:half], latest])))

    def targets(self, graded: bool, weights: Array | None = None) -> Array:
        """(n,) what the process models. weights: (k,) the trade-off between several metrics; None: the equal one."""
        warped = rank_normal if graded else half_rank
        if self.objectives is None:
            return warped(self.values)
        k = self.objectives.shape[1]
        T = np.column_stack([warped(y) for y in self.objectives.T])
        return scalarised(T, np.full(k, 1 / k) if weights is None else weights)

    @property
    def configurations(self) -> Array:
        """(m, columns) each once."""
        return self.X[np.unique(self.numbers, return_index=True)[1]]

    def _at(self, chosen: Indices) -> Data:
        known = Data(self.numbers[chosen], self.X[chosen], self.rungs[chosen], self.values[chosen])
        objectives = None if self.objectives is None else self.objectives[chosen]
        return dataclasses.replace(
            known, objectives=objectives, excess=None if self.excess is None else self.excess[chosen]
        )

    def _merits(self) -> Array:
        """(n,) what ranks the results of one rung."""
        if self.objectives is None and self.excess is None:
            return self.values
        objectives = self.values[:, None] if self.objectives is None else self.objectives
        excess = np.zeros((len(objectives), 0)) if self.excess is None else self.excess
        merits = np.empty(len(self.values))
        for rung in np.unique(self.rungs):
            here = self.rungs == rung
            violations = np.array([total_violation(row) for row in excess[here]])
            merits[here] = Standings.of(objectives[here], violations).scores()
        return merits


@dataclass(frozen=True)
class Model:
    """A process, and some candidates under it; `believed` are the pending trials that it has taken in so far.

    goal: the rung on which values count.  V and explained: see `Posterior.solve`.
    tried: (t, columns) the configurations so far, pending ones included.
    best: the least value expected there of any of them that is expected to meet the constraints; inf without one.
    feasibility: None if there are no constraints.  log_feasible: (m,) what it says of the candidates, or 0.
    believed: (configuration, rung).
    """

    terrain: Terrain
    goal: float
    posterior: Posterior
    candidates: Array  # (m, columns)
    embedded: Embedded
    mean: Array
    V: Array
    explained: Array
    tried: Array
    best: float
    feasibility: Feasibility | None = None
    log_feasible: Array | float = 0.0
    believed: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(
        cls,
        terrain: Terrain,
        goal: float,
        theta: Array,
        data: Data,
        y: Array,
        rng: np.random.Generator,
        feasibility: Feasibility | None = None,
    ) -> Model:
        """The model of targets y (n,) of the data."""
        posterior = Posterior.of(terrain.features, theta, terrain.embed(data.X, data.rungs), y)
        tried = data.configurations
        expected = _expected(posterior, feasibility, terrain.embed(tried, goal))
        unlikely = -feasibility.log_probability(terrain.embed(tried, goal)) if feasibility else expected
        top = tried[np.lexsort((unlikely, expected))[:TOP]]
        top = top[np.arange(NEAR) % len(top)]
        near = [terrain.neighbours(top, scale, rng) for scale in SCALES]
        candidates = np.concatenate([terrain.space.sample(rng, RANDOM), *near])
        embedded = terrain.embed(candidates, goal)
        mean, V = posterior.solve(embedded)
        explained = np.einsum("ij,ij->j", V, V)
        best, log_feasible = float(expected.min()), feasibility.log_probability(embedded) if feasibility else 0.0
        known = (terrain, goal, posterior, candidates, embedded, mean, V, explained, tried, best)
        return cls(*known, feasibility, log_feasible)

    def aimed(self, y: Array) -> Model:
        """The model with other targets y (n,)."""
        from scipy.linalg.lapack import dtrtrs

        posterior, n = self.posterior.aimed(y), len(y)
        white, _ = dtrtrs(np.asfortranarray(posterior.factor[:n, :n]), y, lower=1)
        expected = _expected(posterior, self.feasibility, self.terrain.embed(self.tried, self.goal))
        mean = self.V[:n].T @ white
        return dataclasses.replace(self, posterior=posterior, mean=mean, best=float(expected.min()))

    def believing(self, number: int, row: Array, rung: float) -> Model:
        posterior = self.posterior.believing(self.terrain.embed(row[None, :], rung))
        last = posterior.one_more(self.embedded, self.V)
        expected = _expected(posterior, self.feasibility, self.terrain.embed(row[None, :], self.goal))
        return dataclasses.replace(
            self,
            posterior=posterior,
            V=np.concatenate([self.V, last]),
            explained=self.explained + np.square(last[0]),
            tried=np.concatenate([self.tried, row[None, :]]),
            best=min(self.best, float(expected[0])),
            believed=(*self.believed, (number, rung)),
        )

    def ranked(self) -> Array:
        """The candidates, best first."""
        scores = self._improvement(self.mean, self.posterior.variance(self.explained)) + self.log_feasible
        ranked: Array = self.candidates[np.argsort(-scores, kind="stable")]
        return ranked

    def best_of(self, rows: Array) -> Array:
        """(1, columns) the first of the best rows (m, columns)."""
        points = self.terrain.embed(rows, self.goal)
        scores = self._improvement(*self.posterior.predict(points))
        if self.feasibility:
            scores = scores + self.feasibility.log_probability(points)
        return rows[[int(np.argmax(scores))]]

    def _improvement(self, mean: Array, variance: Array) -> Array:
        """(m,) the logarithm of what is expected; without anything to improve on all are alike."""
        return log_ei(mean, variance, self.best) if math.isfinite(self.best) else np.zeros_like(mean)

    def improved(self, rows: Array, rng: np.random.Generator) -> Array:
        """(1, columns) the best that local search finds from rows (k, columns).

        Where many suggestions are asked for at once, precision is in vain, and the search is short.
        """
        precise = len(self.believed) < PRECISE
        best = self.best_of(np.concatenate([rows, self.ascended(rows)]) if precise else rows)
        for scale in SCALES if precise else SCALES[1:2]:
            near = self.terrain.neighbours(np.repeat(best, STEPS, axis=0), scale, rng)
            best = self.best_of(np.concatenate([best, near]))
        return self.best_of(np.concatenate([best, self.ascended(best)])) if precise else best

    def ascended(self, rows: Array) -> Array:
        """Allowed rows at local maxima of log EI over the continuous columns, from rows (k, columns); maybe fewer."""
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
                mean, variance, by_numbers, spread_by_numbers = self.posterior.gradients(points)
                values, by_mean, by_variance = log_ei_gradient(mean, variance, self.best)
                gradient = by_mean[:, None] * by_numbers + by_variance[:, None] * spread_by_numbers
            if self.feasibility:
                log_feasible, by_numbers = self.feasibility.gradients(points)
                values, gradient = values + log_feasible, gradient + by_numbers
            return -float(values.sum()), -gradient[free]

        start = numbers[free]
        found = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(start), options={"maxiter": 30}
        )
        values = rows[:, columns]
        values[free] = found.x
        moved = rows.copy()
        moved[:, columns] = values
        moved = self.terrain.space.canonical(moved)
        return moved[self.terrain.space.allowed(moved)]


@dataclass(frozen=True)
class Known:
    """What a searcher remembers of a history: the last model with and without what was pending."""

    key: tuple[int, float, int]  # results, goal, seed
    n_fit: int  # of how many results theta was made
    theta: Array
    thetas: list[Array]  # of the constraints
    part: Data  # what the model knows
    base: Model
    model: Model


@dataclass(frozen=True)
class GP(Searcher):
    """Gaussian-process search: the point with the largest expected improvement, in logarithms (Ament et al. 2023).

    The model is one process over configuration and fidelity; the improvement that counts is that of a full training,
    on the least value expected of one for any configuration so far, since results are noisy. A pending trial is
    believed to give what is expected at its milestone. Failures count as the worst. Values are half-rank warped; where
    there are several fidelities, they become normal scores of their ranks among all. Of more than `max_points` results,
    those at the highest fidelities enter and of the lowest of these the better half and the latest others. A
    configuration is tried once.

    num_startup: results that are needed; before, configurations are those of the Sobol sequence.
    random_fraction: the chance that a suggestion is drawn at random, if there are several fidelities: low ones mislead.
    max_points: results that enter the model at most.
    """

    name: ClassVar[str] = "gp"

    num_startup: int = 5
    random_fraction: float = 0.1
    max_points: int = 300

    def __post_init__(self) -> None:
        check_number("num_startup", self.num_startup, 2, None)
        check_number("random_fraction", self.random_fraction, 0, 1)
        check_number("max_points", self.max_points, 10, None)

    def suggest(self, context: Context) -> Array:
        space, history = context.space, context.history
        model = self._model(context)
        if model is None:
            return Sobol().suggest(context)
        rng = context.rng()
        row: Array | None = None
        if not (model.terrain.features.graded and rng.random() < self.random_fraction):
            ranked = model.ranked()
            row = model.terrain.first_new(np.concatenate([model.improved(ranked[:ASCENTS], rng), ranked]), history.X)
        if row is None:  # all of a small space has been tried, or chance wills it
            row = space.sample(rng, 1)[0]
        return row

    def _model(self, context: Context) -> Model | None:
        """The model of all results, with what is pending; None while they are too few."""
        history = context.history
        free, sizes = len(context.space.free), [len(history.results(fidelity)) for fidelity in history.fidelities]
        if len(history) < self.num_startup or not free or sum(sizes) < min(self.num_startup, free + 1):
            return None
        goal = _rung(context.max_budget)
        known = self._memo.get(history)
        key = (sum(sizes), goal, context.seed)
        if known is None or known.key != key or known.base.terrain.space is not context.space:
            data = Data.of(history)
            if np.isfinite(data.values).sum() < min(self.num_startup, free + 1):
                return None
            known = self._fit(context, data, key, known)
        running = [(number, _rung(until)) for number, until in history.pending.items()]
        # The latest; in blocks, so that they can be added one by one to those of the suggestion before.
        running = running[max(0, len(running) // MAX_PENDING - 1) * MAX_PENDING :]
        model = known.model
        if model.believed != tuple(running[: len(model.believed)]):
            model = known.base
        for number, rung in running[len(model.believed) :]:
            model = model.believing(number, history.X[number], rung)
        self._memo[history] = dataclasses.replace(known, model=model)
        if history.objectives > 1:
            weights = random_weights(
                history.objectives, np.random.default_rng([context.seed, context.number, TRADEOFF])
            )
            return model.aimed(known.part.targets(model.terrain.features.graded, weights))
        return model

    def _fit(self, context: Context, data: Data, key: tuple[int, float, int], known: Known | None) -> Known:
        """The model of all results; only the hyperparameters can be known already."""
        n, goal, seed = key
        graded = bool((data.rungs != goal).any())
        n_fit = n - n % (1 << max(0, n.bit_length() - REFIT_BITS))
        terrain = known.base.terrain if known is not None else None
        if terrain is None or terrain.space is not context.space or terrain.features.graded != graded:
            known, terrain = None, Terrain.of(context.space, graded)
        if known is not None and (known.key[1], known.n_fit) == (goal, n_fit):
            theta, thetas = known.theta, known.thetas
        else:
            part = data.first(n_fit).cut(self.max_points)
            embedded = terrain.embed(part.X, part.rungs)
            theta = fit(terrain.features, embedded, part.targets(graded))
            thetas = [] if part.excess is None else hyperparameters(terrain.features, embedded, part.excess)
        # Not the suggestion's own generator: the candidates are the same until there is one more result.
        rng = np.random.default_rng([seed, n])
        part = data.cut(self.max_points)
        feasibility = None
        if part.excess is not None:
            embedded = terrain.embed(part.X, part.rungs)
            feasibility = Feasibility.of(terrain.features, thetas, embedded, part.excess)
        base = Model.of(terrain, goal, theta, part, part.targets(graded), rng, feasibility)
        return Known(key, n_fit, theta, thetas, part, base, base)

    @cached_property
    def _memo(self) -> Memo[Known]:
        return Memo()


def _expected(posterior: Posterior, feasibility: Feasibility | None, points: Embedded) -> Array:
    """(m,) the values expected at points; inf where a constraint is not expected to be met."""
    expected, _ = posterior.predict(points)
    return np.where(feasibility.expected(points), expected, np.inf) if feasibility else expected


def _rung(fidelity: float) -> float:
    """Where a fidelity is on the model's axis: a factor of three is one step. 0 if there is but one, without end."""
    return math.log(fidelity, 3) if math.isfinite(fidelity) else 0.0
