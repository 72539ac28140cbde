"""Trials that share a GPU: throughput with one, two and four to a GPU, and whether each gave its memory back.

    python -m benchmarks.gpu [--trials 16] [--epochs 3] [--json FILE]

A small convolutional network learns random images, in bursts too short to fill a large GPU: what sharing is for. Needs
PyTorch and a GPU, and says so where there is none.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray

import ray_hpo

MIB = 2**20
SHARES = {"one to a GPU": 1.0, "two": 0.5, "four": 0.25, "auto": "auto"}


@dataclass(frozen=True)
class Row:
    """Seconds from the first trial's begin to the last one's end. kept: bytes of GPU memory, the most that any trial
    found in its process when it began; a first trial finds none.  left: bytes in use on the GPU after the sweep,
    more than before it."""

    name: str
    trials_a_minute: float
    epochs_a_second: float
    peak: float
    kept: float
    left: float
    devices: int


def train(config: dict[str, Any], epochs: int = 3) -> None:
    import os

    import torch
    from torch import nn

    kept = torch.cuda.memory_allocated()
    began = time.time()
    width = config["width"]
    model = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * width, 10),
    ).cuda()  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    images, labels = torch.randn(2048, 3, 32, 32), torch.randint(0, 10, (2048,))
    for epoch in range(epochs):
        total = 0.0
        for batch in range(0, 2048, 64):
            optimizer.zero_grad()
            there, wanted = images[batch : batch + 64].cuda(), labels[batch : batch + 64].cuda()
            loss = nn.functional.cross_entropy(model(there), wanted)
            loss.backward()
            optimizer.step()
            total += float(loss)
        ray_hpo.report(
            {
                "loss": total,
                "began": began,
                "ended": time.time(),
                "kept": kept,
                "peak": torch.cuda.max_memory_reserved(),
                "device": os.environ["CUDA_VISIBLE_DEVICES"],
            },
            checkpoint={"epoch": epoch},
        )


def measure(name: str, share: Any, trials: int, epochs: int, folder: Path) -> Row:
    before = used_bytes()
    result = ray_hpo.tune_run(
        {"width": ray_hpo.choice([32, 64]), "lr": ray_hpo.loguniform(1e-4, 1e-2)},
        lambda config: train(config, epochs),
        metric="loss",
        algo="random",
        num_trials=trials,
        resources={"gpu": share},
        storage=folder,
        name=name.replace(" ", "-"),
        seed=1,
        progress=False,
    )
    done = [trial.metrics for trial in result.trials if trial.state == "completed"]
    if len(done) < trials:
        raise SystemExit(f"{name}: {trials - len(done)} trials failed: {[t.error for t in result.trials if t.error]}")
    seconds = max(one["ended"] for one in done) - min(one["began"] for one in done)
    left = settled_bytes(before) - before
    return Row(
        name,
        60 * trials / seconds,
        trials * epochs / seconds,
        statistics.fmean(one["peak"] for one in done),
        max(one["kept"] for one in done),
        left,
        len({one["device"] for one in done}),
    )


def used_bytes() -> int:
    """In use on all GPUs, by whomever; asked from a process of its own, which holds none afterwards."""

    @ray.remote(num_cpus=0, max_calls=1)
    def ask() -> int:
        import os

        import torch

        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        return sum(total - free for free, total in map(torch.cuda.mem_get_info, range(torch.cuda.device_count())))

    return int(ray.get(ask.remote()))


def settled_bytes(before: int, seconds: float = 30.0) -> int:
    """What is in use once the workers have ended; they need a moment."""
    deadline = time.monotonic() + seconds
    while (used := used_bytes()) > before + 64 * MIB and time.monotonic() < deadline:
        time.sleep(0.5)
    return used


def table(rows: Mapping[str, Row]) -> str:
    base = next(iter(rows.values())).trials_a_minute
    lines = [f"{'':14}{'trials/min':>12}{'epochs/s':>10}{'x one':>8}{'peak MiB':>10}{'found MiB':>11}{'left MiB':>10}"]
    for row in rows.values():
        memory = f"{row.peak / MIB:10.0f}{row.kept / MIB:11.1f}{row.left / MIB:10.0f}"
        speed = f"{row.trials_a_minute:12.1f}{row.epochs_a_second:10.1f}{row.trials_a_minute / base:8.2f}"
        lines.append(f"{row.name:14}{speed}{memory}")
    return "\n".join(lines)


def why_not() -> str:
    """Why nothing can be measured here; empty if it can."""
    try:
        import torch
    except ImportError:
        return 'PyTorch is not installed: pip install "ray-hpo[torch]"'
    return "" if torch.cuda.is_available() else "no GPU that PyTorch can use was found on this machine"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"benchmarks.gpu: {reason}; nothing was measured", file=sys.stderr)
        raise SystemExit(1)
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, share in SHARES.items():
            rows[name] = measure(name, share, arguments.trials, arguments.epochs, Path(folder))
            print(table(rows), end="\n\n", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1))


if __name__ == "__main__":
    main()
