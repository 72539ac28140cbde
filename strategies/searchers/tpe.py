"""TPE, the tree-structured Parzen estimator: where good configurations are likelier than others.

Bergstra et al. 2011 (the idea, and conditional spaces); Falkner, Klein and Hutter 2018 (one multivariate density,
several fidelities); Watanabe 2023 (what each part is worth). The densities l, of the good, and g, of the others:
`strategies.models.parzen`. This module says which results are good, and what to do with l and g.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from strategies.growing import GrowingArray
from strategies.history import Array, History
from strategies.models.kde import log_mixture
from strategies.models.parzen import Mixture, flat_bandwidths, log_sum, shrunk_bandwidths
from strategies.searchers.base import Context, Indices, Memo, Searcher, check_number
from strategies.searchers.frame import Frame
from strategies.searchers.pool import Pool, first_fresh, identities
from strategies.space import SearchSpace

POOL = 128  # candidates that the suggestions of one model share
SHARERS = 64  # trials after which they get a fresh pool
MAX_BAD = 500  # kernels of g: more are thinned out evenly, from the best to the worst
GOOD_FACTOR = 0.7  # l's bandwidths, relative to the rule of thumb
BAD_SCALE = 0.15  # g's bandwidths are this times n^(-1/(d + 4))
MIN_BANDWIDTH = 0.01
LIES = 0.1  # what all the lies weigh at most, relative to g


@dataclass(frozen=True)
class Model:
    """good: l. bad: g. results: how many there were, at all fidelities. told: the trials that have one."""

    good: Mixture
    bad: Mixture
    results: int
    told: frozenset[int]


class Memory:
    """What follows from one history. It only saves time."""

    def __init__(self, space: SearchSpace) -> None:
        self.frame = Frame.of(space)
        self.points = GrowingArray((len(self.frame.axes),))
        self.identities: list[bytes] = []
        self.seen: set[bytes] = set()
        self.model: tuple[object, Model | None] = (None, None)
        self.pool: tuple[object, Pool | None] = (None, None)
        self.others: tuple[object, Array] = (None, np.empty(0))

    def update(self, X: Array) -> None:
        """Take in the configurations that were started meanwhile; X (n, columns) are all."""
        new = X[len(self.points) :]
        if len(new):
            self.identities += identities(new)
            self.seen.update(self.identities[len(self.points) :])
            for point in self.frame.points(new):
                self.points.append(point)


@dataclass(frozen=True)
class TPE(Searcher):
    """Draws candidates from l and proposes the one with the largest l/g that was not tried yet.

    What we chose, on seven synthetic tasks (a sphere, Branin, Hartmann 6, Ackley 8, categories, mixed, conditional; 60
    to 150 trials). Figures are means of log10 of the final regret over 10 to 20 seeds, one choice changed at a time;
    noise about 0.1, so that only gaps beyond 0.2 say much. Random search: -0.29; `KDE`: -0.50; this as it is, on 16
    seeds no choice was made on: -1.50 (on the six flat tasks -1.32; Optuna's TPE there, 8 seeds, -0.90).

    - l's bandwidths follow the spread of the good ones, shrunk towards the prior; g's depend on n only: -1.55. Both by
      the gaps to the neighbours (Bergstra's): -0.90; both by n (Optuna's once): -1.00; both by the spread: -1.44.
    - `GOOD_FACTOR` 0.7: -1.55; 1: -1.40; 0.5: -1.28. `BAD_SCALE` 0.15: -1.58; 0.12: -1.59; 0.2: -1.34; 0.3: -1.21.
    - A good fraction of 0.1: -1.55; 0.15: -1.19; at least 3: -1.32. 24 candidates: -1.55; 12: -1.49; 48: -1.46.
    - `MAX_BAD`: Hartmann 6 after 600 trials -1.99 with 1,000 or 300 kernels, -2.01 with 100.
    - Lies (as in `KDE`) with l's bandwidths, at most a tenth of g: -2.52 and -1.84 with 8 and 32 parallel trials;
      without that limit -2.32, -1.69; with g's bandwidths -2.31, -1.36; no lies -2.41, -1.61.
    - One ranking by (fidelity reached, value) under asha and hyperband, five tasks, 44 seeds: -0.98. The highest
      fidelity with 10 results alone (BOHB's way): -0.84. On 12 seeds: with 6 results -0.72; with 6, and all that stayed
      lower taken for bad, -0.88; random search -0.54; `KDE` -0.63.

    startup: results that are needed; before, configurations are random.
    good_fraction, max_good: how many of the results are good: that share of all, rounded up, at most `max_good`.
    candidates: how many are compared for one suggestion.
    prior_weight: of the prior kernel, uniform over the space; that of a result is 1.
    """

    name: ClassVar[str] = "tpe"

    startup: int = 10
    good_fraction: float = 0.1
    max_good: int = 25
    candidates: int = 24
    prior_weight: float = 1.0

    def __post_init__(self) -> None:
        check_number("startup", self.startup, 2, None)
        check_number("good_fraction", self.good_fraction, 1e-6, 1 - 1e-6)
        check_number("max_good", self.max_good, 1, None)
        check_number("candidates", self.candidates, 1, POOL)
        check_number("prior_weight", self.prior_weight, 1e-6, None)

    def suggest(self, context: Context) -> Array:
        space, history = context.space, context.history
        memory = self._memo.get(history)
        if memory is None or memory.frame.space is not space:
            memory = self._memo[history] = Memory(space)
        memory.update(history.X)
        model = self._model(memory, history)
        if model is None:
            return first_fresh(space.sample(context.rng(), POOL if memory.frame.finite else 1), memory.seen)
        pool = self._pool(memory, model, context)
        # The pool is in random order: any part of it will do, and each sharer's is another.
        first = context.number % SHARERS * self.candidates
        some = np.arange(first, first + min(self.candidates, len(pool.rows))) % len(pool.rows)
        scores = pool.log_good[some] - self._log_bad(memory, model, history, pool, some)
        best = some[np.argsort(-scores, kind="stable")]
        found = pool.first_fresh(best, memory.seen)
        if found is None:
            found = pool.first_fresh(np.argsort(pool.log_bad - pool.log_good, kind="stable"), memory.seen)
        if found is not None:
            return found
        # All that l reaches was tried: of a small space, what is left of it; else the best once more.
        return first_fresh(np.concatenate([pool.rows[best[:1]], space.sample(context.rng(), POOL)]), memory.seen)

    def _model(self, memory: Memory, history: History) -> Model | None:
        """The model of the results so far; None while they are too few, or all of them failures."""
        key = tuple((fidelity, len(history.results(fidelity))) for fidelity in history.fidelities)
        if memory.model[0] != key:
            memory.model = key, self._fit(memory, history, sum(count for _, count in key))
        return memory.model[1]

    def _fit(self, memory: Memory, history: History, results: int) -> Model | None:
        frame, points = memory.frame, memory.points.view
        split = self.split(history)
        if split is None or not frame.axes:
            return None
        good, bad = split
        told = frozenset(good.tolist()) | frozenset(bad.tolist())
        if len(bad) > MAX_BAD:
            bad = bad[np.linspace(0, len(bad) - 1, MAX_BAD).round().astype(np.intp)]
        narrow = shrunk_bandwidths(frame.numbers(points[good]), GOOD_FACTOR, MIN_BANDWIDTH)
        wide = flat_bandwidths(max(len(bad), 1), len(frame.axes), BAD_SCALE, MIN_BANDWIDTH)
        l = self._mixture(frame, points[good], narrow)
        return Model(l, self._mixture(frame, points[bad], wide), results, told)

    def _mixture(self, frame: Frame, Z: Array, h: Array) -> Mixture:
        # The smoothing is Optuna's: it fades as kernels become many (Watanabe 2023, section 3.3.3).
        return Mixture(frame.axes, Z, h, self.prior_weight, self.prior_weight / (len(Z) + 1))

    def split(self, history: History) -> tuple[Indices, Indices] | None:
        """The numbers of the good trials and of the others, from the best to the worst; None if that is no model yet.

        Ranked by the highest fidelity with a result, then by the value there; ties by trial number; failures last.
        """
        fidelity, value = np.full(len(history), -np.inf), np.full(len(history), np.inf)
        for level in history.fidelities:
            results = history.results(level)
            trials = np.array(results.trials, dtype=np.intp)
            fidelity[trials], value[trials] = level, results.values
        told = np.flatnonzero(fidelity > -np.inf)
        failed = ~np.isfinite(value[told])
        n_good = min(math.ceil(self.good_fraction * len(told)), self.max_good, int((~failed).sum()))
        if len(told) < self.startup or not n_good:
            return None
        ranked = told[np.lexsort((value[told], -fidelity[told], failed))]
        return ranked[:n_good], ranked[n_good:]

    def _pool(self, memory: Memory, model: Model, context: Context) -> Pool:
        """Candidates for `SHARERS` suggestions: from l, each in the active set of the kernel that it comes from.

        A candidate that a parent's change takes to another active set has children that its kernel knows nothing
        of. It stays only if no good trial has that set: else kernels that do know them draw there.
        """
        share = context.number // SHARERS
        key = (model.results, context.seed, share)
        if memory.pool[0] == key and memory.pool[1] is not None:
            return memory.pool[1]
        frame, space = memory.frame, context.space
        rng = np.random.default_rng([context.seed, share, model.results])
        drawn, kernels = model.good.draw(rng, POOL)
        rows = frame.rows(drawn)
        points = frame.points(rows)
        fit = space.allowed(rows)
        active, known = ~np.isnan(points), ~np.isnan(model.good.Z)
        if not (active.all() and known.all()):
            own = np.append(known, np.zeros((1, known.shape[1]), dtype=np.bool_), axis=0)[kernels]
            at_home = (active == own).all(axis=1) | (kernels == len(known))
            fit &= at_home | ~np.isin(_packed(active), _packed(known))
        if not fit.any():
            rows = space.sample(rng, POOL)
            points, fit = frame.points(rows), np.ones(POOL, dtype=np.bool_)
        points, rows = points[fit], rows[fit]
        lies = dataclasses.replace(model.good, Z=points)
        pool = Pool(points, rows, model.good.logpdf(points), model.bad.logpdf(points), lies)
        memory.pool = key, pool
        return pool

    def _log_bad(self, memory: Memory, model: Model, history: History, pool: Pool, some: Indices) -> Array:
        """log g, which the lies join, at some of the pool."""
        logs = pool.log_bad[some]
        running = [trial for trial in history.pending if trial not in model.told]
        if not running:
            return logs
        places = [pool.places.get(memory.identities[trial], -1) for trial in running]
        others = [trial for trial, place in zip(running, places, strict=True) if place < 0]
        inside = np.array([place for place in places if place >= 0], dtype=np.intp)
        lies = pool.log_lies[some[:, None], inside]
        if others:
            key = (memory.pool[0], tuple(others))
            if memory.others[0] != key:
                around = dataclasses.replace(pool.lies, Z=memory.points.view[others])
                memory.others = key, log_sum(around.log_kernels(pool.points))
            lies = np.append(lies, memory.others[1][some, None], axis=1)
        log_lies = log_sum(lies) - math.log(len(running))
        weight = min(len(running), LIES * model.bad.total)
        return log_mixture(logs, log_lies, weight / (weight + model.bad.total))

    @cached_property
    def _memo(self) -> Memo[Memory]:
        return Memo()


def _packed(active: NDArray[np.bool_]) -> NDArray[np.void]:
    """(n,) active sets (n, d) as one item each."""
    packed = np.packbits(active, axis=1)
    return np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
