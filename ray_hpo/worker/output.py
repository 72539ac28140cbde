"""What a trial prints goes to its log; a trial that prints nothing has none."""

from __future__ import annotations

import io
import sys
from typing import TextIO

from ray_hpo.storage import TrialStore


class Output(io.TextIOBase):
    """Takes the place of standard output and error while a trial runs: `begin`, then `end`.

    Its log appears with its first line. On a disk that cannot be written lines go where they went before, and so do
    those that come late: a logger that was set up in one trial holds on to what standard output was then.
    """

    def __init__(self, store: TrialStore) -> None:
        self._store = store
        self._trial: int | None = None
        self._file: TextIO | None = None
        self._before = sys.stdout, sys.stderr

    def begin(self, trial: int) -> None:
        self._trial, self._before = trial, (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = self

    def end(self) -> None:
        sys.stdout, sys.stderr = self._before
        file, self._file, self._trial = self._file, None, None
        if file is not None and file not in self._before:
            file.close()

    def write(self, text: str) -> int:
        return self._target().write(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._target().fileno()

    def _target(self) -> TextIO:
        if self._file is not None:
            return self._file
        if self._trial is None:
            return self._before[0]
        try:
            path = self._store.trial_folder(self._trial) / "output.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a", buffering=1, errors="replace")  # noqa: SIM115  # see end
        except OSError:
            self._file = self._before[0]
        return self._file
