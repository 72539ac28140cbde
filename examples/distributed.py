"""Distributed training inside each trial: Ray Train's TorchTrainer, two workers a trial, on CPUs or GPUs.

    python examples/distributed.py [--trials 8] [--workers 2] [--epochs 4] [--gpus] [--storage ~/ray_hpo]

A trial's own process only waits for its workers, for which Ray Train reserves room by a placement group of its own; so
the trial itself asks for nothing, and `max_concurrent` says how many such groups the cluster holds at a time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from typing import Any

from ray_hpo import Result, get_context, loguniform, randint, tune_run

SPACE = {"lr": loguniform(1e-3, 1.0), "width": randint(4, 64)}


def train_on_a_worker(config: dict[str, Any]) -> float:
    """What each worker does: its part of the data, its copy of the model, gradients averaged over all workers. The
    loss of the first worker is the trial's."""
    import ray.train
    import torch
    from ray.train.torch import get_device, prepare_model
    from torch import nn

    torch.manual_seed(config["seed"])
    width, device = config["width"], get_device()
    model = prepare_model(nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"])
    rank, workers = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    inputs = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))[rank::workers].to(device)
    targets = inputs.sin().sum(1, keepdim=True)
    for _ in range(config["epochs"]):
        for batch, wanted in zip(inputs.split(32), targets.split(32), strict=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch), wanted).backward()
            optimizer.step()
    with torch.no_grad():
        return nn.functional.mse_loss(model(inputs), targets).item()


def make_train(workers: int, gpus: bool) -> Callable[[dict[str, Any], int], dict[str, float]]:
    def train(config: dict[str, Any], budget: int) -> dict[str, float]:
        """A trial: `budget` epochs on `workers` workers."""
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        with tempfile.TemporaryDirectory() as folder:
            trainer = TorchTrainer(
                train_on_a_worker,
                train_loop_config={**config, "epochs": budget, "seed": get_context().seed},
                scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
                run_config=RunConfig(storage_path=folder),
            )
            return {"loss": trainer.fit().return_value}

    return train


def run(trials: int = 8, workers: int = 2, epochs: int = 4, gpus: bool = False, **options: Any) -> Result:
    import ray

    ray.init(ignore_reinit_error=True)
    there = ray.cluster_resources().get("GPU" if gpus else "CPU", 0)
    result = tune_run(
        SPACE,
        make_train(workers, gpus),
        metric="loss",
        algo="asha",
        max_budget=epochs,
        num_trials=trials,
        resources={"cpu": 0},
        max_concurrent=max(1, int(there) // workers),
        **options,
    )
    assert isinstance(result, Result)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="of each trial")
    parser.add_argument("--epochs", type=int, default=4, help="of a full training")
    parser.add_argument("--gpus", action="store_true", help="a GPU for each worker")
    parser.add_argument("--storage", default="~/ray_hpo")
    run(**vars(parser.parse_args()))
