"""Trials that begin from another one's checkpoint, as population based training starts them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from strategies.actions import Start, record_from_json, record_to_json
from strategies.registry import resolve_algo
from strategies.schedulers.rungs import Fidelity
from strategies.strategy import Problem, Strategy

import ray_hpo
from ray_hpo import PBT, InvalidInput, choice, get_checkpoint, get_context, report, resume, simulate, tune_run, uniform
from ray_hpo.cli.views import print_experiment, print_trial, trial_json
from ray_hpo.controller import Controller
from ray_hpo.executors.simulated import SimulatedExecutor
from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Journal
from ray_hpo.messages import Checkpoint, Job, Message, Saved
from tests.test_controller import MAX_BUDGET, SPACE, Bumpy, Smooth

EPOCHS = 12


def train(config: dict[str, Any]) -> None:
    """Keeps in its checkpoint who trained each epoch."""
    state = get_checkpoint() or {"trained": []}
    assert isinstance(state, dict)
    trained = state["trained"]
    for epoch in range(len(trained) + 1, EPOCHS + 1):
        trained = [*trained, get_context().trial]
        report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch}, checkpoint={"trained": trained})


def run(storage: Path, trainable: Any = train, **changes: Any) -> ray_hpo.Result:
    options: dict[str, Any] = {"algo": PBT(interval=3), "max_budget": EPOCHS, "num_trials": 8, "seed": 4}
    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        trainable,
        **{**options, "metric": "loss", "executor": "inline", "progress": False, "storage": storage, **changes},
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def outcome(result: ray_hpo.Result) -> list[tuple[Any, ...]]:
    return [(t.number, t.parent, t.origin, t.config, t.state, t.step, t.fidelity, t.value) for t in result.trials]


def lineage(result: ray_hpo.Result, number: int) -> list[int]:
    """Who must have trained each epoch of a completed trial."""
    trial = result.trials[number]
    if trial.parent is None:
        return [number] * int(trial.step)
    before = lineage(result, trial.parent)[: int(trial.origin)]
    return before + [number] * (int(trial.step) - int(trial.origin))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ray_hpo.Result:
    return run(tmp_path_factory.mktemp("reference"))


def test_a_copy_goes_on_from_its_parents_checkpoint(reference: ray_hpo.Result) -> None:
    copies = [trial for trial in reference.trials if trial.parent is not None]
    completed = [trial for trial in reference.trials if trial.state == "completed"]
    assert len(copies) >= 4
    assert len(completed) == 8
    assert any(trial.parent is not None for trial in completed)
    for trial in completed:
        checkpoint = reference.checkpoint(trial)
        assert checkpoint == {"trained": lineage(reference, trial.number)}
    for trial in copies:
        assert trial.parent is not None
        assert 3 <= trial.origin <= (reference.trials[trial.parent].fidelity or 0)
        first, *_ = reference.reports(trial.number).step
        assert first == trial.origin + 1


def test_what_it_costs(reference: ray_hpo.Result) -> None:
    """Eight slots of 12 epochs; a copy pays for what it trains itself."""
    assert len(reference.all_reports()) == reference.spent == reference.experiment.granted <= 8 * EPOCHS
    assert reference.experiment.proposed == 8
    assert reference.status == "all trials have run"
    assert reference.resume_command


def test_only_checkpoints_that_are_still_needed_stay(reference: ray_hpo.Result) -> None:
    kept = {str(path.relative_to(reference.path)) for path in reference.path.glob("trials/*/checkpoint_*")}
    assert kept == {trial.checkpoint.path for trial in reference.trials if trial.checkpoint}
    assert len(kept) == 8
    assert kept == set(reference.experiment.checkpoints)


def test_the_limit_counts_the_population(reference: ray_hpo.Result, tmp_path: Path) -> None:
    small = run(tmp_path, num_trials=5)
    with pytest.raises(InvalidInput, match="num_trials=4 is below the 5 trials that were started already"):
        resume(small.path, train, num_trials=4, executor="inline", progress=False)
    grown = resume(small.path, train, num_trials=8, executor="inline", progress=False)
    assert grown.experiment.proposed == 8
    assert outcome(grown)[: len(small.trials)] == outcome(small)


def test_without_a_limit_the_population_is_the_schedulers(tmp_path: Path) -> None:
    assert run(tmp_path, algo=PBT(interval=6, population_size=3), num_trials=None).experiment.proposed == 3
    experiment = simulate(Smooth(), algo=PBT(population_size=6), metric="loss", max_budget=9)
    assert experiment.proposed == 6


@pytest.mark.parametrize("stop_at", [10, 31, 52, 77])
def test_cut_off_and_resumed_it_is_the_same(stop_at: int, reference: ray_hpo.Result, tmp_path: Path) -> None:
    counted = []

    def stopping(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"trained": []}
        assert isinstance(state, dict)
        trained = state["trained"]
        for epoch in range(len(trained) + 1, EPOCHS + 1):
            counted.append(epoch)
            if len(counted) == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            trained = [*trained, get_context().trial]
            report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch}, checkpoint={"trained": trained})

    first = run(tmp_path, stopping)
    assert first.status == "terminated"
    result = resume(first.path, stopping, executor="inline", progress=False)
    assert outcome(result) == outcome(reference)
    for trial in result.trials:
        if trial.state == "completed":
            assert result.checkpoint(trial) == {"trained": lineage(result, trial.number)}


def test_a_parent_without_a_checkpoint(tmp_path: Path) -> None:
    """The copy trains from nothing to where it is due, pays for that, and the user is told."""

    def forgetful(config: dict[str, Any]) -> None:
        for epoch in range(1, EPOCHS + 1):
            report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch})

    result = run(tmp_path, forgetful)
    copies = [trial for trial in result.trials if trial.parent is not None]
    assert copies
    assert {trial.origin for trial in copies} == {0.0}
    for trial in copies:
        assert list(result.reports(trial.number).step) == list(range(1, int(trial.step) + 1))
        text = f"trial {trial.number}: starts from nothing: trial {trial.parent}, of which it is a copy, saved no"
        assert any(notice.startswith(text) for notice in result.experiment.notices)
    assert result.experiment.counts()["completed"] == 8


def test_checkpoints_between_milestones_do_not_shift_where_copies_begin(tmp_path: Path) -> None:
    """A parent that trained on beyond its milestone is copied as it was there."""

    def rarely(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            saved = {"epoch": epoch} if epoch % 2 == 0 else None
            report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch}, checkpoint=saved)

    result = run(tmp_path, rarely)
    origins = {trial.origin for trial in result.trials if trial.parent is not None}
    assert origins <= {2.0, 6.0, 8.0}  # the last even epochs up to 3, 6 and 9
    assert origins


def test_a_class_is_copied_too(reference: ray_hpo.Result, tmp_path: Path) -> None:
    class Stepping:
        def setup(self, config: dict[str, Any]) -> None:
            self.x, self.trained = config["x"], list[int]()

        def step(self) -> dict[str, float]:
            self.trained = [*self.trained, get_context().trial]
            return {"loss": (self.x - 0.3) ** 2 + 1 / len(self.trained)}

        def save(self) -> dict[str, list[int]]:
            return {"trained": self.trained}

        def load(self, checkpoint: dict[str, list[int]]) -> None:
            self.trained = checkpoint["trained"]

    result = run(tmp_path, Stepping)
    assert outcome(result) == outcome(reference)
    best = result.best_trial
    assert result.best_checkpoint == {"trained": lineage(result, best.number)}


def test_a_parent_that_ended_by_itself_leaves_nothing_to_train(tmp_path: Path) -> None:
    """The trainable stops at epoch 5 of 12: the copies made after that have its result."""

    def short(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, 6):
            report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch}, checkpoint={"epoch": epoch})

    result = run(tmp_path, short)
    assert set(result.experiment.counts()) <= {"completed", "stopped"}
    late = [trial for trial in result.trials if trial.origin == 5]
    assert all(trial.metrics == result.trials[trial.parent or 0].metrics for trial in late)
    assert result.spent == len(result.all_reports())


def test_steps_that_overshoot_the_milestones(tmp_path: Path) -> None:
    """Reports every 5 epochs, milestones every 3: the checkpoint at milestone 9 is that of epoch 10, the last one."""

    def coarse(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 5, 11, 5):
            report({"loss": (config["x"] - 0.3) ** 2 + 1 / epoch, "epoch": epoch}, checkpoint={"epoch": epoch})

    result = run(tmp_path, coarse, fidelity="epoch", max_budget=10)
    assert set(result.experiment.counts()) == {"completed", "stopped"}
    assert result.experiment.counts()["completed"] == 8
    assert {trial.origin for trial in result.trials if trial.parent is not None} <= {5.0, 10.0}


def test_budgets_that_are_trained_from_nothing_are_refused(tmp_path: Path) -> None:
    def budgeted(config: dict[str, Any], budget: int) -> dict[str, float]:
        return {"loss": config["x"] / budget}

    with pytest.raises(InvalidInput, match="algo pbt needs a trainable that goes on from checkpoints"):
        run(tmp_path / "runs", budgeted)
    assert not (tmp_path / "runs").exists()

    class FromNothing(Smooth):
        resumable = False

    with pytest.raises(InvalidInput, match="algo pbt needs a benchmark that goes on from checkpoints"):
        simulate(FromNothing(), algo="pbt", metric="loss", max_budget=9)


def test_what_is_shown(reference: ray_hpo.Result, capsys: pytest.CaptureFixture[str]) -> None:
    copy = next(trial for trial in reference.trials if trial.parent is not None)
    print_trial(reference, copy)
    print_experiment(reference, 0)
    shown = capsys.readouterr().out
    assert f"parent: trial {copy.parent}, trained on from step {copy.origin:g}" in shown
    assert " ".join(next(line for line in shown.splitlines() if " why " in line).split()[:3]) == "trial parent state"
    line = reference.lineage(copy)
    assert (line[0].parent, line[-2].number, line[-1]) == (None, copy.parent, copy)
    assert f"lineage: {' -> '.join(str(trial.number) for trial in line)}\n" in shown
    assert trial_json(reference, copy)["parent"] == copy.parent
    assert reference.to_dataframe().loc[copy.number, "parent"] == copy.parent


@pytest.mark.parametrize("limit", [20.0, 45.0])
def test_total_budget_is_never_exceeded(limit: float) -> None:
    experiment = simulate(Smooth(), algo="pbt", metric="loss", max_budget=9, total_budget=limit, workers=3)
    assert limit - 1 <= experiment.granted <= limit
    assert experiment.spent == experiment.granted


# ---- which checkpoints are kept ----


class Disk(SimulatedExecutor):
    """Every checkpoint has a path of its own, and a trial can only begin from one that is there."""

    def __init__(self, benchmark: Any, workers: int) -> None:
        super().__init__(benchmark, workers)
        self.there: set[str] = set()
        self.copied: list[Job] = []
        self._saved = 0

    def launch(self, job: Job) -> None:
        if job.checkpoint is not None:
            assert job.checkpoint.path in self.there
            assert job.checkpoint.step < job.until
            if not job.checkpoint.path.startswith(f"{job.trial}/"):
                self.copied.append(job)
        super().launch(job)

    def _push(self, end: float, trial: int, messages: list[Message]) -> None:
        self._saved += 1
        path = f"{trial}/{self._saved}"
        super()._push(end, trial, [self._own(path, message) for message in messages])

    def _own(self, path: str, message: Message) -> Message:
        if not isinstance(message, Saved):
            return message
        self.there.add(path)
        return Saved(message.trial, Checkpoint(path, message.checkpoint.step))


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_no_checkpoint_goes_while_it_is_needed_and_none_stays_when_it_is_not(workers: int, seed: int) -> None:
    executor, journal = Disk(Bumpy(), workers), Journal(None)
    experiment = Experiment("loss", "min", MAX_BUDGET, copies=True)
    for kind, body in (("session", {}), ("limit", {"num_trials": 16})):
        experiment.apply(0.0, kind, None, body)
    algo = resolve_algo("pbt")
    strategy = Strategy.rebuild(algo, Problem(SPACE, Fidelity.of(MAX_BUDGET), seed), experiment.records)
    Controller(experiment, strategy, executor, journal, discard=executor.there.remove, nest=SPACE.nest).run()
    assert executor.copied
    assert executor.there == {trial.checkpoint.path for trial in experiment.trials if trial.checkpoint}
    assert executor.there == set(experiment.checkpoints)
    assert all(trial.at_milestone is None for trial in experiment.trials)


def test_a_start_without_a_parent_is_journalled_as_it_always_was() -> None:
    start = Start(3, {"x": 1}, 9.0, 0, "why")
    body = record_to_json(start)
    assert body == {"kind": "start", "trial": 3, "config": {"x": 1}, "until": 9.0, "bracket": 0, "reason": "why"}
    assert record_from_json(body) == start
    copy = Start(4, {"x": 1}, 9.0, 0, "why", parent=3, replaces=1)
    assert record_from_json(record_to_json(copy)) == copy


# ---- what it is for ----


@pytest.mark.parametrize("seed", range(3))
def test_the_example_of_the_paper(seed: int, tmp_path: Path) -> None:
    """Jaderberg et al. 2017, figure 2: maximise Q = 1.2 - x^2 - y^2 by ascent on 1.2 - h0 x^2 - h1 y^2 from (0.9, 0.9).

    h = (1, 0) or (0, 1), as the paper's two workers have it, so no fixed h gets beyond 1.2 - 0.81 = 0.39. Only a
    trial that changes h on its way comes near 1.2.
    """

    def ascend(config: dict[str, str]) -> None:
        state = get_checkpoint() or {"theta": [0.9, 0.9], "step": 0}
        assert isinstance(state, dict)
        theta, h = list(state["theta"]), {"first": (1.0, 0.0), "second": (0.0, 1.0)}[config["h"]]
        for step in range(state["step"] + 1, 81):
            theta = [value - 0.05 * 2 * weight * value for value, weight in zip(theta, h, strict=True)]
            q = 1.2 - theta[0] ** 2 - theta[1] ** 2
            report({"q": q}, checkpoint={"theta": theta, "step": step} if step % 4 == 0 else None)

    def best(algo: Any, folder: str) -> float:
        result = tune_run(
            {"h": choice(["first", "second"])},
            ascend,
            metric="q",
            mode="max",
            algo=algo,
            max_budget=80,
            num_trials=16,
            seed=seed,
            storage=tmp_path / folder,
            executor="inline",
            progress=False,
        )
        assert isinstance(result, ray_hpo.Result)
        assert result.spent <= 16 * 80
        return result.best_value

    assert best("random", "random") < 0.39
    assert best(PBT(interval=4), "pbt") > 1.19
