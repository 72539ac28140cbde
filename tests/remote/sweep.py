"""The sweep that tests of remote storage run, in this process."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import ray_hpo
from ray_hpo import get_checkpoint, report, tune_run, uniform
from ray_hpo.remote import live
from ray_hpo.remote.uri import Uri

EPOCHS = 9
TRIALS = 9
SPACE = {"x": uniform(0.0, 1.0)}


def train(config: dict[str, Any]) -> None:
    state = get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, EPOCHS + 1):
        print(f"epoch {epoch} of {config['x']:.4f}")
        report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})


def run(storage: str | Path, trainable: Any = train, **changes: Any) -> ray_hpo.Result:
    """Hyperband with brackets of 9 trials."""
    options = {"algo": "hyperband", "max_budget": EPOCHS, "num_trials": TRIALS, "seed": 4, "name": "sweep"}
    told = {"executor": "inline", "progress": False, "metric": "loss", "storage": storage}
    result = tune_run(SPACE, trainable, **{**told, **options, **changes})
    assert isinstance(result, ray_hpo.Result)
    return result


def resume(path: Any, trainable: Any = train, **changes: Any) -> ray_hpo.Result:
    return ray_hpo.resume(path, trainable, **{"executor": "inline", "progress": False, **changes})


def outcome(result: ray_hpo.Result) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, t.state, t.fidelity, t.value, t.step, t.why) for t in result.trials]


def live_folder(path: Any) -> Path:
    """Where the driver of this machine has its journal."""
    return live.live_place(Uri.parse(str(path))).folder


def on_a_new_machine() -> None:
    """Nothing that this machine had of any sweep is there any more."""
    shutil.rmtree(live.home(), ignore_errors=True)


class Cut:
    """The sweep's trainable, with a moment at which something happens: after so many epochs."""

    def __init__(self, after: int, happens: Any) -> None:
        self.after, self.happens = after, happens
        self.epochs = 0

    def __call__(self, config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            self.epochs += 1
            if self.epochs == self.after:
                self.happens()
            report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
