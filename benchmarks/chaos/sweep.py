"""One sweep to its end, with faults on the way."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.chaos.checks import Watch
from benchmarks.chaos.faults import KINDS, Scene
from benchmarks.chaos.waiting import wait_until
from benchmarks.chaos.witness import Witness

TRIALS = 16
APART = 8  # the most epochs between one fault and the next
SESSION_SECONDS = 300.0  # more than a driver may ever take
GIVE_UP = 5  # drivers one after another that end by themselves, and not with the experiment's end


class Sweep:
    """A sweep under `preset` in a folder below `storage`; `run` to its end with up to `faults` faults."""

    def __init__(self, preset: str, storage: Path, cluster: Any, node: Any, mark: bytes, rng: random.Random) -> None:
        self.preset = preset
        self.folder = storage / f"{len(list(storage.iterdir())):02d}-{preset}"
        self.witness = Witness(storage.parent / "witness")
        self.watch = Watch(self.folder)
        self.struck: list[str] = []
        self.completed = False
        self._rng = rng
        self._seed = rng.randrange(2**31)
        self._output = storage.parent / "drivers.log"
        self._scene = Scene(cluster, node, self._start(), self.witness, mark, rng)

    @property
    def node(self) -> Any:
        """The node that may be lost, as it is now."""
        return self._scene.node

    def run(self, faults: int, tell: Callable[[str], None]) -> None:
        """Until the experiment is over; the last driver is left alone."""
        try:
            failed = 0
            while len(self.struck) < faults and failed < GIVE_UP:
                if self._strikes(tell):
                    self._after_fault()
                    failed = 0
                elif self._over():
                    break
                elif self._scene.driver.poll() is not None:
                    failed += 1
                    self._restart()
            if self._scene.driver.wait(SESSION_SECONDS) != 0 and not self._over():
                self._scene.driver = self._start()
                self._scene.driver.wait(SESSION_SECONDS)
            self.completed = self.watch.finished(TRIALS, self.witness)
        finally:
            self._scene.driver.kill()
            self._scene.driver.wait()
            self.witness.close()

    def _strikes(self, tell: Callable[[str], None]) -> bool:
        """Wait for a random moment of training, then do a random fault. False if the driver ended before."""
        driver, known = self._scene.driver, len(self.witness.epochs)
        moment = known + self._rng.randint(1, APART)
        wait_until(lambda: driver.poll() is not None or len(self.witness.epochs) >= moment, SESSION_SECONDS)
        if driver.poll() is not None:
            return False
        self.watch.look()
        kind = self._rng.choice(list(KINDS))
        if not KINDS[kind](self._scene):
            return False
        self.struck.append(kind)
        tell(f"{self.preset}: {kind} after {len(self.witness.epochs)} epochs")
        return True

    def _after_fault(self) -> None:
        """What is committed stays so, now that the driver is dead, or while it goes on."""
        if self._scene.driver.poll() is None:
            self.watch.look()
        else:
            self._restart()

    def _restart(self) -> None:
        self.watch.check(self.witness)
        self._scene.driver = self._start()

    def _over(self) -> bool:
        return self._scene.driver.poll() == 0

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.chaos.driver", str(self.folder), self.preset]
        command += [str(self._seed), str(TRIALS), str(self.witness.path)]
        with open(self._output, "ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
