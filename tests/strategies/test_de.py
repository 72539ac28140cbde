"""What differential evolution must do: its populations by hand, its children by the formula."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from strategies.actions import Failed, Reached
from strategies.domains import Space, choice, loguniform, randint, uniform
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.searchers.base import Context, Searcher
from strategies.searchers.de import DE
from strategies.searchers.random import Random
from strategies.space import SearchSpace
from strategies.space_builder import as_space

from tests.strategies.histories import record

LINE = as_space({"x": uniform(0, 1)})
CUBE = as_space({f"x{i}": uniform(0, 1) for i in range(5)})
CONDITIONAL = as_space(
    {
        "kind": choice(["deep", "wide"]),
        "depth": randint(1, 9).when(kind="deep"),
        "width": uniform(0, 1).when(kind="wide"),
        "lr": loguniform(1e-4, 1),
    }
)
CATEGORIES = as_space({"a": choice(list("abc")), "b": choice(range(7)), "fixed": 3})


def suggest(searcher: Searcher, space: SearchSpace, history: History, seed: int = 0, until: float = 1.0) -> Array:
    row = searcher.suggest(Context(space, history, seed, until))
    assert np.array_equal(space.canonical(row[None])[0], row, equal_nan=True)
    assert space.allowed(row[None])[0]
    return row


def history_of(*results: tuple[float, list[tuple[int, float]]]) -> History:
    """Results (trial, value) at each fidelity, of twenty trials."""
    history = History(1)
    for row in np.linspace(0, 1, 20)[:, None]:
        history.start(row, 1.0)
    for fidelity, pairs in results:
        for trial, value in pairs:
            history.apply(Reached(trial, fidelity, value))
    return history


# --- populations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "members"),
    [
        ([(3, 5.0), (1, 6.0)], [3, 1]),  # members come in the order of their arrival
        ([(3, 5.0), (1, 6.0), (0, 7.0), (2, 8.0)], [3, 1, 0, 2]),
        ([(3, 5.0), (1, 6.0), (0, 7.0), (2, 8.0), (5, 5.9)], [3, 5, 0, 2]),  # 5 mod 4: the place of trial 1
        ([(3, 5.0), (1, 6.0), (0, 7.0), (2, 8.0), (5, 6.1)], [3, 1, 0, 2]),  # worse than its target
        ([(3, 5.0), (1, 6.0), (0, 7.0), (2, 8.0), (5, 6.0)], [3, 5, 0, 2]),  # as good
        ([(3, 5.0), (1, 6.0), (0, 7.0), (2, 8.0), (5, 5.9), (9, 5.8), (4, 9.0)], [3, 9, 0, 2]),
        ([(3, math.inf), (1, 6.0), (0, 7.0), (2, 8.0), (5, 9.0)], [1, 0, 2, 5]),  # a failure is none
        ([(3, 5.0), (1, 6.0), (0, 7.0), (2, 8.0), (5, math.inf)], [3, 1, 0, 2]),
    ],
)
def test_a_better_trial_takes_its_targets_place(results: list[tuple[int, float]], members: list[int]) -> None:
    history = history_of((1.0, results))
    assert DE(population_size=4).members(history, 1.0) == members
    grown, old = history_of(), DE(population_size=4)
    for trial, value in results:
        grown.apply(Reached(trial, 1.0, value))
        old.members(grown, 1.0)
    assert old.members(grown, 1.0) == members


def test_the_best_of_lower_fidelities_fill_up() -> None:
    low = [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    history = history_of((1.0, low), (3.0, [(2, 9.0), (1, 8.0)]), (9.0, [(1, 7.0)]))
    searcher = DE(population_size=4)
    assert searcher.members(history, 1.0) == [0, 1, 2, 3]
    assert searcher.members(history, 3.0) == [2, 1, 3, 0]  # its own in order of arrival, then the best below
    assert searcher.members(history, 9.0) == [1, 2, 3, 0]
    assert searcher.members(history, 27.0) == [1, 2, 3, 0]
    assert searcher.members(history, 0.5) == []


def test_failures_at_a_higher_fidelity_are_no_members_there() -> None:
    history = history_of((1.0, [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]))
    history.apply(Failed(3, 3.0))
    assert DE(population_size=4).members(history, 3.0) == [3, 2, 1, 0]  # below it has a result


def test_random_until_the_population_is_full() -> None:
    history = History(5)
    for k in range(20):
        row, expected = suggest(DE(), CUBE, history), suggest(Random(), CUBE, history)
        assert np.array_equal(row, expected) == (k < 8)
        record(history, row[None], [float(k)])


# --- children --------------------------------------------------------------------------------------------


def inner_history(n: int, seed: int = 0) -> History:
    """Members from which no mutant leaves the unit cube."""
    rows = CUBE.canonical(0.4 + 0.2 * np.random.default_rng(seed).random((n, 5)))
    return record(History(5), rows, np.arange(n))


@pytest.mark.parametrize("factor", [0.5, 0.9])
def test_a_child_is_rand_1_bin(factor: float) -> None:
    """Each parameter is the target's or r1 + F (r2 - r3)'s, with the same three other members for all of them."""
    history = inner_history(8)
    X, target = history.X, history.X[len(history) % 8]
    mutants = [
        X[a] + factor * (X[b] - X[c])
        for a, b, c in itertools.permutations([i for i in range(8) if i != len(history) % 8], 3)
    ]
    crossed = []
    for seed in range(100):
        child = suggest(DE(mutation_factor=factor), CUBE, history, seed)
        kept = child == target
        assert any(np.allclose(child[~kept], mutant[~kept], rtol=0, atol=1e-9) for mutant in mutants)
        crossed.append((~kept).sum())
    assert min(crossed) >= 1
    # One of five for certain, the others with chance 1/2: 3 on average, with a standard error of 0.1.
    assert 2.5 < np.mean(crossed) < 3.5


@pytest.mark.parametrize(("crossover", "count"), [(0.0, 1), (1.0, 5)])
def test_the_extremes_of_crossover(crossover: float, count: int) -> None:
    history = inner_history(8)
    target = history.X[0]
    for seed in range(20):
        assert (suggest(DE(crossover=crossover), CUBE, history, seed) != target).sum() == count


def test_targets_go_round() -> None:
    history = inner_history(8)
    for k in range(8, 24):
        row = suggest(DE(crossover=0.0), CUBE, history)
        assert [(row != member).sum() for member in history.X[:8]].index(1) == k % 8
        history.start(row, 1.0)


def test_a_mutant_outside_is_drawn_anew() -> None:
    """Between the corners half of the mutants' coordinates leave the cube; none may end on its faces."""
    rows = np.random.default_rng(0).choice([0.02, 0.98], size=(8, 5))
    history = record(History(5), CUBE.canonical(rows), np.arange(8))
    found = np.array([suggest(DE(crossover=1.0), CUBE, history, seed) for seed in range(200)])
    assert ((found > 0) & (found < 1)).all()
    new = found[(found > 0.1) & (found < 0.9) & (np.abs(found - 0.5) > 0.05)]
    assert len(np.unique(new)) == len(new) > 100


def test_inactive_parameters_of_parents_vary() -> None:
    """The wide ones have one width, and the deep ones none that counts: those of their children differ all the same."""
    rows = np.array([[0.25 + i % 2 / 2, (i + 0.5) / 8, 0.5, i / 10] for i in range(8)])
    history = record(History(4), CONDITIONAL.canonical(rows), np.arange(8))
    widths = [suggest(DE(), CONDITIONAL, history, seed)[2] for seed in range(200)]
    assert len({width for width in widths if not np.isnan(width)}) > 20


def test_new_ones_as_long_as_there_are_any() -> None:
    history, searcher = History(CATEGORIES.dim), DE()
    for k in range(21):
        row = suggest(searcher, CATEGORIES, history)
        if k % 3:
            record(history, row[None], [float(row[0] + row[1])])
        else:
            history.start(row, 1.0)
    assert len(np.unique(history.X, axis=0)) > 17
    suggest(searcher, CATEGORIES, history)


def test_forbidden_children_give_way() -> None:
    space = as_space(Space({"x": uniform(0, 1), "y": uniform(0, 1)}, forbidden=["x < 0.5"]))
    rows = np.random.default_rng(0).random((20, 2)) * [0.01, 1] + [0.1, 0]  # results from before the clause
    history = record(History(2), rows, rows[:, 0])
    assert min(suggest(DE(), space, history, seed)[0] for seed in range(20)) >= 0.5


# --- what it is worth ------------------------------------------------------------------------------------


def test_beats_random_search() -> None:
    """Wilcoxon's signed-rank test over 25 seeds, on the best of 120 trials; were DE no better than random search, it
    would pass with a chance of at most 1e-6."""
    from scipy.stats import wilcoxon

    objectives: list[Callable[[Array], float]] = [
        lambda u: float(((u - 0.3) ** 2).sum()),
        lambda u: float(np.abs(u - [0.1, 0.3, 0.5, 0.7, 0.9]).sum()),
    ]

    def best(searcher: Searcher, objective: Callable[[Array], float], seed: int) -> float:
        history = History(5)
        for _ in range(120):
            row = suggest(searcher, CUBE, history, seed)
            record(history, row[None], [objective(row)])
        return float(history.results(1.0).values.min())

    for objective in objectives:
        gain = [best(DE(), objective, seed) - best(Random(), objective, seed) for seed in range(25)]
        assert wilcoxon(gain, alternative="less").pvalue < 1e-6


# --- determinism and settings ----------------------------------------------------------------------------


def test_what_was_asked_before_does_not_matter() -> None:
    """One instance sees two histories grow, at several fidelities; fresh ones see them once."""
    shared, histories = DE(), [History(CONDITIONAL.dim), History(CONDITIONAL.dim)]
    rows = CONDITIONAL.sample(np.random.default_rng(0), 40)
    for i, row in enumerate(rows):
        for history, factor in zip(histories, (7, 5), strict=True):
            history.start(row, 1.0)
            if i % 4:
                history.apply(Reached(i, 1.0, float((i * factor) % 11)))
            if i % 8 == 3:
                history.apply(Reached(i, 3.0, float((i * factor) % 13)))
        for until in (1.0, 3.0, 9.0):
            for history in histories:
                expected = suggest(DE(), CONDITIONAL, history, 1, until)
                assert np.array_equal(suggest(shared, CONDITIONAL, history, 1, until), expected, equal_nan=True)


def test_copies_and_pickles_without_its_cache() -> None:
    searcher, history = DE(), inner_history(30)
    expected = suggest(searcher, CUBE, history)
    for twin in (copy.deepcopy(searcher), pickle.loads(pickle.dumps(searcher))):
        assert twin == searcher
        assert np.array_equal(suggest(twin, CUBE, history), expected)
    assert len(pickle.dumps(searcher)) < 1000
    del history
    assert len(searcher._memo) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mutation_factor": 0}, "mutation_factor must be above 0 and at most 2; got mutation_factor=0"),
        ({"mutation_factor": math.nan}, "mutation_factor must be above 0"),
        ({"crossover": 1.5}, "crossover must be between 0 and 1; got crossover=1.5"),
        ({"population_size": 3}, "population_size must be at least 4; got population_size=3"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        DE(**settings)  # type: ignore[arg-type]
