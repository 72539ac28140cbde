"""The median stopping rule: a trace worked by hand, and every verdict against the definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from strategies.actions import Continue, Reached, Start, Stop
from strategies.domains import uniform
from strategies.errors import InvalidInput
from strategies.schedulers.median_stopping import MedianStopping, median_without
from strategies.schedulers.rungs import Fidelity
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from tests.strategies.test_schedulers import Trace, kind
from tests.strategies.world import noisy, run


def test_a_trace_worked_by_hand() -> None:
    """Milestones 3, 6, 9; three others are needed. Running averages in brackets."""
    trace = Trace(MedianStopping(interval=3, min_trials=3))
    for _ in range(5):
        trace.next()
    first = trace.reach(0, 5.0)  # [5]
    assert first == Continue(0, 6.0, "at 3: 0 others got here so far, 3 are needed")
    assert kind(trace.reach(1, 4.0)) == ("Continue", 1, 6.0)  # [4]
    assert kind(trace.reach(2, 3.0)) == ("Continue", 2, 6.0)  # [3]
    assert kind(trace.reach(3, 4.0)) == ("Continue", 3, 6.0)  # median of 5, 4, 3 is 4: no worse
    stopped = trace.reach(4, 4.5)  # median of 5, 4, 4, 3 is 4
    assert stopped == Stop(4, "at 3: its best is worse than the median of the running averages of 4 others")
    for trial, value in ((0, 3.0), (1, 4.0), (2, 5.0)):  # [4], [4], [4]
        assert kind(trace.reach(trial, value)) == ("Continue", trial, 9.0)
    # Trial 3 was at 4 and gets worse: its best, 4, is no worse than the median, 4, though its last value is.
    assert kind(trace.reach(3, 100.0)) == ("Continue", 3, 9.0)
    assert trace.reach(3, 100.0) == Stop(3, "completed: reached max_budget 9")


def test_no_trial_is_stopped_within_the_grace_period() -> None:
    trace = Trace(MedianStopping(interval=3, min_trials=1, grace_period=6))
    trace.next(), trace.next()
    trace.reach(0, 1.0)
    assert trace.reach(1, 2.0) == Continue(1, 6.0, "at 3: within the grace period, to 6")
    trace.reach(0, 1.0)
    assert kind(trace.reach(1, 2.0)) == ("Stop", 1, None)


def test_failures_count_neither_as_others_nor_for_themselves() -> None:
    trace = Trace(MedianStopping(interval=3, min_trials=2))
    for _ in range(5):
        trace.next()
    assert trace.reach(0, math.inf) == Stop(0, "at 3: its result is not a finite number")
    trace.crash(1)
    trace.reach(2, 1.0), trace.reach(3, 2.0)
    assert kind(trace.reach(4, 1.6)) == ("Stop", 4, None)  # median of 1 and 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9), st.data())
def test_median_without(values: list[float], data: st.DataObject) -> None:
    out = data.draw(st.integers(0, len(values) - 1))
    expected = np.median(values[:out] + values[out + 1 :])
    assert median_without(sorted(values), values[out]) == pytest.approx(expected)


def expected_stop(history: dict[int, list[float]], trial: int, needed: int) -> bool:
    """The definition, with all trials looked at: history holds the values at milestones 1, 2, 3, ..."""
    s = len(history[trial])
    averages = [np.mean(v[:s]) for t, v in history.items() if t != trial and len(v) >= s and np.isfinite(v[:s]).all()]
    return len(averages) >= needed and min(history[trial]) > np.median(averages) + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_every_verdict_is_the_definition(seed: int, needed: int) -> None:
    """Random walks on 5 workers, some of which end in NaN."""
    space = as_space({"x": uniform(0, 1)})
    walks: dict[int, Any] = {}

    def walk(trial: int, config: dict[str, Any], until: float) -> float | None:
        rng = np.random.default_rng([seed, trial, int(until)])
        walks[trial] = walks.get(trial, 0.0) + rng.normal()
        return None if rng.random() < 0.03 else math.inf if rng.random() < 0.03 else walks[trial]

    algo, fidelity = MedianStopping(min_trials=needed), Fidelity.of(9)
    records = run(algo, space, objective=walk, num_trials=25, workers=5, fidelity=fidelity)
    values: dict[int, list[float]] = {}
    for i, record in enumerate(records):
        if isinstance(record, Reached):
            values.setdefault(record.trial, []).append(record.value)
            if record.fidelity < 9 and math.isfinite(record.value):
                assert isinstance(records[i + 1], Stop) == expected_stop(values, record.trial, needed)


def test_it_saves_and_keeps_the_best() -> None:
    """The trial that is best everywhere is never stopped; of the others about half are at each of many milestones."""
    space = as_space({"x": uniform(0, 1)})
    records = run(
        MedianStopping(), space, objective=lambda t, c, u: c["x"] + 1 / u, num_trials=60, fidelity=Fidelity.of(20)
    )
    completed = [r for r in records if isinstance(r, Reached) and r.fidelity == 20]
    best = min((r for r in records if isinstance(r, Start)), key=lambda start: float(start.config["x"]))
    assert best.trial in {record.trial for record in completed}
    assert 5 <= len(completed) < 30


def test_a_verdict_does_not_look_at_all_trials() -> None:
    """10,000 trials reach a milestone; the next verdict reads a handful of them."""
    strategy = Strategy(MedianStopping(), Problem(as_space({"x": uniform(0, 1)}), Fidelity.of(10), 0))
    reads = 0

    class Counting(list):  # type: ignore[type-arg]
        def __getitem__(self, index: Any) -> Any:
            nonlocal reads
            reads += 1
            return super().__getitem__(index)

        def __iter__(self) -> Any:
            raise AssertionError("a verdict goes through all trials")

    for trial in range(10_000):
        strategy.table.apply(Start(trial, {}, 1.0))
        strategy.table.apply(Reached(trial, 1.0, noisy(trial, {}, 1.0) or math.inf))
    rung = strategy.table.rung(0, 1.0)
    rung._means._sorted, strategy.table.trials = Counting(rung.means), Counting(strategy.table.trials)
    trial = next(t for t, value in rung.values.items() if math.isfinite(value))
    strategy.verdict(trial)
    assert 0 < reads < 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval, the budget between milestones, must be positive; got interval=0"),
        ({"interval": math.inf}, "interval, the budget between milestones, must be positive"),
        ({"grace_period": -1}, "grace_period must be a budget of at least 0; got grace_period=-1"),
        ({"min_trials": 0}, "min_trials must be a whole number of at least 1; got min_trials=0"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        MedianStopping(**options)
