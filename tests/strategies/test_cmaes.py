"""What CMA-ES must do: as the package does by itself, and what the package knows nothing of."""

from __future__ import annotations

import copy
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from strategies.actions import Failed, Reached
from strategies.domains import Space, choice, lograndint, loguniform, ordinal, randint, uniform
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.searchers.base import Context, Searcher
from strategies.searchers.cmaes import CMAES, Evolution, Layout
from strategies.searchers.frame import Frame
from strategies.searchers.pool import identities
from strategies.searchers.random import Random
from strategies.space import SearchSpace
from strategies.space_builder import as_space

from tests.strategies.histories import record

pytest.importorskip("cmaes")

LINE = as_space({"x": uniform(0, 1)})
CUBE = as_space({f"x{i}": uniform(0, 1) for i in range(4)})
MIXED = as_space(
    {
        "c": choice(list("abc")),
        "x": uniform(-2, 5),
        "k": randint(0, 7),
        "size": ordinal([8, 16, 64]),
        "flag": choice([True, False]),
        "two": randint(1, 3),
        "log": lograndint(1, 40),
        "many": randint(0, 5000),
        "lr": loguniform(1e-4, 1),
    }
)
CONDITIONAL = as_space(
    {
        "kind": choice(["deep", "wide"]),
        "depth": randint(1, 9).when(kind="deep"),
        "width": uniform(0, 1).when(kind="wide"),
        "tail": choice(list("abc")).when("width > 0.5"),
        "lr": loguniform(1e-4, 1),
    }
)
CATEGORIES = as_space({"a": choice(list("abc")), "b": choice(range(7)), "fixed": 3})
SPACES = pytest.mark.parametrize(
    "space", [LINE, MIXED, CONDITIONAL, CATEGORIES], ids=["line", "mixed", "conditional", "categories"]
)


@pytest.fixture(autouse=True)
def no_numpy_errors() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(divide="raise", invalid="raise", over="raise"):
        warnings.simplefilter("error")
        yield


def suggest(searcher: Searcher, space: SearchSpace, history: History, seed: int = 0) -> Array:
    row = searcher.suggest(Context(space, history, seed, 1.0))
    assert np.array_equal(space.canonical(row[None])[0], row, equal_nan=True)
    assert space.allowed(row[None])[0]
    return row


def layout_of(space: SearchSpace) -> Layout:
    return Layout(Frame.of(space))


def sphere(u: Array) -> float:
    return float(((u - 0.45) ** 2).sum())


def rosenbrock(u: Array) -> float:
    x = 6 * u - 2.3
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


# --- the package by itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [sphere, rosenbrock])
def test_as_the_package_by_itself(objective: Callable[[Array], float]) -> None:
    """The package's own loop with the same draws: the same proposals, and the same state after 25 generations.

    It is told values, not ranks, and what it drew, not what a history has. With this seed no draw is at a bound.
    """
    from cmaes import CatCMAwM

    seed, searcher, history = 4, CMAES(), History(4)
    package = CatCMAwM(x_space=[[0.0, 1.0]] * 4, cov=np.eye(4) / 36)
    for generation in range(25):
        solutions = []
        for _ in range(package.population_size):
            package.reseed_rng(int(np.random.default_rng([seed, len(history)]).integers(2**32)))
            solution = package.ask()
            assert solution.x is not None and ((solution.x > 0) & (solution.x < 1)).all(), "a draw at a bound"
            row = suggest(searcher, CUBE, history, seed)
            np.testing.assert_allclose(row, solution.x, rtol=0, atol=1e-9)
            solutions.append((solution, objective(solution.x)))
            record(history, row[None], [objective(row)])
        package.tell(solutions)
        assert package.generation == generation + 1
    evolution = Evolution(layout_of(CUBE), seed)
    evolution.update(history.X, history.results(1.0))
    ours = evolution.optimizer
    assert (ours.generation, evolution.restarts) == (25, 0)
    np.testing.assert_allclose(ours._mean, package._mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours._sigma, package._sigma, rtol=1e-6)
    np.testing.assert_allclose(ours._C, package._C, rtol=1e-5, atol=1e-9 * np.abs(package._C).max())


@pytest.mark.parametrize("workers", [1, 8])
def test_beats_random_search(workers: int) -> None:
    """Wilcoxon's signed-rank test over 25 seeds, on the best of 100 trials; were CMA-ES no better than random search,
    it would pass with a chance of at most 1e-6."""
    from scipy.stats import wilcoxon

    def value(u: Array) -> float:
        return float((u[0] > 0.34) + (u[1] - 0.3) ** 2 + (u[2] - 0.5) ** 2 + (u[8] - 0.7) ** 2)

    def best(searcher: Searcher, seed: int) -> float:
        history = History(MIXED.dim)
        while len(history) < 100:
            history.start(suggest(searcher, MIXED, history, seed), 1.0)
            if len(history.pending) == workers:
                trial = list(history.pending)[seed % workers]
                history.apply(Reached(trial, 1.0, value(history.X[trial])))
        return float(history.results(1.0).values.min())

    gain = [best(CMAES(), seed) - best(Random(), seed) for seed in range(25)]
    assert wilcoxon(gain, alternative="less").pvalue < 1e-6


# --- rows and solutions ----------------------------------------------------------------------------------


def test_where_the_package_has_each_parameter() -> None:
    optimizer = layout_of(MIXED).optimizer()
    optimizer.reseed_rng(0)
    assert (optimizer.n_continuous, optimizer.n_integer, optimizer.n_categorical) == (3, 3, 3)
    # All start in the middle: of 39 log-scaled integers that is the geometric one.
    decoded = [MIXED.decode(layout_of(MIXED).row(optimizer.ask())) for _ in range(300)]
    assert {config["size"] for config in decoded} == {8, 16, 64}
    assert {config["c"] for config in decoded} == {"a", "b", "c"}
    assert 3 < np.median([config["log"] for config in decoded]) < 10
    assert 2000 < np.median([config["many"] for config in decoded]) < 3000


@SPACES
def test_rows_survive_as_solutions(space: SearchSpace) -> None:
    layout = layout_of(space)
    filler = layout.optimizer().ask()
    for row in space.sample(np.random.default_rng(0), 100):
        assert np.array_equal(layout.row(layout.solution(row, filler)), row, equal_nan=True)


def test_solutions_survive_as_rows() -> None:
    layout = layout_of(MIXED)
    optimizer = layout.optimizer()
    optimizer.reseed_rng(0)
    for _ in range(100):
        solution = optimizer.ask()
        told = layout.solution(layout.row(solution), solution)
        np.testing.assert_array_equal(told.z, solution.z)
        np.testing.assert_array_equal(told.c, solution.c)
        # `many` has 5,000 values and counts as a number.
        np.testing.assert_allclose(told.x, solution.x, rtol=0, atol=1 / 5000)


def test_inactive_parameters_take_the_fillers() -> None:
    layout = layout_of(CONDITIONAL)
    deep = CONDITIONAL.canonical(np.array([[0.25, 0.5, np.nan, np.nan, 0.9]]))[0]
    other = CONDITIONAL.canonical(np.array([[0.75, np.nan, 0.8, 0.2, 0.1]]))[0]
    filler = layout.solution(other, layout.optimizer().ask())
    told = layout.solution(deep, filler)
    np.testing.assert_allclose(told.x, [0.8, 0.9], rtol=0, atol=1e-9)  # width is the filler's, lr its own
    np.testing.assert_array_equal(told.c, [[True, False, False], [True, False, False]])  # kind, and the filler's tail


# --- which results, and in which order -------------------------------------------------------------------


def told(space: SearchSpace, history: History, fidelity: float = 1.0) -> Evolution:
    evolution = Evolution(layout_of(space), 0)
    evolution.update(history.X, history.results(fidelity))
    return evolution


def test_blocks_in_order_of_arrival() -> None:
    """Eight trials arrive backwards: they are one block, whatever their numbers; a ninth waits."""
    rows = CUBE.sample(np.random.default_rng(0), 9)
    values = [sphere(row) for row in rows]
    forward, backward = History(4), History(4)
    for history, order in ((forward, range(8)), (backward, range(7, -1, -1))):
        for row in rows:
            history.start(row, 1.0)
        for trial in order:
            history.apply(Reached(trial, 1.0, values[trial]))
    expected = told(CUBE, forward).optimizer
    assert expected.generation == 1
    np.testing.assert_allclose(told(CUBE, backward).optimizer._mean, expected._mean, rtol=0, atol=1e-12)
    forward.apply(Reached(8, 1.0, values[8]))
    assert told(CUBE, forward).optimizer.generation == 1


def test_failures_rank_last() -> None:
    rows = CUBE.sample(np.random.default_rng(0), 16)
    values = np.array([sphere(row) for row in rows])
    worst = np.argsort(values[:8])[-3:]
    failed = values.copy()
    failed[worst] = np.inf
    # The three fail in this order: ties go to the earlier.
    late = values.copy()
    late[np.sort(worst)] = [7.0, 8.0, 9.0]
    expected = suggest(CMAES(), CUBE, record(History(4), rows, late))
    assert np.array_equal(suggest(CMAES(), CUBE, record(History(4), rows, failed)), expected)


def test_the_highest_fidelity_with_a_population() -> None:
    rows = CUBE.sample(np.random.default_rng(0), 40)
    low = record(History(4), rows, [sphere(row) for row in rows])
    high = copy.deepcopy(low)
    for trial in range(7):
        high.apply(Reached(trial, 9.0, float(trial)))
    assert np.array_equal(suggest(CMAES(), CUBE, high), suggest(CMAES(), CUBE, low)), "seven are too few"
    high.apply(Failed(7, 9.0))
    assert not np.array_equal(suggest(CMAES(), CUBE, high), suggest(CMAES(), CUBE, low))
    assert told(CUBE, high, 9.0).optimizer.generation == 1


# --- restarts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "size"), [(1.0, 16), (math.inf, 8)], ids=["plateau", "failures"])
def test_a_block_of_equals_starts_anew(value: float, size: int) -> None:
    rows = CUBE.sample(np.random.default_rng(0), 12)
    history = History(4)
    for row in rows:
        history.start(row, 1.0)
    for trial in (*range(7), 9):
        history.apply(Reached(trial, 1.0, value))
    evolution = told(CUBE, history)
    assert (evolution.restarts, evolution.optimizer.population_size, evolution.optimizer.generation) == (1, size, 0)
    assert not np.allclose(evolution.optimizer._mean, 0.5)
    # Trials 7 and 8 were proposed before; what comes from 10 on was not.
    for trial in (7, 8, 10, 11):
        history.apply(Reached(trial, 1.0, float(trial)))
    more = CUBE.sample(np.random.default_rng(1), size)
    for count, row in enumerate(more[: size - 2]):
        assert told(CUBE, history).optimizer.generation == 0, count
        record(history, row[None], [sphere(row)])
    assert told(CUBE, history).optimizer.generation == 1


def test_restarts_when_converged() -> None:
    """A sphere in one dimension: found to the last digit, then searched anew with a larger population."""
    history, searcher = History(1), CMAES()
    for _ in range(600):
        row = suggest(searcher, LINE, history)
        record(history, row[None], [sphere(row)])
    evolution = told(LINE, history)
    assert evolution.restarts >= 1
    assert evolution.optimizer.population_size == 4 * 2**evolution.restarts
    assert history.results(1.0).values.min() < 1e-15
    assert np.ptp(history.X[-100:]) > 1e-3


# --- spaces ----------------------------------------------------------------------------------------------


@SPACES
@pytest.mark.parametrize("value", [0.0, math.inf, None], ids=["constant", "failed", "varied"])
def test_suggests_whatever_the_results(space: SearchSpace, value: float | None) -> None:
    history, searcher = History(space.dim), CMAES()
    for i in range(80):
        row = suggest(searcher, space, history)
        record(history, row[None], [value if value is not None else (math.inf, 1.0, 2.0)[i % 3]])


def test_new_ones_as_long_as_there_are_any() -> None:
    history, searcher = History(CATEGORIES.dim), CMAES()
    for k in range(21):
        row = suggest(searcher, CATEGORIES, history)
        if k % 3:
            record(history, row[None], [float(row[0] + row[1])])
        else:
            history.start(row, 1.0)
    assert len(set(identities(history.X))) == 21
    suggest(searcher, CATEGORIES, history)


def test_learns_below_a_condition() -> None:
    history, searcher = History(CONDITIONAL.dim), CMAES()
    for _ in range(150):
        row = suggest(searcher, CONDITIONAL, history)
        record(history, row[None], [2.0 if np.isnan(row[2]) else float(abs(row[2] - 0.25))])
    late = history.X[-30:, 2]
    assert (~np.isnan(late)).mean() > 0.7
    assert abs(np.nanmedian(late) - 0.25) < 0.1


def test_forbidden_draws_give_way() -> None:
    space = as_space(Space({"x": uniform(0, 1), "y": uniform(0, 1)}, forbidden=["x < 0.5"]))
    rows = np.random.default_rng(0).random((60, 2)) * [0.01, 1] + [0.1, 0]  # results from before the clause
    history = record(History(2), rows, rows[:, 0])
    assert min(suggest(CMAES(), space, history, seed)[0] for seed in range(20)) >= 0.5


# --- determinism and the package -------------------------------------------------------------------------


@pytest.mark.parametrize("space", [MIXED, CONDITIONAL], ids=["mixed", "conditional"])
def test_what_was_asked_before_does_not_matter(space: SearchSpace) -> None:
    """One instance that sees every history as it grows, one shared by two histories, fresh ones; some trials run."""
    old, shared, histories = CMAES(), CMAES(), [History(space.dim), History(space.dim)]
    rows = space.sample(np.random.default_rng(0), 60)
    for i, row in enumerate(rows):
        fidelity = (1.0, 3.0)[min(i // 30, 1)]
        for history, factor in zip(histories, (7, 5), strict=True):
            history.start(row, fidelity)
            if i % 4:
                history.apply(Reached(i, fidelity, float((i * factor) % 11) if i > 20 else 1.0))
        for seed in (1, 2):
            expected = [suggest(CMAES(), space, history, seed) for history in histories]
            assert np.array_equal(suggest(old, space, histories[0], seed), expected[0], equal_nan=True)
            for history, answer in zip(histories, expected, strict=True):
                assert np.array_equal(suggest(shared, space, history, seed), answer, equal_nan=True)


def test_copies_and_pickles_without_its_cache() -> None:
    searcher, history = CMAES(), record(History(4), CUBE.sample(np.random.default_rng(0), 30), np.arange(30))
    expected = suggest(searcher, CUBE, history)
    for twin in (copy.deepcopy(searcher), pickle.loads(pickle.dumps(searcher))):
        assert twin == searcher
        assert np.array_equal(suggest(twin, CUBE, history), expected)
    assert len(pickle.dumps(searcher)) < 1000
    del history
    assert len(searcher._memo) == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(InvalidInput, match=r'searcher "cmaes" needs a package .* pip install "ray-hpo\[cmaes\]"'):
        CMAES().check(CUBE)
