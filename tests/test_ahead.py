"""Jobs that are launched ahead of their turn: the controller with an executor that keeps them waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from strategies.registry import SCHEDULERS, SEARCHERS, resolve_algo
from strategies.schedulers.rungs import Fidelity
from strategies.strategy import Problem, Strategy

from ray_hpo.controller import Controller
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Event, Journal
from ray_hpo.journal.reader import read_experiment, read_reports
from ray_hpo.messages import AtMilestone, Crashed, Job, Message
from tests.test_controller import SPACE, Bumpy, Cut, CutJournal, Smooth, cuts, rows

TRIALS, AHEAD, WORKERS, BUDGET = 23, 5, 3, 9


class Ahead(SimulatedExecutor):
    """Takes more jobs than it has workers; final ones give their workers back by themselves."""

    def __init__(self, workers: int = WORKERS, start: float = 0.0, benchmark: object = Bumpy()) -> None:
        super().__init__(benchmark, workers, start)  # type: ignore[arg-type]  # any benchmark
        self._queue: deque[Job] = deque()
        self._began: dict[int, float] = {}

    @property
    def free(self) -> int:
        return super().free + AHEAD - len(self._queue)

    def launch(self, job: Job) -> None:
        self._queue.append(job)
        self._begin()

    def began(self, trial: int) -> float | None:
        return self._began.get(trial)

    def poll(self, timeout: float) -> Sequence[Message]:
        messages = [self._told(message) for message in super().poll(timeout)]
        if messages and isinstance(messages[-1], AtMilestone):
            super().release(messages[-1].trial)
        self._begin()
        return messages

    def _begin(self) -> None:
        while self._queue and super().free > 0:
            job = self._queue.popleft()
            self._began[job.trial] = self.now()
            self._jobs[job.trial] = job
            self._train(job, 0.0, job.until, self.now())

    def _told(self, message: Message) -> Message:
        match message:
            case AtMilestone():
                return AtMilestone(message.trial, released=True, seconds=self.now() - self._began[message.trial])
            case Crashed():
                seconds = self.now() - self._began[message.trial]
                return Crashed(message.trial, message.kind, message.error, seconds=seconds)
            case _:
                return message


def drive(folder: Path, journal: Journal) -> Experiment:
    experiment = read_experiment(folder, Experiment("loss", "min", BUDGET))
    happened = rows(folder)[0]
    executor = Ahead(start=happened[-1][0] if happened else 0.0)
    if not experiment.records:
        for kind, body in (("session", {}), ("limit", {"num_trials": TRIALS})):
            journal.event(Event(0.0, kind, None, body))
            experiment.apply(0.0, kind, None, body)
    strategy = Strategy.rebuild(resolve_algo("random"), Problem(SPACE, Fidelity.of(BUDGET), seed=4), experiment.records)
    try:
        Controller(experiment, strategy, executor, journal, nest=SPACE.nest).run()
    finally:
        journal.close()
    return experiment


def outcome(folder: Path) -> list[tuple[object, ...]]:
    """What must not depend on when the driver died."""
    experiment = read_experiment(folder, Experiment("loss", "min", BUDGET))
    reports = [(trial, step, metrics["loss"]) for trial, step, _, metrics in read_reports(folder)]
    trials = [(t.config, t.state, repr(t.value), t.failures, t.losses, t.error) for t in experiment.trials]
    return [*trials, *((trial, step, repr(loss)) for trial, step, loss in reports)]


def test_cut_at_every_commit_it_ends_alike(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    journal = CutJournal(whole, at=0, after=False)
    drive(whole, journal)
    expected = outcome(whole)
    assert len(read_experiment(whole, Experiment("loss", "min", BUDGET)).trials) == TRIALS
    assert journal.commits > 10
    for at, after, folder in cuts(tmp_path, journal.commits):
        with pytest.raises(Cut):
            drive(folder, CutJournal(folder, at, after))
        if at < journal.commits or not after:
            drive(folder, Journal(folder))
        assert outcome(folder) == expected, f"cut at commit {at}, {'after' if after else 'before'} it"


def test_only_the_time_on_a_worker_counts(tmp_path: Path) -> None:
    """Eight trials are under way on three workers, but no more than three at a time cost anything."""
    live = drive(tmp_path, Journal(tmp_path))
    read = read_experiment(tmp_path, Experiment("loss", "min", BUDGET))
    for experiment in (live, read):
        took = [t.seconds for t in experiment.trials]
        expected = [0.0 if t.error else BUDGET * (0.5 + t.config["x"]) for t in experiment.trials]
        assert took == pytest.approx(expected)
        assert experiment.worker_seconds(experiment.last_time) <= WORKERS * experiment.elapsed


def test_who_waits_for_a_turn_does_not_hang() -> None:
    """Trials take 9 s each, those ahead wait up to 18 s for a worker."""
    experiment = Experiment("loss", "min", BUDGET)
    for kind, body in (("session", {}), ("limit", {"num_trials": TRIALS})):
        experiment.apply(0.0, kind, None, body)
    strategy = Strategy.rebuild(resolve_algo("random"), Problem(SPACE, Fidelity.of(BUDGET), seed=4), experiment.records)
    journal = Journal(None)
    Controller(experiment, strategy, Ahead(benchmark=Smooth()), journal, nest=SPACE.nest, trial_timeout=9.5).run()
    journal.close()
    assert experiment.counts() == {"completed": TRIALS}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_only_full_trainings_of_what_is_not_learnt_can_be_handed_out_ahead(scheduler: str, searcher: str) -> None:
    algo = SCHEDULERS[scheduler](searcher=SEARCHERS[searcher]())
    assert algo.heeds_results == (scheduler != "fifo" or searcher not in ("random", "grid", "sobol"))
