"""Population based training: whom it replaces by whom, on traces worked by hand; and how far copies stray."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from strategies.actions import Reached, Start, Stop
from strategies.domains import Space, choice, loguniform, ordinal, qloguniform, quniform, randint, uniform
from strategies.errors import InvalidInput
from strategies.plan import planned_budget
from strategies.registry import algo_from_json, algo_to_json
from strategies.schedulers.pbt import PBT
from strategies.schedulers.perturbation import explore, perturbed
from strategies.schedulers.rungs import Fidelity
from strategies.space_builder import as_space
from strategies.strategy import COPY, Problem, Strategy

from tests.strategies.test_schedulers import Trace, kind
from tests.strategies.world import mixed_space, run, starts

# ---- whom it replaces ----


def population(size: int, workers: int | None = None, **options: Any) -> Trace:
    """Milestones 3, 6, 9; everybody has started on a worker of its own."""
    trace = Trace(PBT(interval=3, **options), num_trials=size)
    for trial in range(size if workers is None else workers):
        assert kind(trace.next()) == ("Start", trial, 3.0)
    return trace


def test_a_trace_worked_by_hand() -> None:
    """Four trials, quarters of one: the fourth result at a milestone is the first that can be among the worst."""
    trace = population(4)
    assert trace.reach(0, 1.0).reason == "at 3: ranked 1 of 1 so far"
    assert kind(trace.reach(1, 2.0)) == ("Continue", 1, 6.0)
    assert kind(trace.reach(2, 3.0)) == ("Continue", 2, 6.0)  # the worst of three: too early to tell
    stopped = trace.reach(3, 4.0)
    assert stopped == Stop(3, "at 3: ranked 4 of 4 so far, among the worst 1: a copy of a better one takes its place")
    copy = trace.next()
    assert (copy.trial, copy.parent, copy.replaces, copy.until) == (4, 0, 3, 6.0)
    assert copy.reason == (
        "replaces trial 3 by a perturbed copy of trial 0, ranked 1 of 4 at 3, from its checkpoint at 3"
    )
    assert kind(trace.next()) == ("Wait", None, None)
    assert kind(trace.reach(0, 0.9)) == ("Continue", 0, 9.0)
    assert kind(trace.reach(4, 0.5)) == ("Continue", 4, 9.0)
    assert kind(trace.reach(1, 0.2)) == ("Continue", 1, 9.0)
    assert kind(trace.reach(2, 5.0)) == ("Stop", 2, None)
    copy = trace.next()
    assert (copy.trial, copy.parent, copy.replaces, copy.until) == (5, 1, 2, 9.0)
    for trial in (0, 1, 4, 5):
        assert trace.reach(trial, float(trial)) == Stop(trial, "completed: reached max_budget 9")
    assert kind(trace.next()) == ("Done", None, None)


def test_a_copy_goes_on_where_its_parent_is() -> None:
    trace = population(4)
    for trial in range(3):
        trace.reach(trial, float(trial))
    trace.reach(0, 0.0)  # is at 6 when the last one comes to 3
    assert kind(trace.reach(3, 9.0)) == ("Stop", 3, None)
    copy = trace.next()
    assert (copy.parent, copy.until) == (0, 9.0)
    assert copy.reason.endswith("of trial 0, ranked 1 of 4 at 3, from its checkpoint at 6")


def test_who_has_all_the_budget_is_copied_no_more() -> None:
    trace = population(4)
    for trial in range(3):
        trace.reach(trial, float(trial))
    trace.reach(0, 0.0), trace.reach(0, 0.0)
    assert kind(trace.reach(3, 9.0)) == ("Continue", 3, 6.0)


def test_a_failure_is_replaced_as_soon_as_there_is_one_to_copy() -> None:
    """Trial 0 crashes on its way to 3, trial 1 has no number there; with the fourth result there are best and worst."""
    trace = population(5)
    trace.crash(0)
    assert trace.reach(1, math.inf) == Stop(1, "at 3: its result is not a finite number")
    assert kind(trace.next()) == ("Wait", None, None)
    trace.reach(2, 1.0)
    trace.reach(3, 2.0)  # 4 results, and only 3 alive
    copies = [trace.next(), trace.next()]
    assert [(copy.parent, copy.replaces, copy.until) for copy in copies] == [(2, 0, 6.0), (2, 1, 6.0)]
    trace.crash(5)  # a copy on its way to 6: there is none to copy at 6
    assert kind(trace.next()) == ("Wait", None, None)
    for trial in (2, 3, 6):
        trace.reach(trial, float(trial))
    assert [(copy.parent, copy.replaces, copy.until) for copy in [trace.next()]] == [(2, 5, 9.0)]


def test_nothing_but_failures_is_not_replaced() -> None:
    trace = population(4)
    for trial in range(4):
        trace.crash(trial)
    assert kind(trace.next()) == ("Done", None, None)


def test_where_all_are_alike_there_is_exploration_still() -> None:
    trace = population(4)
    assert [kind(trace.reach(trial, 1.0))[0] for trial in range(4)] == ["Continue"] * 3 + ["Stop"]
    assert trace.next().parent == 0


def test_two_are_a_population() -> None:
    trace = population(2)
    trace.reach(0, 1.0)
    assert kind(trace.reach(1, 2.0)) == ("Stop", 1, None)
    assert trace.next().parent == 0


def test_parents_take_turns() -> None:
    trace = population(8)
    for trial in range(6):
        trace.reach(trial, float(trial))
    copied = []
    for trial in (6, 7):
        assert kind(trace.reach(trial, float(trial)))[0] == "Stop"
        copied.append(trace.next().parent)
    assert copied == [0, 1]  # the best of 7, then, of the best 2 of 8, the one that was not copied yet


def test_on_few_workers_no_one_runs_ahead() -> None:
    """Three trials on one worker: all start, then each goes an interval at a time, the best first."""
    trace = population(3, workers=1)
    assert trace.reach(0, 2.0).reason == "at 3: ranked 1 of 1 so far; others are further behind"
    assert kind(trace.next()) == ("Start", 1, 3.0)
    assert kind(trace.reach(1, 1.0)) == ("Pause", 1, None)
    assert kind(trace.next()) == ("Start", 2, 3.0)
    assert kind(trace.reach(2, 3.0)) == ("Stop", 2, None)  # all three are there: it is the worst
    copy = trace.next()
    assert (copy.parent, copy.until) == (1, 6.0)
    assert kind(trace.reach(3, 1.0)) == ("Pause", 3, None)
    assert kind(trace.next()) == ("Resume", 1, 6.0)
    assert kind(trace.reach(1, 1.5)) == ("Pause", 1, None)
    assert kind(trace.next()) == ("Resume", 0, 6.0)
    assert kind(trace.reach(0, 0.5)) == ("Continue", 0, 9.0)


def test_the_population_is_num_trials_and_else_its_own() -> None:
    problem = Problem(as_space({"x": uniform(0, 1)}), Fidelity.of(9), 0)
    assert Strategy(PBT(population_size=7), problem).table.num_trials == 7
    assert Trace(PBT(population_size=7), num_trials=5).strategy.table.num_trials == 5
    records = run(PBT(), problem.space, objective=lambda t, c, u: float(c["x"]), num_trials=12)
    assert len(starts(records)) == 12
    assert any(isinstance(record, Start) and record.parent is not None for record in records)


def test_everybody_gets_the_full_budget_or_is_replaced() -> None:
    """Nothing fails: as many complete as the population has members, and it costs what they take."""
    for workers in (1, 3, 12):
        space, fidelity = as_space({"x": uniform(0, 1)}), Fidelity.of(27)
        records = run(
            PBT(), space, objective=lambda t, c, u: c["x"] / u, num_trials=12, workers=workers, fidelity=fidelity
        )
        assert sum(isinstance(record, Reached) and record.fidelity == 27 for record in records) == 12


def test_the_plan_is_the_population_trained_in_full() -> None:
    """Less what is saved where a copy goes on from one that is ahead."""
    problem = Problem(as_space({"x": uniform(0, 1)}), Fidelity.of(10), 0)
    for workers in (1, 4, 20):
        assert planned_budget(PBT(), problem, [], workers) == pytest.approx(200, rel=0.05)


# ---- how far copies stray ----


def moved(domain: Any, value: Any, *factors: float) -> list[Any]:
    """What a parameter's value becomes under each of the factors."""
    space = as_space({"p": domain})
    (column,), u = space.columns, space.encode({"p": value})[0]
    units = perturbed(column, u, np.array(factors))
    return [space.decode(row)["p"] for row in space.canonical(units[:, None])]


def test_how_values_move() -> None:
    assert moved(loguniform(1e-5, 1.0), 0.01, 0.8, 1.2) == pytest.approx([0.008, 0.012])
    assert moved(loguniform(1e-5, 1.0), 0.9, 0.8, 1.2) == pytest.approx([0.72, 1.0])
    assert moved(uniform(0.0, 0.5), 0.25, 0.8, 1.2) == pytest.approx([0.2, 0.3])  # as multiplication, amid the range
    assert moved(uniform(-1.0, 1.0), 0.0, 0.8, 1.2) == pytest.approx([-0.2, 0.2])  # leaves zero
    assert moved(uniform(0.0, 1.0), 0.95, 0.8, 1.2) == pytest.approx([0.85, 1.0])
    assert moved(randint(0, 100), 50, 0.8, 1.2) == [40, 60]
    assert moved(randint(1, 5), 2, 0.8, 1.2) == [1, 3]  # a step at least
    assert moved(randint(1, 5), 1, 0.8, 1.2) == [1, 2]
    assert moved(qloguniform(16, 1024, 16), 512, 0.8, 1.2) == pytest.approx([416, 608])  # 409.6 and 614.4
    assert moved(quniform(0.0, 1.0, 0.25), 0.5, 0.8, 1.2) == pytest.approx([0.25, 0.75])
    assert moved(ordinal([8, 16, 32]), 16, 0.8, 1.2, 2.0) == [8, 32, 32]
    assert moved(choice(["a", "b", "c"]), "b", 0.8, 1.2) == ["b", "b"]
    assert moved(choice(["only"]), "only", 0.8, 1.2) == ["only", "only"]
    for domain, value in ((uniform(0, 1), 0.3), (randint(0, 9), 4), (ordinal([1, 2, 3]), 2), (loguniform(1, 9), 3.0)):
        assert moved(domain, value, 1.0) == [pytest.approx(value)]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_copies_are_legal(seed: int, resample: float) -> None:
    """Every kind of parameter, conditions, a forbidden combination; whole in JSON."""
    space, rng = mixed_space(), np.random.default_rng(seed)
    row = space.sample(rng, 1)[0]
    for _ in range(5):
        row = explore(space, row, rng, resample, (0.8, 1.2))
        np.testing.assert_array_equal(space.canonical(row[None])[0], row)
        assert space.allowed(row[None])[0]
        assert space.decode(space.encode(space.decode(row))) == space.decode(row)


def test_where_nothing_near_is_allowed_the_copy_is_exact() -> None:
    corners = [f"x == {i} and y == {j}" for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    space = as_space(Space({"x": ordinal([0, 1, 2]), "y": ordinal([0, 1, 2])}, forbidden=corners))
    row = space.encode({"x": 1, "y": 1})
    np.testing.assert_array_equal(explore(space, row, np.random.default_rng(0), 0.0, (0.8, 1.2)), row)


def test_how_much_is_drawn_anew() -> None:
    """A category changes only if it is drawn anew, in 3 of 4 draws: 0.25 * 0.75 of 4,000 copies, and of as many a
    number is neither 0.4 nor 0.6. False alarm: |z| > 5 is below 1e-6 for each of two counts."""
    space = as_space({"c": choice(["a", "b", "c", "d"]), "x": uniform(0, 1)})
    row, rng, n = space.encode({"c": "a", "x": 0.5}), np.random.default_rng(0), 4_000
    copies = np.stack([explore(space, row, rng, 0.25, (0.8, 1.2)) for _ in range(n)])
    changed = int((copies[:, 0] != row[0]).sum())
    far = int((~np.isclose(np.abs(copies[:, 1] - 0.5), 0.1)).sum())
    for count, p in ((changed, 0.25 * 0.75), (far, 0.25)):
        assert abs(count - n * p) < 5 * math.sqrt(n * p * (1 - p))


def test_a_copy_is_made_of_its_parents_configuration_and_of_nothing_else() -> None:
    """Trial t with a parent draws from [seed, t, COPY]."""
    trace = population(4, resample_probability=0.0)
    for trial in range(4):
        trace.reach(trial, float(trial))
    strategy, copy = trace.strategy, trace.next()
    space, rows = strategy.problem.space, strategy.history.X
    expected = explore(space, rows[0], np.random.default_rng([0, 4, COPY]), 0.0, (0.8, 1.2))
    assert copy.config == space.decode(expected)
    assert abs(rows[4, 0] - rows[0, 0]) == pytest.approx(0.1)
    assert (len(strategy.history), strategy.history.proposed) == (5, 4)


def test_settings_survive_json() -> None:
    algo = PBT(population_size=8, interval=2, quantile_fraction=0.2, perturbation_factors=(0.5, 2.0))
    assert algo_from_json(json.loads(json.dumps(algo_to_json(algo)))) == algo


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "population_size must be a whole number of at least 2; got population_size=1"),
        ({"interval": -1}, "interval, the budget between milestones, must be positive; got interval=-1"),
        ({"quantile_fraction": 0.6}, "quantile_fraction must be between 0 and 0.5; got quantile_fraction=0.6"),
        ({"resample_probability": 2}, "resample_probability must be between 0 and 1; got resample_probability=2"),
        ({"perturbation_factors": (0.0, 1.2)}, "perturbation_factors must be positive"),
        ({"perturbation_factors": ()}, "perturbation_factors must be positive"),
        ({"perturbation_factors": 1.2}, "perturbation_factors must be positive"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PBT(**options)
