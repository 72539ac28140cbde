"""Configurations that the user gives: completed where they are partial, refused where they make no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from strategies.domains import Space, choice, randint, uniform
from strategies.errors import InvalidInput
from strategies.points import first_points
from strategies.registry import SEARCHERS
from strategies.schedulers.fifo import Fifo
from strategies.space_builder import as_space

from tests.strategies.test_contract import assert_legal
from tests.strategies.world import mixed_space, run, starts

NESTED = as_space({"net": {"width": choice([8, 16]), "lr": uniform(0, 1)}, "seed": 3})


@settings(deadline=None, max_examples=60)
@given(number=st.integers(0, 10_000), keep=st.lists(st.booleans(), min_size=7, max_size=7))
def test_any_part_of_a_configuration_is_completed(number: int, keep: list[bool]) -> None:
    space = mixed_space()
    whole = space.decode(space.sample(np.random.default_rng(number), 1)[0])
    part = {name: value for name, value in whole.items() if keep[space.names.index(name)]}
    (point,) = first_points(space, [part], seed=number)
    assert_legal(space, point)
    assert {name: point[name] for name in part} == part


def test_a_complete_point_stays_as_it_is() -> None:
    assert first_points(NESTED, [{"net": {"width": 16, "lr": 0.25}}], seed=0) == (
        {"net.width": 16, "net.lr": 0.25, "seed": 3},
    )


def test_flat_names_and_constants_are_taken() -> None:
    assert first_points(NESTED, [{"net.width": 8, "net.lr": 1, "seed": 3}], seed=0)[0]["net.lr"] == 1.0


def test_what_is_left_out_is_drawn_evenly_and_each_point_has_its_own_draw() -> None:
    """The mean of 400 uniform draws is within 0.5 +- 0.075: 5.2 standard errors, false alarms below 1e-6."""
    draws = [point["net.lr"] for point in first_points(NESTED, [{"net": {"width": 8}}] * 400, seed=1)]
    assert len(set(draws)) == 400
    assert abs(np.mean(draws) - 0.5) < 0.075


def test_the_draw_is_not_that_of_a_suggestion() -> None:
    (point,) = first_points(mixed_space(), [{}], seed=3)
    begun = starts(run(Fifo(), mixed_space(), num_trials=3))
    assert point not in [start.config for start in begun]


def test_a_parent_that_is_left_out_is_drawn_so_that_the_child_is_active() -> None:
    for seed in range(20):
        assert first_points(mixed_space(), [{"nesterov": True}], seed)[0]["momentum"] > 0.5


@pytest.mark.parametrize("searcher", ["grid", "sobol", "random"])
def test_sequences_are_not_shifted(searcher: str) -> None:
    """What the searcher proposes after the points is what it proposes without them, and a grid is run to its end."""
    algo, space = Fifo(searcher=SEARCHERS[searcher]()), as_space({"a": randint(0, 4), "b": choice(["x", "y"])})
    points = first_points(space, [{"a": 2}, {"b": "y"}], seed=3)
    without = starts(run(algo, space, num_trials=8))
    beside = starts(run(algo, space, num_trials=None if searcher == "grid" else 10, points=points))
    assert [start.config for start in beside[2:]] == [start.config for start in without]


TOGETHER = as_space(
    Space(
        {"kind": choice(["a", "b"]), "x": uniform(0, 1).when(kind="a"), "y": uniform(0, 1).when(kind="b")},
        forbidden=["x > 0.9"],
    )
)

MISTAKES: dict[str, tuple[Any, str]] = {
    "no list": ({"x": 1}, "points_to_evaluate must be a list of configurations; got {'x': 1}"),
    "no dict": ([{}, 3], "points_to_evaluate[1] must be a dict as the space is; got 3"),
    "unknown": ([{"z": 1}], "points_to_evaluate[0]: z: not a parameter of this space; its parameters: kind, x, y"),
    "no name": ([{3: 1}], "points_to_evaluate[0]: 3: not a parameter of this space"),
    "out of bounds": ([{"x": 2.0}], "points_to_evaluate[0]: x: must be between 0 and 1; got 2.0"),
    "no choice": ([{}, {"kind": "c"}], "points_to_evaluate[1]: kind: must be one of ['a', 'b']; got 'c'"),
    "inactive": (
        [{"kind": "b", "x": 0.1}],
        "points_to_evaluate[0]: x: inactive here, since it needs 'kind == a'; leave it out; got 0.1",
    ),
    "never together": ([{"x": 0.1, "y": 0.2}], "points_to_evaluate[0]: x, y: never active together; leave some out"),
    "forbidden": (
        [{"kind": "a", "x": 0.95}],
        "points_to_evaluate[0]: forbidden by 'x > 0.9'; change one of its values; got {'kind': 'a', 'x': 0.95}",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_name_point_parameter_and_way_out(mistake: str) -> None:
    points, message = MISTAKES[mistake]
    with pytest.raises(InvalidInput) as caught:
        first_points(TOGETHER, points, seed=0)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
