"""Ladders and brackets against the papers' tables."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, strategies as st

from strategies.errors import InvalidInput
from strategies.schedulers.hyperband import Hyperband
from strategies.schedulers.rungs import Bracket, Fidelity, hyperband_brackets
from strategies.schedulers.successive_halving import SuccessiveHalving


def test_table_1_of_li_et_al_2018() -> None:
    """R = 81, eta = 3: n_i and r_i of all five brackets, as printed in the paper."""
    brackets = hyperband_brackets(Fidelity.of(81).ladder(3), 3)
    table = [list(zip(bracket.sizes(3), bracket.rungs, strict=True)) for bracket in brackets]
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(27, 3), (9, 9), (3, 27), (1, 81)],
        [(9, 9), (3, 27), (1, 81)],
        [(6, 27), (2, 81)],
        [(5, 81)],
    ]


def test_hpbandster_sizes() -> None:
    """The form that HpBandSter computes: floor(S / (s + 1)) eta^s (its optimizers/bohb.py), for 1..27 and 1..9."""
    assert [b.size for b in hyperband_brackets(Fidelity.of(27).ladder(3), 3)] == [27, 9, 6, 4]
    assert [b.size for b in hyperband_brackets(Fidelity.of(9).ladder(3), 3)] == [9, 3, 3]


def test_successive_halving_is_the_most_aggressive_bracket() -> None:
    assert SuccessiveHalving().bracket(Fidelity.of(27), 5) == Bracket(27, (1.0, 3.0, 9.0, 27.0))
    assert SuccessiveHalving(size=12).bracket(Fidelity.of(27), 0).sizes(3) == [12, 4, 1, 1]


def test_hyperband_cycles_through_its_brackets() -> None:
    sizes = [Hyperband().bracket(Fidelity.of(27), index).size for index in range(6)]
    assert sizes == [27, 9, 6, 4, 27, 9]


@pytest.mark.parametrize(
    ("max_budget", "min_budget", "eta", "ladder"),
    [
        (27, None, 3, (1, 3, 9, 27)),
        (27, 2, 3, (3, 9, 27)),  # counted from the top: the first rung may lie above min_budget
        (100, 1, 3, (1, 4, 11, 33, 100)),
        (10, 1, 2, (1, 3, 5, 10)),
        (1.0, 0.1, 3, (1 / 9, 1 / 3, 1.0)),
        (5, 5, 3, (5,)),
        (64, 1, 4, (1, 4, 16, 64)),
    ],
)
def test_ladders(max_budget: float, min_budget: float | None, eta: int, ladder: tuple[float, ...]) -> None:
    assert Fidelity.of(max_budget, min_budget).ladder(eta) == pytest.approx(ladder)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(2, 6))
def test_ladders_rise_from_min_to_max(a: int, b: int, eta: int) -> None:
    low, high = min(a, b), max(a, b)
    ladder = Fidelity.of(high, low).ladder(eta)
    assert ladder[-1] == high
    assert ladder[0] >= low
    assert all(x < y for x, y in itertools.pairwise(ladder))
    assert ladder[0] < low * eta + 1  # one more rung would have fallen below min_budget


@pytest.mark.parametrize(
    ("max_budget", "min_budget", "interval", "milestones"),
    [
        (100, None, None, tuple(range(10, 101, 10))),
        (9, None, None, tuple(range(1, 10))),  # a tenth would be less than min_budget
        (27, None, None, (3, 5, 8, 11, 14, 16, 19, 22, 24, 27)),
        (27, 5, 4, (8, 12, 16, 20, 24, 27)),
        (9, None, 30, (9,)),
        (5, 5, None, (5,)),
        (1.0, 0.2, 0.25, (0.25, 0.5, 0.75, 1.0)),
        (1.0, 0.1, 0.1, tuple(i / 10 for i in range(1, 11))),  # 10 * 0.1 is one milestone with max_budget
        (None, None, None, (float("inf"),)),
    ],
)
def test_even_milestones(
    max_budget: float | None, min_budget: float | None, interval: float | None, milestones: tuple[float, ...]
) -> None:
    assert Fidelity.of(max_budget, min_budget).evenly(interval) == pytest.approx(milestones)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.3, 1e7))
def test_even_milestones_rise_from_min_to_max(a: int, b: int, interval: float) -> None:
    low, high = min(a, b), max(a, b)
    assume(high / interval < 1_000)
    milestones = Fidelity.of(high, low).evenly(interval)
    assert milestones[0] >= low
    assert milestones[-1] == high
    assert all(x < y and x.is_integer() for x, y in itertools.pairwise(milestones))


@pytest.mark.parametrize(
    ("max_budget", "min_budget", "message"),
    [
        (1, 3, "max_budget must be at least min_budget; got max_budget=1, min_budget=3"),
        (0, None, "max_budget must be a positive number; got max_budget=0"),
        ("27", None, "max_budget must be a number; got max_budget='27'"),
        (27, float("nan"), "min_budget must be a positive number; got min_budget=nan"),
        (None, 1, "min_budget=1 needs max_budget as well"),
    ],
)
def test_bad_budgets(max_budget: float, min_budget: float, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Fidelity.of(max_budget, min_budget)


@pytest.mark.parametrize("eta", [1, 2.5, True, "3"])
def test_bad_eta(eta: int) -> None:
    with pytest.raises(InvalidInput, match="eta, the reduction factor"):
        Hyperband(eta=eta)
