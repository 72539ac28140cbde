"""A worker's next job is in line behind a short one: what begins so, and what a death before it costs."""

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
from ray_hpo import get_checkpoint, get_context, report, tune_run, uniform
from ray_hpo.loop.go_aheads import GoAheads

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's

TRIALS, EPOCHS, ODD = 80, 9, 50
Sweep = Callable[..., ray_hpo.Result]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    def run(trainable: Any, **options: Any) -> ray_hpo.Result:
        result = tune_run(
            {"x": uniform(0.0, 1.0)},
            trainable,
            **{"metric": "loss", "algo": "asha", "num_trials": TRIALS, "max_concurrent": 2, "seed": 3, **options},
            max_budget=EPOCHS,
            storage=tmp_path,
            progress=False,
        )
        assert isinstance(result, ray_hpo.Result)
        return result

    return run


def saving(config: dict[str, Any]) -> None:
    loaded = get_checkpoint()
    assert loaded is None or isinstance(loaded, dict)
    for epoch in range((loaded or {"epoch": 0})["epoch"] + 1, EPOCHS + 1):
        report({"loss": config["x"] + 1 / epoch, "epoch": epoch}, checkpoint={"epoch": epoch})


def slowly(config: dict[str, Any]) -> None:
    """As `saving`; each epoch takes as long as it takes to send a word, and more."""
    loaded = get_checkpoint()
    assert loaded is None or isinstance(loaded, dict)
    for epoch in range((loaded or {"epoch": 0})["epoch"] + 1, EPOCHS + 1):
        time.sleep(0.02)
        report({"loss": config["x"] + 1 / epoch, "epoch": epoch}, checkpoint={"epoch": epoch})


def in_line(result: ray_hpo.Result) -> int:
    """How many jobs had been in line: they tell how long they had their worker."""
    with closing(sqlite3.connect(result.path / "journal.sqlite")) as connection:
        query = "SELECT COUNT(*) FROM events WHERE kind IN ('ended', 'ran', 'crashed') AND body LIKE '%seconds%'"
        (count,) = connection.execute(query).fetchone()
    return int(count)


def check_each_epoch_is_there_once(result: ray_hpo.Result) -> None:
    """And none beyond the milestone of its trial."""
    rows = result.all_reports().to_dict("records")
    for trial in result.trials:
        epochs = [row["epoch"] for row in rows if row["trial"] == trial.number]
        assert epochs == list(range(1, int(trial.step) + 1))
        assert trial.step == trial.fidelity or trial.state == "failed"


@pytest.mark.parametrize("algo", ["asha", "mobster", "hyperband"])
def test_short_trials_follow_one_another_and_lose_nothing(sweep: Sweep, algo: str) -> None:
    result = sweep(slowly, algo=algo)
    assert in_line(result) > 0 or algo == "mobster"  # whose suggestions take longer than its trials
    assert {trial.state for trial in result.trials} <= {"completed", "paused", "stopped"}
    assert sum(trial.losses + trial.failures for trial in result.trials) == 0
    check_each_epoch_is_there_once(result)


def test_a_trial_without_a_checkpoint_keeps_its_worker_until_the_verdict(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> None:
        for epoch in range(1, EPOCHS + 1):
            report({"loss": config["x"] + 1 / epoch, "epoch": epoch})

    result = sweep(train)
    assert in_line(result) == 0
    assert sum(trial.step for trial in result.trials) == result.spent


def test_a_rule_that_mostly_lets_trials_go_on_has_no_line(sweep: Sweep) -> None:
    """They go on with what they have in memory, and mostly without asking."""
    result = sweep(slowly, algo=ray_hpo.MedianStopping(interval=1), num_trials=30)
    assert in_line(result) == 0
    check_each_epoch_is_there_once(result)
    assert {trial.state for trial in result.trials} == {"completed", "stopped"}


def test_a_rule_that_stops_most_has_one_for_those_whose_value_is_not_good_enough(sweep: Sweep, tmp_path: Path) -> None:
    """Who goes on keeps its worker, and what it has in memory; but for a few who are good enough by what came since."""

    def train(config: dict[str, Any]) -> None:
        if get_checkpoint() is not None:
            (tmp_path / f"elsewhere-{get_context().trial}-{get_context().until}").touch()
        slowly(config)

    result = sweep(train, algo="asha_stopping", max_failures=0)
    assert in_line(result) > TRIALS / 4
    assert len(list(tmp_path.glob("elsewhere-*"))) < TRIALS / 8
    check_each_epoch_is_there_once(result)
    assert {trial.state for trial in result.trials} == {"completed", "stopped"}


def remembering(config: dict[str, Any]) -> None:
    """Keeps who trained each epoch."""
    loaded = get_checkpoint()
    assert isinstance(loaded, dict) or loaded is None
    history = list((loaded or {"history": []})["history"])
    while len(history) < EPOCHS:
        time.sleep(0.01)
        history.append(get_context().trial)
        report({"loss": config["x"] + 1 / len(history), "history": list(history)}, checkpoint={"history": history})


def check_copies_carry_on_what_their_parents_had(result: ray_hpo.Result) -> None:
    for trial in result.trials:
        history = trial.metrics["history"]
        assert len(history) == trial.step and history[-1] == trial.number
        if trial.parent is not None:
            assert trial.parent in history
            parent = result.reports(trial.parent)
            assert history[: int(trial.origin)] == next(iter(parent[parent.step == trial.origin].history))
    assert any(trial.parent is not None for trial in result.trials)
    assert not result.experiment.notices


def test_a_large_population_has_one(sweep: Sweep) -> None:
    result = sweep(remembering, algo=ray_hpo.PBT(interval=1), num_trials=30)
    assert in_line(result) > 0
    check_copies_carry_on_what_their_parents_had(result)
    assert sum(trial.state == "completed" for trial in result.trials) == 30


def test_a_population_that_fits_its_workers_goes_on_without_asking(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gets to a milestone when enough others were there."""
    used: list[int] = []
    real = GoAheads.used

    def counted(self: GoAheads, trial: int) -> Any:
        used.append(trial)
        return real(self, trial)

    def train(config: dict[str, Any]) -> None:
        trial = get_context().trial
        for epoch in range(1, EPOCHS + 1):
            time.sleep(0.05 if trial == 3 else 0.01)
            report({"loss": -trial, "epoch": epoch}, checkpoint={"epoch": epoch})

    monkeypatch.setattr(GoAheads, "used", counted)
    result = sweep(train, algo=ray_hpo.PBT(interval=1), num_trials=4, max_concurrent=4)
    assert 3 in used
    assert in_line(result) == 0
    assert sum(trial.state == "completed" for trial in result.trials) == 4
    assert [row.epoch for row in result.reports(3).itertuples()] == list(range(1, EPOCHS + 1))


def test_a_small_population_has_none(sweep: Sweep) -> None:
    """Who is copied is decided among few: the later, the better."""
    assert in_line(sweep(saving, algo="pbt", num_trials=9)) == 0


def test_one_worker_at_a_time_decides_with_all_results(sweep: Sweep) -> None:
    assert in_line(sweep(saving, num_trials=20, max_concurrent=1)) == 0


def test_a_death_at_once_costs_nothing_but_a_loss(sweep: Sweep, tmp_path: Path) -> None:
    """Whether the trial or the one before it had the worker, nobody can tell."""
    marker = tmp_path / "marker"

    def train(config: dict[str, Any]) -> None:
        if get_context().trial == ODD and not marker.exists():
            marker.touch()
            os._exit(1)
        saving(config)

    result = sweep(train, max_failures=0)
    check_each_epoch_is_there_once(result)
    assert sum(trial.losses for trial in result.trials) == 1
    assert {trial.state for trial in result.trials} <= {"completed", "paused", "stopped"}


@pytest.mark.parametrize("others", [saving, slowly])
def test_who_always_ends_its_worker_is_found_out(sweep: Sweep, others: Callable[[dict[str, Any]], None]) -> None:
    """Once the worker of the trial before it, at most; then it has one for itself, whenever it is tried again."""

    def train(config: dict[str, Any]) -> None:
        if get_context().trial == ODD:
            os._exit(1)
        others(config)

    result = sweep(train, max_failures=0)
    assert [trial.number for trial in result.trials if trial.state == "failed"] == [ODD]
    assert sum(trial.losses for trial in result.trials if trial.number != ODD) <= 1
    check_each_epoch_is_there_once(result)


def test_an_exception_fails_its_own_trial_alone(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> None:
        if get_context().trial == ODD:
            raise ValueError("diverged")
        saving(config)

    result = sweep(train, max_failures=0)
    assert [trial.number for trial in result.trials if trial.state == "failed"] == [ODD]
    assert "ValueError: diverged" in result.trials[ODD].error
    assert len(result.trials) == TRIALS
