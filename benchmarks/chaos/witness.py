"""Who hears of each epoch that workers train, apart from the journal."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import NamedTuple


class Epoch(NamedTuple):
    """One epoch was trained, in the process `worker`."""

    trial: int
    epoch: int
    loss: float
    worker: int


class Witness:
    """Listens on a socket at `path` until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epochs: list[Epoch] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def redone(self) -> int:
        """Epochs that were trained once more than needed."""
        epochs = list(self.epochs)
        return len(epochs) - len({(epoch.trial, epoch.epoch) for epoch in epochs})

    def losses(self) -> dict[tuple[int, int], float]:
        """What each epoch of each trial gave."""
        return {(epoch.trial, epoch.epoch): epoch.loss for epoch in list(self.epochs)}

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()
        self.path.unlink()

    def _listen(self) -> None:
        while text := self._socket.recv(4096):
            self.epochs.append(Epoch(*json.loads(text)))
