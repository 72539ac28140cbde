"""Train a small CNN on scikit-learn's handwritten digits: an ordinary script, which knows nothing of ray_hpo.

    python examples/scripts/cnn.py --conv2_filter 32 --conv2_kernel 3 --dense_layer 64 --epochs 5

The flags are those of a well-known Keras demo. With --checkpoint DIR it goes on from what it saved there.
"""

import argparse
import importlib.util
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conv2_filter", type=int, default=32, help="filters of the second convolution")
    parser.add_argument("--conv2_kernel", type=int, default=3, help="width of the second convolution")
    parser.add_argument("--dropout_1", type=float, default=0.25, help="after the convolutions")
    parser.add_argument("--dropout_2", type=float, default=0.25, help="before the dense layer")
    parser.add_argument("--dropout_3", type=float, default=0.5, help="after the dense layer")
    parser.add_argument("--dense_layer", type=int, default=64, help="width of the dense layer")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=pathlib.Path, help="a folder to go on from, and to save into")
    return parser.parse_args()


def load_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (1797, 1, 8, 8) and labels, from scikit-learn's file: to import all of it takes longer than an epoch."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.origin is not None, "pip install scikit-learn"
    table = np.loadtxt(pathlib.Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = torch.tensor(table[:, :-1], dtype=torch.float32).reshape(-1, 1, 8, 8)
    return images / 16, torch.tensor(table[:, -1], dtype=torch.int64)


def build(args: argparse.Namespace) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding="same"),
        nn.ReLU(),
        nn.Conv2d(16, args.conv2_filter, args.conv2_kernel, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(args.dropout_1),
        nn.Flatten(),
        nn.Dropout(args.dropout_2),
        nn.Linear(16 * args.conv2_filter, args.dense_layer),
        nn.ReLU(),
        nn.Dropout(args.dropout_3),
        nn.Linear(args.dense_layer, 10),
    )


def main() -> None:
    args = parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    images, labels = load_digits()
    train, val = slice(0, 1400), slice(1400, None)
    model = build(args)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    state = args.checkpoint / "state.pt" if args.checkpoint else None
    done = 0
    if state and state.exists():
        saved = torch.load(state)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["epoch"]
    for epoch in range(done + 1, args.epochs + 1):
        model.train()
        for batch in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            loss = cross_entropy(model(images[train][batch]), labels[train][batch])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(images[val])
        if state:  # saved before it is printed, under another name first: whole, or not at all
            part = state.with_suffix(".part")
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, part)
            part.rename(state)
        val_loss = cross_entropy(logits, labels[val]).item()
        val_acc = (logits.argmax(1) == labels[val]).float().mean().item()
        print(
            f"Epoch {epoch}/{args.epochs} - loss: {loss.item():.4f} - val_loss: {val_loss:.4f} - val_acc: {val_acc:.4f}"
        )


if __name__ == "__main__":
    main()
