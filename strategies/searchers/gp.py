"""Bayesian optimisation with a Gaussian process: what is expected to improve most is tried next.

The numerics are in `strategies.models.gp`, `acquisition` and `warping`; here is what to model, and where to look.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from strategies.history import Array
from strategies.models.acquisition import log_ei, log_ei_gradient
from strategies.models.gp import Embedded, Posterior, fit
from strategies.models.warping import half_rank
from strategies.searchers.base import Context, Indices, Memo, Searcher, check_number as _check
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
class Model:
    """A process, and some candidates under it; `believed` are the pending trials that it has taken in so far.

    V and explained: see `Posterior.solve`.  best: the least expected value so far, pending points included.
    """

    terrain: Terrain
    posterior: Posterior
    trials: frozenset[int]
    candidates: Array  # (m, columns)
    embedded: Embedded
    mean: Array
    V: Array
    explained: Array
    best: float
    believed: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, terrain: Terrain, theta: Array, X: Array, y: Array, trials: frozenset[int], rng: np.random.Generator
    ) -> Model:
        """The model of targets y (n,) at X (n, columns)."""
        data = terrain.embed(X)
        posterior = Posterior.of(terrain.features, theta, data, y)
        expected = posterior.predict(data)[0]
        top = X[np.argsort(expected, kind="stable")[:TOP]]
        top = top[np.arange(NEAR) % len(top)]
        near = [terrain.neighbours(top, scale, rng) for scale in SCALES]
        candidates = np.concatenate([terrain.space.sample(rng, RANDOM), *near])
        embedded = terrain.embed(candidates)
        mean, V = posterior.solve(embedded)
        explained = np.einsum("ij,ij->j", V, V)
        return cls(terrain, posterior, trials, candidates, embedded, mean, V, explained, float(expected.min()))

    def believing(self, trial: int, row: Array) -> Model:
        point = self.terrain.embed(row[None, :])
        posterior = self.posterior.believing(point)
        last = posterior.one_more(self.embedded, self.V)
        return dataclasses.replace(
            self,
            posterior=posterior,
            V=np.concatenate([self.V, last]),
            explained=self.explained + np.square(last[0]),
            best=min(self.best, float(self.posterior.predict(point)[0][0])),
            believed=(*self.believed, trial),
        )

    def ranked(self) -> Array:
        """The candidates, best first."""
        scores = log_ei(self.mean, self.posterior.variance(self.explained), self.best)
        ranked: Array = self.candidates[np.argsort(-scores, kind="stable")]
        return ranked

    def best_of(self, rows: Array) -> Array:
        """(1, columns) the first of the best rows (m, columns)."""
        scores = log_ei(*self.posterior.predict(self.terrain.embed(rows)), self.best)
        return rows[[int(np.argmax(scores))]]

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
        numbers, marks = self.terrain.embed(rows)

        def loss(x: Array) -> tuple[float, Array]:
            numbers[free] = x
            mean, variance, by_numbers, spread_by_numbers = self.posterior.gradients(Embedded(numbers, marks))
            values, by_mean, by_variance = log_ei_gradient(mean, variance, self.best)
            gradient = by_mean[:, None] * by_numbers + by_variance[:, None] * spread_by_numbers
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

    key: tuple[float, int, int]  # fidelity, results there, seed
    n_fit: int  # of how many results theta was made
    theta: Array
    base: Model
    model: Model


@dataclass(frozen=True)
class GP(Searcher):
    """Gaussian-process search: the point with the largest expected improvement, in logarithms (Ament et al. 2023).

    The model is that of the largest fidelity with enough results: as many as `num_startup`, or d + 1 if that is fewer.
    Values are half-rank warped, a failure counts as the worst. The improvement is that on the least expected value at
    any result, since results are noisy; a pending trial is believed to give what is expected. Of more than
    `max_points` results, the better half of so many and the latest others enter. A configuration is tried once.

    num_startup: configurations of the Sobol sequence before the model is asked.
    max_points: results that enter the model at most.
    """

    name: ClassVar[str] = "gp"

    num_startup: int = 5
    max_points: int = 300

    def __post_init__(self) -> None:
        _check("num_startup", self.num_startup, 2, None)
        _check("max_points", self.max_points, 10, None)

    def suggest(self, context: Context) -> Array:
        space, history = context.space, context.history
        model = self._model(context) if context.number >= self.num_startup else None
        if model is None:
            return Sobol().suggest(context)
        rng, ranked = context.rng(), model.ranked()
        row = model.terrain.first_new(np.concatenate([model.improved(ranked[:ASCENTS], rng), ranked]), history.X)
        if row is None:  # all of a small space has been tried
            row = space.sample(rng, 1)[0]
        return row

    def _model(self, context: Context) -> Model | None:
        """The model of the largest fidelity that can have one, with what is pending."""
        history, free = context.history, len(context.space.free)
        for fidelity in reversed(history.fidelities):
            values = history.results(fidelity).values
            if not free or np.isfinite(values).sum() < min(self.num_startup, free + 1):
                continue
            known = self._memo.get(history)
            key = (fidelity, len(values), context.seed)
            if known is None or known.key != key or known.base.terrain.space is not context.space:
                known = self._fit(context, fidelity, known)
            running = [t for t in history.pending if t not in known.base.trials]
            # The latest; in blocks, so that they can be added one by one to those of the suggestion before.
            running = running[max(0, len(running) // MAX_PENDING - 1) * MAX_PENDING :]
            model = known.model
            if model.believed != tuple(running[: len(model.believed)]):
                model = known.base
            for trial in running[len(model.believed) :]:
                model = model.believing(trial, history.X[trial])
            self._memo[history] = dataclasses.replace(known, model=model)
            return model
        return None

    def _fit(self, context: Context, fidelity: float, known: Known | None) -> Known:
        """The model of the results at one fidelity; only the hyperparameters can be known already."""
        X, values = context.history.at(fidelity)
        n = len(values)
        n_fit = n - n % (1 << max(0, n.bit_length() - REFIT_BITS))
        if known is None or known.base.terrain.space is not context.space:
            known, terrain = None, Terrain.of(context.space)
        else:
            terrain = known.base.terrain
        if known is not None and (known.key[0], known.n_fit) == (fidelity, n_fit):
            theta = known.theta
        else:
            chosen = self._chosen(values[:n_fit])
            theta = fit(terrain.features, terrain.embed(X[chosen]), half_rank(values[chosen]))
        chosen = self._chosen(values)
        # Not the suggestion's own generator: the candidates are the same until there is one more result.
        bits = int.from_bytes(struct.pack("<d", fidelity), "little")
        rng = np.random.default_rng([context.seed, n, bits])
        trials = frozenset(context.history.results(fidelity).trials)
        base = Model.of(terrain, theta, X[chosen], half_rank(values[chosen]), trials, rng)
        return Known((fidelity, n, context.seed), n_fit, theta, base, base)

    def _chosen(self, values: Array) -> Indices:
        """The indices, in order, of the results that enter: the best, and the latest others."""
        n, half = len(values), self.max_points // 2
        if n <= self.max_points:
            return np.arange(n)
        ranked = np.argsort(values, kind="stable")
        latest = np.sort(ranked[half:])[half - self.max_points :]
        return np.sort(np.concatenate([ranked[:half], latest]))

    @cached_property
    def _memo(self) -> Memo[Known]:
        return Memo()
