"""Whole experiments in this process: every kind of trainable, resume and growth, limits, failures."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo import MetricMissing, get_checkpoint, get_context, report, resume, tune_run, uniform
from ray_hpo.controller import Controller
from ray_hpo.experiment import Experiment
from ray_hpo.journal import read_reports

EPOCHS = 9
SPACE = {"x": uniform(0.0, 1.0)}


def train(config: dict[str, Any]) -> None:
    state = get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})


def yielding(config: dict[str, Any]) -> Iterator[tuple[dict[str, float], dict[str, int]]]:
    state = get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        yield {"loss": config["x"] + 1 / epoch}, {"epoch": epoch}


def budgeted(config: dict[str, Any], budget: int) -> dict[str, float]:
    return {"loss": config["x"] + 1 / budget}


class Stepping:
    def setup(self, config: dict[str, Any]) -> None:
        self.x, self.epoch = config["x"], 0

    def step(self) -> dict[str, float]:
        self.epoch += 1
        return {"loss": self.x + 1 / self.epoch}

    def save(self) -> dict[str, int]:
        return {"epoch": self.epoch}

    def load(self, checkpoint: dict[str, int]) -> None:
        self.epoch = checkpoint["epoch"]


def with_ray_tune(config: dict[str, Any]) -> None:
    from ray import tune

    for epoch in range(1, EPOCHS + 1):
        tune.report({"loss": config["x"] + 1 / epoch})


def run(storage: Path, trainable: Any = train, **changes: Any) -> ray_hpo.Result:
    """Hyperband to 9 epochs with 15 trials: brackets of 9, 3 and 3."""
    options = {"space": SPACE, "algo": "hyperband", "max_budget": EPOCHS, "num_trials": 15, "seed": 4, "metric": "loss"}
    result = tune_run(
        trainable=trainable, **{"executor": "inline", "progress": False, "storage": storage, **options, **changes}
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def outcome(result: ray_hpo.Result) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, t.state, t.fidelity, t.value, t.why) for t in result.trials]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ray_hpo.Result:
    return run(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("trainable", [yielding, budgeted, Stepping, with_ray_tune])
def test_every_kind_of_trainable_gives_the_same_outcome(
    trainable: Any, reference: ray_hpo.Result, tmp_path: Path
) -> None:
    assert outcome(run(tmp_path, trainable)) == outcome(reference)


def test_a_function_that_returns_runs_once_for_each_trial(tmp_path: Path) -> None:
    result = run(tmp_path, lambda config: {"loss": config["x"]}, algo="random", max_budget=None)
    assert [trial.step for trial in result.trials] == [1] * 15
    assert result.best_value == min(trial.config["x"] for trial in result.trials)


def test_what_was_known_is_let_go_before_the_result_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all trials are in memory twice."""
    held: list[Controller | Experiment] = []

    def alive() -> list[Controller | Experiment]:
        # By type(): isinstance asks objects for __class__, and some of other libraries answer with a warning.
        return [known for known in gc.get_objects() if issubclass(type(known), (Controller, Experiment))]

    class Watched(ray_hpo.Result):
        def __init__(self, *args: Any) -> None:
            gc.collect()
            held.extend(alive())
            super().__init__(*args)

    monkeypatch.setattr("ray_hpo.drive.Result", Watched)
    gc.collect()
    before = alive()
    run(tmp_path)
    assert [known for known in held if not any(known is other for other in before)] == []


def test_mode_max(tmp_path: Path) -> None:
    result = run(tmp_path, lambda config: {"loss": config["x"]}, algo="random", mode="max", num_trials=5)
    assert result.best_value == max(trial.config["x"] for trial in result.trials)


def test_ray_gets_its_own_session_back(tmp_path: Path) -> None:
    run(tmp_path, with_ray_tune, num_trials=2)
    assert sys.modules["ray.train._internal.session"]._session is None


def test_the_plan_of_hyperband_is_what_is_spent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(tmp_path, progress=True)
    assert result.spent == 9 * 1 + 3 * 2 + 1 * 6 + 3 * 3 + 1 * 6 + 3 * 9
    assert f"plan: {result.spent:g} epochs; full training of every trial would take 135" in capsys.readouterr().out


def test_report_outside_of_a_trial_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="work only inside a trial: call tune_run on the trainable"):
        report({"loss": 1.0})


# ---- resume and growth ----


def test_resume_of_a_finished_experiment_changes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path)
    before = read_reports(first.path)
    again = resume(first.path, train, executor="inline", progress=False)
    assert outcome(again) == outcome(first)
    assert read_reports(first.path) == before


def test_an_experiment_grows(tmp_path: Path) -> None:
    small = run(tmp_path, algo="bohb", num_trials=10)
    before = {(trial, step): (time, metrics) for trial, step, time, metrics in read_reports(small.path)}
    large = resume(small.path, train, num_trials=20, executor="inline", progress=False)
    assert len(large.trials) == 20
    after = {(trial, step): (time, metrics) for trial, step, time, metrics in read_reports(small.path)}
    assert before.items() < after.items()
    settled = [trial for trial in small.trials if trial.state in ("completed", "stopped")]
    assert settled
    for trial in settled:
        now = large.trials[trial.number]
        assert (now.config, now.state, now.fidelity, now.value) == (
            trial.config,
            trial.state,
            trial.fidelity,
            trial.value,
        )


def test_growth_of_a_full_training_sweep_equals_one_run(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", algo="kde", num_trials=20)
    grown = run(tmp_path / "grown", algo="kde", num_trials=10)
    grown = resume(grown.path, train, num_trials=20, executor="inline", progress=False)
    assert outcome(grown) == outcome(whole)


def test_resume_imports_the_trainable_that_the_journal_names(tmp_path: Path) -> None:
    small = run(tmp_path, num_trials=3)
    assert len(resume(small.path, num_trials=5, executor="inline", progress=False).trials) == 5


def test_a_run_that_is_cut_off_goes_on_from_its_checkpoints(reference: ray_hpo.Result, tmp_path: Path) -> None:
    stop_at = 20
    counted: list[int] = []

    def stopping(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            counted.append(epoch)
            if len(counted) == stop_at:
                signal_driver()
            report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})

    def signal_driver() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)

    first = run(tmp_path, stopping)
    assert first.status == "terminated"
    assert len(first.trials) < 15
    assert outcome(resume(first.path, stopping, executor="inline", progress=False)) == outcome(reference)


def test_given_points_are_tried_first_and_survive_a_resume(tmp_path: Path) -> None:
    points = [{"x": 0.25}, {}, {"x": 1}]
    whole = run(tmp_path / "whole", points_to_evaluate=points, num_trials=15)
    assert whole.trials[0].config == {"x": 0.25} and whole.trials[2].config == {"x": 1.0}
    assert whole.trials[0].decisions[0][1].startswith("start: points_to_evaluate[0]: bracket 0")
    cut = run(tmp_path / "cut", points_to_evaluate=points, num_trials=3, algo="random")
    grown = resume(cut.path, train, num_trials=6, executor="inline", progress=False)
    assert outcome(grown) == outcome(run(tmp_path / "grown", points_to_evaluate=points, num_trials=6, algo="random"))


# ---- limits ----


def test_total_budget_is_never_exceeded_and_almost_used(tmp_path: Path) -> None:
    result = run(tmp_path, num_trials=None, total_budget=50)
    assert result.status == "total_budget of 50 is spent"
    assert 50 - EPOCHS < result.spent <= 50


@pytest.mark.parametrize("algo", ["asha_stopping", "median_stopping"])
def test_what_a_spent_budget_paused_goes_on_when_it_grows(algo: str, tmp_path: Path) -> None:
    first = run(tmp_path, algo=algo, num_trials=6, total_budget=5)
    assert first.experiment.counts()["paused"] == 1
    result = resume(first.path, train, total_budget=200, executor="inline", progress=False)
    assert result.status == "all trials have run"
    assert set(result.experiment.counts()) <= {"stopped", "completed"}


def test_time_limit_ends_a_run(tmp_path: Path) -> None:
    def slow(config: dict[str, Any]) -> None:
        for epoch in range(1, EPOCHS + 1):
            time.sleep(0.02)  # the training
            report({"loss": config["x"] + 1 / epoch})

    began = time.monotonic()
    result = run(tmp_path, slow, num_trials=None, time_limit="1s")
    took = time.monotonic() - began
    assert result.status == "time_limit of 1s is used up"
    assert 1.0 <= took < 3.0
    assert 1 < len(result.trials) < 50


def test_a_time_limit_covers_all_sessions(tmp_path: Path) -> None:
    def slow(config: dict[str, Any]) -> dict[str, float]:
        time.sleep(0.02)  # the training
        return {"loss": config["x"]}

    first = run(tmp_path, slow, algo="random", num_trials=None, time_limit=0.5)
    second = resume(first.path, slow, executor="inline", progress=False)
    assert len(second.trials) == len(first.trials)
    third = resume(first.path, slow, time_limit=1.2, executor="inline", progress=False)
    assert len(third.trials) > len(first.trials)
    assert 1.2 <= third.experiment.elapsed < 2.0


# ---- failures ----


def test_a_trial_that_raises_fails_alone(tmp_path: Path) -> None:
    def fail_in_trial_1(config: dict[str, Any]) -> None:
        if get_context().trial == 1:
            raise ValueError("out of memory, say")
        train(config)

    result = run(tmp_path, fail_in_trial_1)
    assert (result.trials[1].state, result.trials[1].error) == ("failed", "ValueError: out of memory, say")
    assert result.experiment.counts()["failed"] == 1


def test_a_metric_of_another_name_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(MetricMissing, match="metric='loss' was not reported by trial 0 up to 1; it reported accuracy"):
        run(tmp_path, lambda config: {"accuracy": 1.0})


def test_no_trial_with_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(config: dict[str, Any]) -> None:
        raise ValueError("no data")

    result = run(tmp_path, fail, num_trials=2, progress=True)
    assert result.experiment.best is None
    out = capsys.readouterr().out
    assert "best: none, no trial has a result\n  trial 0: ValueError: no data" in out
    assert "full training of all 2 trials would have taken 18\n" in out
    assert len(result.to_dataframe()) == 2


@pytest.mark.parametrize(
    ("algo", "max_budget", "says"),
    [
        ("auto", 9, "algo: auto picked priorband (priors; max_budget allows early stopping)"),
        ("auto", None, "algo: auto picked tpe (priors; no max_budget: full trainings only)"),
        ("bohb", 9, "algo: kde does not use the space's priors; these do: tpe, "),
    ],
)
def test_priors_are_used_or_their_neglect_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], algo: str, max_budget: int | None, says: str
) -> None:
    space = {"x": uniform(0.0, 1.0, prior=(0.2, "high"))}
    result = run(tmp_path, space=space, algo=algo, max_budget=max_budget, num_trials=3, progress=True)
    assert says in capsys.readouterr().out
    if algo == "auto":
        assert result.trials[0].config == {"x": 0.2}
    again = resume(result.path, train, num_trials=4, executor="inline", progress=False)
    assert again.spec.space == result.spec.space
