"""Sobol and grid: sequences fixed by the space and the seed."""

import math

import numpy as np
import pytest
from scipy.stats import qmc

from strategies.domains import (
    Space,
    choice,
    lograndint,
    loguniform,
    ordinal,
    qloguniform,
    quniform,
    randint,
    uniform,
)
from strategies.errors import InvalidInput
from strategies.history import Array, History
from strategies.searchers import sobol as sobol_module
from strategies.searchers.base import Context, Searcher
from strategies.searchers.grid import Grid
from strategies.searchers.sobol import Sobol
from strategies.space import SearchSpace
from strategies.space_builder import as_space

CUBE = as_space({"x": uniform(0, 1), "fixed": 7, "y": uniform(0, 1), "z": uniform(0, 1)})


def suggest(searcher: Searcher, space: SearchSpace, number: int, seed: int = 0) -> Array:
    history = History(space.dim)
    filler = space.sample(np.random.default_rng(0), 1)[0]
    for _ in range(number):
        history.start(filler, 1.0)
    row = searcher.suggest(Context(space, history, seed, 1.0))
    assert np.array_equal(space.canonical(row[None, :])[0], row, equal_nan=True)
    assert space.allowed(row[None, :])[0]
    return row


def configs(space: SearchSpace, points: int = 5) -> list[dict[str, object]]:
    grid = Grid(points)
    return [space.decode(suggest(grid, space, k)) for k in range(grid.size(space))]


# --- sobol ----------------------------------------------------------------------------------------------


def test_sobol_is_one_scrambled_sequence_over_the_free_columns() -> None:
    sequence = qmc.Sobol(3, scramble=True, seed=np.random.default_rng(5)).random(1024)
    for k in (0, 1, 255, 256, 700, 1023):
        np.testing.assert_allclose(suggest(Sobol(), CUBE, k, seed=5)[CUBE.free], sequence[k], atol=1e-12)


def test_sobol_covers_better_than_chance() -> None:
    points = np.stack([suggest(Sobol(), CUBE, k) for k in range(128)])[:, CUBE.free]
    random = np.random.default_rng(0).random((128, 3))
    assert qmc.discrepancy(points) < 0.3 * qmc.discrepancy(random)


def test_sobol_does_not_depend_on_order_or_cache() -> None:
    numbers = [600, 3, 300, 3, 600]
    first = [suggest(Sobol(), CUBE, k) for k in numbers]
    sobol_module._block.cache_clear()
    again = [suggest(Sobol(), CUBE, k) for k in reversed(numbers)]
    np.testing.assert_array_equal(first, again[::-1])
    assert not np.array_equal(suggest(Sobol(), CUBE, 3, seed=1), first[1])


def test_sobol_steps_aside_where_forbidden() -> None:
    space = as_space(Space({"x": uniform(0, 1), "y": uniform(0, 1)}, forbidden=["x > 0.5"]))
    plain = as_space({"x": uniform(0, 1), "y": uniform(0, 1)})
    for k in range(40):
        row, point = suggest(Sobol(), space, k), suggest(Sobol(), plain, k)
        if point[0] <= 0.5:
            np.testing.assert_array_equal(row, point)
        else:
            np.testing.assert_array_equal(row, space.sample(np.random.default_rng([0, k]), 1)[0])


def test_sobol_in_odd_spaces() -> None:
    conditional = as_space({"c": choice(list("ab")), "x": uniform(0, 1).when(c="a")})
    rows = np.stack([suggest(Sobol(), conditional, k) for k in range(32)])
    assert np.isnan(rows[:, 1]).sum() == 16
    assert as_space({"only": 1}).decode(suggest(Sobol(), as_space({"only": 1}), 5)) == {"only": 1}


# --- grid -----------------------------------------------------------------------------------------------


def test_grid_values_and_order() -> None:
    space = as_space({"lr": loguniform(1e-4, 1e-2), "fixed": 7, "c": choice(["b", "a"])})
    found = configs(space, points=3)
    assert [c["c"] for c in found] == ["b", "a"] * 3, "the last parameter varies fastest"
    assert [c["lr"] for c in found[::2]] == pytest.approx([1e-4, 1e-3, 1e-2])
    assert all(c["fixed"] == 7 for c in found)


@pytest.mark.parametrize(
    ("domain", "points", "values"),
    [
        (uniform(-1, 1), 5, [-1, -0.5, 0, 0.5, 1]),
        (uniform(-1, 1), 2, [-1, 1]),
        (loguniform(1, 16), 5, [1, 2, 4, 8, 16]),
        (randint(0, 5), 5, [0, 1, 2, 3, 4]),
        (randint(0, 4), 5, [0, 1, 2, 3]),
        (randint(0, 101), 5, [0, 25, 50, 75, 100]),
        (randint(0, 10), 4, [0, 3, 6, 9]),
        (lograndint(1, 5), 5, [1, 2, 3, 4]),
        (lograndint(1, 1025), 3, [1, 23, 1024]),  # 23: the middle of 0.5 to 1024.5
        (quniform(0, 1, 0.25), 5, [0, 0.25, 0.5, 0.75, 1]),
        (quniform(0, 1, 0.1), 3, [0, 0.5, 1]),
        (qloguniform(0.5, 2, 0.5), 5, [0.5, 1, 1.5, 2]),
        (choice(list("abcdefg")), 2, list("abcdefg")),
        (ordinal([1, 10, 2, 5]), 2, [1, 10, 2, 5]),
    ],
    ids=str,
)
def test_grid_takes_these_values(domain: object, points: int, values: list[object]) -> None:
    found = [c["p"] for c in configs(as_space({"p": domain}), points)]
    assert found == (values if isinstance(values[0], str) else pytest.approx(values))


def test_grid_collapses_inactive_combinations() -> None:
    space = as_space(
        {
            "deep": choice([True, False]),
            "depth": randint(1, 4).when(deep=True),
            "mark": Space({"m": 1}).parameters["m"],
            "x": uniform(0, 1).when("depth >= 2"),
        }
    )
    found = configs(space, points=3)
    # depth 1 | depth 2 and 3 with three x each | not deep
    assert len(found) == 1 + 2 * 3 + 1
    assert len({tuple(sorted(c.items())) for c in found}) == len(found)
    assert found[0] == {"deep": True, "depth": 1, "mark": 1}
    assert found[-1] == {"deep": False, "mark": 1}


def test_grid_leaves_out_forbidden_rows() -> None:
    space = as_space(Space({"a": choice(list("xyz")), "b": choice(list("xyz"))}, forbidden=["a == x and b == y"]))
    found = [(c["a"], c["b"]) for c in configs(space)]
    assert found == [(a, b) for a in "xyz" for b in "xyz" if (a, b) != ("x", "y")]


def test_grid_wraps_around() -> None:
    space = as_space({"a": choice(list("xyz"))})
    assert Grid().size(space) == 3
    np.testing.assert_array_equal(suggest(Grid(), space, 4), suggest(Grid(), space, 1))


def test_grid_ignores_the_seed() -> None:
    np.testing.assert_array_equal(suggest(Grid(), CUBE, 17, seed=1), suggest(Grid(), CUBE, 17, seed=2))


def test_grid_of_one_row_and_of_many_constants() -> None:
    assert Grid().size(as_space({"only": 1})) == 1
    constants = {f"c{i}": i for i in range(80)}
    assert Grid().size(as_space({**constants, "x": uniform(0, 1), "c": choice(list("ab"))})) == 10


def test_grid_says_when_it_is_too_large() -> None:
    space = as_space({f"x{i}": uniform(0, 1) for i in range(30)})
    with pytest.raises(InvalidInput, match=r"points=5: the grid has 5 x 5 .* take fewer points"):
        Grid().size(space)
    assert Grid(2).size(as_space({f"x{i}": uniform(0, 1) for i in range(18)})) == 2**18


def test_grid_says_when_nothing_is_allowed() -> None:
    space = as_space(Space({"x": uniform(0, 1)}, forbidden=["x < 0.1", "x > 0.9"]))
    with pytest.raises(InvalidInput, match="take more points"):
        Grid(2).size(space)
    assert Grid(3).size(space) == 1


@pytest.mark.parametrize("points", [1, 0, -3])
def test_grid_checks_its_points(points: int) -> None:
    with pytest.raises(InvalidInput, match=f"points must be at least 2.*got points={points}"):
        Grid(points)


def test_a_row_can_be_changed_without_harm() -> None:
    row = suggest(Grid(), CUBE, 0)
    row[:] = math.nan
    assert not np.isnan(suggest(Grid(), CUBE, 0)).any()
