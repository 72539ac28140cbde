"""ray_hpo: every decision and every report is in the journal before it is acted on, as always."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray_hpo
from benchmarks.overhead.workload import (
    EPOCH_SECONDS,
    EPOCHS,
    Watch,
    all_up,
    busy,
    line_up,
    peak_mb,
    train_epochs,
    waited,
)

SPACE = {"x": ray_hpo.uniform(0.0, 1.0)}


def _run(folder: Path, trainable: Any, slots: int, **options: Any) -> ray_hpo.Result:
    result = ray_hpo.tune_run(
        SPACE,
        trainable,
        **{"metric": "loss", "algo": "random", "seed": 0, "max_concurrent": slots, "progress": False, **options},
        storage=folder.parent / "experiments",
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def trials(folder: Path, slots: int, count: int) -> dict[str, float]:
    def train(config: dict[str, Any]) -> None:
        line_up(folder, slots)
        ray_hpo.report({"loss": config["x"]})

    with Watch() as watch:
        result = _run(folder, train, slots, num_trials=count + slots)
    ends = [trial.begun + trial.seconds for trial in result.trials]
    began, ended = all_up(folder, slots), max(ends)
    counted = sum(end > began for end in ends)
    return {
        "trials_per_s": counted / (ended - began),
        "controller_ms_per_trial": 1e3 * watch.cpu(began, ended) / counted,
        "peak_mb": peak_mb(),
    }


def results(folder: Path, slots: int, count: int) -> dict[str, float]:
    def train(config: dict[str, Any]) -> None:
        line_up(folder, slots)
        for step in range(count):
            ray_hpo.report({"loss": config["x"] / (step + 1)})

    result = _run(folder, train, slots, num_trials=slots)
    began = all_up(folder, slots)
    ended = max(trial.begun + trial.seconds for trial in result.trials)  # that it is over comes after all reports
    assert len(result.all_reports()) == slots * count
    return {"results_per_s": slots * count / (ended - began)}


def milestones(folder: Path, slots: int, count: int) -> dict[str, float]:
    """How long a report at a milestone takes, where each is one: until the verdict is there.

    milestone: under a stopping rule.  population: a checkpoint is saved at each one.  verdict: where each has to be
    asked for. All let everybody go on.
    """

    def train(config: dict[str, Any]) -> None:
        line_up(together, slots)
        waits: list[float] = []
        for epoch in range(1, count + 1):
            time.sleep(EPOCH_SECONDS)
            metrics = {"loss": 1 / epoch, "size": 1.0, "waits": waits if epoch == count else []}
            before = time.perf_counter()
            ray_hpo.report(metrics, checkpoint={"epoch": epoch} if name == "population" else None)
            waits.append(time.perf_counter() - before)

    found: dict[str, float] = {}
    sweeps: dict[str, dict[str, Any]] = {
        "milestone": {"algo": ray_hpo.MedianStopping(interval=1, min_trials=1)},
        "population": {"algo": ray_hpo.PBT(interval=1, quantile_fraction=0.0)},
        "verdict": {"algo": ray_hpo.MedianStopping(interval=1, min_trials=slots), "metric": ["loss", "size"]},
    }
    for name, sweep in sweeps.items():
        together = folder / name
        together.mkdir()
        result = _run(together, train, slots, num_trials=slots, max_budget=count, **sweep)
        found |= waited(name, [wait for trial in result.trials for wait in trial.metrics["waits"]])
    return found


def first_result(since: float) -> dict[str, float]:
    """With a Ray of its own. Also how long `tune_run` takes to return after the last trial."""
    import tempfile

    def train(config: dict[str, Any]) -> None:
        ray_hpo.report({"loss": config["x"], "at": time.time()})

    with tempfile.TemporaryDirectory() as folder:
        result = _run(Path(folder, "none"), train, 2, num_trials=2)
        returned = time.time()
    return {
        "first_result_s": min(trial.metrics["at"] for trial in result.trials) - since,
        "return_s": returned - max(trial.begun + trial.seconds for trial in result.trials),
    }


def slots_busy(folder: Path, slots: int, algo: str, count: int) -> dict[str, float]:
    def train(config: dict[str, Any]) -> None:
        line_up(folder, slots)
        state = ray_hpo.get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)

        def report(metrics: dict[str, Any]) -> None:
            state["epoch"] += 1
            ray_hpo.report(metrics, checkpoint=dict(state))

        train_epochs(report, state["epoch"] + 1, config["x"])

    result = _run(folder, train, slots, num_trials=count, algo=algo, max_budget=EPOCHS)
    reports = result.all_reports().to_dict("records")
    last_start = max(trial.decisions[0][0] for trial in result.trials)
    return busy(reports, slots, all_up(folder, slots), last_start)
