"""A BOHB sweep on a real Ray, from the call to the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

import ray_hpo
from ray_hpo import choice, get_checkpoint, get_context, loguniform, report, tune_run, uniform

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's

EPOCHS = 9
TRIALS = 30
SPACE = {"x": uniform(0.0, 1.0), "optimizer": {"name": choice(["sgd", "adam"]), "lr": loguniform(1e-4, 1.0)}}


def train(config: dict[str, Any]) -> None:
    """Keeps in its checkpoint, and in a file, which epochs it trained."""
    state = get_checkpoint() or {"epochs": []}
    assert isinstance(state, dict)
    for epoch in range(len(state["epochs"]) + 1, EPOCHS + 1):
        with open(get_context().folder / "epochs.txt", "a") as file:
            file.write(f"{epoch}\n")
        state = {"epochs": [*state["epochs"], epoch]}
        penalty = 0.1 if config["optimizer"]["name"] == "sgd" else 0.0
        report({"loss": (config["x"] - 0.3) ** 2 + penalty + 1 / epoch}, checkpoint=state)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> ray_hpo.Result:
    result = tune_run(
        SPACE,
        train,
        metric="loss",
        algo="bohb",
        max_budget=EPOCHS,
        num_trials=TRIALS,
        storage=tmp_path_factory.mktemp("sweep"),
        seed=1,
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def test_all_trials_run_and_most_stop_early(sweep: ray_hpo.Result) -> None:
    assert len(sweep.trials) == TRIALS
    counts = sweep.experiment.counts()
    assert set(counts) == {"completed", "stopped"}
    assert counts["stopped"] > counts["completed"]


def test_the_best_config_is_the_best_of_those_that_got_furthest(sweep: ray_hpo.Result) -> None:
    furthest = [trial for trial in sweep.trials if trial.fidelity == EPOCHS]
    best = min(furthest, key=lambda trial: trial.value or 0.0)
    assert sweep.best_trial.number == best.number
    assert sweep.best_value == best.value
    assert sweep.best_config == {
        "x": best.config["x"],
        "optimizer": {"name": best.config["optimizer.name"], "lr": best.config["optimizer.lr"]},
    }


def test_the_dataframe_has_a_row_for_each_trial(sweep: ray_hpo.Result) -> None:
    frame = sweep.to_dataframe()
    assert list(frame.index) == list(range(TRIALS))
    assert {"state", "fidelity", "loss", "config/x", "config/optimizer.name", "why"} <= set(frame.columns)
    assert frame.loc[sweep.best_trial.number, "loss"] == sweep.best_value


def test_every_trial_says_why_it_ended(sweep: ray_hpo.Result) -> None:
    for trial in sweep.trials:
        if trial.state == "completed":
            assert trial.why == "completed: reached max_budget 9"
        else:
            assert trial.why.startswith(f"rung {trial.fidelity:g}: ranked ")


def test_a_promoted_trial_goes_on_from_its_checkpoint(sweep: ray_hpo.Result) -> None:
    promoted = [trial for trial in sweep.trials if len(trial.decisions) > 2]
    assert promoted
    for trial in sweep.trials:
        trained = (sweep.path / "trials" / f"{trial.number:05d}" / "epochs.txt").read_text().split()
        assert trained == [str(epoch) for epoch in range(1, int(trial.step) + 1)]


def test_the_best_checkpoint_is_the_one_of_the_last_epoch(sweep: ray_hpo.Result) -> None:
    checkpoint = sweep.best_checkpoint
    assert isinstance(checkpoint, dict)
    assert checkpoint == {"epochs": list(range(1, EPOCHS + 1))}


def test_reports_are_all_there_once(sweep: ray_hpo.Result) -> None:
    reports = sweep.all_reports()
    for trial in sweep.trials:
        assert list(reports[reports.trial == trial.number].step) == list(range(1, int(trial.step) + 1))
    assert len(reports) == sweep.spent


def test_only_checkpoints_that_are_still_needed_stay(sweep: ray_hpo.Result) -> None:
    kept = {str(path.relative_to(sweep.path)) for path in sweep.path.glob("trials/*/checkpoint_*")}
    assert kept == {trial.checkpoint.path for trial in sweep.trials if trial.checkpoint}
    assert all(trial.checkpoint is None for trial in sweep.trials if trial.state == "stopped")


def test_trials_run_side_by_side(tmp_path: Path) -> None:
    count, meeting = 3, tmp_path / "meeting"
    meeting.mkdir()

    def meet(config: dict[str, Any]) -> dict[str, float]:
        """Ends well only if all others are there at the same time."""
        from benchmarks.chaos.waiting import wait_until

        (meeting / str(get_context().trial)).touch()
        wait_until(lambda: len(list(meeting.iterdir())) == count)
        return {"loss": config["x"]}

    result = tune_run(
        {"x": uniform(0, 1)},
        meet,
        metric="loss",
        algo="random",
        num_trials=count,
        storage=tmp_path / "runs",
        progress=False,
    )
    assert result.experiment.counts() == {"completed": count}


def test_isolated_trials_have_a_process_each(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        import os

        return {"loss": config["x"], "pid": os.getpid()}

    result = tune_run(
        {"x": uniform(0, 1)},
        train,
        metric="loss",
        algo="random",
        num_trials=3,
        max_concurrent=1,
        isolate=True,
        storage=tmp_path,
        progress=False,
    )
    assert len({trial.metrics["pid"] for trial in result.trials}) == 3


def test_isolated_trials_that_are_paused_make_way_for_others(tmp_path: Path) -> None:
    """The worker that a paused trial gives back is not there for the next one: a fresh one is."""

    def train(config: dict[str, Any]) -> None:
        import os

        from ray_hpo import get_checkpoint, report

        state = get_checkpoint() or {"pids": []}
        for _ in range(len(state["pids"]), 2):
            state = {"pids": [*state["pids"], os.getpid()]}
            report({"loss": config["x"], **state}, checkpoint=state)

    result = tune_run(
        {"x": uniform(0, 1)},
        train,
        metric="loss",
        algo=ray_hpo.SuccessiveHalving(eta=2),
        max_budget=2,
        num_trials=2,
        max_concurrent=1,
        isolate=True,
        storage=tmp_path,
        progress=False,
    )
    assert result.experiment.counts() == {"completed": 1, "stopped": 1}
    first, second = (set(trial.metrics["pids"]) for trial in result.trials)
    assert first.isdisjoint(second)
