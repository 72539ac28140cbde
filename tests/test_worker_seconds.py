"""Seconds on workers are counted as they change: the sum over trials, at any cut."""

from __future__ import annotations

from typing import Any

from strategies.domains import uniform

from ray_hpo import simulate
from ray_hpo.experiment import Experiment


class Task:
    space = {"x": uniform(0.0, 1.0)}  # noqa: RUF012  # never changed

    def evaluate(self, config: dict[str, Any], budget: float) -> tuple[dict[str, float], float]:
        return {"loss": config["x"]}, budget


def by_hand(experiment: Experiment, time: float) -> float:
    return sum(t.seconds + (time - t.begun if t.state == "running" else 0.0) for t in experiment.trials)


def test_the_count_is_the_sum() -> None:
    for limit in (5.0, 40.0, 200.0):
        found = simulate(Task(), algo="asha", metric="loss", max_budget=9, time_limit=limit, workers=3, seed=1)
        time = limit + 7.0
        assert by_hand(found, time) > 0
        assert abs(found.worker_seconds(time) - by_hand(found, time)) < 1e-6
