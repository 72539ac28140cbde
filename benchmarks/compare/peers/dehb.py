"""DEHB by its own ask and tell; it is asked once for each free worker."""

from __future__ import annotations

import tempfile

import dehb

from benchmarks.compare.peers.base import Peer, Setup, Training
from benchmarks.compare.peers.config_space import configuration_space, to_plain
from benchmarks.compare.task import ETA


class DEHB(Peer):
    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._folder = tempfile.TemporaryDirectory()
        self._dehb = dehb.DEHB(
            cs=configuration_space(setup.space_format, setup.seed),
            min_fidelity=1,
            max_fidelity=setup.resource(setup.top),
            eta=ETA,
            n_workers=1,
            seed=setup.seed,
            output_path=self._folder.name,
            save_freq=None,
            log_level="ERROR",
        )

    def ask(self) -> Training:
        job = self._dehb.ask()
        config = to_plain(self.setup.space_format, job["config"])
        return Training(config, self.setup.level(job["fidelity"]), job)

    def tell(self, training: Training, y: float) -> None:
        self._dehb.tell(training.tag, {"fitness": y, "cost": 1.0})

    def close(self) -> None:
        self._folder.cleanup()
