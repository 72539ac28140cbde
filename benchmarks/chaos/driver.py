"""A user's script that starts or resumes a sweep: `python -m benchmarks.chaos.driver FOLDER PRESET SEED TRIALS SOCKET`

Each epoch tells the socket that it was trained, so that there is a witness besides the journal. On SIGUSR1 the clock of
this process jumps.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import ray

import ray_hpo

EPOCHS = 9
EPOCH_SECONDS = 0.06
MAX_JUMP = 86400.0  # seconds, to and fro
TIME_LIMIT = 3600.0  # far more than a sweep takes, and less than most jumps: these must not count as time
SPACE = {
    "x": ray_hpo.uniform(0.0, 1.0, prior=0.4),
    "lr": ray_hpo.loguniform(1e-4, 1.0),
    "layers": ray_hpo.randint(1, 5),
}


def loss_at(config: dict[str, Any], epoch: int) -> float:
    """What a training of `config` gives after `epoch` epochs."""
    return float(abs(config["x"] - 0.3) + config["lr"] / epoch + 0.1 / config["layers"])


def train(witness: str, config: dict[str, Any]) -> None:
    state = ray_hpo.get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    trial, number = ray_hpo.get_context().trial, os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect(witness)
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            time.sleep(EPOCH_SECONDS)  # the training
            loss = loss_at(config, epoch)
            told.send(json.dumps([trial, epoch, loss, number]).encode())
            ray_hpo.report({"loss": loss}, checkpoint={"epoch": epoch})


def make_trainable(witness: str) -> Any:
    return lambda config: train(witness, config)


def jump(number: int, frame: object) -> None:
    """The clock is wrong from here on, as after a suspend or a bad time server."""
    true_time, shift = time.time, random.uniform(-MAX_JUMP, MAX_JUMP)
    time.time = lambda: true_time() + shift


def main() -> None:
    folder, preset, seed, trials, witness = Path(sys.argv[1]), *sys.argv[2:]
    signal.signal(signal.SIGUSR1, jump)
    ray.init(log_to_driver=False, logging_level=logging.ERROR)  # the cluster of RAY_ADDRESS
    if (folder / "journal.sqlite").exists():
        ray_hpo.resume(folder, make_trainable(witness), progress=False)
        return
    ray_hpo.tune_run(
        SPACE,
        make_trainable(witness),
        metric="loss",
        algo=preset,
        max_budget=EPOCHS,
        num_trials=int(trials),
        time_limit=TIME_LIMIT,
        name=folder.name,
        storage=folder.parent,
        seed=int(seed),
        progress=False,
    )


if __name__ == "__main__":
    main()
