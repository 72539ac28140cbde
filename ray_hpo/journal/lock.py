"""One driver an experiment: a lock that the kernel gives back when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ray_hpo.errors import ExperimentLocked

FILE = "journal.lock"


class Lock:
    """Held from construction until `release`, or until the process ends, however it ends.

    Raises:
        ExperimentLocked: another driver holds it; the message names its pid and host.
    """

    def __init__(self, folder: Path) -> None:
        self._file = open(folder / FILE, "a+")  # noqa: SIM115  # open for as long as the lock is held
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _describe(self._file)
            self._file.close()
            raise ExperimentLocked(f"{folder} is in use by {holder}: wait for it, or stop it first") from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        with contextlib.suppress(OSError):  # on a full disk it is held all the same, by nobody knows whom
            os.ftruncate(self._file.fileno(), 0)
            os.write(self._file.fileno(), holder.encode())

    def release(self) -> None:
        self._file.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def is_held(folder: Path) -> bool:
    """Whether a driver is at work on the experiment in `folder` now."""
    try:
        with open(folder / FILE) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _describe(file: TextIO) -> str:
    file.seek(0)
    try:
        holder = json.load(file)
        return f"the driver with pid {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError):
        return "another driver"
