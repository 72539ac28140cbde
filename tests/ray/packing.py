"""gpu="auto" and memory that is not freed, on two logical GPUs with made-up measurements: packing.py FOLDER

Prints as JSON how trials were packed, and in how many processes trials ran that freed their memory, or did not.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

import ray_hpo
from ray_hpo.executors.ray import executor

GIB = 2**30


def main(folder: Path) -> None:
    ray.init(
        address="local",
        _node_ip_address="127.0.0.1",
        num_cpus=1,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=80 * 2**20,
    )
    executor.RESIZE_SECONDS = 0.5

    def sweep(name: str, train: Callable[[dict[str, Any]], object], **options: Any) -> ray_hpo.Result:
        space = {"x": ray_hpo.uniform(0.0, 1.0)}
        options = {"algo": "random", "storage": folder, "name": name, "progress": False, **options}
        return ray_hpo.tune_run(space, train, metric="loss", **options)

    def train_until_packed(config: dict[str, Any]) -> None:
        """Until four trials ran at a time, two on each GPU."""
        from ray_hpo.worker import gpu_usage

        gpu_usage.measure = lambda: gpu_usage.Usage(15 * GIB, 40 * GIB)
        mark = folder / f"on {ray_hpo.get_context().trial}"
        mark.write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        try:
            for epoch in range(1000):
                time.sleep(0.05)
                on = [other.read_text() for other in folder.glob("on *")]
                if sorted(on) == ["0", "0", "1", "1"]:
                    (folder / "packed").touch()
                ray_hpo.report({"loss": config["x"]}, checkpoint={"epoch": epoch})
                if (folder / "packed").exists():
                    return
        finally:
            mark.unlink(missing_ok=True)

    def train_and_keep(kept: int) -> Callable[[dict[str, Any]], None]:
        def train(config: dict[str, Any]) -> None:
            from ray_hpo.worker import gpu_usage

            gpu_usage.kept = lambda: kept
            ray_hpo.report({"loss": config["x"], "process": os.getpid()})

        return train

    packed = sweep("packed", train_until_packed, num_trials=6, max_budget=1000, resources={"gpu": "auto"})
    told: dict[str, Any] = {
        "packed": (folder / "packed").exists(),
        "states": sorted(trial.state for trial in packed.trials),
        "losses": sum(trial.losses for trial in packed.trials),
        "notices": packed.experiment.notices,
    }
    for name, kept in (("freed", 0), ("kept", GIB)):
        result = sweep(name, train_and_keep(kept), num_trials=3, max_concurrent=1, resources={"gpu": 1})
        told[name] = len({trial.metrics["process"] for trial in result.trials})
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
