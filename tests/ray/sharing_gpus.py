"""A driver on a Ray of one GPU that exists in name only, with room for four workers: sharing_gpus.py FOLDER

Some trials say that the GPU is out of memory until they have half of it, or all. Prints, as JSON, what became of them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(dir="/tmp")  # or other drivers on this machine would join this cluster

import ray

import ray_hpo
from benchmarks.chaos.waiting import wait_until

NEEDS = {1: 0.5, 2: 1.0}  # of a GPU, by trial, from the second epoch on
POINTS = [{"x": x} for x in (0.9, 0.2, 0.1, 0.8)]  # the two that need more are the better half, and trial 2 the best
EPOCHS = 4


def train(config: dict[str, Any]) -> None:
    import time

    import ray

    from ray_hpo import get_checkpoint, get_context, report

    share = ray.get_runtime_context().get_assigned_resources()["GPU"]
    state = get_checkpoint() or {"epochs": [], "shares": []}
    for epoch in range(len(state["epochs"]) + 1, EPOCHS + 1):
        if epoch == 2 and share < NEEDS.get(get_context().trial, 0.0):
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        time.sleep(0.05)
        state = {"epochs": [*state["epochs"], epoch], "shares": [*state["shares"], share]}
        report({"loss": config["x"] / epoch, **state}, checkpoint=state)


def main(folder: Path) -> None:
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=80 * 2**20,
    )
    everything = ray.cluster_resources()["GPU"]
    result = ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo=ray_hpo.SuccessiveHalving(eta=2),
        max_budget=EPOCHS,
        num_trials=len(POINTS),
        points_to_evaluate=POINTS,
        resources={"gpu": 0.25, "cpu": 0.5},
        on_oom="more",
        seed=3,
        storage=folder,
        progress=False,
    )
    trials = [
        {
            "state": trial.state,
            "gpu": trial.gpu,
            "causes": [cause for _, cause, _ in trial.crashes],
            "own": trial.failures + trial.losses,
            "epochs": trial.metrics["epochs"],
            "shares": trial.metrics["shares"],
        }
        for trial in result.trials
    ]
    wait_until(lambda: ray.available_resources().get("GPU") == everything, 30, "workers giving back their shares")
    print(json.dumps({"trials": trials, "notices": result.experiment.notices}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
