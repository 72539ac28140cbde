"""Verdicts ahead of time: what a trial makes of one, what the driver makes of that, and what it costs the budget."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from strategies.actions import Continue, Reached, Start, Stop
from strategies.registry import resolve_algo
from strategies.schedulers.rungs import Fidelity
from strategies.strategy import Problem, Strategy

from ray_hpo import report
from ray_hpo.budget import Budget
from ray_hpo.controller import Controller
from ray_hpo.executors.ray.arrivals import Arrivals
from ray_hpo.executors.ray.executor import RayExecutor
from ray_hpo.executors.ray.succession import Succession
from ray_hpo.executors.ray.worker_handle import WorkerHandle
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Event, Journal
from ray_hpo.journal.reader import read_experiment, read_reports
from ray_hpo.loop.allowance import Allowance
from ray_hpo.loop.dispatch import Dispatch
from ray_hpo.loop.go_aheads import GoAheads
from ray_hpo.loop.hangs import Hangs
from ray_hpo.messages import AtMilestone, Crashed, Ended, GoAhead, Job, Message, Saved, is_last
from ray_hpo.reports import Reports
from ray_hpo.resources import Request
from ray_hpo.worker.runner import TrialRunner
from ray_hpo.worker.session import Setting
from tests.test_controller import SPACE, Bumpy, Cut, CutJournal, cuts, rows
from tests.test_succession import WINDOW, Actor, Clock, job as a_job, receive, trials, worker as worker

LONG = 3600.0  # of windows that end because all is over
BELOW_ONE = GoAhead(until=4.0, low=-math.inf, high=1.0)
TRIALS, POPULATION = 40, 8
REPORTS = [Reports(0, [(1.0, 0.0, {"loss": 0.5})])]

# ---- in the trial ----


def job(trial: int, until: float) -> Job:
    return Job(trial, {"x": trial}, until, None, 0.0)


def saving(config: dict[str, Any]) -> None:
    for epoch in range(1, 10):
        report({"loss": 0.5}, checkpoint={"epoch": epoch})


@pytest.fixture
def runner_of(tmp_path: Path) -> Iterator[Callable[..., TrialRunner]]:
    made: list[TrialRunner] = []

    def make(trainable: Any, asked_to_leave: Callable[[], str] = str, **setting: Any) -> TrialRunner:
        made.append(TrialRunner(trainable, Setting(tmp_path, "loss", **setting), asked_to_leave))
        return made[-1]

    yield make
    for runner in made:
        runner.release()


def said(runner: TrialRunner) -> list[Message]:
    """All that the present trial says up to where it waits, or is over."""
    messages: list[Message] = []
    while not (messages and is_last(messages[-1])):
        messages += runner.next_batch(LONG).messages
    return messages


def steps(messages: Sequence[Message]) -> list[float]:
    return [message.step for message in messages if isinstance(message, Reports)]


def test_with_a_good_value_a_trial_goes_on_at_once_and_says_so(runner_of: Any) -> None:
    """Its checkpoint is written meanwhile. At the next milestone it waits."""
    runner = runner_of(saving)
    runner.go_ahead(BELOW_ONE, turn=1)  # it and the order may overtake one another
    runner.start([job(0, until=2.0)])
    messages = said(runner)
    passed = messages.index(AtMilestone(0, went_on=4.0))
    assert steps(messages[:passed])[-1] == 2.0
    assert steps(messages)[-1] == 4.0
    assert messages[-1] == AtMilestone(0, saved=True)
    runner.proceed(6.0)
    assert said(runner)[-1] == AtMilestone(0, saved=True)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_where_others_begin_from_it_a_trial_has_saved_before_it_says_so(runner_of: Any, every: int) -> None:
    """What is there of up to the milestone, whether it saved there or before."""

    def train(config: dict[str, Any]) -> None:
        for epoch in range(1, 10):
            report({"loss": 0.5}, checkpoint=None if epoch % every else {"epoch": epoch})

    runner = runner_of(train, copied=True)
    runner.go_ahead(GoAhead(8.0, -math.inf, 1.0), turn=1)
    runner.start([job(0, until=4.0)])
    messages = said(runner)
    before = messages[: messages.index(AtMilestone(0, went_on=8.0))]
    saved = [message.checkpoint.step for message in before if isinstance(message, Saved)]
    assert saved[-1] == {1: 4.0, 2: 4.0, 3: 3.0}[every]
    assert steps(before)[-1] == 4.0


@pytest.mark.parametrize("value", [1.0, 2.0, math.nan, -math.inf, None])
def test_with_another_value_it_waits(runner_of: Any, value: float | None) -> None:
    def train(config: dict[str, Any]) -> None:
        for _ in range(9):
            report({} if value is None else {"loss": value})

    runner = runner_of(train)
    runner.go_ahead(BELOW_ONE, turn=1)
    runner.start([job(0, until=2.0)])
    assert said(runner)[-1] == AtMilestone(0)


@pytest.mark.parametrize("turn", [0, 2])
def test_a_verdict_for_another_turn_is_not_used(runner_of: Any, turn: int) -> None:
    runner = runner_of(saving)
    runner.go_ahead(BELOW_ONE, turn=turn)
    runner.start([job(0, until=2.0)])
    assert said(runner)[-1] == AtMilestone(0, saved=True)


def test_one_that_is_not_good_enough_makes_way_for_what_is_offered(runner_of: Any) -> None:
    go_on = threading.Event()

    def train(config: dict[str, Any]) -> None:
        for epoch in range(1, 10):
            if epoch == 3:
                go_on.wait()
            report({"loss": epoch / 3}, checkpoint={"epoch": epoch})

    runner = runner_of(train)
    runner.go_ahead(BELOW_ONE, turn=1)
    runner.offer(job(1, until=1.0), turn=1)  # which goes with the turn
    runner.start([job(0, until=2.0)])
    while AtMilestone(0, went_on=4.0) not in runner.next_batch(LONG).messages:
        pass
    runner.go_ahead(GoAhead(6.0, -math.inf, 1.0), turn=2)
    runner.offer(job(2, until=1.0), turn=2)
    go_on.set()
    while not (batch := runner.next_batch(LONG)).made_way:
        assert not any(map(is_last, batch.messages))
    assert batch.messages[-1] == AtMilestone(0, released=True, saved=True)
    assert said(runner)[-1] == AtMilestone(2, seconds=ANY, saved=True)


def test_one_that_is_asked_to_leave_waits(runner_of: Any) -> None:
    """It may have to go on elsewhere."""
    runner = runner_of(saving, asked_to_leave=lambda: "its node is about to be shut down")
    runner.go_ahead(BELOW_ONE, turn=1)
    runner.start([job(0, until=1.0)])
    assert said(runner)[-1] == AtMilestone(0, saved=True)


@pytest.mark.parametrize("ahead", [True, False])
def test_where_training_is_complete_no_verdict_is_waited_for(runner_of: Any, ahead: bool) -> None:
    runner = runner_of(saving, max_budget=4.0)
    if ahead:
        runner.go_ahead(BELOW_ONE, turn=1)
    runner.start([job(0, until=2.0)])
    if not ahead:
        assert said(runner)[-1] == AtMilestone(0, saved=True)
        runner.proceed(4.0)
    assert said(runner)[-1] == AtMilestone(0, released=True, saved=True)


# ---- at the driver's end of a worker ----


def test_a_worker_whose_trial_went_on_is_told_of_the_next_milestone_in_the_next_turn(worker: Any) -> None:
    worker.run([a_job(0, until=2.0)], WINDOW, 1.0)
    worker.go_ahead(BELOW_ONE)
    messages, over, given_back, _ = receive(worker, *REPORTS, AtMilestone(0, went_on=4.0), *REPORTS)
    assert (over, given_back, worker.jobs[0].until, worker.units) == ([], [], 4.0, 2.0)
    assert worker.answer == "more 4" and len(messages) == 3
    receive(worker, *REPORTS, AtMilestone(0, went_on=6.0), *REPORTS, AtMilestone(0, saved=True))
    assert (worker.jobs[0].until, worker.answer) == (6.0, None)  # it waits


def test_what_was_in_line_behind_a_trial_that_went_on_is_given_back(worker: Any) -> None:
    worker.run([a_job(0)], WINDOW, 1.0)
    worker.go_ahead(BELOW_ONE)
    worker.offer(a_job(1))
    _, over, given_back, _ = receive(worker, *REPORTS, AtMilestone(0, went_on=4.0))
    assert (trials(over), trials(given_back), trials(worker.all_jobs)) == ([], [1], [0])


def test_one_that_may_go_on_does_not_leave_for_an_offer_that_came_too_late(worker: Any) -> None:
    """Its verdict ahead of time may have come too late as well."""
    worker.run([a_job(0)], WINDOW, 1.0)
    worker.go_ahead(BELOW_ONE)
    worker.offer(a_job(1))
    messages, over, given_back, _ = receive(worker, *REPORTS, AtMilestone(0, saved=True))
    assert (trials(over), trials(given_back), trials(worker.all_jobs), worker.answer) == ([], [1], [0], None)
    assert messages[-1] == AtMilestone(0, saved=True)


def test_one_that_is_over_does(worker: Any) -> None:
    worker.run([a_job(0)], WINDOW, 1.0)
    worker.go_ahead(BELOW_ONE)
    worker.offer(a_job(1))
    _, over, given_back, _ = receive(worker, *REPORTS, Ended(0))
    assert (trials(over), trials(given_back), trials(worker.all_jobs)) == ([0], [], [1])


def test_how_long_a_milestone_takes_is_learnt_from_those_that_go_on_as_well() -> None:
    clock = Clock()
    arrivals = Arrivals(now=clock)
    worker: Any = WorkerHandle(Actor(), Request({"CPU": 1.0}))
    worker.units = 2.0
    arrivals.begun(worker)
    assert arrivals.patience == math.inf  # nobody knows
    clock.now += 0.1
    arrivals.heard(worker, 2.0, [*REPORTS, AtMilestone(0, went_on=4.0)], 0.001)  # seconds of the next turn
    arrivals.begun(worker)
    assert arrivals.patience == pytest.approx(0.1 * 0.6)
    arrivals.heard(worker, 2.0, [Crashed(0, "user", "ValueError")], 100.0)
    arrivals.begun(worker)
    clock.now += 0.07
    arrivals.look()
    assert arrivals.due == 1 and arrivals.take() is worker and arrivals.due == 0


def test_a_line_forms_only_where_a_verdict_was_given() -> None:
    """And no longer once a trial has had no checkpoint at its milestone; one that goes on need not have one."""
    clock = Clock()
    succession = Succession(math.inf, now=clock)
    worker: Any = WorkerHandle(Actor(), Request({"CPU": 1.0}))
    clock.now += 0.001
    succession.add(worker)
    assert (len(succession), succession.patience) == (0, 0.0)  # to be seen at once
    succession.look()
    assert len(succession) == 1 and succession.take() is worker
    succession.heard(worker, 1.0, [AtMilestone(0, went_on=4.0)], 0.001)
    clock.now += 0.001
    succession.add(worker)
    succession.look()
    assert len(succession) == 1
    succession.heard(worker, 1.0, [AtMilestone(0)], 0.001)
    succession.add(worker)
    succession.look()
    assert len(succession) == 0


@pytest.mark.parametrize("where", ["nowhere", "in line"])
def test_a_trial_that_was_killed_meanwhile_takes_none_with_it(worker: Any, where: str) -> None:
    """Its verdict is not to reach the trial in front of it."""
    executor = RayExecutor.__new__(RayExecutor)
    executor._succession, executor._pauses = Succession(math.inf), False
    worker.run([a_job(0)], WINDOW, 1.0)
    worker.offer(a_job(1))
    executor._running = {0: worker, 1: worker} if where == "in line" else {0: worker}
    executor.go_ahead(1, BELOW_ONE)
    assert "go_ahead" not in worker.actor.calls
    executor.go_ahead(0, BELOW_ONE)
    assert "go_ahead" in worker.actor.calls


@pytest.mark.parametrize("pauses", [True, False])
def test_who_gets_a_line_where_some_have_a_verdict(pauses: bool) -> None:
    """Where trials pause, those without one: these leave. Else those with one, which leave unless it lets them stay."""
    executor = RayExecutor.__new__(RayExecutor)
    executor._succession, executor._arrivals, executor._pauses = Succession(math.inf), Arrivals(), pauses
    workers: list[Any] = [WorkerHandle(Actor(), Request({"CPU": 1.0})) for _ in range(2)]
    executor._running = dict(enumerate(workers))
    for trial, handle in executor._running.items():
        executor._arrivals.heard(handle, 1.0, [Ended(trial)], 0.001)
        handle.run([a_job(trial)], WINDOW, 1.0)
        executor._arrivals.begun(handle)
    executor._arrivals.look()
    assert sorted(executor.arrivals()) == [0, 1]
    executor.go_ahead(1, BELOW_ONE)
    executor._succession.look()
    assert len(executor._succession) == 1 and executor._succession.take() is (workers[0] if pauses else workers[1])


# ---- in the controller ----


class Impatient(SimulatedExecutor):
    """Asks for each verdict ahead of time, when its trial begins or goes on; some come too late."""

    def __init__(self, benchmark: Any, workers: int, start: float = 0.0) -> None:
        super().__init__(benchmark, workers, start)
        self._ahead: dict[int, GoAhead] = {}
        self._new: list[int] = []
        self.used = 0

    def launch(self, job: Job) -> None:
        self._new.append(job.trial)
        super().launch(job)

    def proceed(self, trial: int, until: float) -> None:
        self._new.append(trial)
        super().proceed(trial, until)

    def arrivals(self) -> Sequence[int]:
        new, self._new = self._new, []
        return [trial for trial in new if trial in self._jobs]

    def go_ahead(self, trial: int, go_ahead: GoAhead) -> None:
        if trial % 5:
            self._ahead[trial] = go_ahead

    def poll(self, timeout: float) -> Sequence[Message]:
        messages = list(super().poll(timeout))
        if not messages:
            return messages
        known = self._ahead.pop(messages[-1].trial, None)
        if known is not None and isinstance(messages[-1], AtMilestone) and isinstance(messages[0], Reports):
            value = messages[0].metrics["loss"]
            if known.low < value < known.high:
                self.used += 1
                trial = messages[-1].trial
                self.proceed(trial, known.until)
                messages[-1] = AtMilestone(trial, went_on=known.until)
        return messages


def session(
    folder: Path | None, journal: Journal, algo_name: str, budget: Budget = Budget(), mode: str = "min"
) -> tuple[Experiment, Impatient]:
    problem, algo = Problem(SPACE, Fidelity.of(9), seed=4), resolve_algo(algo_name)
    trials, workers = (POPULATION, POPULATION) if algo.copies else (TRIALS, 3)
    experiment = Experiment("loss", mode, 9)
    happened: list[Any] = []
    if folder is not None:
        experiment = read_experiment(folder, experiment)
        happened = rows(folder)[0]
    if not experiment.records:
        for kind, body in (("session", {}), ("limit", {"num_trials": trials})):
            journal.event(Event(0.0, kind, None, body))
            experiment.apply(0.0, kind, None, body)
    strategy = Strategy.rebuild(algo, problem, experiment.records)
    executor = Impatient(Bumpy(), workers, start=happened[-1][0] if happened else 0.0)
    try:
        Controller(experiment, strategy, executor, journal, budget=budget, nest=SPACE.nest, max_failures=1).run()
    finally:
        journal.close()
    return experiment, executor


def is_sound(experiment: Experiment) -> bool:
    """Each trial has a result at each of its milestones, one after another, and all are over."""
    for trial in experiment.trials:
        own = [record for record in experiment.records if getattr(record, "trial", None) == trial.number]
        milestones = [record.until for record in own if isinstance(record, Continue)]
        reached = [record.fidelity for record in own if isinstance(record, Reached)]
        if [own[0].until, *milestones][: len(reached)] != reached:  # type: ignore[union-attr]  # a Start
            return False
        if trial.parent is not None and trial.origin > experiment.trials[trial.parent].step:
            return False
    return all(trial.state in ("completed", "stopped", "failed") for trial in experiment.trials)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("algo", ["asha_stopping", "median_stopping", "pbt"])
def test_what_trials_did_by_it_becomes_true(algo: str, mode: str) -> None:
    experiment, executor = session(None, Journal(None), algo, mode=mode)
    assert executor.used > 5
    assert is_sound(experiment)
    assert sum(isinstance(record, Continue) for record in experiment.records) > executor.used


def test_a_reason_says_so_where_what_came_meanwhile_would_have_changed_it() -> None:
    """The first of a rung of three, until a fourth one came."""
    experiment = Experiment("loss", "min", 9)
    strategy = Strategy(resolve_algo("asha_stopping"), Problem(SPACE, Fidelity.of(9), seed=4))
    dispatch: Any = Dispatch(SimulatedExecutor(Bumpy()), Hangs(None), 9, dict, int)
    go_aheads = GoAheads(strategy, experiment.goals, Allowance(experiment, Budget(), float), dispatch)

    def note(record: Any) -> None:
        strategy.apply(record)
        experiment.record(0.0, record)

    for _ in range(6):
        start = strategy.next()
        assert isinstance(start, Start)
        note(start)
    for trial, value in enumerate((5.0, 4.0, 3.0)):
        note(Reached(trial, 1.0, value))
        note(strategy.verdict(trial))
    go_aheads.give([3, 4])
    note(Reached(4, 1.0, 1.0))
    assert go_aheads.used(4) == strategy.verdict(4) == Continue(4, 3.0, "rung 1: ranked 1 of 4 so far, top 1 continue")
    note(Reached(3, 1.0, 2.0))
    assert isinstance(strategy.verdict(3), Stop)
    assert go_aheads.used(3) == Continue(3, 3.0, "rung 1: in the top 1 of 4, as known shortly before")


@pytest.mark.parametrize("total", [60, 73, 80])
def test_no_more_is_granted_than_there_is(total: int) -> None:
    """What a trial may use is reserved; where that leaves too little for another one, that waits, and is not refused
    for good."""
    experiment, executor = session(None, Journal(None), "asha_stopping", Budget(total_budget=total))
    assert total - 6 <= experiment.granted <= total
    assert executor.used > 0
    assert "total_budget" in experiment.closed


@pytest.mark.parametrize("algo", ["asha_stopping", "pbt"])
def test_cut_at_every_commit_nothing_is_lost(algo: str, tmp_path: Path) -> None:
    """A driver that dies knows nothing of the verdicts that it gave: trials that used them are trained again from
    where the journal knows them."""
    whole = tmp_path / "whole"
    whole.mkdir()
    journal = CutJournal(whole, at=0, after=False)
    session(whole, journal, algo)
    assert journal.commits > 20
    for at, after, folder in cuts(tmp_path, journal.commits):
        with pytest.raises(Cut):
            session(folder, CutJournal(folder, at, after), algo)
        known = rows(folder)
        if at < journal.commits or not after:
            session(folder, Journal(folder), algo)
        events, reports = rows(folder)
        assert events[: len(known[0])] == known[0] and all(row in reports for row in known[1])
        experiment = read_experiment(folder, Experiment("loss", "min", 9))
        assert is_sound(experiment) and experiment.proposed == (POPULATION if algo == "pbt" else TRIALS)
        steps = [(trial, step) for trial, step, *_ in read_reports(folder)]
        assert len(steps) == len(set(steps))
