"""Population based training as a user's script: `python pbt_driver.py FOLDER` starts it, or resumes what is there."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import ray_hpo

EPOCHS = 12
POPULATION = 8
EPOCH_SECONDS = 0.02


def train(config: dict[str, Any]) -> None:
    """Keeps in its checkpoint who trained each epoch."""
    state = ray_hpo.get_checkpoint() or {"trained": []}
    assert isinstance(state, dict)
    trained = state["trained"]
    for epoch in range(len(trained) + 1, EPOCHS + 1):
        time.sleep(EPOCH_SECONDS)  # the training
        trained = [*trained, ray_hpo.get_context().trial]
        ray_hpo.report({"loss": abs(config["x"] - 0.3) + 1 / epoch}, checkpoint={"trained": trained})


def main() -> None:
    folder = Path(sys.argv[1])
    if folder.exists():
        ray_hpo.resume(folder)
        return
    ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo=ray_hpo.PBT(interval=3),
        max_budget=EPOCHS,
        num_trials=POPULATION,
        name=folder.name,
        storage=folder.parent,
        seed=5,
    )


if __name__ == "__main__":
    main()
