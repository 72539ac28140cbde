"""Trainables exactly as one writes them for Ray Tune."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune
from ray.tune import Checkpoint

import ray_hpo
from ray_hpo import tune_run

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's

SPACE = {"x": tune.uniform(0.0, 1.0)}
EPOCHS = 4


def sweep(trainable: Any, storage: Path) -> ray_hpo.Result:
    """Four trials of successive halving to 4 epochs, eta 2: trials pause at 1 and 2, and go on."""
    result = tune_run(
        SPACE,
        trainable,
        metric="loss",
        algo=ray_hpo.SuccessiveHalving(eta=2),
        max_budget=EPOCHS,
        num_trials=4,
        max_concurrent=1,
        storage=storage,
        seed=3,
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    return result


def assert_continued(result: ray_hpo.Result) -> None:
    """The best of four got to the end, each report holds the epochs trained so far: none twice, none left out."""
    assert [trial.error for trial in result.trials] == [""] * 4
    assert sorted(trial.step for trial in result.trials) == [1, 1, 2, 4]
    for trial in result.trials:
        assert trial.metrics["epochs"] == list(range(1, int(trial.step) + 1))


def train_with_report(config: dict[str, Any]) -> None:
    epochs: list[int] = []
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            epochs = [int(line) for line in Path(folder, "epochs.txt").read_text().split()]
    for epoch in range(len(epochs) + 1, EPOCHS + 1):
        epochs.append(epoch)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "epochs.txt").write_text("\n".join(map(str, epochs)))
            tune.report({"loss": config["x"], "epochs": epochs}, checkpoint=Checkpoint.from_directory(folder))


def train_with_late_import(config: dict[str, Any]) -> None:
    late = "ray.train._internal.session" not in sys.modules
    from ray import tune
    from ray.tune import Checkpoint

    epochs: list[int] = []
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            epochs = [int(line) for line in Path(folder, "epochs.txt").read_text().split()]
    for epoch in range(len(epochs) + 1, EPOCHS + 1):
        epochs.append(epoch)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "epochs.txt").write_text("\n".join(map(str, epochs)))
            tune.report(
                {"loss": config["x"], "epochs": epochs, "late": late}, checkpoint=Checkpoint.from_directory(folder)
            )


class TrainDict(tune.Trainable):
    """Saves a dict."""

    def setup(self, config: dict[str, Any]) -> None:
        self.x = config["x"]
        self.epochs: list[int] = []

    def step(self) -> dict[str, Any]:
        self.epochs.append(len(self.epochs) + 1)
        return {"loss": self.x, "epochs": list(self.epochs)}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        return {"epochs": self.epochs}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.epochs = checkpoint["epochs"]


class TrainFolder(TrainDict):
    """Saves files."""

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "epochs.txt").write_text("\n".join(map(str, self.epochs)))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.epochs = [int(line) for line in Path(checkpoint, "epochs.txt").read_text().split()]


class TrainUntilDone(TrainDict):
    """Says itself when it is done."""

    def step(self) -> dict[str, Any]:
        result = super().step()
        return {**result, "done": len(self.epochs) == 2}


def test_a_function_with_tune_report_and_checkpoints(tmp_path: Path) -> None:
    assert_continued(sweep(train_with_report, tmp_path))


def test_a_function_that_imports_tune_late(tmp_path: Path) -> None:
    result = sweep(train_with_late_import, tmp_path)
    assert_continued(result)
    assert result.reports(0)["late"][0]


@pytest.mark.parametrize("cls", [TrainDict, TrainFolder])
def test_a_class(cls: type[tune.Trainable], tmp_path: Path) -> None:
    assert_continued(sweep(cls, tmp_path))


def test_a_class_that_says_it_is_done(tmp_path: Path) -> None:
    result = sweep(TrainUntilDone, tmp_path)
    assert sorted(trial.step for trial in result.trials) == [1, 1, 2, 2]
    assert result.best_trial.fidelity == EPOCHS


def test_the_context_names_the_trial(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        context = tune.get_context()
        folder = Path(context.get_trial_dir())
        assert os.path.isdir(folder)
        tune.report({"loss": config["x"], "id": context.get_trial_id(), "name": context.get_experiment_name()})

    result = tune_run(
        SPACE, train, metric="loss", algo="random", num_trials=1, name="named", storage=tmp_path, progress=False
    )
    assert result.trials[0].metrics["id"] == "00000"
    assert result.trials[0].metrics["name"] == "named"
