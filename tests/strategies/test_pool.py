"""What suggestions share: lies that may be kept, and candidates that are taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from strategies.history import Array
from strategies.models.kde import Density
from strategies.models.parzen import Axis, Mixture
from strategies.searchers.pool import Block, Started, identities

pytestmark = pytest.mark.usefixtures("no_numpy_errors")


def density(numbers: int, categories: int) -> Density:
    d = numbers + categories
    levels = np.array([0] * numbers + [3] * categories)
    return Density(points(5, numbers, categories, seed=9), np.linspace(0.1, 0.4, d), levels)


def mixture(numbers: int, categories: int) -> Mixture:
    axes = [Axis()] * numbers + [Axis(np.arange(4) / 3, ordered=j % 2 == 0) for j in range(categories)]
    h = np.linspace(0.1, 0.4, len(axes))
    return Mixture(tuple(axes), points(5, numbers, categories, seed=9), h, 1.0, 0.2)


def points(n: int, numbers: int, categories: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.random((n, numbers)), rng.integers(3, size=(n, categories))])


@pytest.mark.parametrize("make", [density, mixture])
@pytest.mark.parametrize(("numbers", "categories"), [(1, 0), (2, 0), (9, 0), (30, 0), (0, 1), (0, 4), (3, 2)])
@pytest.mark.parametrize("m", [1, 2, 24, 100])
def test_a_kernel_has_the_same_bits_whatever_others_are_asked_for(
    make: Callable[[int, int], Density | Mixture], numbers: int, categories: int, m: int
) -> None:
    kernels = make(numbers, categories)
    Z, X = points(70, numbers, categories), points(m, numbers, categories, seed=1)
    if make is mixture and numbers + categories > 1:
        Z[::3, 0] = np.nan
        X[::4, -1] = np.nan
    together = kernels.log_kernels_around(Z, X)
    assert together.shape == (70, m)
    for part in (slice(0, 1), slice(69, 70), slice(0, 2), slice(3, 40), slice(1, 70, 7)):
        assert np.array_equal(kernels.log_kernels_around(Z[part], X), together[part])


@pytest.mark.parametrize("make", [density, mixture])
def test_kernels_around_other_points_are_those_of_an_estimate_from_them(
    make: Callable[[int, int], Density | Mixture],
) -> None:
    kernels, X = make(3, 2), points(40, 3, 2)
    np.testing.assert_allclose(
        kernels.log_kernels_around(points(5, 3, 2, seed=9), X), kernels.log_kernels(X), rtol=1e-9, atol=1e-9
    )


class Cards:
    """A block of 6 candidates and 2 others on a line, the last two candidates the same; 4 more points are unknown."""

    def __init__(self) -> None:
        self.kernels = density(1, 0)
        self.X = np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.5], [0.7], [0.8], [0.15], [0.25], [0.85], [0.95]])
        self.started = Started()
        self.started.update(self.X)
        own = Density(self.X[:8], self.kernels.bandwidths, self.kernels.levels)
        self.block = Block(
            self.X[:6], self.X[:8], np.zeros(6), np.zeros(6), self.kernels, lambda: own.log_kernels(self.X[:6])
        )

    def lies(self, trials: list[int]) -> list[int]:
        return self.block.lies_about(trials, self.started, lambda some: self.X[some])


def test_the_mean_of_lies() -> None:
    h = float(density(1, 0).bandwidths[0])
    for order in ([2, 7, 9], [9, 2, 7], [10]):
        cards = Cards()
        expected = np.mean([np.exp(-0.5 * ((cards.X[:6, 0] - cards.X[i, 0]) / h) ** 2) for i in order], axis=0)
        logs = cards.block.log_mean(cards.lies(order))
        np.testing.assert_allclose(logs, np.log(expected / h / np.sqrt(2 * np.pi)), rtol=1e-9)
        np.testing.assert_array_equal(cards.block.log_mean(cards.lies(order), slice(2, 4)), logs[2:4])


def test_lies_do_not_depend_on_what_was_asked_before() -> None:
    one_by_one, at_once = Cards(), Cards()
    for n in range(1, 12):
        logs = one_by_one.block.log_mean(one_by_one.lies([*range(11, 11 - n, -1)]))
    assert np.array_equal(at_once.block.log_mean(at_once.lies([*range(11, 0, -1)])), logs)


def test_candidates_that_run_are_passed_over() -> None:
    cards = Cards()
    for running, found in (([8], 0.5), ([4], 0.4), ([5, 3], 0.3), ([9, 0, 1, 2, 3, 4], None)):
        row = cards.block.first_but(cards.lies(running), [5, 4, 3, 2, 1, 0])
        assert (row is None) if found is None else (row is not None and row[0] == found)


def test_candidates_that_were_tried_are_passed_over() -> None:
    cards = Cards()
    row = cards.block.first_fresh([5, 4, 3], set(identities(cards.X[[5]])))
    assert row is not None
    assert row[0] == 0.4


def test_identities() -> None:
    rows = np.array([[0.1, np.nan], [0.1 + 1e-9, np.nan], [0.1 + 1e-5, np.nan], [0.1, 0.0]])
    first, *others = identities(rows)
    assert [other == first for other in others] == [True, False, False]
    started = Started()
    started.update(rows[:1])
    started.update(rows)
    assert started.identities == identities(rows)
    assert started.seen == set(identities(rows))
