"""A large checkpoint: how it gets to storage, beside writing the same bytes with nothing around.

    python -m benchmarks.checkpoint [--mb 1000] [--rounds 5] [--torch] [--folder DIR]

A trial reports a dict with one array of that size. Printed are seconds in `report`, and of a plain `pickle.dump` of the
same dict into a file (with --torch: `torch.save`), in turn, on the same disk, the best of all rounds, since a machine
that has to find memory for the file first takes several times as long; how often the bytes were written; and how much
memory the worker, the driver and Ray's object store took for it.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

import ray_hpo
from ray_hpo.journal.reader import read_reports


@dataclass(frozen=True)
class Load:
    """What is saved, how often, and a folder on the same disk for the plain file."""

    megabytes: int
    rounds: int
    torch: bool
    folder: Path


def train(load: Load) -> None:
    """Saves twice each round, once by itself and once by `report`, and tells what that took."""
    array: Any = np.random.default_rng(0).random(load.megabytes * 125_000)
    if load.torch:
        import torch

        array = torch.from_numpy(array)
    file, save = load.folder / "plain", _torch_save if load.torch else _pickle

    def plain() -> float:
        took = _seconds(lambda: save({"weights": array}, file))
        file.unlink()
        return took

    for _ in range(load.rounds):
        bare = plain()
        before, memory = _written(), peak_mb()
        took = _seconds(lambda: ray_hpo.report({"loss": 0.0}, checkpoint={"weights": array}))
        times = (_written() - before) / array.nbytes
        found = {"bare_s": bare, "report_s": took, "times_written": times, "worker_mb": peak_mb() - memory}
        ray_hpo.report({"loss": 0.0, **found})


def _pickle(checkpoint: dict[str, Any], file: Path) -> None:
    with open(file, "wb") as out:
        pickle.dump(checkpoint, out, pickle.HIGHEST_PROTOCOL)


def _torch_save(checkpoint: dict[str, Any], file: Path) -> None:
    import torch

    torch.save(checkpoint, file)


def _seconds(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _written() -> int:
    """Bytes that this process has written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _object_store_mb() -> float:
    """What has been used of the memory that Ray's object stores share; it is not given back while they live."""
    return shutil.disk_usage("/dev/shm").used / 2**20


def measure(load: Load, storage: Path) -> dict[str, float]:
    driver, store = peak_mb(), _object_store_mb()
    result = ray_hpo.tune_run(
        {"x": ray_hpo.uniform(0.0, 1.0)},
        lambda config: train(load),
        metric="loss",
        algo="random",
        num_trials=1,
        storage=storage,
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    rows = [metrics for _, _, _, metrics in read_reports(result.path) if "report_s" in metrics]
    best = {key: min(row[key] for row in rows) for key in ("report_s", "bare_s")}
    most = {key: max(row[key] for row in rows) for key in ("times_written", "worker_mb")}
    return {**best, **most, "driver_mb": peak_mb() - driver, "object_store_mb": _object_store_mb() - store}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured; default: a temporary one")
    args = parser.parse_args()
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        found = measure(Load(args.mb, args.rounds, args.torch, Path(name)), Path(name, "experiments"))
    ratio = found["report_s"] / found["bare_s"]
    print(f"a checkpoint of {args.mb} MB, {args.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"report: {found['report_s']:.2f} s, {ratio:.2f} times a plain write ({found['bare_s']:.2f} s)")
    print(f"written {found['times_written']:.3f} times")
    for who in ("worker", "driver", "object_store"):
        print(f"more memory, {who}: {found[f'{who}_mb']:.0f} MB")


if __name__ == "__main__":
    main()
