"""Plateaus: where they are seen, and where not."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from strategies.history import Array
from strategies.models.gp import Embedded
from strategies.models.plateaus import LATEST, Plateaus

RNG = np.random.default_rng(3)


def embedded(X: Array, rungs: Array | None = None) -> Embedded:
    return Embedded(X, np.empty((len(X), 0)), np.zeros(len(X)) if rungs is None else rungs)


def stairs(X: Array) -> Array:
    """Squares with edges of 0.2: the value of each is that of its corner at the origin."""
    corners = np.floor(5 * X) @ [1.0, 0.1]
    assert isinstance(corners, np.ndarray)
    return corners


def test_values_that_never_tie_have_no_plateaus() -> None:
    X = RNG.random((200, 2))
    found = Plateaus.of(embedded(X), X.sum(axis=1))
    assert found.radius == 0
    assert not found.cover(embedded(X)).any()


def test_the_radius_is_about_the_size_of_the_stairs() -> None:
    X = RNG.random((300, 2))
    found = Plateaus.of(embedded(X), stairs(X))
    assert 0.02 < found.radius < 0.2
    inside = np.full((1, 2), 0.1)
    assert found.cover(embedded(inside)).all() == (np.linalg.norm(X - inside, axis=1).min() <= found.radius)
    assert not found.cover(embedded(np.full((1, 2), 5.0))).any()


def test_a_bad_plateau_says_nothing_about_good_points() -> None:
    """Half of the space has diverged, to one finite value: around the optimum, steps are worth while."""
    X = RNG.random((200, 2))
    values = np.where(X[:, 0] > 0.3, 2.3, np.abs(X[:, 0] - 0.1))
    assert Plateaus.of(embedded(X), values).radius == 0


def test_failures_are_no_plateau() -> None:
    X = RNG.random((50, 2))
    assert Plateaus.of(embedded(X), np.full(50, np.inf)).radius == 0


def test_one_point_tried_twice_is_no_plateau() -> None:
    X = np.repeat(RNG.random((50, 2)), 2, axis=0)
    assert Plateaus.of(embedded(X), np.repeat(np.arange(50.0), 2)).radius == 0


def test_ties_on_different_rungs_are_none() -> None:
    X = np.repeat(RNG.random((50, 2)), 2, axis=0) + 1e-3 * RNG.random((100, 2))
    values = np.repeat(np.arange(50.0), 2)
    assert Plateaus.of(embedded(X), values).radius > 0
    assert Plateaus.of(embedded(X, np.tile([0.0, 1.0], 50)), values).radius == 0


def test_only_the_latest_good_points_tell() -> None:
    X = RNG.random((2 * LATEST, 2))
    values = np.where(np.arange(len(X)) < LATEST, 0.0, -X.sum(axis=1))
    assert Plateaus.of(embedded(X), values).radius == 0
    assert Plateaus.of(embedded(X[:LATEST]), values[:LATEST]).radius > 0


def test_one_more_point_covers_its_surroundings() -> None:
    X = RNG.random((300, 2))
    found = Plateaus.of(embedded(X), stairs(X))
    far = embedded(np.full((1, 2), 5.0))
    assert found.with_point(far).cover(far).all()


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.inf]), min_size=1, max_size=30), st.integers(0, 3))
def test_any_values(values: list[float], seed: int) -> None:
    """The radius is a number, and what it covers has a known point near."""
    X = np.random.default_rng(seed).integers(0, 3, (len(values), 2)) / 2
    found = Plateaus.of(embedded(X), np.array(values))
    assert 0 <= found.radius < 1.42
    if found.radius:
        assert found.cover(embedded(X)).all()
