"""The kinds of faults, each done to real processes of this program's own."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.waiting import wait_until
from benchmarks.chaos.witness import Witness

NODE = {"include_dashboard": False, "num_cpus": 1, "object_store_memory": 80 * 2**20}
DIES_SECONDS = 60.0  # in which a driver must have ended by itself


@dataclass
class Scene:
    """Where faults strike: a cluster with a node that may be lost, a driver on it, and who saw what workers did.

    mark: a text in the environment of every process of this program's own.
    """

    cluster: Any
    node: Any
    driver: subprocess.Popen[bytes]
    witness: Witness
    mark: bytes
    rng: random.Random

    def worker(self) -> int | None:
        """The pid of a worker that has trained something lately, if there is one."""
        recent = {epoch.worker for epoch in self.witness.epochs[-12:]}
        alive = sorted(pid for pid in recent if self.mark in environment(pid))
        return self.rng.choice(alive) if alive else None


def driver_killed(scene: Scene) -> bool:
    scene.driver.kill()
    scene.driver.wait()
    return True


def worker_killed(scene: Scene) -> bool:
    worker = scene.worker()
    if worker is None:
        return False
    os.kill(worker, signal.SIGKILL)
    return True


def node_removed(scene: Scene) -> bool:
    scene.cluster.remove_node(scene.node, allow_graceful=False)
    scene.node = scene.cluster.add_node(**NODE)
    return True


def checkpoints_refused(scene: Scene) -> bool:
    """For a while no file of one worker can grow."""
    worker = scene.worker()
    if worker is None:
        return False
    try:
        limits = resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        known = len(scene.witness.epochs)
        wait_until(lambda: len(scene.witness.epochs) > known + 3 or scene.driver.poll() is not None)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)
    except (ProcessLookupError, TimeoutError):
        return False
    return True


def journal_refused(scene: Scene) -> bool:
    """As if the disk were full: no file of the driver can grow, and it must end."""
    try:
        resource.prlimit(scene.driver.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    except ProcessLookupError:
        return False
    scene.driver.wait(DIES_SECONDS)
    return True


def clock_jumped(scene: Scene) -> bool:
    scene.driver.send_signal(signal.SIGUSR1)
    return True


KINDS: dict[str, Callable[[Scene], bool]] = {
    "driver killed": driver_killed,
    "worker killed": worker_killed,
    "node removed": node_removed,
    "checkpoints refused": checkpoints_refused,
    "journal refused": journal_refused,
    "clock jumped": clock_jumped,
}


def environment(pid: int) -> bytes:
    """Of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
