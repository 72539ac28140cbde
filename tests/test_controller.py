"""The controller on the simulated executor: cut at every commit, before and after it, and gone on with."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from strategies.domains import choice, uniform
from strategies.registry import resolve_algo
from strategies.schedulers.rungs import Fidelity
from strategies.space_builder import as_space
from strategies.strategy import Problem, Strategy

from ray_hpo.budget import Budget
from ray_hpo.controller import Controller
from ray_hpo.errors import MetricMissing
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Event, Journal
from ray_hpo.journal.reader import read_experiment, read_reports
from ray_hpo.loop.faults import HOPELESS, MAX_LOSSES
from ray_hpo.messages import Cause, Crashed, Job
from ray_hpo.resources import Request, larger_share, normalise
from ray_hpo.simulation import simulate
from tests.strategies.world import hash01

SPACE = as_space(
    {"x": uniform(0, 1), "kind": choice(["a", "b"]), "y": uniform(0, 1).when(kind="a")},
)
MAX_BUDGET = 9
QUARTER = Request.of(normalise({"gpu": 0.25}))


class Bumpy:
    """Costs differ from trial to trial, some trials crash, some give no number."""

    space = SPACE

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        luck = hash01(config["x"], budget)
        if luck < 0.05:
            raise ValueError("diverged")
        loss = math.nan if luck < 0.1 else config["x"] + 1 / budget
        return {"loss": loss, "size": 3 - config["x"] - luck}, budget * (0.5 + config["x"])


class Cut(Exception):
    """The driver dies here."""


class CutJournal(Journal):
    """Dies at one commit: just before it, when nothing of it is kept, or just after, when nothing was acted on."""

    def __init__(self, folder: Path, at: int, after: bool) -> None:
        super().__init__(folder)
        self.commits, self._at, self._after = 0, at, after

    def commit(self) -> None:
        self.commits += 1
        if self.commits == self._at and not self._after:
            raise Cut
        super().commit()
        if self.commits == self._at:
            raise Cut


def cuts(tmp_path: Path, commits: int) -> Iterator[tuple[int, bool, Path]]:
    """Each commit, before and after it, with a folder to die in there."""
    for at in range(1, commits + 1):
        for after in (False, True):
            folder = tmp_path / f"{at}-{after}"
            folder.mkdir()
            yield at, after, folder


def drive(
    folder: Path,
    algo_name: str,
    journal: Journal,
    workers: int = 3,
    num_trials: int = 30,
    metric: str | list[str] = "loss",
    constraints: Mapping[str, str] = MappingProxyType({}),
) -> Experiment:
    """One session, on simulated workers, from where the journal in `folder` stands."""
    counts = {"objectives": 1 if isinstance(metric, str) else len(metric), "constraints": len(constraints)}
    problem, algo = Problem(SPACE, Fidelity.of(MAX_BUDGET), seed=4, **counts), resolve_algo(algo_name)
    empty = Experiment(metric, "min", MAX_BUDGET, copies=algo.copies, constraints=constraints)
    experiment = read_experiment(folder, empty)
    fresh = not experiment.records
    happened = rows(folder)[0]
    executor = SimulatedExecutor(Bumpy(), workers, start=happened[-1][0] if happened else 0.0)
    if fresh:
        for kind, body in (("session", {}), ("limit", {"num_trials": num_trials})):
            journal.event(Event(0.0, kind, None, body))
            experiment.apply(0.0, kind, None, body)
    strategy = Strategy.rebuild(algo, problem, experiment.records)
    try:
        Controller(experiment, strategy, executor, journal, nest=SPACE.nest, max_failures=1).run()
    finally:
        journal.close()
    return experiment


def rows(folder: Path) -> tuple[list[Any], list[Any]]:
    """All events and reports in a journal."""
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        events = connection.execute("SELECT time, kind, trial, body FROM events ORDER BY seq").fetchall()
    return events, read_reports(folder)


@pytest.mark.parametrize(
    ("algo", "num_trials", "goals"),
    [
        ("bohb", 30, {}),
        ("asha", 30, {}),
        ("asha_stopping", 30, {}),
        ("sh", 30, {}),
        ("kde", 30, {}),
        ("pasha", 20, {}),
        ("median_stopping", 12, {}),
        ("pbt", 6, {}),
        ("bohb", 14, {"metric": ["loss", "size"], "constraints": {"size": "< 2.5"}}),
    ],
)
def test_cut_at_every_commit_and_resumed_it_is_the_same_run(
    algo: str, num_trials: int, goals: dict[str, Any], tmp_path: Path
) -> None:
    """Same events at the same simulated times, same reports: nothing lost, nothing doubled, nothing decided anew."""
    whole_folder = tmp_path / "whole"
    whole_folder.mkdir()
    journal = CutJournal(whole_folder, at=0, after=False)
    drive(whole_folder, algo, journal, num_trials=num_trials, **goals)
    whole = rows(whole_folder)
    assert journal.commits > 20
    for at, after, folder in cuts(tmp_path, journal.commits):
        with pytest.raises(Cut):
            drive(folder, algo, CutJournal(folder, at, after), num_trials=num_trials, **goals)
        if at < journal.commits or not after:  # else it died when all was done
            drive(folder, algo, Journal(folder), num_trials=num_trials, **goals)
        assert rows(folder) == whole, f"cut at commit {at}, {'after' if after else 'before'} it"


def test_resumed_states_equal_the_live_ones(tmp_path: Path) -> None:
    """The fold over the journal gives the very trials that the controller held in memory."""
    live = drive(tmp_path, "bohb", Journal(tmp_path))
    read = read_experiment(tmp_path, Experiment("loss", "min", MAX_BUDGET))
    assert repr(read.trials) == repr(live.trials)
    assert read.elapsed == pytest.approx(live.elapsed)
    assert read.granted == live.granted
    assert read.closed == "all trials have run"


class Flaky(SimulatedExecutor):
    """Loses the worker of the trials in `unlucky` as often as it says."""

    def __init__(self, benchmark: Any, workers: int, unlucky: dict[int, int], cause: Cause = "infra") -> None:
        super().__init__(benchmark, workers)
        self.unlucky, self.cause = unlucky, cause
        self.launched: list[Job] = []

    def launch(self, job: Job) -> None:
        self.launched.append(job)
        if self.unlucky.get(job.trial, 0) > 0:
            self.unlucky[job.trial] -= 1
            self._jobs[job.trial] = job
            self._push(job.begun, job.trial, [Crashed(job.trial, self.cause, "node lost")])
            return
        super().launch(job)


class Smooth:
    space = SPACE

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
        return {"loss": config["x"] + 1 / budget}, budget


def control(executor: SimulatedExecutor, algo: str = "bohb", num_trials: int = 9, **options: Any) -> Experiment:
    experiment = Experiment("loss", "min", MAX_BUDGET)
    for kind, body in (("session", {}), ("limit", {"num_trials": num_trials})):
        experiment.apply(0.0, kind, None, body)
    problem = Problem(SPACE, Fidelity.of(MAX_BUDGET), seed=4)
    strategy = Strategy.rebuild(resolve_algo(algo), problem, experiment.records)
    journal = Journal(None)
    Controller(experiment, strategy, executor, journal, nest=SPACE.nest, **options).run()
    journal.close()
    return experiment


def test_lost_workers_are_retried_apart_from_failures() -> None:
    executor = Flaky(Smooth(), 2, {3: MAX_LOSSES, 5: MAX_LOSSES + 1})
    experiment = control(executor, max_failures=0)
    assert experiment.trials[3].state in ("stopped", "completed")
    assert (experiment.trials[3].losses, experiment.trials[3].failures) == (MAX_LOSSES, 0)
    assert experiment.trials[5].state == "failed"
    assert experiment.trials[5].why == "node lost"


def test_preemptions_do_not_count_against_a_trial() -> None:
    experiment = control(Flaky(Smooth(), 2, {3: MAX_LOSSES + 5}, "preempted"), algo="random")
    trial = experiment.trials[3]
    assert (trial.state, trial.losses, trial.failures, len(trial.crashes)) == ("completed", 0, 0, MAX_LOSSES + 5)


@pytest.mark.parametrize(
    ("algo", "budget", "work"), [("random", None, 9), ("random", 30, 3), ("sh", None, 9), ("sh", 4, 4)]
)
def test_work_is_what_there_is_to_do_now_within_the_budget(algo: str, budget: float | None, work: int) -> None:
    experiment = Experiment("loss", "min", MAX_BUDGET)
    experiment.apply(0.0, "limit", None, {"num_trials": 9})
    problem = Problem(SPACE, Fidelity.of(MAX_BUDGET), seed=4)
    strategy = Strategy.rebuild(resolve_algo(algo), problem, experiment.records)
    executor, journal = SimulatedExecutor(Smooth(), 2), Journal(None)
    controller = Controller(
        experiment, strategy, executor, journal, budget=Budget(total_budget=budget), nest=SPACE.nest
    )
    assert controller.work(100) == work
    assert controller.work(2) == 2
    controller.run()
    assert controller.work(100) == 0
    journal.close()


class Sharing(SimulatedExecutor):
    """Trials of which `needs` knows run out of memory with a smaller share of a GPU; room takes `asks` questions."""

    def __init__(self, needs: dict[int, float], asks: int) -> None:
        super().__init__(Smooth(), 2)
        self.needs, self.asks, self._asks = needs, asks, asks
        self.launched: list[tuple[int, float | None]] = []

    def room_for(self, gpu: float) -> bool:
        self._asks -= 1
        return self._asks < 0

    def launch(self, job: Job) -> None:
        self.launched.append((job.trial, job.gpu))
        self._asks = self.asks
        if (job.gpu or 0.25) >= self.needs.get(job.trial, 0.0):
            super().launch(job)
            return
        self._jobs[job.trial] = job
        self._push(job.begun, job.trial, [Crashed(job.trial, "gpu out of memory", "CUDA out of memory")])


def test_a_trial_gets_more_of_a_gpu_while_others_go_on() -> None:
    executor = Sharing({1: 1.0, 4: 0.5}, asks=2)
    experiment = control(executor, more_gpu=lambda share: larger_share(QUARTER, share))
    assert set(experiment.counts()) <= {"completed", "stopped"}
    assert {t.number: (t.gpu, t.failures, t.losses, len(t.crashes)) for t in experiment.trials if t.crashes} == {
        1: (1.0, 0, 0, 2),
        4: (0.5, 0, 0, 1),
    }
    of_1 = [i for i, (trial, _) in enumerate(executor.launched) if trial == 1]
    assert [executor.launched[i][1] for i in of_1[:3]] == [None, 0.5, 1.0]
    assert of_1[2] - of_1[0] > 2, "others were launched while it waited"


def test_more_than_a_whole_gpu_is_not_to_be_had() -> None:
    experiment = control(Sharing({1: 2.0}, asks=0), more_gpu=lambda share: larger_share(QUARTER, share))
    assert (experiment.trials[1].state, experiment.trials[1].failures) == ("failed", 1)
    assert [cause for _, cause, _ in experiment.trials[1].crashes] == ["gpu out of memory"] * 3


def test_a_lost_worker_costs_only_the_work_since_the_checkpoint() -> None:
    class LosesAfterPromotion(Flaky):
        def launch(self, job: Job) -> None:
            if job.checkpoint is not None and job.trial not in self.unlucky:
                self.unlucky[job.trial] = 1
            super().launch(job)

    executor = LosesAfterPromotion(Smooth(), 1, {})
    control(executor)
    again = [job for job in executor.launched if job.checkpoint is not None]
    assert again, "no trial was resumed from a checkpoint"
    assert all(job.checkpoint is not None and job.checkpoint.step < job.until for job in again)


@pytest.mark.parametrize("limit", [20.0, 33.0, 50.0])
@pytest.mark.parametrize("algo", ["bohb", "asha", "asha_stopping", "random"])
def test_total_budget_is_never_exceeded(algo: str, limit: float) -> None:
    experiment = simulate(Smooth(), algo=algo, metric="loss", max_budget=9, total_budget=limit, workers=3)
    assert limit - 9 <= experiment.granted <= limit
    assert experiment.closed == f"total_budget of {limit:g} is spent"
    assert experiment.counts().get("running", 0) == 0


def test_time_limit_leaves_running_trials_to_a_resume() -> None:
    experiment = simulate(Smooth(), algo="random", metric="loss", max_budget=9, time_limit=20.0, workers=3)
    assert experiment.closed == "time_limit of 20s is used up"
    assert experiment.counts() == {"completed": 6, "running": 3}
    assert experiment.elapsed == 20.0


def test_a_broken_trainable_ends_it_before_all_trials_have_failed() -> None:
    class Broken(Smooth):
        def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
            raise ImportError("no module named tensors")

    experiment = simulate(Broken(), algo="bohb", metric="loss", max_budget=9, num_trials=500)
    assert len(experiment.trials) == HOPELESS
    assert experiment.closed.endswith("the last with ImportError: no module named tensors")


def test_a_metric_nobody_reports_ends_it_at_once() -> None:
    with pytest.raises(MetricMissing, match="metric='accuracy' was not reported by trial 0 up to 1; it reported loss"):
        simulate(Smooth(), algo="bohb", metric="accuracy", max_budget=9, num_trials=5)


def test_thousands_of_trials_a_second_are_simulated_alike() -> None:
    first, second = (
        simulate(Smooth(), algo="asha", metric="loss", max_budget=9, num_trials=500, workers=100) for _ in range(2)
    )
    assert repr(first.trials) == repr(second.trials)


def test_mode_max_turns_the_order_around() -> None:
    class Accuracy(Smooth):
        def evaluate(self, config: dict[str, Any], budget: float) -> tuple[Mapping[str, Any], float]:
            return {"acc": config["x"]}, budget

    experiment = simulate(Accuracy(), algo="hyperband", metric="acc", mode="max", max_budget=9, num_trials=30)
    assert experiment.best is not None
    assert experiment.best.value == max(t.value for t in experiment.trials if t.fidelity == 9 and t.value is not None)
