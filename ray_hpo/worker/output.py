"""What a trial prints goes to its log; a trial that prints nothing has none."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class _Log(io.TextIOBase):
    """A log that appears with its first line.

    On a disk that cannot be written lines go to `otherwise`, and so do those that come late: a logger that was set up
    in one trial holds on to what standard output was then.
    """

    def __init__(self, path: Path, otherwise: TextIO) -> None:
        self._path = path
        self._otherwise = otherwise
        self._file: TextIO | None = None

    def write(self, text: str) -> int:
        return self._opened().write(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def end(self) -> None:
        if self._file is not None and self._file is not self._otherwise:
            self._file.close()
        self._file = self._otherwise

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._opened().fileno()

    def _opened(self) -> TextIO:
        if self._file is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self._path, "a", buffering=1, errors="replace")  # noqa: SIM115  # see close
            except OSError:
                self._file = self._otherwise
        return self._file


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Send what Python code prints to `path`."""
    log = _Log(path, sys.stdout)
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
    finally:
        log.end()
