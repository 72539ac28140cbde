"""A user's script for a cluster: `python sweep.py FOLDER`. Each report tells on which host its epoch ran.

Trials from HELD_FROM on wait, one epoch after each start, for a file `go` beside the folder of the experiment: so
what shall happen in the middle of the sweep does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray_hpo

EPOCHS = 9
EPOCH_SECONDS = 0.2
TRIALS = 30
HELD_FROM = 18
CPUS = float(os.cpu_count() or 1)  # one trial to a host


def trainable(go: Path) -> Callable[[dict[str, Any]], None]:
    def train(config: dict[str, Any]) -> None:
        import re  # what a trial needs is imported where it runs
        import socket
        import time

        from ray_hpo import get_checkpoint, get_context, report

        state = get_checkpoint() or {"epoch": 0}
        first = state["epoch"] + 1
        for epoch in range(first, EPOCHS + 1):
            while get_context().trial >= HELD_FROM and epoch > first and not go.exists():
                time.sleep(0.05)
            time.sleep(EPOCH_SECONDS)  # the training
            loss = abs(config["x"] - 0.3) + config["lr"] / epoch
            report(
                {"loss": loss, "host": int(re.sub(r"\D", "", socket.gethostname()) or 0)}, checkpoint={"epoch": epoch}
            )

    return train


def start(folder: Path, **options: Any) -> Any:
    return ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0), "lr": ray_hpo.loguniform(1e-4, 1.0)},
        trainable(folder.parent / "go"),
        metric="loss",
        algo="hyperband",
        max_budget=EPOCHS,
        num_trials=TRIALS,
        resources={"cpu": CPUS},
        name=folder.name,
        storage=folder.parent,
        seed=5,
        **options,
    )


def main() -> None:
    folder = Path(sys.argv[1])
    if folder.exists():
        ray_hpo.resume(folder, trainable(folder.parent / "go"))
    else:
        start(folder)


if __name__ == "__main__":
    main()
