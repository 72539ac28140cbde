"""`keep_checkpoints`: the disk holds what is needed and the best, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ray_hpo import InvalidInput, Result, get_checkpoint, report, resume, tune_run, uniform

EPOCHS = 9


def train(config: dict[str, Any]) -> None:
    state = get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})


def run(storage: Path, trainable: Any = train, **options: Any) -> Result:
    defaults = {"algo": "random", "max_budget": EPOCHS, "num_trials": 8, "seed": 4}
    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        trainable,
        metric="loss",
        executor="inline",
        progress=False,
        storage=storage,
        **{**defaults, **options},
    )
    assert isinstance(result, Result)
    return result


def on_disk(result: Result) -> set[str]:
    return {str(path.relative_to(result.path)) for path in result.path.glob("trials/*/checkpoint_*")}


def having(result: Result) -> set[int]:
    """The trials that have a checkpoint, each of which is there, and no others."""
    assert on_disk(result) == {trial.checkpoint.path for trial in result.trials if trial.checkpoint}
    return {trial.number for trial in result.trials if trial.checkpoint}


def best(result: Result, count: int) -> set[int]:
    return {trial.number for trial in result.experiment.ranked()[:count]}


@pytest.mark.parametrize("keep", [0, 1, 3, 20])
def test_the_best_keep_theirs(keep: int, tmp_path: Path) -> None:
    result = run(tmp_path, keep_checkpoints=keep)
    assert having(result) == best(result, keep)
    assert result.best_checkpoint == ({"epoch": EPOCHS} if keep else None)


def test_by_default_all_that_completed_keep_theirs(tmp_path: Path) -> None:
    assert having(run(tmp_path)) == set(range(8))


def test_mode_max(tmp_path: Path) -> None:
    result = run(tmp_path, mode="max", keep_checkpoints=2)
    assert having(result) == {t.number for t in sorted(result.trials, key=lambda t: t.value or 0.0)[-2:]}


def test_paused_trials_keep_theirs_and_go_on_from_there(tmp_path: Path) -> None:
    first = run(tmp_path, algo="asha", num_trials=9, keep_checkpoints=1)
    states = {trial.number: trial.state for trial in first.trials}
    paused = {number for number, state in states.items() if state == "paused"}
    assert paused
    assert having(first) == paused | {first.best_trial.number}
    grown = resume(first.path, train, num_trials=40, executor="inline", progress=False)
    completed = [trial for trial in grown.experiment.ranked() if trial.state == "completed"]
    assert len(completed) > 1
    still = {trial.number for trial in grown.trials if trial.state == "paused"}
    assert having(grown) == still | {completed[0].number}
    assert len(grown.all_reports()) == grown.spent  # nothing was trained twice


def test_what_a_resume_keeps_is_what_an_undisturbed_run_keeps(tmp_path: Path) -> None:
    counted = []

    def stopping(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            counted.append(epoch)
            if len(counted) == 30:
                os.kill(os.getpid(), signal.SIGTERM)
            report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})

    first = run(tmp_path / "cut", stopping, keep_checkpoints=2)
    assert first.status == "terminated"
    again = resume(first.path, stopping, executor="inline", progress=False)
    assert having(again) == having(run(tmp_path / "whole", keep_checkpoints=2))


def test_failed_trials_keep_none(tmp_path: Path) -> None:
    def failing(config: dict[str, Any]) -> None:
        report({"loss": config["x"]}, checkpoint={"epoch": 1})
        raise RuntimeError("broken")

    assert having(run(tmp_path, failing, num_trials=3, keep_checkpoints=5)) == set()


def test_candidates_for_the_verified_winner_keep_theirs(tmp_path: Path) -> None:
    result = run(tmp_path, keep_checkpoints=1, verify_top=3, verify_seeds=2)
    assert having(result) == best(result, 3)
    assert result.best_checkpoint == {"epoch": EPOCHS}


def test_a_wrong_number_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"keep_checkpoints must be a whole number of at least 0; got .*=-1"):
        run(tmp_path, keep_checkpoints=-1)
