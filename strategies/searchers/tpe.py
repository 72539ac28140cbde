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

from strategies.history import Array, History
from strategies.memo import Memo
from strategies.models.kde import log_mixture
from strategies.models.parzen import Mixture, flat_bandwidths, shrunk_bandwidths
from strategies.searchers.base import Context, Indices, Searcher, check_number
from strategies.searchers.frame import Frame
from strategies.searchers.pool import Block, Started, first_fresh, identities
from strategies.space import SearchSpace

SHARES = 3  # so many times `candidates` are drawn at once; a suggestion compares those of one share
CANDIDATES_EACH = 2  # so many of those are there for each suggestion
MAX_CANDIDATES = 128
REST = 128  # random configurations to look through where all candidates were tried
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
        self.started = Started()
        self.model: tuple[object, Model | None] = (None, None)
        self.block: tuple[object, Block | None] = (None, None)


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

    - Users' priors (`prior=`) are the prior kernel of both l and g. In l alone: no difference in eight comparisons (40
      seeds each; Hartmann 6 and Branin, right and wrong priors; at most 0.07 +- 0.04).

    startup: results that are needed; before, configurations are random, and half of them from the priors, if any.
    good_fraction, max_good: how many of the results are good: that share of all, rounded up, at most `max_good`.
    candidates: how many are compared for one suggestion.
    prior_weight: of the prior kernel: what users believe (`prior=`), uniform without. That of a result is 1.
    """

    name: ClassVar[str] = "tpe"
    uses_priors: ClassVar[bool] = True

    startup: int = 10
    good_fraction: float = 0.1
    max_good: int = 25
    candidates: int = 24
    prior_weight: float = 1.0

    def __post_init__(self) -> None:
        check_number("startup", self.startup, 2, None)
        check_number("good_fraction", self.good_fraction, 1e-6, 1 - 1e-6)
        check_number("max_good", self.max_good, 1, None)
        check_number("candidates", self.candidates, 1, MAX_CANDIDATES)
        check_number("prior_weight", self.prior_weight, 1e-6, None)

    def suggest(self, context: Context) -> Array:
        space, history = context.space, context.history
        memory = self._memo.get(history)
        if memory is None or memory.frame.space is not space:
            memory = self._memo[history] = Memory(space)
        memory.started.update(history.X)
        model, seen = self._model(memory, history), memory.started.seen
        if model is None:
            return self._first(memory, context)
        block = self._block(memory, model, context)
        scores = block.log_good - self._log_bad(memory, model, history, block)
        of_others = np.arange(len(scores)) % SHARES != context.number % SHARES
        found = block.first_fresh(np.lexsort((-scores, of_others)), seen)
        if found is not None:
            return found
        # All that l reaches was tried: of a small space, what is left of it.
        rows = space.sample(context.rng(), REST)
        points = memory.frame.points(rows)
        return first_fresh(rows[np.argsort(model.bad.logpdf(points) - model.good.logpdf(points), kind="stable")], seen)

    def _first(self, memory: Memory, context: Context) -> Array:
        """Before there is a model: random; where users have priors, first their mode, then half are theirs."""
        space, seen, draws = context.space, memory.started.seen, REST if memory.frame.finite else 1
        if space.prior.informed and identities(space.prior.mode[None, :])[0] not in seen:
            return space.prior.mode
        source = space.prior if context.number % 2 == 0 else space
        return first_fresh(source.sample(context.rng(), draws), seen)

    def _model(self, memory: Memory, history: History) -> Model | None:
        """The model of the results so far; None while they are too few, or all of them failures."""
        key = tuple((fidelity, len(history.results(fidelity))) for fidelity in history.fidelities)
        if memory.model[0] != key:
            memory.model = key, self._fit(memory, history, sum(count for _, count in key))
        return memory.model[1]

    def _fit(self, memory: Memory, history: History, results: int) -> Model | None:
        frame = memory.frame
        split = self.split(history)
        if split is None or not frame.axes:
            return None
        good, bad = split
        told = frozenset(good.tolist()) | frozenset(bad.tolist())
        if len(bad) > MAX_BAD:
            bad = bad[np.linspace(0, len(bad) - 1, MAX_BAD).round().astype(np.intp)]
        good_points, bad_points = frame.points(history.X[good]), frame.points(history.X[bad])
        narrow = shrunk_bandwidths(frame.numbers(good_points), GOOD_FACTOR, MIN_BANDWIDTH)
        wide = flat_bandwidths(max(len(bad), 1), len(frame.axes), BAD_SCALE, MIN_BANDWIDTH)
        l = self._mixture(frame, good_points, narrow)
        return Model(l, self._mixture(frame, bad_points, wide), results, told)

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

    def _block(self, memory: Memory, model: Model, context: Context) -> Block:
        """Candidates from l for some suggestions, each in the active set of the kernel that it comes from.

        A candidate that a parent's change takes to another active set has children that its kernel knows nothing
        of. It stays only if no good trial has that set: else kernels that do know them draw there.
        """
        turn = context.number // max(1, SHARES * self.candidates // CANDIDATES_EACH)
        key = (model.results, context.seed, turn)
        if memory.block[0] == key and memory.block[1] is not None:
            return memory.block[1]
        frame, space = memory.frame, context.space
        rng = np.random.default_rng([context.seed, turn, model.results])
        drawn, kernels = model.good.draw(rng, SHARES * self.candidates)
        rows = frame.rows(drawn)
        points = frame.points(rows)
        fit = space.allowed(rows)
        active, known = ~np.isnan(points), ~np.isnan(model.good.Z)
        if not (active.all() and known.all()):
            own = np.append(known, np.zeros((1, known.shape[1]), dtype=np.bool_), axis=0)[kernels]
            at_home = (active == own).all(axis=1) | (kernels == len(known))
            fit &= at_home | ~np.isin(_packed(active), _packed(known))
        if not fit.any():
            rows = space.sample(rng, len(rows))
            points, fit = frame.points(rows), np.ones(len(rows), dtype=np.bool_)
        points, rows = points[fit], rows[fit]
        scores = model.good.logpdf(points), model.bad.logpdf(points)
        lies = dataclasses.replace(model.good, Z=points)
        block = Block(points, rows, *scores, lies, lambda: lies.log_kernels(points))
        memory.block = key, block
        return block

    def _log_bad(self, memory: Memory, model: Model, history: History, block: Block) -> Array:
        """log g, which the lies join, at the candidates of a block."""
        running = [trial for trial in history.pending if trial not in model.told]
        if not running:
            return block.log_bad
        weight = min(len(running), LIES * model.bad.total)
        lies = block.lies_about(running, memory.started, lambda trials: memory.frame.points(history.X[trials]))
        return log_mixture(block.log_bad, block.log_mean(lies), weight / (weight + model.bad.total))

    @cached_property
    def _memo(self) -> Memo[Memory]:
        return Memo()


def _packed(active: NDArray[np.bool_]) -> NDArray[np.void]:
    """(n,) active sets (n, d) as one item each."""
    packed = np.packbits(active, axis=1)
    return np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
