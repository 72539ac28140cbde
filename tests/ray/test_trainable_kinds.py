"""Every kind of trainable on Ray workers, with early stopping and checkpoints where the kind has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

import ray_hpo
from ray_hpo import get_checkpoint, get_context, report, tune_run, uniform

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray's

SPACE = {"x": uniform(0.0, 1.0)}
EPOCHS = 4

Sweep = Callable[..., ray_hpo.Result]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """`tune_run` with four trials of hyperband to 4 epochs, eta 2: trials pause at 1 and 2, and go on."""

    def run(trainable: Any, **options: Any) -> ray_hpo.Result:
        defaults = {"algo": ray_hpo.SuccessiveHalving(eta=2), "max_budget": EPOCHS, "num_trials": 4}
        result = tune_run(
            SPACE,
            trainable,
            metric="loss",
            max_concurrent=1,
            storage=tmp_path,
            seed=3,
            progress=False,
            **{**defaults, **options},
        )
        assert isinstance(result, ray_hpo.Result)
        return result

    return run


def note(epoch: int) -> None:
    """Write down that `epoch` is trained."""
    with open(get_context().folder / "epochs.txt", "a") as file:
        file.write(f"{epoch}\n")


def assert_each_epoch_once(result: ray_hpo.Result) -> None:
    """The one of four that is the best gets to the end, no epoch of any trial is trained twice."""
    assert sorted(trial.step for trial in result.trials) == [1, 1, 2, 4]
    for trial in result.trials:
        trained = (result.path / "trials" / f"{trial.number:05d}" / "epochs.txt").read_text().split()
        assert trained == [str(epoch) for epoch in range(1, int(trial.step) + 1)]


def test_a_function_that_saves_folders(sweep: Sweep, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        folder = get_checkpoint()
        done = int((folder / "epoch.txt").read_text()) if isinstance(folder, Path) else 0
        mine = tmp_path / f"scratch-{get_context().trial}"
        mine.mkdir(exist_ok=True)
        for epoch in range(done + 1, EPOCHS + 1):
            note(epoch)
            (mine / "epoch.txt").write_text(str(epoch))
            report({"loss": config["x"]}, checkpoint=mine)

    result = sweep(train)
    assert_each_epoch_once(result)
    assert isinstance(result.best_checkpoint, Path)
    assert (result.best_checkpoint / "epoch.txt").read_text() == str(EPOCHS)


def test_a_generator(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> Iterator[tuple[dict[str, float], dict[str, int]]]:
        state = get_checkpoint() or {"epoch": 0}
        assert isinstance(state, dict)
        for epoch in range(state["epoch"] + 1, EPOCHS + 1):
            note(epoch)
            yield {"loss": config["x"]}, {"epoch": epoch}

    assert_each_epoch_once(sweep(train))


def test_a_generator_leaves_through_finally_when_it_is_released(sweep: Sweep, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        try:
            for _ in range(EPOCHS):
                yield {"loss": config["x"]}
        finally:
            (tmp_path / f"left-{get_context().trial}").touch()

    result = sweep(train, num_trials=2)
    assert sorted(path.name for path in tmp_path.glob("left-*")) == [f"left-{trial.number}" for trial in result.trials]


def test_a_function_of_config_and_budget_trains_anew_for_each_milestone(sweep: Sweep) -> None:
    def train(config: dict[str, Any], budget: int) -> dict[str, float]:
        return {"loss": config["x"], "trained": budget, "whole": isinstance(budget, int)}

    result = sweep(train)
    assert sorted(trial.step for trial in result.trials) == [1, 1, 2, 4]
    assert all(trial.metrics["trained"] == trial.step for trial in result.trials)
    assert all(trial.metrics["whole"] for trial in result.trials)
    assert result.spent == 1 + 1 + (1 + 2) + (1 + 2 + 4)


def test_a_class(sweep: Sweep) -> None:
    class Train:
        def setup(self, config: dict[str, Any]) -> None:
            self.x, self.epoch = config["x"], 0

        def step(self) -> dict[str, float]:
            self.epoch += 1
            note(self.epoch)
            return {"loss": self.x}

        def save(self) -> dict[str, int]:
            return {"epoch": self.epoch}

        def load(self, checkpoint: dict[str, int]) -> None:
            self.epoch = checkpoint["epoch"]

    result = sweep(Train)
    assert_each_epoch_once(result)
    assert result.best_checkpoint == {"epoch": EPOCHS}


def test_a_class_that_is_done_ends_by_itself(sweep: Sweep) -> None:
    class Train:
        def setup(self, config: dict[str, Any]) -> None:
            self.epoch = 0

        def step(self) -> dict[str, Any]:
            self.epoch += 1
            return {"loss": 1.0, "done": self.epoch == 3}

    result = sweep(Train, algo="random", max_budget=None, num_trials=1)
    assert (result.trials[0].step, result.trials[0].state, result.trials[0].why) == (3, "completed", "ran to its end")


def test_a_function_that_returns_its_metrics(sweep: Sweep) -> None:
    result = sweep(lambda config: {"loss": config["x"]}, algo="random", max_budget=None, num_trials=3)
    assert result.best_value == min(trial.config["x"] for trial in result.trials)


def test_a_function_that_returns_is_not_called_again_when_it_is_promoted(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        note(1)
        return {"loss": config["x"]}

    result = sweep(train)
    assert result.experiment.counts() == {"completed": 1, "stopped": 3}
    for folder in result.path.glob("trials/*"):
        assert (folder / "epochs.txt").read_text().split() == ["1"]


def test_a_metric_as_fidelity(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> None:
        state = get_checkpoint() or {"images": 0}
        assert isinstance(state, dict)
        for images in range(state["images"] + 25, 401, 25):
            report({"loss": config["x"], "images": images}, checkpoint={"images": images})

    result = sweep(train, max_budget=400, min_budget=100, fidelity="images")
    assert sorted(trial.step for trial in result.trials) == [100, 100, 200, 400]


def test_numpy_numbers_are_metrics(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        return {
            "loss": np.float32(config["x"]),
            "hits": np.int64(3),
            "ok": np.bool_(True),
            "per_class": [np.float64(1)],
        }

    metrics = sweep(train, algo="random", max_budget=None, num_trials=1).trials[0].metrics
    assert (metrics["hits"], metrics["ok"], metrics["per_class"]) == (3, True, [1.0])


def test_what_a_trial_prints_goes_to_its_log(sweep: Sweep) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        print("hello from", get_context().trial)
        return {"loss": config["x"]}

    result = sweep(train, algo="random", max_budget=None, num_trials=2)
    logs = [(result.path / "trials" / f"{trial.number:05d}" / "output.log").read_text() for trial in result.trials]
    assert logs == ["hello from 0\n", "hello from 1\n"]


def test_without_a_trainable_tune_run_gives_a_runner(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": config["x"]}

    run = tune_run(
        SPACE, metric="loss", algo="random", num_trials=2, max_concurrent=1, storage=tmp_path, progress=False
    )
    assert len(run(train).trials) == 2


def test_without_a_trainable_tune_run_is_a_decorator(tmp_path: Path) -> None:
    @tune_run(SPACE, metric="loss", algo="random", num_trials=2, max_concurrent=1, storage=tmp_path, progress=False)  # type: ignore[untyped-decorator]  # it gives a result, not a function
    def result(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": config["x"]}

    assert len(result.trials) == 2
