"""Bayesian optimisation with a Gaussian process: what is expected to improve most is tried next.

One model learns from the results at all fidelities and predicts those of full trainings, as MOBSTER does (Klein, Tiao,
Lienart, Archambeau and Seeger 2020, "Model-based asynchronous hyperparameter and neural architecture search").
The numerics are in `strategies.models.gp`, `acquisition` and `warping`; here is what to model, and where to look.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from strategies.history import Array, History
from strategies.memo import Memo
from strategies.models.acquisition import log_ei, log_ei_gradient
from strategies.models.gp import Embedded, Mask, fit
from strategies.models.plateaus import Plateaus
from strategies.models.posterior import Posterior
from strategies.models.warping import half_rank, rank_normal
from strategies.searchers.base import Context, Indices, Searcher, check_number
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
SCALES = (0.2, 0.05, 0.01)  # of steps from one candidate to the next, in the unit cube


@dataclass(frozen=True)
class Data:
    """Results in order of arrival: which configuration, (n,) and (n, columns); on which rung; minimised values (n,)."""

    numbers: Indices
    X: Array
    rungs: Array
    values: Array

    @classmethod
    def of(cls, history: History) -> Data:
        numbers, fidelities, values = history.arrivals
        levels, which = np.unique(fidelities, return_inverse=True)
        return cls(numbers, history.X[numbers], np.array([_rung(f) for f in levels.tolist()])[which], values)

    def first(self, n: int) -> Data:
        return self._at(np.arange(n))

    def cut(self, most: int) -> Data:
        """Of more than `most` results: the best half of so many, high fidelities first, and the latest others."""
        half = most // 2
        if len(self.values) <= most:
            return self
        ranked = np.lexsort((self.values, -self.rungs))
        latest = np.sort(ranked[half:])[half - most :]
        return self._at(np.sort(np.concatenate([ranked[:half], latest])))

    def targets(self, graded: bool) -> Array:
        """(n,) what the process models."""
        return rank_normal(self.values) if graded else half_rank(self.values)

    def firsts(self) -> Data:
        """The first result of each configuration."""
        return self._at(np.sort(np.unique(self.numbers, return_index=True)[1]))

    def _at(self, chosen: Indices) -> Data:
        return Data(self.numbers[chosen], self.X[chosen], self.rungs[chosen], self.values[chosen])


@dataclass(frozen=True)
class Model:
    """A process, and some candidates under it; `believed` are the pending trials that it has taken in so far.

    goal: the rung on which values count.  V and explained: see `Posterior.solve`.
    best, incumbent: the least value expected there of any configuration so far, pending ones included, and that
    configuration, embedded.  covered: (m,) which candidates are on a known plateau.
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
    best: float
    incumbent: Embedded
    plateaus: Plateaus
    covered: Mask
    believed: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(
        cls, terrain: Terrain, goal: float, posterior: Posterior, tried: Array, plateaus: Plateaus, seed: Sequence[int]
    ) -> Model:
        """tried: (k, columns) the configurations whose results the posterior knows."""
        rng = np.random.default_rng(seed)
        expected = posterior.solve(terrain.embed(tried, goal))[0]
        ranked = tried[np.argsort(expected, kind="stable")]
        top = ranked[:TOP][np.arange(NEAR) % min(TOP, len(ranked))]
        near = [terrain.neighbours(top, scale, rng) for scale in SCALES]
        candidates = np.concatenate([terrain.space.sample(rng, RANDOM), *near])
        embedded = terrain.embed(candidates, goal)
        mean, V = posterior.solve(embedded)
        return cls(
            terrain,
            goal,
            posterior,
            candidates,
            embedded,
            mean,
            V,
            explained=np.einsum("ij,ij->j", V, V),
            best=float(expected.min()),
            incumbent=terrain.embed(ranked[:1], goal),
            plateaus=plateaus,
            covered=plateaus.cover(embedded),
        )

    def believing(self, number: int, row: Array, rung: float) -> Model:
        posterior = self.posterior.believing(self.terrain.embed(row[None, :], rung))
        last = posterior.one_more(self.embedded, self.V)
        there = self.terrain.embed(row[None, :], self.goal)
        expected = float(posterior.solve(there)[0][0])
        return dataclasses.replace(
            self,
            posterior=posterior,
            V=np.concatenate([self.V, last]),
            explained=self.explained + np.square(last[0]),
            best=min(self.best, expected),
            incumbent=there if expected < self.best else self.incumbent,
            plateaus=self.plateaus.with_point(there),
            covered=self.covered | Plateaus(self.plateaus.radius, there).cover(self.embedded),
            believed=(*self.believed, (number, rung)),
        )

    def ranked(self) -> Array:
        """The candidates that are on no known plateau, best first."""
        spread = self.posterior.spread(self.embedded, self.V, self.explained, self.incumbent)
        scores = log_ei(self.mean, spread, self.best)
        order = np.argsort(-scores, kind="stable")
        ranked: Array = self.candidates[order[~self.covered[order]]]
        return ranked

    def best_of(self, rows: Array) -> Array:
        """(1, columns) the first of the best rows (m, columns), those on known plateaus last."""
        points = self.terrain.embed(rows, self.goal)
        mean, V = self.posterior.solve(points)
        spread = self.posterior.spread(points, V, np.einsum("ij,ij->j", V, V), self.incumbent)
        scores = np.where(self.plateaus.cover(points), -np.inf, log_ei(mean, spread, self.best))
        return rows[[int(np.argmax(scores))]]

    def improved(self, rows: Array, rng: np.random.Generator) -> Array:
        """(1, columns) the best that local search finds from rows (k, columns); none from none.

        Where many suggestions are asked for at once, precision is in vain, and the search is short.
        """
        if not len(rows):
            return rows
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
            points = Embedded(numbers, marks, rungs)
            mean, spread, slope, spread_slope = self.posterior.gradients(points, self.incumbent)
            values, by_mean, by_spread = log_ei_gradient(mean, spread, self.best)
            gradient = by_mean[:, None] * slope + by_spread[:, None] * spread_slope
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
    base: Model
    model: Model


@dataclass(frozen=True)
class GP(Searcher):
    """Gaussian-process search: the point with the largest expected improvement, in logarithms (Ament et al. 2023).

    The model is one process over configuration and fidelity. The improvement that counts is that of a full training, on
    one of the incumbent: of all configurations so far, the one of which the least value is expected. That value is not
    known either, so what is expected is E max(f(incumbent) - f(x), 0) under their joint distribution; near an uncertain
    incumbent there is little to gain. A pending trial is believed to give what is expected at its milestone. Failures
    count as the worst. Values are half-rank warped; where there are several fidelities, they become normal scores of
    their ranks among all. Of more than `max_points` results, those at the highest fidelities enter and of the lowest of
    these the better half and the latest others. A configuration is tried once.

    What is on a plateau with a known configuration is not suggested (`strategies.models.plateaus`).

    num_startup: results that are needed; before, configurations are those of the Sobol sequence.
    random_fraction: the least chance that a suggestion is drawn at random, if there are several fidelities: low ones
    mislead.
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
        if row is None:  # all of a small space has been tried, or is on a plateau, or chance wills it
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
            theta = known.theta
        else:
            part = data.first(n_fit).cut(self.max_points)
            theta = fit(terrain.features, terrain.embed(part.X, part.rungs), part.targets(graded))
        part = data.cut(self.max_points)
        posterior = Posterior.of(terrain.features, theta, terrain.embed(part.X, part.rungs), part.targets(graded))
        firsts = data.firsts()
        plateaus = Plateaus.of(terrain.embed(firsts.X, firsts.rungs), firsts.values)
        # Not the suggestion's own generator: the candidates are the same until there is one more result.
        base = Model.of(terrain, goal, posterior, part.firsts().X, plateaus, [seed, n])
        return Known(key, n_fit, theta, base, base)

    @cached_property
    def _memo(self) -> Memo[Known]:
        return Memo()


def _rung(fidelity: float) -> float:
    """Where a fidelity is on the model's axis: a factor of three is one step. 0 if there is but one, without end."""
    return math.log(fidelity, 3) if math.isfinite(fidelity) else 0.0
