"""The winner verified on a real Ray: fresh seeds reach the workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from ray_hpo import Result, get_context, report, tune_run, uniform

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's


def train(config: dict[str, Any]) -> None:
    seed = get_context().seed
    print("seed", seed)
    for epoch in range(1, 4):
        report({"loss": config["x"] + seed / 2**31 + 1 / epoch, "seed": seed})


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    found = tune_run(
        {"x": uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="asha",
        max_budget=3,
        num_trials=8,
        seed=1,
        verify_top=2,
        verify_seeds=3,
        storage=tmp_path_factory.mktemp("verified"),
        progress=False,
    )
    assert isinstance(found, Result)
    return found


def test_every_run_trains_to_the_end_with_its_seed(result: Result) -> None:
    (verification,) = result.verifications
    assert [run.state for run in verification.trials] == ["completed"] * 6
    for part in (result, verification):
        assert all(run.metrics["seed"] == part.spec.trial_seed(run.number) for run in part.trials)
    assert len({run.metrics["seed"] for run in verification.trials}) == 3
    assert [row.number for row in result.verified] == [3, 3]


def test_the_best_is_the_verified_one(result: Result) -> None:
    assert result.best_value == result.verified[0].mean
    assert result.best_config == result.verified[0].config


def test_each_run_has_a_log_of_its_own(result: Result) -> None:
    folder: Path = result.verifications[0].path
    assert sorted(file.parent.name for file in folder.glob("trials/*/output.log")) == [f"{k:05d}" for k in range(6)]
