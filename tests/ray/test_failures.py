"""Trials, workers and disks that fail: what it costs, and what the user is told."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

import ray_hpo
from ray_hpo import MetricMissing, RayHpoError, get_checkpoint, get_context, report, tune_run, uniform

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's

SPACE = {"x": uniform(0.0, 1.0)}
EPOCHS = 4

Sweep = Callable[..., ray_hpo.Result]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """`tune_run` with four trials of successive halving to 4 epochs, eta 2, on one worker."""

    def run(trainable: Any, **options: Any) -> ray_hpo.Result:
        defaults = {
            "algo": ray_hpo.SuccessiveHalving(eta=2),
            "max_budget": EPOCHS,
            "num_trials": 4,
            "max_concurrent": 1,
            "progress": False,
        }
        result = tune_run(SPACE, trainable, metric="loss", storage=tmp_path, seed=3, **{**defaults, **options})
        assert isinstance(result, ray_hpo.Result)
        return result

    return run


def train(config: dict[str, Any], at_epoch: Callable[[int], None] = lambda epoch: None) -> None:
    """Four epochs with a checkpoint after each; `at_epoch` is called before each. Notes which epochs it trained."""
    state = get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        at_epoch(epoch)
        with open(get_context().folder / "epochs.txt", "a") as file:
            file.write(f"{epoch}\n")
        report({"loss": config["x"]}, checkpoint={"epoch": epoch})


def epochs_of(result: ray_hpo.Result, trial: int) -> list[int]:
    text = (result.path / "trials" / f"{trial:05d}" / "epochs.txt").read_text()
    return [int(line) for line in text.split()]


def once(marker: Path) -> bool:
    """True the first time, in whichever process."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


# ---- exceptions ----


def test_a_trial_that_raises_fails_alone(sweep: Sweep) -> None:
    def fail_in_trial_1(config: dict[str, Any]) -> None:
        if get_context().trial == 1:
            raise ValueError("layers do not fit")
        train(config)

    result = sweep(fail_in_trial_1)
    failed = result.trials[1]
    assert (failed.state, failed.error) == ("failed", "ValueError: layers do not fit")
    assert 'raise ValueError("layers do not fit")' in failed.traceback
    assert "ray_hpo/worker" not in failed.traceback
    assert result.experiment.counts() == {"completed": 1, "failed": 1, "stopped": 2}


def test_max_failures_tries_again_from_the_last_checkpoint(sweep: Sweep, tmp_path: Path) -> None:
    def fail_once(epoch: int) -> None:
        if epoch == 3 and once(tmp_path / "failed"):
            raise ValueError("out of luck")

    result = sweep(lambda config: train(config, fail_once), algo="random", num_trials=1, max_failures=1)
    trial = result.trials[0]
    assert (trial.state, trial.failures, trial.losses) == ("completed", 1, 0)
    assert [(cause, error) for _, cause, error in trial.crashes] == [("user", "ValueError: out of luck")]
    assert epochs_of(result, 0) == [1, 2, 3, 4]


def test_max_failures_is_a_limit(sweep: Sweep) -> None:
    def fail(config: dict[str, Any]) -> None:
        raise ValueError("never")

    result = sweep(fail, algo="random", num_trials=1, max_failures=2)
    assert (result.trials[0].state, result.trials[0].failures) == ("failed", 3)


def test_sys_exit_in_a_trial_is_a_failure_of_the_trial(sweep: Sweep) -> None:
    def leave(config: dict[str, Any]) -> None:
        sys.exit("data not found")

    result = sweep(leave, algo="random", num_trials=2)
    assert [trial.error for trial in result.trials] == ["SystemExit: data not found"] * 2


# ---- results that are none ----


def test_nan_is_never_promoted_and_never_the_best(sweep: Sweep) -> None:
    def nan_in_trials_0_and_1(config: dict[str, Any]) -> None:
        for _ in range(EPOCHS):
            report({"loss": math.nan if get_context().trial < 2 else config["x"]})

    result = sweep(nan_in_trials_0_and_1)
    assert [trial.fidelity for trial in result.trials[:2]] == [1, 1]
    assert [trial.state for trial in result.trials[:2]] == ["stopped", "stopped"]
    assert result.best_trial.number in (2, 3)


def test_nothing_but_nan_has_no_best(sweep: Sweep) -> None:
    def nan(config: dict[str, Any]) -> None:
        report({"loss": math.nan})

    result = sweep(nan)
    with pytest.raises(RayHpoError, match=r"no trial of .* has a result yet; `ray-hpo show .*` tells why"):
        _ = result.best_trial


def test_a_trial_that_never_reports_fails_alone(sweep: Sweep) -> None:
    def silent_in_trial_2(config: dict[str, Any]) -> None:
        if get_context().trial != 2:
            train(config)

    result = sweep(silent_in_trial_2)
    assert (result.trials[2].state, result.trials[2].error) == ("failed", "ended without a report")
    assert result.experiment.counts()["completed"] == 1


def test_a_metric_that_is_never_reported_ends_the_run_and_names_those_that_were(sweep: Sweep) -> None:
    def other_names(config: dict[str, Any]) -> None:
        report({"val_loss": 1.0, "val_acc": 0.5})

    with pytest.raises(MetricMissing, match=r"metric='loss' was not reported .* it reported val_acc, val_loss"):
        sweep(other_names)


# ---- checkpoints ----


def test_a_checkpoint_that_cannot_be_written_is_a_notice_and_training_goes_on(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train_on_a_full_disk(config: dict[str, Any]) -> None:
        for epoch in range(EPOCHS):
            report({"loss": config["x"] + 1 / (epoch + 1)}, checkpoint={"epoch": epoch})

    def in_the_way(config: dict[str, Any]) -> None:
        trials = get_context().folder.parent
        if trials.is_dir():
            shutil.rmtree(trials)
            trials.write_text("a file where the folder must be")
        train_on_a_full_disk(config)

    result = sweep(in_the_way, algo="random", num_trials=2, progress=True)
    assert [(trial.state, trial.step) for trial in result.trials] == [("completed", EPOCHS)] * 2
    failed = r"trial 0: checkpoint at \d could not be written"  # of several that come at once the newest counts
    assert re.match(failed, result.experiment.notices[0])
    assert re.search(f"! {failed}", capsys.readouterr().out)


def test_a_checkpoint_that_cannot_be_pickled_fails_the_trial_and_says_so(sweep: Sweep) -> None:
    def train_with_a_lock(config: dict[str, Any]) -> None:
        import threading

        report({"loss": config["x"]}, checkpoint={"lock": threading.Lock()})

    result = sweep(train_with_a_lock, algo="random", num_trials=1)
    assert result.trials[0].state == "failed"
    assert result.trials[0].error == (
        "TypeError: the checkpoint cannot be pickled: cannot pickle '_thread.lock' object"
    )


def test_a_checkpoint_may_hold_classes_that_workers_cannot_import(sweep: Sweep) -> None:
    class State:
        def __init__(self, epoch: int) -> None:
            self.epoch = epoch

    def train_with_state(config: dict[str, Any]) -> None:
        report({"loss": config["x"]}, checkpoint={"state": State(1)})

    result = sweep(train_with_state, algo="random", num_trials=1)
    assert isinstance(result.best_checkpoint, dict)
    assert result.best_checkpoint["state"].epoch == 1


def test_a_checkpoint_of_another_type_fails_the_trial_and_says_so(sweep: Sweep) -> None:
    result = sweep(lambda config: report({"loss": 1.0}, checkpoint=17), algo="random", num_trials=1)  # type: ignore[arg-type]
    assert result.trials[0].error == "TypeError: a checkpoint is a dict or the path of a folder; got int"


# ---- workers ----


def test_a_lost_worker_costs_only_the_work_since_the_last_checkpoint(sweep: Sweep, tmp_path: Path) -> None:
    def die_once(epoch: int) -> None:
        if epoch == 3 and once(tmp_path / "died"):
            os.kill(os.getpid(), signal.SIGKILL)

    result = sweep(lambda config: train(config, die_once), algo="random", num_trials=2)
    lost = result.trials[0]
    assert (lost.state, lost.losses, lost.failures) == ("completed", 1, 0)
    assert [cause for _, cause, _ in lost.crashes] == ["worker lost"]
    trained = epochs_of(result, 0)
    assert sorted(set(trained)) == [1, 2, 3, 4]
    assert trained.count(3) == trained.count(4) == 1, "the loss was before epoch 3"
    assert list(result.reports(0).step) == [1, 2, 3, 4]


def test_a_trial_that_always_kills_its_worker_fails_alone(sweep: Sweep) -> None:
    def die_in_trial_1(config: dict[str, Any]) -> None:
        if get_context().trial == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        train(config)

    result = sweep(die_in_trial_1, max_concurrent=2)
    assert (result.trials[1].state, result.trials[1].failures) == ("failed", 0)
    assert result.trials[1].losses > 1
    assert result.experiment.counts() == {"completed": 1, "failed": 1, "stopped": 2}


def test_a_trial_that_hangs_is_killed_and_tried_again_from_its_checkpoint(sweep: Sweep, tmp_path: Path) -> None:
    def hang_once(epoch: int) -> None:
        if epoch == 3 and once(tmp_path / "hung"):
            threading.Event().wait()

    result = sweep(
        lambda config: train(config, hang_once), algo="random", num_trials=1, max_failures=1, trial_timeout=1.0
    )
    trial = result.trials[0]
    assert (trial.state, trial.failures, trial.losses) == ("completed", 1, 0)
    assert epochs_of(result, 0) == [1, 2, 3, 4]
    ((_, cause, error),) = trial.crashes
    assert (cause, error) == ("timeout", "no report for 1s (trial_timeout): it was killed")


def test_a_trial_that_hangs_always_fails_alone(sweep: Sweep) -> None:
    def hang_in_trial_1(config: dict[str, Any]) -> None:
        if get_context().trial == 1:
            threading.Event().wait()
        train(config)

    result = sweep(hang_in_trial_1, trial_timeout=1.0, max_concurrent=2)
    assert result.experiment.counts() == {"completed": 1, "failed": 1, "stopped": 2}
    assert result.trials[1].error == "no report for 1s (trial_timeout): it was killed"


def test_a_trainable_that_workers_cannot_load_is_one_error_with_the_cause(sweep: Sweep) -> None:
    class OnlyHere:
        def __call__(self, config: dict[str, Any]) -> dict[str, float]:
            return {"loss": 1.0}

        def __reduce__(self) -> tuple[Any, ...]:
            return __import__, ("a_module_of_the_drivers_machine",)

    with pytest.raises(RayHpoError) as caught:
        sweep(OnlyHere())
    text = str(caught.value)
    assert text.startswith("no worker can start: ")
    assert "ModuleNotFoundError: No module named 'a_module_of_the_drivers_machine'" in text
    assert "\n" not in text


def test_resources_that_no_node_has_are_refused_before_anything_starts(sweep: Sweep, tmp_path: Path) -> None:
    with pytest.raises(ray_hpo.InvalidInput, match=r"resources=\{CPU: 64\}: no node .* its nodes have \{CPU: 4.*\}"):
        sweep(train, resources={"cpu": 64})
    assert not list(tmp_path.iterdir())


def test_a_trainable_that_cannot_be_pickled_is_refused_before_anything_starts(sweep: Sweep, tmp_path: Path) -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(ray_hpo.InvalidInput, match=r"the trainable .* cannot be sent to workers: .*lock") as caught:
        sweep(lambda config: {"loss": 1.0 if lock else 0.0})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
