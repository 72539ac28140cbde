"""Differential evolution: children of three parents and a target, which the better one replaces (Storn and Price 1997).

As DEHB has it (Awad, Mallik and Hutter 2021, "DEHB: Evolutionary Hyperband for scalable, robust and efficient
hyperparameter optimization", section 4): DE/rand/1/bin in the unit cube, one population per fidelity. Differences from
the paper and its code, and why:

- There is no generation, so that no worker waits for one: a result replaces its target as soon as it arrives (the
  code's `immediate` strategy, the only one here).
- Promotion from rung to rung is the scheduler's. A promoted configuration competes at its new fidelity with the target
  that its trial has there. After its first round DEHB promotes no more, and evolves at every rung instead.
- A population is made of results, not of random points that wait for theirs. While it is short of members at the
  fidelity of a suggestion, the best of the lower fidelities stand in, as parents and as targets: DEHB's parent pool.
- All populations have the same size. DEHB's have as many members as the largest bracket has configurations at that
  fidelity (27, 9, 6 and 4 for 1 to 27), which a searcher does not know.
- A failed configuration is never a member. In DEHB it keeps its place until any other comes.
- An inactive parameter of a parent counts as uniform in [0, 1]; DEHB takes its default. With one value for all, their
  differences would vanish, and with them the variety of those parameters.
- With several metrics a population is the best of all results at its fidelity (`strategies.ranking`), as NSGA-II
  selects (Deb et al. 2002): between two results of which none is better, a duel would be a coin's toss.
- A child that is forbidden, or was tried already as happens to categories, gives way to another of the same target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from strategies.errors import InvalidInput
from strategies.history import Array, History, Results
from strategies.memo import Memo
from strategies.searchers.base import Context, Searcher
from strategies.searchers.pool import first_fresh, identities

PARENTS = 3  # of rand/1: r1 + F (r2 - r3)
CHILDREN = 8  # made for one suggestion: the first that is allowed and new is taken


@dataclass
class Population:
    """The members at one fidelity: a fold over the results there. Trial k's target is in place k modulo `size`."""

    size: int
    members: list[int] = field(default_factory=list)  # indices of results
    told: int = 0  # results folded in

    def update(self, results: Results) -> None:
        """Fold in what is new among all `results` at this fidelity."""
        finite = np.isfinite(results.values)
        for i in range(self.told, len(results)):
            if finite[i]:
                self._tell(i, results)
        self.told = len(results)

    def _tell(self, i: int, results: Results) -> None:
        place = results.trials[i] % self.size
        if len(self.members) < self.size:
            self.members.append(i)
        elif results.ranked([i, self.members[place]])[0] == i:  # ties let the population drift over plateaus
            self.members[place] = i


@dataclass(frozen=True)
class DE(Searcher):
    """Differential evolution. Until there are `population_size` results, configurations are random.

    mutation_factor: F, by how much the difference of two parents moves the third.
    crossover: CR, the chance that a parameter comes from the parents rather than from the target.
    population_size: members at each fidelity. Means of log10 of the regret after 60, 150 and 300 trials, seven
    functions (numbers, integers, categories, mixed), 8 seeds, noise about .1: 4 members .26, .07, .06; 6 members
    .13, -.40, -.72; 8 members .18, -.48, -1.30; 10 members .33, -.21, -1.21; 20 members .42, .12, -.27; random
    search .47, .32, .28.
    """

    name: ClassVar[str] = "de"

    mutation_factor: float = 0.5
    crossover: float = 0.5
    population_size: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.mutation_factor <= 2:
            raise InvalidInput(
                f"mutation_factor must be above 0 and at most 2; got mutation_factor={self.mutation_factor!r}"
            )
        if not 0 <= self.crossover <= 1:
            raise InvalidInput(f"crossover must be between 0 and 1; got crossover={self.crossover!r}")
        if not self.population_size > PARENTS:
            raise InvalidInput(
                f"population_size must be at least {PARENTS + 1}; got population_size={self.population_size!r}"
            )

    def suggest(self, context: Context) -> Array:
        space, history, rng = context.space, context.history, context.rng()
        members, rows = self.members(history, context.until), space.sample(rng, CHILDREN)
        if len(members) == self.population_size and len(space.free):
            children = np.full((CHILDREN, space.dim), np.nan)
            children[:, space.free] = self._children(history.X[members][:, space.free], context.number, rng)
            children = space.canonical(children)
            rows = np.concatenate([children[space.allowed(children)], rows])
        return first_fresh(rows, set(identities(history.X)))

    def members(self, history: History, fidelity: float) -> list[int]:
        """The trials that make up the population at `fidelity`, filled up with the best of the lower ones."""
        memory = self._memo.setdefault(history, {})
        members: list[int] = []
        for level in reversed([f for f in history.fidelities if f <= fidelity]):
            results = history.results(level)
            if history.objectives > 1:
                finite = int(np.isfinite(results.values).sum())
                chosen = np.argsort(results.values)[: min(finite, self.population_size)].tolist()
            else:
                population = memory.setdefault(level, Population(self.population_size))
                population.update(results)
                chosen = results.ranked(population.members) if level < fidelity else population.members
            trials = [results.trials[i] for i in chosen]
            fresh = [trial for trial in trials if trial not in members]
            members += fresh[: self.population_size - len(members)]
            if len(members) == self.population_size:
                break
        return members

    def _children(self, X: Array, number: int, rng: np.random.Generator) -> Array:
        """(CHILDREN, d) children of the members X (n, d) for the trial `number`."""
        n, d = X.shape
        X = np.where(np.isnan(X), rng.random(X.shape), X)
        place = number % n
        others = np.delete(np.arange(n), place)
        parents = X[others[np.argsort(rng.random((CHILDREN, n - 1)), axis=1)[:, :PARENTS]]]
        mutants = parents[:, 0] + self.mutation_factor * (parents[:, 1] - parents[:, 2])
        outside = (mutants < 0) | (mutants > 1)
        mutants = np.where(outside, rng.random(mutants.shape), mutants)
        crossed = rng.random((CHILDREN, d)) < self.crossover
        crossed[np.arange(CHILDREN), rng.integers(d, size=CHILDREN)] = True
        return np.where(crossed, mutants, X[place])

    @cached_property
    def _memo(self) -> Memo[dict[float, Population]]:
        """The populations of each history, by fidelity."""
        return Memo()
