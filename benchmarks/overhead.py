"""What a trial costs besides its training: ray_hpo beside bare Ray and Ray Tune, one after the other in one run.

    python -m benchmarks.overhead [--trials 400] [--workers 4] [--no-tune]

The objective is trivial, so that all the time is overhead. Bare Ray (warm actors in a `ray.wait` loop that remember
nothing) is the limit; ray_hpo journals every decision and every report before it acts on it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import ray

from ray_hpo import report, tune_run, uniform


def objective(config: dict[str, Any]) -> None:
    report({"loss": config["x"]})


def ours(trials: int, workers: int) -> float:
    """Trials a second in steady state: from the first result to the last."""
    with tempfile.TemporaryDirectory() as folder:
        result = tune_run(
            {"x": uniform(0.0, 1.0)},
            objective,
            metric="loss",
            algo="random",
            num_trials=trials,
            max_concurrent=workers,
            resources={"cpu": 1},
            storage=folder,
            seed=0,
            progress=False,
        )
        ends = sorted(trial.begun + trial.seconds for trial in result.trials)
    return (len(ends) - 1) / (ends[-1] - ends[0])


def bare_ray(trials: int, workers: int) -> float:
    """The same with nothing but warm actors and `ray.wait`."""

    @ray.remote(num_cpus=1)
    class Actor:
        def train(self, config: dict[str, float]) -> dict[str, float]:
            return {"loss": config["x"]}

    actors = [Actor.remote() for _ in range(workers)]
    ray.get([actor.train.remote({"x": 0.0}) for actor in actors])
    began = time.perf_counter()
    running = {actor.train.remote({"x": 0.5}): actor for actor in actors}
    for _ in range(trials - workers):
        (done,), _rest = ray.wait(list(running), num_returns=1)
        actor = running.pop(done)
        ray.get(done)
        running[actor.train.remote({"x": 0.5})] = actor
    ray.get(list(running))
    rate = trials / (time.perf_counter() - began)
    for actor in actors:
        ray.kill(actor)
    return rate


def ray_tune(trials: int, workers: int) -> float:
    """Ray Tune at its best: actors reused, no loggers."""
    import os

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    from ray import tune

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": config["x"]})

    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", num_samples=trials, max_concurrent_trials=workers, reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        began = time.perf_counter()
        tuner.fit()
    return trials / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--no-tune", action="store_true", help="leave Ray Tune out: it takes a minute")
    args = parser.parse_args()
    ray.init(
        address="local",
        num_cpus=args.workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=200 * 2**20,
    )
    limit = bare_ray(args.trials, args.workers)
    mine = ours(args.trials, args.workers)
    print(f"bare Ray   {limit:8.0f} trials/s")
    print(f"ray_hpo    {mine:8.0f} trials/s   {mine / limit:.2f} of bare Ray")
    if not args.no_tune:
        theirs = ray_tune(args.trials, args.workers)
        print(f"Ray Tune   {theirs:8.1f} trials/s   ray_hpo is {mine / theirs:.0f} x as fast")


if __name__ == "__main__":
    main()
