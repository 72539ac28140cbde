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

from ray_hpo.errors import ExperimentLocked, JournalError
from ray_hpo.inside import open_inside

FILE = "journal.lock"


class Lock:
    """Held from construction until `release`, or until the process ends, however it ends.

    Raises:
        ExperimentLocked: another driver holds it; the message names its pid and host.
        JournalError: the file system has no locks that work.
    """

    def __init__(self, folder: Path) -> None:
        self._file = _open(folder / FILE)  # for as long as the lock is held
        try:
            if not _acquire(self._file):
                raise ExperimentLocked(f"{folder} is in use by {_describe(self._file)}: wait for it, or stop it first")
            with _open(folder / FILE) as second:
                if _acquire(second):
                    raise OSError("a second driver would get the same lock")
        except ExperimentLocked:
            self._file.close()
            raise
        except OSError as error:
            self._file.close()
            raise JournalError(
                f"the file system of {folder} has no locks that work ({error}), and two drivers would spoil the "
                "journal: mount it with locks, or give a local folder or an object store as storage"
            ) from None
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
        with os.fdopen(open_inside(folder / FILE, os.O_RDONLY)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open(path: Path) -> TextIO:
    """
    Raises:
        JournalError: it cannot be opened, or is a link to somewhere else.
    """
    try:
        return os.fdopen(open_inside(path, os.O_RDWR | os.O_CREAT), "r+")
    except OSError as error:
        raise JournalError(f"{path} cannot be opened: {error.strerror}") from error


def _acquire(file: TextIO) -> bool:
    """Whether the lock is to be had.

    Raises:
        OSError: there are no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(file: TextIO) -> str:
    file.seek(0)
    try:
        holder = json.load(file)
        return f"the driver with pid {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (ValueError, LookupError, TypeError):
        return "another driver"
