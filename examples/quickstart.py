"""Tune a small CNN on scikit-learn's handwritten digits with BOHB, on a local Ray.

    python examples/quickstart.py [--trials 60] [--storage ~/ray_hpo]

1,797 real 8x8 images, split into training, validation and test; nothing is downloaded.
"""

from __future__ import annotations

import argparse
from typing import Any

from ray_hpo import choice, get_checkpoint, loguniform, randint, report, tune_run, uniform

EPOCHS = 27

SPACE = {
    "optimizer": choice(["sgd", "adam"]),
    "momentum": uniform(0.0, 0.99).when(optimizer="sgd"),
    "beta1": uniform(0.5, 0.99).when(optimizer="adam"),
    "lr": loguniform(1e-4, 1.0),
    "layers": randint(1, 4),
    "width": choice([8, 16, 32]),
    "dropout": uniform(0.0, 0.6),
    "batch_size": choice([16, 32, 64, 128]),
    "weight_decay": loguniform(1e-6, 1e-2),
}


def load_data() -> dict[str, Any]:
    """Images (n, 1, 8, 8) and labels (n,) of the three parts: 1,077 / 360 / 360."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).reshape(-1, 1, 8, 8).astype("float32")
    rest, test, rest_y, test_y = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
    train, val, train_y, val_y = train_test_split(rest, rest_y, test_size=360, stratify=rest_y, random_state=0)
    parts = {"train": (train, train_y), "val": (val, val_y), "test": (test, test_y)}
    return {name: (torch.from_numpy(x), torch.from_numpy(y)) for name, (x, y) in parts.items()}


def build(config: dict[str, Any]) -> Any:
    """The network that `config` describes."""
    from torch import nn

    layers: list[nn.Module] = []
    channels = 1
    for _ in range(config["layers"]):
        layers += [nn.Conv2d(channels, config["width"], 3, padding=1), nn.ReLU()]
        channels = config["width"]
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(config["dropout"]), nn.Linear(channels * 16, 10)]
    return nn.Sequential(*layers)


def make_optimizer(config: dict[str, Any], parameters: Any) -> Any:
    import torch

    if config["optimizer"] == "sgd":
        return torch.optim.SGD(
            parameters, lr=config["lr"], momentum=config["momentum"], weight_decay=config["weight_decay"]
        )
    betas = (config["beta1"], 0.999)
    return torch.optim.AdamW(parameters, lr=config["lr"], betas=betas, weight_decay=config["weight_decay"])


def evaluate(model: Any, data: dict[str, Any], part: str) -> dict[str, float]:
    """Loss and accuracy on one part of the data."""
    import torch

    images, labels = data[part]
    model.eval()
    with torch.no_grad():
        logits = model(images)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return {f"{part}_loss": loss.item(), f"{part}_acc": (logits.argmax(1) == labels).float().mean().item()}


def train(config: dict[str, Any]) -> None:
    """Train to the end, or for as long as the trial is allowed to; goes on where it paused."""
    import torch

    torch.manual_seed(0)
    data = load_data()
    images, labels = data["train"]
    model = build(config)
    optimizer = make_optimizer(config, model.parameters())
    start = 1
    checkpoint = get_checkpoint()
    if checkpoint:
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        start = checkpoint["epoch"] + 1
    for epoch in range(start, EPOCHS + 1):
        model.train()
        for batch in torch.randperm(len(images)).split(config["batch_size"]):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        report(evaluate(model, data, "val"), checkpoint=state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--storage", default="~/ray_hpo")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    result = tune_run(
        SPACE,
        train,
        algo="bohb",
        metric="val_loss",
        mode="min",
        max_budget=EPOCHS,
        num_trials=args.trials,
        resources={"cpu": 0.5},
        storage=args.storage,
        seed=args.seed,
    )

    model = build(result.best_config)
    model.load_state_dict(result.best_checkpoint["model"])
    data = load_data()
    accuracies = {**evaluate(model, data, "val"), **evaluate(model, data, "test")}
    print(f"validation accuracy {accuracies['val_acc']:.1%}, test accuracy {accuracies['test_acc']:.1%}")


if __name__ == "__main__":
    main()
