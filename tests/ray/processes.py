"""Drivers in processes of their own, with everything that they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.chaos.waiting import wait_until

DRIVER = Path(__file__).with_name("driver.py")
_MARK = "RAY_HPO_TEST"


class Drivers:
    """Starts drivers; `end` ends what is left of them and of their Rays, found by a mark in the environment."""

    def __init__(self, address: str, output: Path) -> None:
        self._address = address
        self._output = output
        self._mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, folder: Path, *, own_ray: bool = False) -> subprocess.Popen[bytes]:
        """A driver of the experiment in `folder`, on the tests' Ray or on one of its own."""
        return self.run([sys.executable, str(DRIVER), str(folder), *(["own"] if own_ray else [])])

    def run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `command` as the leader of a session of its own; what it prints goes to the output file."""
        environment = {**os.environ, "RAY_ADDRESS": self._address, _MARK: self._mark}
        with open(self._output, "ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        self._started.append(process)
        return process

    @property
    def output(self) -> str:
        """What all of them printed."""
        return self._output.read_text()

    def left(self) -> list[int]:
        """Processes that carry the mark and live."""
        mark = f"{_MARK}={self._mark}".encode()
        return [
            int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark in _environ(entry)
        ]

    def end(self) -> None:
        for number in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for process in self._started:
            process.wait()
        wait_until(lambda: not self.left(), what="the end of all that the drivers started")


def _environ(process: Path) -> bytes:
    """Empty for a process that is gone, a zombie, or not ours."""
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def drivers(cluster: str, tmp_path: Path) -> Iterator[Drivers]:
    started = Drivers(cluster, tmp_path / "drivers.log")
    yield started
    started.end()
