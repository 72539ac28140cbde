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
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from strategies.history import Array
from strategies.memo import Memo
from strategies.models.gp import fit
from strategies.models.plateaus import Plateaus
from strategies.models.posterior import Posterior
from strategies.models.tradeoff import random_weights
from strategies.searchers.base import Context, Searcher, check_number
from strategies.searchers.feasibility import Feasibility, hyperparameters
from strategies.searchers.gp_data import Data, rung_of
from strategies.searchers.gp_model import Model
from strategies.searchers.sobol import Sobol
from strategies.searchers.terrain import Terrain

MAX_PENDING = 64  # so many pending points always enter the model, and up to twice as many
REFIT_BITS = 4  # with 2^k results or more, hyperparameters are refitted at every 2^(k + 1 - REFIT_BITS) more
TRADEOFF = 4  # what sets the draws of trade-offs apart from those of suggestions


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

    The model is one process over configuration and fidelity. The improvement that counts is that of a full training, on
    one of the incumbent: of all configurations so far, the one of which the least value is expected. That value is not
    known either, so what is expected is E max(f(incumbent) - f(x), 0) under their joint distribution; near an uncertain
    incumbent there is little to gain. A pending trial is believed to give what is expected at its milestone. Failures
    count as the worst. Values are half-rank warped; where there are several fidelities, they become normal scores of
    their ranks among all. Of more than `max_points` results, those at the highest fidelities enter and of the lowest of
    these the better half and the latest others. A configuration is tried once.

    What is on a plateau with a known configuration is not suggested (`strategies.models.plateaus`).

    num_startup: results that are needed; before, configurations are those of the Sobol sequence.
    random_fraction: the chance that a suggestion is drawn at random, if there are several fidelities: low ones mislead,
        and good regions that no result hints at are found in no other way.
    max_points: results that enter the model at most.
    """

    name: ClassVar[str] = "gp"

    num_startup: int = 5
    random_fraction: float = 0.25
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
            rows = model.improved(model.ranked(), rng)
            row = model.terrain.first_new(rows, history.X)
        if row is None:  # all of a small space has been tried, or is on a plateau, or chance wills it
            row = space.sample(rng, 1)[0]
        return row

    def _model(self, context: Context) -> Model | None:
        """The model of all results, with what is pending; None while they are too few."""
        history = context.history
        free, sizes = len(context.space.free), [len(history.results(fidelity)) for fidelity in history.fidelities]
        if len(history) < self.num_startup or not free or sum(sizes) < min(self.num_startup, free + 1):
            return None
        goal = rung_of(context.max_budget)
        known = self._memo.get(history)
        key = (sum(sizes), goal, context.seed)
        if known is None or known.key != key or known.base.terrain.space is not context.space:
            data = Data.of(history)
            if np.isfinite(data.values).sum() < min(self.num_startup, free + 1):
                return None
            known = self._fit(context, data, key, known)
        running = [(number, rung_of(until)) for number, until in history.pending.items()]
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
        part = data.cut(self.max_points)
        embedded = terrain.embed(part.X, part.rungs)
        posterior, feasibility = Posterior.of(terrain.features, theta, embedded, part.targets(graded)), None
        if part.excess is not None:
            feasibility = Feasibility.of(terrain.features, thetas, embedded, part.excess)
        firsts = data.firsts()
        there = terrain.embed(firsts.X, firsts.rungs)
        # Several metrics rarely tie all at once, and one that does says little.
        plateaus = Plateaus.of(there, firsts.values) if firsts.objectives is None else Plateaus(0.0, there)
        # Not the suggestion's own generator: the candidates are the same until there is one more result.
        base = Model.of(terrain, goal, posterior, feasibility, plateaus, part.firsts().X, [seed, n])
        return Known(key, n_fit, theta, thetas, part, base, base)

    @cached_property
    def _memo(self) -> Memo[Known]:
        return Memo()
