"""Trials of milliseconds share calls to workers: what a crash among them costs, and that none waits for another."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

import ray_hpo
from ray_hpo import get_context, tune_run, uniform

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's

TRIALS, ODD = 200, 100
Sweep = Callable[..., ray_hpo.Result]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    def run(trainable: Any, **options: Any) -> ray_hpo.Result:
        result = tune_run(
            {"x": uniform(0.0, 1.0)},
            trainable,
            metric="loss",
            algo="random",
            num_trials=TRIALS,
            max_concurrent=2,
            storage=tmp_path,
            seed=3,
            progress=False,
            **options,
        )
        assert isinstance(result, ray_hpo.Result)
        return result

    return run


def shared(result: ray_hpo.Result) -> int:
    """How many trials shared a call."""
    with closing(sqlite3.connect(result.path / "journal.sqlite")) as connection:
        query = "SELECT COUNT(*) FROM events WHERE kind IN ('ended', 'ran') AND body LIKE '%seconds%'"
        (count,) = connection.execute(query).fetchone()
    return int(count)


def check_all_there(result: ray_hpo.Result) -> None:
    assert result.experiment.counts() == {"completed": TRIALS}
    assert [report["trial"] for report in result.all_reports().to_dict("records")] == list(range(TRIALS))
    assert [trial.value for trial in result.trials] == [trial.config["x"] for trial in result.trials]
    assert shared(result) > 0


def test_what_shared_a_call_with_a_crash_is_run_again_and_counts_for_nothing(sweep: Sweep, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def train(config: dict[str, Any]) -> dict[str, float]:
        if get_context().trial == ODD and not marker.exists():
            marker.touch()
            os._exit(1)
        return {"loss": config["x"]}

    result = sweep(train, max_failures=0)
    check_all_there(result)
    assert sum(trial.failures for trial in result.trials) == 0
    assert sum(trial.losses for trial in result.trials) <= 1  # none, if the crash was in a call with others


def test_one_that_always_ends_its_worker_fails_alone(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        if get_context().trial == ODD:
            os._exit(1)
        return {"loss": config["x"]}

    result = sweep(train)
    assert result.experiment.counts() == {"completed": TRIALS - 1, "failed": 1}
    assert result.trials[ODD].state == "failed"
    assert sum(trial.losses for trial in result.trials if trial.number != ODD) == 0


def test_an_exception_fails_its_trial_alone(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        if get_context().trial == ODD:
            raise ValueError("diverged")
        return {"loss": config["x"]}

    result = sweep(train)
    assert result.experiment.counts() == {"completed": TRIALS - 1, "failed": 1}
    assert result.trials[ODD].error == "ValueError: diverged"
    assert sum(trial.losses for trial in result.trials) == 0


def test_nobody_waits_behind_a_long_one(sweep: Sweep, tmp_path: Path) -> None:
    """It ends only when all others have."""
    ended = tmp_path / "ended"
    ended.mkdir()

    def train(config: dict[str, Any]) -> dict[str, float]:
        deadline = time.monotonic() + 60.0
        while get_context().trial == ODD and len(os.listdir(ended)) < TRIALS - 1:
            assert time.monotonic() < deadline, "some trial waits for this one"
            time.sleep(0.01)
        (ended / str(get_context().trial)).touch()
        return {"loss": config["x"]}

    check_all_there(sweep(train))


def test_with_a_budget_they_are_over_at_it_and_do_not_wait(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> None:
        while True:
            ray_hpo.report({"loss": config["x"]})

    result = sweep(train, max_budget=3)
    assert result.experiment.counts() == {"completed": TRIALS}
    assert result.spent == 3 * TRIALS == len(result.all_reports())
    assert shared(result) > 0
    assert sum(trial.seconds for trial in result.trials) <= 2 * result.experiment.elapsed
