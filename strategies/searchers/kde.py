"""BOHB's searcher (Falkner, Klein and Hutter 2018): where good results are dense and bad ones are not.

Notation
    n  results at one fidelity        d  free columns of the space (constants are left out)
    l, g  the densities of the good and of the bad configurations (`strategies.models.kde`)

Integers and ordinals count as numbers in the unit cube, categories as categories. Differences from hpbandster, BOHB's
first implementation. None has an effect on a flat space of floats and categories as long as enough results are
numbers, every category is among the good and among the bad, and no category's bandwidth reaches its cap:

- integers have bins of equal width, as BOHB had them; those of ConfigSpace 1 have half bins at the ends;
- a failed result is never good; hpbandster ranks it last, and takes it where too few others are there;
- the kernel of K categories is always a distribution over these K (see `strategies.models.kde`);
- ties go to the earlier result; hpbandster leaves that to an unstable sort;
- missing entries of column 0 are imputed like others;
- a forbidden candidate gives way to the next best; hpbandster then draws at random.

With trials pending there is one more: see `KDE`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from strategies.history import Array
from strategies.memo import Memo
from strategies.models.kde import Density, Levels, impute, log_mixture, truncated_normal
from strategies.searchers.base import Context, Indices, Searcher, check_number
from strategies.searchers.pool import Block, Started
from strategies.space import SearchSpace

# With at most so many results, so many times `num_samples` candidates are drawn at once, a part for each time. Many
# suggestions at once gain by it, and one alone loses, the more so the more results there are.
PARTS = ((120, 8), (2_000, 4), (math.inf, 1))
CANDIDATES_EACH = 8  # so many of those are there for each suggestion; it looks at one part
KEPT = 16  # of each part: the best by l/g without lies
LIES = 0.1  # what the lies about pending trials weigh at most, relative to the bad results: see `KDE`
LOG_FLOOR = float(np.log(1e-32))  # densities below 1e-32 count as equal (hpbandster's constant)


@dataclass(frozen=True)
class Coordinates:
    """Between the unit cube (all columns) and the model's points: free columns, categories as indices."""

    space: SearchSpace
    levels: Levels  # (d,) the number of categories; 0 for numbers

    @classmethod
    def of(cls, space: SearchSpace) -> Coordinates:
        free = [space.columns[j] for j in space.free]
        return cls(space, np.array([c.n_values if c.kind == "categorical" else 0 for c in free], dtype=np.intp))

    def points(self, U: Array) -> Array:
        """(n, d) of U (n, columns); NaN stays NaN."""
        Z = U[:, self.space.free]
        chosen = self.levels > 0
        Z[:, chosen] = np.floor(Z[:, chosen] * self.levels[chosen])
        return Z

    def rows(self, Z: Array) -> Array:
        """Canonical rows of the unit cube for Z (n, d)."""
        chosen = self.levels > 0
        U = np.full((len(Z), self.space.dim), np.nan)
        U[:, self.space.free] = Z
        U[:, self.space.free[chosen]] = (Z[:, chosen] + 0.5) / self.levels[chosen]
        return self.space.canonical(U)


@dataclass(frozen=True, eq=False)
class Model:
    """The densities of one fidelity, and the trials that have a result there."""

    seed: int  # of what was imputed
    fidelity: float
    good: Density
    bad: Density
    trials: frozenset[int]
    coordinates: Coordinates

    def known(self, rows: Array, which: Indices) -> Array:
        """Points (n, d) of rows (n, columns). What is inactive comes from a bad one: of many, from different ones."""
        Z, donors = self.coordinates.points(rows), self.bad.data
        return np.where(np.isnan(Z), donors[which % len(donors)], Z)


@dataclass(frozen=True)
class Shared:
    """What suggestions share that are asked for with no result in between.

    chances: those below `random_fraction` are random.  parts: of the block; every suggestion compares one.
    """

    chances: Array
    random_rows: Array
    block: Block
    parts: list[slice]


class Memory:
    """What follows from one history. It only saves time."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.started = Started()
        self.told: object = None
        self.model: Model | None = None
        self.shared: tuple[object, Shared | None] = (None, None)


@dataclass(frozen=True)
class KDE(Searcher):
    """BOHB's searcher: the best of some candidates by l/g; a fraction of the configurations is random.

    The model is that of the largest fidelity with enough results: `min_points` good ones and more than d bad.

    Pending trials that have no result at the model's fidelity yet join the bad density (a constant liar), so that many
    suggestions asked for at once spread out. The good set, the bandwidths, and whether there is a model, are those
    of the results alone; without pending trials nothing differs from BOHB. What we chose, and why:

    - Lies have the bandwidths of the good: those of the bad, several times wider, repel from the whole good region.
    - A lie weighs as much as one bad result, all lies at most a tenth (`LIES`) of all. With the bad's bandwidths and
      ten times the cap, 64 parallel trials of Hartmann 6 and of a sphere ended with 17 % more regret than without lies.
    - With both, on 100 seeds that the choice was not made on, log10 of the final regret changed by -0.39 +- 0.09 and
      -0.05 +- 0.03 (Branin; 16, 64 parallel), -0.09 +- 0.04 and -0.04 +- 0.03 (a sphere, d = 4), +0.09 +- 0.03 and
      -0.02 +- 0.02 (Hartmann 6, the one loss). With 1,000 pending and 20 results the last suggestions are as good as
      the first, far better than random, and scatter no less than without lies (on Branin twice as much).
    - A candidate that is running now, as happens to categories, is passed over like a forbidden one.
    - Suggestions asked for at once share candidates (`PARTS`, `CANDIDATES_EACH`, `KEPT`), and so 64 cost 7 to 9 times
      what one does; with candidates for each it was 35 to 50 times. Five batches of 64 on 150 seeds then end with log10
      regrets of -1.83 (before: -2.10) on Branin, -0.41 (-0.49) on Hartmann 6, -2.58 (-2.41) on the sphere, -2.69
      (-2.59) with two numbers and four categories; standard errors are 0.05, 0.015, 0.025 and 0.06. A trial's end
      brings new candidates: where trials end one by one, there is no difference on these four.

    top_n_percent: how many of the results are good, in percent.
    num_samples: candidates for one suggestion.
    random_fraction: the chance that a suggestion is drawn at random from the space.
    bandwidth_factor: by how much candidates scatter wider around good configurations than l does.
    min_bandwidth: the least bandwidth, in the unit cube: it keeps diversity where all good ones agree.
    min_points: results that are needed; None, and at least, d + 1.
    """

    name: ClassVar[str] = "kde"

    top_n_percent: int = 15
    num_samples: int = 64
    random_fraction: float = 1 / 3
    bandwidth_factor: float = 3.0
    min_bandwidth: float = 1e-3
    min_points: int | None = None

    def __post_init__(self) -> None:
        check_number("top_n_percent", self.top_n_percent, 1, 99)
        check_number("num_samples", self.num_samples, 1, None)
        check_number("random_fraction", self.random_fraction, 0, 1)
        check_number("bandwidth_factor", self.bandwidth_factor, 1e-6, None)
        check_number("min_bandwidth", self.min_bandwidth, 1e-6, 0.5)
        if self.min_points is not None:
            check_number("min_points", self.min_points, 1, None)

    def suggest(self, context: Context) -> Array:
        space, history = context.space, context.history
        memory = self._memo.get(history)
        if memory is None or memory.space is not space:
            memory = self._memo[history] = Memory(space)
        model = self._model(memory, context)
        if model is None:
            return _random(space, context.rng())
        running = [trial for trial in history.pending if trial not in model.trials]
        if running:
            return self._one_of_many(memory, model, context, running)
        rng = context.rng()
        if rng.random() < self.random_fraction:
            return _random(space, rng)
        points = self._candidates(model, rng, self.num_samples)
        order = np.argsort(-_scores(model.good.logpdf(points), model.bad.logpdf(points)), kind="stable")
        for chosen in (order[:1], order[1:]):
            rows = model.coordinates.rows(points[chosen])
            allowed = rows[space.allowed(rows)]
            if len(allowed):
                best: Array = allowed[0]
                return best
        return _random(space, rng)

    def _one_of_many(self, memory: Memory, model: Model, context: Context, running: list[int]) -> Array:
        """A suggestion while trials run. Each that starts is in a turn with others; a result begins another turn."""
        memory.started.update(context.history.X)
        parts = next(parts for results, parts in PARTS if len(model.trials) <= results)
        turn, place = divmod(len(running), parts * max(1, self.num_samples // CANDIDATES_EACH))
        key = (len(context.history) - len(running), turn, model)
        if memory.shared[0] != key:
            memory.shared = key, self._shared(model, [context.seed, *key[:2]], parts)
        shared = memory.shared[1]
        assert shared is not None
        if shared.chances[place] < self.random_fraction:
            row: Array = shared.random_rows[place]
            return row
        block, part = shared.block, shared.parts[place % parts]

        def points(trials: list[int]) -> Array:
            return model.known(context.history.X[trials], np.array(trials))

        n_bad = len(model.bad.data)
        weight = min(len(running), LIES * n_bad)
        lies = block.lies_about(running, memory.started, points)
        log_bad = log_mixture(block.log_bad[part], block.log_mean(lies, part), weight / (weight + n_bad))
        order = np.argsort(-_scores(block.log_good[part], log_bad), kind="stable")
        found = block.first_but(lies, part.start + order)
        return _random(context.space, context.rng()) if found is None else found

    def _shared(self, model: Model, seed: list[int], parts: int) -> Shared:
        """What the suggestions of one turn share: the best candidates of each part, without forbidden ones."""
        space, good, bad = model.coordinates.space, model.good, model.bad
        rng = np.random.default_rng([*seed, len(model.trials), _bits(model.fidelity)])
        sharers = parts * max(1, self.num_samples // CANDIDATES_EACH)
        chances, random_rows = rng.random(sharers), space.sample(rng, sharers)
        points = self._candidates(model, rng, parts * self.num_samples)
        rows = model.coordinates.rows(points)
        log_good, log_bad = good.logpdf(points), bad.logpdf(points)
        scores = _scores(log_good, log_bad)
        scores[~space.allowed(rows)] = -np.inf
        best = np.argsort(-scores.reshape(parts, -1), axis=1, kind="stable")[:, :KEPT]
        best += np.arange(parts)[:, None] * self.num_samples
        counts = np.isfinite(scores[best]).sum(axis=1)
        slices = [slice(i * best.shape[1], i * best.shape[1] + int(count)) for i, count in enumerate(counts)]
        kept = best.ravel()
        points = points[kept]
        likely = np.concatenate([points, model.known(random_rows, np.arange(sharers))])
        lies = Density(likely, good.bandwidths, good.levels)  # see above
        block = Block(
            points,
            np.concatenate([rows[kept], random_rows]),
            log_good[kept],
            log_bad[kept],
            lies,
            lambda: lies.log_kernels(points),
        )
        return Shared(chances, random_rows, block, slices)

    def _candidates(self, model: Model, rng: np.random.Generator, n: int) -> Array:
        """(n, d) points near good ones."""
        good, numbers = model.good, model.good.levels == 0
        points = good.data[rng.integers(len(good.data), size=n)]
        points[:, numbers] = truncated_normal(points[:, numbers], self.bandwidth_factor * good.bandwidths[numbers], rng)
        levels, h = good.levels[~numbers], good.bandwidths[~numbers]
        keep = rng.random((n, len(h))) < 1 - h
        drawn = rng.integers(levels, size=(n, len(h))) if len(h) else 0.0
        points[:, ~numbers] = np.where(keep, points[:, ~numbers], drawn)
        return points

    def _model(self, memory: Memory, context: Context) -> Model | None:
        """The model of the largest fidelity that can have one."""
        history = context.history
        told = (context.seed, [(fidelity, len(history.results(fidelity))) for fidelity in history.fidelities])
        if memory.told != told:
            memory.told, memory.model = told, self._latest(memory.model, context)
        return memory.model

    def _latest(self, known: Model | None, context: Context) -> Model | None:
        """The same, if the last one that was known may be another."""
        history, d = context.history, len(context.space.free)
        for fidelity in reversed(history.fidelities if d else []):
            results = history.results(fidelity)
            split = self.split(results.values, d)
            if split is None:
                continue
            key = (context.seed, fidelity, len(results))
            same = known is not None and (known.seed, known.fidelity, len(known.trials)) == key
            return known if same else self._fit(context, fidelity, *split)
        return None

    def split(self, y: Array, d: int) -> tuple[Indices, Indices] | None:
        """The indices of the good and of the bad among the values y (n,); None if that is too few for a model."""
        n = len(y)
        min_points = max(self.min_points or 0, d + 1)
        n_good = min(max(min_points, self.top_n_percent * n // 100), int(np.isfinite(y).sum()))
        n_bad = max(min_points, (100 - self.top_n_percent) * n // 100)
        if n < min_points or n_good <= d or min(n_bad, n - n_good) <= d:
            return None
        order = np.argsort(y, kind="stable")
        return order[:n_good], order[n_good : n_good + n_bad]

    def _fit(self, context: Context, fidelity: float, good: Indices, bad: Indices) -> Model:
        coordinates = Coordinates.of(context.space)
        levels, results = coordinates.levels, context.history.results(fidelity)
        points = coordinates.points(context.history.at(fidelity)[0])
        # Not the suggestion's own generator: the model is the same until there is one more result.
        rng = np.random.default_rng([context.seed, len(points), _bits(fidelity)])

        def density(chosen: Indices) -> Density:
            return Density.fit(impute(points[chosen], levels, rng), levels, self.min_bandwidth)

        trials = frozenset(results.trials)
        return Model(context.seed, fidelity, density(good), density(bad), trials, coordinates)

    @cached_property
    def _memo(self) -> Memo[Memory]:
        return Memo()


def _random(space: SearchSpace, rng: np.random.Generator) -> Array:
    row: Array = space.sample(rng, 1)[0]
    return row


def _scores(log_good: Array, log_bad: Array) -> Array:
    scores: Array = np.maximum(log_good, LOG_FLOOR) - np.maximum(log_bad, LOG_FLOOR)
    return scores


def _bits(fidelity: float) -> int:
    return int.from_bytes(struct.pack("<d", fidelity), "little")
