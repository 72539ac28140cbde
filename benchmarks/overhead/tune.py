"""Ray Tune without loggers, as it comes, and with its actors reused, which it recommends for short trials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.overhead.workload import EPOCHS, Watch, all_up, busy, line_up, peak_mb, train_epochs

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # before it is imported: its own switch
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"


def _fit(folder: Path, trainable: Any, slots: int, count: int, reuse: bool, scheduler: Any = None) -> Any:
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"x": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            num_samples=count,
            max_concurrent_trials=slots,
            reuse_actors=reuse,
            scheduler=scheduler,
        ),
        run_config=tune.RunConfig(storage_path=str(folder.parent / "tune"), verbose=0),
    )
    return tuner.fit()


def trials(folder: Path, slots: int, count: int, reuse: bool) -> dict[str, float]:
    def train(config: dict[str, Any]) -> None:
        import time

        from ray import tune

        line_up(folder, slots)
        tune.report({"loss": config["x"], "at": time.time()})

    with Watch() as watch:
        found = _fit(folder, train, slots, count + slots, reuse)
    began = all_up(folder, slots)
    ends = [result.metrics["at"] for result in found if result.metrics["at"] > began]
    return {
        "trials_per_s": len(ends) / (max(ends) - began),
        "controller_ms_per_trial": 1e3 * watch.cpu(began, max(ends)) / len(ends),
        "peak_mb": peak_mb(),
    }


def results(folder: Path, slots: int, count: int, reuse: bool) -> dict[str, float]:
    def train(config: dict[str, Any]) -> None:
        import time

        from ray import tune

        line_up(folder, slots)
        for step in range(count):
            tune.report({"loss": config["x"] / (step + 1), "at": time.time()})

    found = _fit(folder, train, slots, slots, reuse)
    ended = max(result.metrics["at"] for result in found)
    return {"results_per_s": slots * count / (ended - all_up(folder, slots))}


def first_result(since: float, reuse: bool) -> dict[str, float]:
    """With a Ray of its own."""
    import tempfile

    import ray

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="error")

    def train(config: dict[str, Any]) -> None:
        import time

        from ray import tune

        tune.report({"loss": config["x"], "at": time.time()})

    with tempfile.TemporaryDirectory() as folder:
        found = _fit(Path(folder, "none"), train, 2, 2, reuse)
    return {"first_result_s": min(result.metrics["at"] for result in found) - since}


def slots_busy(folder: Path, slots: int, algo: str, count: int, reuse: bool) -> dict[str, float]:
    from ray import tune

    def train(config: dict[str, Any]) -> None:
        from ray import tune

        line_up(folder, slots)
        train_epochs(tune.report, 1, config["x"])

    asha = tune.schedulers.ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3)
    found = _fit(folder, train, slots, count, reuse, asha if algo == "asha_stopping" else None)
    frames = [result.metrics_dataframe.to_dict("records") for result in found]
    trials = [rows for rows in frames if rows]  # of some reused actors' trials Ray Tune has no reports
    if not trials:  # nor of any: there is no telling
        return {}
    reports = [row for rows in trials for row in rows]
    return busy(reports, slots, all_up(folder, slots), max(rows[0]["began"] for rows in trials))
