"""What the schedulers decide, on traces worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from strategies.actions import (
    Continue,
    Done,
    Failed,
    Limit,
    Pause,
    Reached,
    Resume,
    Start,
    Stop,
    Wait,
    record_from_json,
    record_to_json,
)
from strategies.domains import uniform
from strategies.errors import InvalidInput
from strategies.schedulers.asha import Asha, AshaStopping
from strategies.schedulers.async_hyperband import FULL, HALVING, AsyncHyperband
from strategies.schedulers.base import Scheduler
from strategies.schedulers.hyperband import Hyperband
from strategies.schedulers.rungs import Fidelity
from strategies.schedulers.successive_halving import SuccessiveHalving
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from tests.strategies.world import run, starts


class Trace:
    """A strategy and what it is told, in few words."""

    def __init__(
        self, algo: Scheduler, max_budget: int = 9, num_trials: int | None = None, resumable: bool = True
    ) -> None:
        fidelity = Fidelity.of(max_budget, resumable=resumable)
        self.strategy = Strategy(algo, Problem(as_space({"x": uniform(0, 1)}), fidelity, 0))
        self.strategy.apply(Limit(num_trials))

    def next(self) -> Any:
        """Ask for a free worker and make it true."""
        action = self.strategy.next()
        if not isinstance(action, (Wait, Done)):
            self.strategy.apply(action)
        return action

    def reach(self, trial: int, value: float) -> Any:
        """`trial` reports `value` at its milestone; the verdict is made true."""
        self.strategy.apply(Reached(trial, self.strategy.table.trials[trial].until, value))
        verdict = self.strategy.verdict(trial)
        self.strategy.apply(verdict)
        return verdict

    def crash(self, trial: int) -> None:
        self.strategy.apply(Failed(trial, self.strategy.table.trials[trial].until))


def kind(action: Any) -> tuple[str, int | None, float | None]:
    return type(action).__name__, getattr(action, "trial", None), getattr(action, "until", None)


def test_asha_on_a_trace_worked_by_hand() -> None:
    """Algorithm 2 of Li et al. 2020 with eta = 3, r = 1, R = 9, one worker: get_job looks from the highest rung down.

    Rung 1 gets values in the order of the trials; a promotion is due at 3, 6, 9 results, for the best not yet promoted
    among the top floor(n / 3).
    """
    trace = Trace(Asha())
    assert [kind(trace.next())] == [("Start", 0, 1.0)]
    assert kind(trace.reach(0, 5.0)) == ("Pause", 0, None)  # 1 result: top 0
    trace.next()
    assert kind(trace.reach(1, 4.0)) == ("Pause", 1, None)  # 2 results: top 0
    trace.next()
    assert kind(trace.reach(2, 6.0)) == ("Pause", 2, None)  # 3 results: top 1 is trial 1, not this one
    assert kind(trace.next()) == ("Resume", 1, 3.0)
    assert kind(trace.reach(1, 4.0)) == ("Pause", 1, None)  # rung 3 has 1 result: top 0
    assert kind(trace.next()) == ("Start", 3, 1.0)  # nothing else is promotable: grow the bottom rung
    assert kind(trace.reach(3, 1.0)) == ("Continue", 3, 3.0)  # 4 results: top 1 is this one now
    assert kind(trace.reach(3, 1.5)) == ("Pause", 3, None)  # rung 3 has 2 results: top 0
    assert kind(trace.next()) == ("Start", 4, 1.0)
    assert kind(trace.reach(4, 9.0)) == ("Pause", 4, None)
    assert kind(trace.next()) == ("Start", 5, 1.0)
    assert kind(trace.reach(5, 8.0)) == ("Pause", 5, None)  # 6 results, top 2 = {3, 1}, both promoted
    assert kind(trace.next()) == ("Start", 6, 1.0)
    assert kind(trace.reach(6, 2.0)) == ("Continue", 6, 3.0)  # 7 results, top 2 = {3, 6}
    assert kind(trace.reach(6, 1.0)) == ("Continue", 6, 9.0)  # rung 3 has 3 results, top 1 = {6}
    assert kind(trace.reach(6, 0.5)) == ("Stop", 6, None)  # R is reached
    assert kind(trace.next()) == ("Start", 7, 1.0)


def test_asha_never_promotes_a_failure() -> None:
    trace = Trace(Asha())
    for trial in range(3):
        trace.next()
        if trial:
            trace.crash(trial)
        else:
            assert kind(trace.reach(trial, math.inf)) == ("Stop", 0, None)
    assert kind(trace.next()) == ("Start", 3, 1.0)


def test_a_small_asha_still_trains_one_to_the_end() -> None:
    """With two trials no rung is ever large enough to promote from."""
    trace = Trace(Asha(), num_trials=2)
    for trial, value in ((0, 2.0), (1, 1.0)):
        trace.next()
        trace.reach(trial, value)
    assert kind(trace.next()) == ("Resume", 1, 3.0)
    assert isinstance(trace.next(), Wait)
    trace.reach(1, 1.0)
    assert kind(trace.next()) == ("Resume", 1, 9.0)
    trace.reach(1, 1.0)
    assert isinstance(trace.next(), Done)


def test_asha_stopping_on_a_trace() -> None:
    trace = Trace(AshaStopping())
    for _ in range(4):
        trace.next()
    assert kind(trace.reach(0, 5.0)) == ("Continue", 0, 3.0)  # the first: 1 of 1
    assert kind(trace.reach(1, 6.0)) == ("Stop", 1, None)  # 2 of 2, top max(1, 0)
    assert kind(trace.reach(2, 4.0)) == ("Continue", 2, 3.0)  # 1 of 3
    assert kind(trace.reach(3, 4.5)) == ("Stop", 3, None)  # 2 of 4, top 1
    assert kind(trace.reach(0, math.inf)) == ("Stop", 0, None)
    assert kind(trace.reach(2, 1.0)) == ("Continue", 2, 9.0)
    assert kind(trace.reach(2, 1.0)) == ("Stop", 2, None)


def test_successive_halving_judges_a_full_rung() -> None:
    trace = Trace(SuccessiveHalving(), num_trials=9)
    for _ in range(9):
        trace.next()
    assert isinstance(trace.next(), Wait)
    for trial in range(7):
        verdict = trace.reach(trial, 10.0 - trial)
        if trial < 6:
            assert isinstance(verdict, Pause)  # each is the best so far
    trace.crash(7)
    last = trace.reach(8, 100.0)  # the rung is full: ranked 8 of 9
    assert last == Stop(8, "rung 1: ranked 8 of 9, top 3 continue")
    decisions = [trace.next() for _ in range(8)]
    assert [kind(d) for d in decisions[:3]] == [("Resume", 6, 3.0), ("Resume", 5, 3.0), ("Resume", 4, 3.0)]
    assert [kind(d) for d in decisions[3:7]] == [("Stop", t, None) for t in (3, 2, 1, 0)]
    assert decisions[0].reason == "rung 1: ranked 1 of 9, top 3 continue"
    assert isinstance(decisions[7], Wait)


def test_a_trial_that_cannot_win_any_more_is_stopped_before_the_rung_is_full() -> None:
    trace = Trace(SuccessiveHalving())
    for _ in range(4):
        trace.next()
    for trial in range(3):
        assert isinstance(trace.reach(trial, float(trial)), Pause)
    assert trace.reach(3, 3.0) == Stop(3, "rung 1: ranked 4 of 4 so far, only the top 3 of 9 continue")


def test_a_rung_full_of_failures_ends_its_bracket() -> None:
    trace = Trace(SuccessiveHalving(), num_trials=9)
    for trial in range(9):
        trace.next()
        trace.crash(trial)
    assert isinstance(trace.next(), Done)


def test_fewer_successes_than_places_go_on() -> None:
    """9 trials, 8 crash: the one that is left goes up the ladder alone."""
    trace = Trace(SuccessiveHalving(), num_trials=9)
    for _ in range(9):
        trace.next()
    trace.reach(4, 1.0)
    for trial in (0, 1, 2, 3, 5, 6, 7, 8):
        trace.crash(trial)
    assert kind(trace.next()) == ("Resume", 4, 3.0)
    assert kind(trace.reach(4, 1.0)) == ("Continue", 4, 9.0)


def test_a_free_worker_opens_the_next_bracket_instead_of_waiting() -> None:
    trace = Trace(Hyperband())
    begun = [trace.next() for _ in range(9 + 3 + 3 + 9)]  # nobody reports, every worker is busy all the same
    assert [start.bracket for start in begun] == [0] * 9 + [1] * 3 + [2] * 3 + [3] * 9
    assert [start.until for start in begun] == [1.0] * 9 + [3.0] * 3 + [9.0] * 3 + [1.0] * 9


def test_workers_never_idle_while_trials_are_left() -> None:
    """Hyperband on 16 workers: `Wait` is only ever said when every trial has been started."""
    space = as_space({"x": uniform(0, 1)})
    records = run(Hyperband(), space, objective=lambda t, c, u: float(t % 7), num_trials=60, workers=16)
    running, started = 0, 0
    for record in records:
        if isinstance(record, (Start, Resume)):
            running += 1
            started += isinstance(record, Start)
        elif isinstance(record, (Reached, Failed)):
            assert running == 16 or started == 60
            running -= 1
        elif isinstance(record, Continue):
            running += 1


def test_the_trial_limit_cuts_the_last_bracket_short() -> None:
    """27 + 5 trials: the second bracket has 5 of 9 places and is still halved to one at the full budget."""
    records = run(
        Hyperband(),
        as_space({"x": uniform(0, 1)}),
        objective=lambda t, c, u: float(t),
        fidelity=Fidelity.of(27),
        num_trials=32,
    )
    second = {start.trial for start in starts(records) if start.bracket == 1}
    reached = [r for r in records if isinstance(r, Reached) and r.trial in second]
    assert len(second) == 5
    assert {u: sum(r.fidelity == u for r in reached) for u in (3.0, 9.0, 27.0)} == {3.0: 5, 9.0: 1, 27.0: 1}


def test_async_hyperband_on_a_trace_worked_by_hand() -> None:
    """Asha until it has brought a trial to the full budget; from then on half of the workers train in full."""
    trace = Trace(AsyncHyperband(), max_budget=3)
    for trial, value in enumerate([2.0, 1.0, 3.0]):
        assert kind(trace.next()) == ("Start", trial, 1.0)
        trace.reach(trial, value)
    assert kind(trace.next()) == ("Resume", 1, 3.0)  # the best of three
    assert trace.next().bracket == HALVING  # trial 3: nothing has reached 3 yet
    assert kind(trace.reach(1, 0.5)) == ("Stop", 1, None)
    assert kind(trace.next())[:2] == ("Start", 4)  # one runs, of halving
    assert trace.next().bracket == FULL  # trial 5: one of two was, and half of three are one and a half
    assert trace.next().bracket == HALVING  # trial 6: two of three were
    table = trace.strategy.table
    assert [table.trials[trial].bracket for trial in (3, 4, 5, 6)] == [HALVING, FULL, FULL, HALVING]
    assert kind(trace.reach(4, 99.0)) == ("Continue", 4, 3.0)  # the worst, and goes on all the same
    assert kind(trace.reach(4, 99.0)) == ("Stop", 4, None)
    assert kind(trace.reach(5, math.inf)) == ("Stop", 5, None)


def test_jobs_in_line_are_no_workers() -> None:
    """One is in line for each of four workers: rungs of 27 results, not of 54 as with eight workers."""
    trace = Trace(AsyncHyperband(), max_budget=27)
    for ahead in (False, True):
        for _ in range(4):
            action = trace.strategy.next(ahead=ahead)
            assert isinstance(action, Start) and action.ahead == (ahead or None)
            trace.strategy.apply(action)
    table = trace.strategy.table
    assert (table.running, table.in_line) == (8, 4)
    assert "from 27 on" in trace.reach(0, 1.0).reason
    assert (table.running, table.in_line) == (7, 3)  # its worker has turned to the next one
    trace.crash(1)
    assert (table.running, table.in_line) == (6, 2)
    for trial in (2, 3, 4):
        trace.reach(trial, 1.0)
    assert (table.running, table.in_line) == (3, 0)


def test_a_resume_can_be_in_line() -> None:
    trace = Trace(Asha(), max_budget=3)
    for trial in range(3):
        trace.next()
        trace.reach(trial, float(trial))
    action = trace.strategy.next(ahead=True)
    assert isinstance(action, Resume) and action.ahead
    assert record_from_json(record_to_json(action)) == action
    trace.strategy.apply(action)
    assert trace.strategy.table.in_line == 1
    trace.strategy.apply(Stop(1))  # one that is paused has no worker to leave
    assert trace.strategy.table.in_line == 1


@pytest.mark.parametrize(("misleads", "foot"), [((), 1.0), ((1.0,), 3.0), ((3.0,), 9.0), ((1.0, 3.0, 9.0), 9.0)])
def test_async_hyperband_starts_above_the_rungs_that_mislead(misleads: tuple[float, ...], foot: float) -> None:
    """Eight full trainings tell: whatever is best at `max_budget` is the worst at those. Two rungs always stay."""
    trace = Trace(AsyncHyperband(), max_budget=27)
    table = trace.strategy.table
    seen: list[float] = []
    while len(table.rung(FULL, 27.0).values) < 8:
        action = trace.next()
        trial = action.trial
        if isinstance(action, Start) and action.bracket == HALVING:
            seen.append(action.until)
        while kind(trace.reach(trial, (-1.0 if table.trials[trial].until in misleads else 1.0) * (trial + 1)))[0] == (
            "Continue"
        ):
            pass
    assert set(seen) == {1.0}
    after = [start for start in (trace.next() for _ in range(8)) if isinstance(start, Start)]
    assert {start.until for start in after if start.bracket == HALVING} == {foot}


def test_async_hyperband_with_one_worker_shares_the_budget() -> None:
    trace = Trace(AsyncHyperband(), max_budget=9)
    for step in range(400):
        action = trace.next()
        while kind(trace.reach(action.trial, float(step % 7)))[0] == "Continue":
            pass
    granted = trace.strategy.table.granted
    assert abs(granted[FULL] - granted[HALVING]) <= 9


def test_async_hyperband_where_each_rung_is_paid_in_full() -> None:
    """Four results on the lowest of the upper three rungs; then every trial is trained in full at once."""
    trace = Trace(AsyncHyperband(), max_budget=27, resumable=False)
    for trial in range(4):
        assert kind(trace.next()) == ("Start", trial, 3.0)
    for trial in range(4):
        trace.reach(trial, float(trial))
    start = trace.next()
    assert (kind(start), start.bracket) == (("Start", 4, 27.0), FULL)


def test_async_hyperband_takes_up_what_a_budget_left_paused() -> None:
    trace = Trace(AsyncHyperband(), max_budget=3)
    for trial in range(3):
        trace.next()
        trace.reach(trial, float(trial))
    trace.next()
    trace.reach(0, 0.0)
    assert trace.next().bracket == FULL
    trace.strategy.apply(Reached(3, 1.0, 5.0))
    trace.strategy.apply(Pause(3, "total_budget is spent"))
    assert kind(trace.next()) == ("Resume", 3, 3.0)


@pytest.mark.parametrize(("field", "value"), [("share", 0.0), ("share", 1.0), ("warmup", -1), ("warmup", 1.5)])
def test_async_hyperband_refuses(field: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=field):
        AsyncHyperband(**{field: value})  # type: ignore[arg-type]
