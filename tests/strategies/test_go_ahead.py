"""Verdicts ahead of time are those that the trials would get at their milestones, if nothing else arrived before."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from strategies.actions import Continue, GoAhead, Pause, Reached, Record, Stop
from strategies.domains import uniform
from strategies.registry import SCHEDULERS
from strategies.schedulers.asha import AshaStopping
from strategies.schedulers.base import Scheduler
from strategies.schedulers.median_stopping import MedianStopping
from strategies.schedulers.pbt import PBT
from strategies.schedulers.rungs import Fidelity
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from tests.strategies.test_schedulers import Trace
from tests.strategies.world import noisy, run

SPACE = as_space({"lr": uniform(0.0, 1.0)})
GOING_AHEAD: list[Scheduler] = [
    AshaStopping(),
    AshaStopping(eta=2),
    MedianStopping(min_trials=1),
    MedianStopping(interval=2, grace_period=3, min_trials=3),
    PBT(interval=1),
    PBT(interval=2, quantile_fraction=0.5),
    PBT(interval=2, quantile_fraction=0.0),
]
ALL_AT_ONCE: dict[str, Any] = {"num_trials": 12, "workers": 12}  # a population of which none pauses


def check(algo: Scheduler, records: list[Record], objectives: int = 1) -> int:
    """Each verdict of a run against what was known of it just before the result; how often something was."""
    strategy = Strategy(algo, Problem(SPACE, Fidelity.of(9), 3, objectives=objectives))
    known, seen = None, 0
    for record in records:
        if isinstance(record, Reached):
            known = strategy.go_ahead(record.trial)
        strategy.apply(record)
        if not isinstance(record, Reached) or known is None:
            continue
        seen += 1
        verdict = strategy.verdict(record.trial)
        assert known.trial == record.trial
        if record.value < known.below:
            assert isinstance(verdict, Continue) and verdict.until == known.until
        elif record.value > known.below:
            assert isinstance(verdict, Stop)
    return seen


@pytest.mark.parametrize("algo", GOING_AHEAD, ids=repr)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_they_agree_with_the_verdicts(algo: Scheduler, seed: int) -> None:
    """Among crashes, results that are no numbers, and values that tie."""

    def objective(trial: int, config: dict[str, Any], until: float) -> float | None:
        value = noisy(trial + seed, config, until)
        return value if value is None or not math.isfinite(value) else round(value, seed % 3)

    size = ALL_AT_ONCE if algo.copies else {}
    assert check(algo, run(algo, SPACE, objective=objective, seed=seed, **size)) > 10


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_only_schedulers_that_say_so_know_any(name: str) -> None:
    algo = SCHEDULERS[name]()
    known = check(algo, run(algo, SPACE, **ALL_AT_ONCE, most=400))
    assert (known > 0) == algo.goes_ahead


@pytest.mark.parametrize("algo", GOING_AHEAD, ids=repr)
def test_nothing_is_known_where_results_are_not_one_number(algo: Scheduler) -> None:
    def objective(trial: int, config: dict[str, Any], until: float) -> tuple[Any, ...]:
        return config["lr"], (config["lr"], 1 - config["lr"])

    assert check(algo, run(algo, SPACE, objective=objective, objectives=2, **ALL_AT_ONCE), objectives=2) == 0


def test_asha_by_hand() -> None:
    """Milestones 1, 3, 9. Of the first three nothing is known; then the top third, the newcomer counted."""
    trace = Trace(AshaStopping())
    for _ in range(7):
        trace.next()
    for trial, value in enumerate((5.0, 4.0, math.inf)):
        assert trace.strategy.go_ahead(trial) is None
        trace.reach(trial, value)
    known = trace.strategy.go_ahead(3)
    assert known == GoAhead(3, 3.0, 4.0, "rung 1: in the top 1 of 4, as known shortly before")
    trace.reach(3, 6.0), trace.reach(4, 7.0)
    known = trace.strategy.go_ahead(5)  # of 4, 5, 6, 7, inf and its own the top two
    assert known is not None and (known.until, known.below) == (3.0, 5.0)


def test_median_by_hand() -> None:
    trace = Trace(MedianStopping(interval=3, min_trials=2, grace_period=6))
    for _ in range(4):
        trace.next()
    early = trace.strategy.go_ahead(0)
    assert early == GoAhead(0, 6.0, math.inf, "at 3: too early to be stopped, as known shortly before")
    for trial, value in enumerate((1.0, 2.0, 3.0, 4.0)):
        trace.reach(trial, value)
    for trial, value in ((0, 1.0), (1, 4.0)):  # running averages 1 and 3
        trace.reach(trial, value)
    worse, better = trace.strategy.go_ahead(2), trace.strategy.go_ahead(3)
    assert worse is not None and better is not None
    assert worse.until == 9.0 and worse.below == math.nextafter(2.0, math.inf)  # 2 is no worse than the median
    assert dataclasses.replace(better, trial=2) == worse
    trace.reach(2, 2.0)  # 1, 2.5 and 3
    trace.next()
    trace.reach(4, 2.0)
    known = trace.strategy.go_ahead(4)
    assert known is not None and known.below == math.inf  # its best so far, 2, is enough


def test_pbt_by_hand() -> None:
    """Milestones 3, 6, 9; five members, of which the worst is replaced as soon as four are there."""
    trace = Trace(PBT(interval=3), num_trials=5)
    for _ in range(4):
        trace.next()
    trace.reach(0, 1.0)  # one is still to be started: it pauses
    assert trace.strategy.go_ahead(1) is None
    trace.next()
    trace.reach(1, 2.0)
    assert trace.strategy.go_ahead(2) is None  # it would be the third
    trace.reach(2, 3.0)
    known = trace.strategy.go_ahead(3)
    reason = "at 3: not among the worst 1 of 4, as known shortly before"
    assert known == GoAhead(3, 6.0, 3.0, reason)
    trace.reach(3, math.inf)
    known = trace.strategy.go_ahead(4)
    assert known is not None and known.below == math.inf  # that one is the worst


def test_who_trains_ahead_of_others_is_not_told_to_go_on() -> None:
    trace = Trace(PBT(interval=3, quantile_fraction=0.0), num_trials=2)
    trace.next()
    trace.reach(0, 1.0)
    trace.next()  # the second
    trace.next()  # nothing else is behind: the first goes on
    assert trace.strategy.table.trials[0].until == 6.0
    assert trace.strategy.go_ahead(0) == GoAhead(0, 9.0, math.inf, "at 6: none is replaced, as known shortly before")
    trace.strategy.apply(Reached(1, 3.0, 1.0))
    trace.strategy.apply(Pause(1))  # the budget was short
    assert trace.strategy.go_ahead(0) is None
