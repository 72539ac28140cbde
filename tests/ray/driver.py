"""A user's script, for tests that do things to its process: `python driver.py FOLDER [own]`.

Starts the experiment in FOLDER, or resumes the one that is there, on the Ray of RAY_ADDRESS or on one of its own.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import ray_hpo

EPOCHS = 9
TRIALS = 30
EPOCH_SECONDS = 0.03
SPACE = {"x": ray_hpo.uniform(0.0, 1.0), "lr": ray_hpo.loguniform(1e-4, 1.0)}


def train(config: dict[str, Any]) -> None:
    state = ray_hpo.get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        time.sleep(EPOCH_SECONDS)  # the training
        ray_hpo.report({"loss": abs(config["x"] - 0.3) + config["lr"] / epoch}, checkpoint={"epoch": epoch})


def start(folder: Path, **options: Any) -> ray_hpo.Result:
    return start_in(folder.parent, folder.name, **options)


def start_in(storage: Path | str, name: str, trainable: Any = train, **options: Any) -> ray_hpo.Result:
    result = ray_hpo.tune_run(
        SPACE,
        trainable,
        metric="loss",
        algo="hyperband",
        max_budget=EPOCHS,
        num_trials=TRIALS,
        name=name,
        storage=storage,
        seed=5,
        **options,
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def main() -> None:
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["own"]:
        import ray

        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=80 * 2**20,
        )
    if folder.exists():
        ray_hpo.resume(folder)
    else:
        start(folder)


if __name__ == "__main__":
    main()
