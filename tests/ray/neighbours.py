"""One of several sweeps on one Ray: neighbours.py FOLDER NAME PRIORITY

Each trial notes in FOLDER/NAME.log when it ran, and in which process. Runs until it is ended.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import ray_hpo
from ray_hpo.executors.ray import claims, executor

TRIAL_SECONDS = 0.1


def main(folder: Path, name: str, priority: float) -> None:
    executor.RESIZE_SECONDS, claims.LEASE_SECONDS = 0.5, 3600.0  # Ray tells of drivers that are gone
    log = folder / f"{name}.log"

    def train(config: dict[str, Any]) -> dict[str, float]:
        time.sleep(TRIAL_SECONDS)  # the training
        with open(log, "a") as file:
            file.write(f"{time.time()} {os.getpid()}\n")
        return {"loss": config["x"]}

    ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="random",
        num_trials=100_000,
        priority=priority,
        storage=folder,
        name=name,
        progress=False,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
