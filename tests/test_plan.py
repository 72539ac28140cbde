"""What a sweep is going to take, and the limits that end it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo import report, simulate, tune_run, uniform
from ray_hpo.budget import Budget
from ray_hpo.plan import with_time
from tests.test_cli_sweep import HERE, LR, TRAIN, CommandLine, ray_hpo_command as ray_hpo_command

SPACE = {"x": uniform(0.0, 1.0)}


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, 10):
        report({"loss": config["x"] + 1 / epoch})


def run(storage: Path, trainable: Any = train, **options: Any) -> Any:
    quiet = {"executor": "inline", "progress": False, "storage": storage, "seed": 4}
    return tune_run(SPACE, trainable, metric="loss", **{**quiet, **options})


# ---- plans ----


def test_a_dry_run_is_what_then_happens(tmp_path: Path) -> None:
    options: dict[str, Any] = {"algo": "hyperband", "max_budget": 9, "num_trials": 15}
    plan = run(tmp_path, **options, dry_run=True)
    assert not list(tmp_path.iterdir())
    result = run(tmp_path, **options)
    assert plan.total == result.spent
    # the paper's brackets (Li et al. 2018, table 1, for R = 9): 9/3/1, 3/1 and 3 trials
    assert plan.reached == {(0, 1): 9, (0, 3): 3, (0, 9): 1, (1, 3): 3, (1, 9): 1, (2, 9): 3}
    assert plan.full == 15 * 9 and plan.num_trials == 15
    assert plan.wall_clock[1] == plan.total


def test_what_runs_again_from_nothing_is_paid_again(tmp_path: Path) -> None:
    def budgeted(config: dict[str, Any], budget: int) -> dict[str, float]:
        return {"loss": config["x"]}

    options: dict[str, Any] = {"algo": "sh", "max_budget": 9, "num_trials": 9}
    plan = run(tmp_path, budgeted, **options, dry_run=True)
    assert plan.total == 9 * 1 + 3 * 3 + 1 * 9 == run(tmp_path, budgeted, **options).spent


def test_hours_and_wall_clock(tmp_path: Path) -> None:
    plan = with_time(run(tmp_path, algo="random", max_budget=10, num_trials=8, dry_run=True), 90.0)
    assert plan.hours(80) == 2.0
    assert plan.wall_clock == {1: 80, 2: 40, 4: 20}
    assert "time: 2 CPU-hours; 2h on 1 worker, 1h on 2 workers, 30m on 4 workers" in str(plan)


def test_a_plan_without_end_says_so(tmp_path: Path) -> None:
    plan = run(tmp_path, algo="random", max_budget=9, time_limit="1h", dry_run=True)
    assert plan.total is None and "no telling without a limit on trials" in str(plan)


def test_plan_on_the_command_line(ray_hpo_command: CommandLine) -> None:
    options = ("--algo", "sh", *LR, "--max-budget", 9, "-n", 9, *HERE)
    told = (*TRAIN, "--epochs=:budget:", "--lr=:lr:")
    answer = ray_hpo_command("plan", *options, "--seconds-per-epoch", 60, *told)
    assert answer.code == 0 and not Path("out").exists()
    for text in ("bracket 0: 9 to 1, 3 to 3, 1 to 9", "in all: 27 units of budget; full training of each: 81 (3.0 x)"):
        assert text in answer.out
    assert "time: 0.45 CPU-hours; 27m on 1 worker" in answer.out
    assert "random search, 9 full trainings: 1.4 CPU-hours; 1h 21m on 1 worker" in answer.out
    body = json.loads(ray_hpo_command("plan", *options, "--measure", "--json", *told).out)
    assert body["total_budget"] == 27 and 0 < body["seconds_per_unit"] < 60
    answer = ray_hpo_command("plan", *options, *told)
    assert "--seconds-per-epoch 30 gives it" in answer.out


# ---- limits ----


class Slow:
    """An hour for each unit of budget."""

    space = SPACE

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[dict[str, float], float]:
        return {"loss": config["x"]}, 3600.0 * budget


def test_hours_on_workers_are_counted() -> None:
    experiment = simulate(Slow(), algo="random", metric="loss", max_budget=4, num_trials=3, workers=2)
    assert experiment.worker_seconds(experiment.last_time) == pytest.approx(3 * 4 * 3600)


@pytest.mark.parametrize(
    ("budget", "hours", "reason"),
    [
        (Budget(gpu_hours=2.0, gpus=0.5), 3.9, ""),
        (Budget(gpu_hours=2.0, gpus=0.5), 4.0, "gpu_hours of 2 are used up"),
        (Budget(cost=10.0, price=2.0), 4.9, ""),
        (Budget(cost=10.0, price=2.0), 5.0, "cost of 10 is spent"),
        (Budget(cost=10.0, price=2.0, gpus=4.0), 1.25, "cost of 10 is spent"),
        (Budget(), math.inf, ""),
    ],
)
def test_hours_and_cost(budget: Budget, hours: float, reason: str) -> None:
    assert budget.used_up(lambda: hours * 3600) == reason


def test_cost_ends_an_experiment_and_a_resume_raises_it(tmp_path: Path) -> None:
    result = run(tmp_path, algo="random", cost=1e-9, price_per_hour=3600, num_trials=100, max_budget=9)
    assert result.status == "cost of 1e-09 is spent"
    assert "--cost 2e-09" in "\n".join(ray_hpo.summary.result_lines(result))
    again = ray_hpo.resume(result.path, train, cost=1e9, num_trials=3, executor="inline", progress=False)
    assert again.status == "all trials have run" and len(again.trials) >= 3


def test_patience_ends_an_experiment(tmp_path: Path) -> None:
    values = iter([5, 4, 6, 3, 7, 8, 9, 1, 1, 1])
    result = run(tmp_path, lambda config: {"loss": next(values)}, algo="random", patience=3)
    assert result.status == "patience: 3 trials in a row brought nothing better"
    assert [trial.value for trial in result.trials] == [5, 4, 6, 3, 7, 8, 9]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpu_hours": 1}, "gpu_hours=1 needs trials with GPUs"),
        ({"cost": 1}, "cost=1 needs price_per_hour"),
        ({"cost": -1, "price_per_hour": 1}, "cost must be a number above 0; got cost=-1"),
        ({"patience": 0}, "patience must be a whole number of at least 1; got patience=0"),
    ],
)
def test_limits_that_make_no_sense(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ray_hpo.InvalidInput, match=message):
        run(tmp_path, algo="random", **options)
    assert not list(tmp_path.iterdir())


def test_the_summary_tells_hours_and_what_was_saved(tmp_path: Path) -> None:
    result = run(tmp_path, algo="sh", max_budget=9, num_trials=9, price_per_hour=3.6e6, cost=1e9)
    lines = "\n".join(ray_hpo.summary.result_lines(result))
    assert "used: " in lines and "CPU-hours, a cost of " in lines and "; early stopping saved about " in lines
