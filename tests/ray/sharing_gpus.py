"""A driver on a Ray of two GPUs that exist in name only, with four workers each: sharing_gpus.py FOLDER

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

NEEDS = {1: 0.5, 2: 1.0, 5: 0.5}  # of a GPU, by trial
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
        num_cpus=8,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=80 * 2**20,
    )
    told: dict[str, Any] = {"needs": NEEDS, "trials": {}, "notices": [], "all": ray.cluster_resources()["GPU"]}
    for algo in ("random", "sh"):
        result = ray_hpo.tune_run(
            {"x": ray_hpo.uniform(0.0, 1.0)},
            train,
            metric="loss",
            algo=algo,
            max_budget=EPOCHS,
            num_trials=12,
            resources={"gpu": 0.25, "cpu": 0.5},
            max_concurrent=6,
            on_oom="more",
            seed=3,
            storage=folder,
            name=algo,
            progress=False,
        )
        told["notices"] += result.experiment.notices
        told["trials"][algo] = [
            {
                "number": trial.number,
                "state": trial.state,
                "gpu": trial.gpu,
                "causes": [cause for _, cause, _ in trial.crashes],
                "failures": trial.failures,
                "losses": trial.losses,
                "epochs": trial.metrics["epochs"],
                "shares": trial.metrics["shares"],
            }
            for trial in result.trials
        ]
    wait_until(lambda: ray.available_resources().get("GPU") == told["all"], 30, "workers giving back their shares")
    told["free"] = ray.available_resources()["GPU"]
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
