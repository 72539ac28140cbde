"""Two sweeps on one cluster of four CPUs: each has its share, and the share of one that is gone is the other's."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.chaos.waiting import wait_until
from tests.ray.processes import Drivers

RECENT_SECONDS = 1.5


def workers(folder: Path, name: str) -> int:
    """In how many processes trials of the sweep ended lately."""
    log = folder / f"{name}.log"
    lines = [line.split() for line in log.read_text().splitlines()[-200:]] if log.exists() else []
    return len({line[1] for line in lines if len(line) == 2 and float(line[0]) > time.time() - RECENT_SECONDS})


def test_two_sweeps_share_a_cluster_by_priority(tmp_path: Path, drivers: Drivers) -> None:
    def start(name: str, priority: float) -> subprocess.Popen[bytes]:
        return drivers.run([sys.executable, "-m", "tests.ray.neighbours", str(tmp_path), name, str(priority)])

    def shares() -> tuple[int, int]:
        return workers(tmp_path, "first"), workers(tmp_path, "second")

    first = start("first", 1.0)
    wait_until(lambda: shares() == (4, 0), 60, "all of the cluster for the first")
    second = start("second", 3.0)
    wait_until(lambda: shares() == (1, 3), 60, "three of four workers for the one with three times the priority")
    second.kill()
    wait_until(lambda: shares() == (4, 0), 60, "all of the cluster for the first again")
    assert first.poll() is None, drivers.output
