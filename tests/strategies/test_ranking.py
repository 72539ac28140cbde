"""Constrained domination: held to the definitions, pair by pair."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, strategies as st

from strategies.ranking import NET, Standings, non_dominated, total_violation
from strategies.rung import ConstrainedRung, Rung

few = st.sampled_from([0.0, 1.0, 2.0, 5.0])
values_of = st.lists(st.one_of(few, st.just(math.inf)), min_size=2, max_size=2)
results_of = st.lists(st.tuples(values_of, st.sampled_from([0.0, 0.0, 0.5, 2.0])), max_size=14)


def dominates(a: tuple[list[float], float], b: tuple[list[float], float]) -> bool:
    """By the words of Deb et al. 2002, section VI, with failures as those that violate most."""
    (f, v), (g, w) = a, b
    failed, also_failed = not np.isfinite(f).all(), not np.isfinite(g).all()
    if failed or also_failed:
        return also_failed and not failed
    if v != w:
        return v < w
    return all(x <= y for x, y in zip(f, g, strict=True)) and f != g


def standings_of(results: list[tuple[list[float], float]]) -> Standings:
    standings = Standings(2)
    for values, violation in results:
        standings.add(values, violation)
    return standings


@given(results_of)
def test_the_dominators_are_counted_as_results_arrive(results: list[tuple[list[float], float]]) -> None:
    expected = [sum(dominates(other, result) for other in results) for result in results]
    assert standings_of(results).dominators.tolist() == expected


@given(results_of)
def test_whoever_dominates_ranks_before(results: list[tuple[list[float], float]]) -> None:
    standings = standings_of(results)
    order, places = standings.order.tolist(), standings.places
    assert sorted(order) == list(range(len(results)))
    assert [order[place] for place in places] == list(range(len(results)))
    for i, one in enumerate(results):
        for j, other in enumerate(results):
            assert not dominates(one, other) or places[i] < places[j]
    scores = standings.scores()
    assert np.isinf(scores).tolist() == [not np.isfinite(values).all() for values, _ in results]


@given(results_of, st.integers(0, 13))
def test_asking_on_the_way_changes_nothing(results: list[tuple[list[float], float]], when: int) -> None:
    asked = standings_of(results[:when])
    assert len(asked.order) == len(asked)
    for values, violation in results[when:]:
        asked.add(values, violation)
    assert asked.order.tolist() == standings_of(results).order.tolist()


@given(st.lists(values_of.filter(lambda values: all(map(math.isfinite, values))), max_size=12))
def test_the_front_is_what_nothing_dominates(rows: list[list[float]]) -> None:
    expected = [not any(dominates((a, 0.0), (b, 0.0)) for a in rows) for b in rows]
    assert non_dominated(np.array(rows).reshape(-1, 2)).tolist() == expected


def test_one_metric_under_constraints() -> None:
    """Feasible ones by value, others by violation, failures last (Deb 2000); ties go to the earlier one."""
    standings = Standings(1)
    for value, violation in [(3.0, 0.0), (1.0, 0.5), (2.0, 0.0), (math.inf, 0.0), (0.0, 0.1), (2.0, 0.0)]:
        standings.add([value], violation)
    assert standings.order.tolist() == [2, 5, 0, 4, 1, 3]


def test_the_best_of_a_front_lie_far_apart() -> None:
    """Of 101 points on a straight front, on scales a million times apart: the middle, the ends, then the quarters."""
    x = np.linspace(0, 1, 101)
    bent = np.column_stack([x, 1e6 * (1 - np.sqrt(x))])  # its compromise is at x = 1/4
    first = Standings.of(bent, np.zeros(101)).order[:5]
    assert first[0] == 25 and set(first[1:3]) == {0, 100}
    gaps = np.diff(np.sort(x[first]))
    assert gaps.max() < 0.4


def test_a_long_front_costs_no_more_places_than_the_net_has() -> None:
    rng = np.random.default_rng(0)
    angles = rng.random(500) * math.pi / 2
    standings = Standings.of(np.column_stack([1 - np.cos(angles), 1 - np.sin(angles)]), np.zeros(500))
    covered = np.sort(angles[standings.order[:NET]])
    assert (
        np.diff(covered).max() < 0.1
    )  # at random the largest gap of 64 is about 0.12; the least of this front is 0.02
    assert sorted(standings.order.tolist()) == list(range(500))


def test_violations_add_up() -> None:
    assert total_violation([-3.0, 0.25, 0.5]) == 0.75
    assert total_violation([]) == total_violation([-1.0, 0.0]) == 0.0
    assert math.isfinite(total_violation([math.inf, math.inf])) and total_violation([math.inf, 1.0]) > 1e300


@given(results_of)
def test_no_rank_gets_better_than_the_least(results: list[tuple[list[float], float]]) -> None:
    """What successive halving stops trials by before their rung is full."""
    rung, least = ConstrainedRung(2), {}
    for trial, (values, violation) in enumerate(results):
        finite = np.isfinite(values).all()
        rung.add(values[0] if finite else math.inf, trial, values, [violation])
        least[trial] = rung.least_rank(trial)
    assert all(rung.rank(trial) >= rank for trial, rank in least.items())


def test_a_rung_knows_who_is_still_here() -> None:
    rung = ConstrainedRung(2)
    for trial, values in enumerate([(1.0, 4.0), (2.0, 2.0), (math.inf, 0.0), (4.0, 1.0), (5.0, 5.0)]):
        rung.add(values[0], trial, values, None)
    assert [trial for _, trial in rung.ranking] == [1, 0, 3, 4, 2]
    assert rung.best_here == (0, 1) and rung.finite == 4
    rung.leave(0)
    assert rung.best_here == (0, 1) and rung.rank(0) == 2 and rung.top(2) == [1, 0]
    rung.leave(1)
    assert rung.best_here == (2, 3) and rung.promotable(2) is None and rung.promotable(3) == 3
    assert rung.scores([4, 3, 0]) == [2, 0, 1]


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, math.inf]), st.booleans(), st.integers(0, 9), st.integers(0, 6)),
        max_size=40,
    )
)
def test_who_may_be_promoted(steps: list[tuple[float, bool, int, int]]) -> None:
    """Beside the definition, after every result and every departure, whatever was asked before."""
    rung, here, results = Rung(), set[int](), list[tuple[float, int]]()
    for trial, (value, goes, who, keep) in enumerate(steps):
        rung.add(value, trial)
        results.append((value, trial))
        if math.isfinite(value):
            here.add(trial)
        if goes and here:
            rung.leave(leaver := sorted(here)[who % len(here)])
            here.remove(leaver)
        among = [trial for _, trial in sorted(results)[:keep] if trial in here]
        best = min((entry for entry in results if entry[1] in here), default=None)
        assert rung.best_here == best
        assert rung.promotable(keep) == (best[1] if best and best[1] in among else None)
