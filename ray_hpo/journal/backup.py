"""The last good copy of a journal, in one file beside it: for the day on which somebody writes over the journal."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ray_hpo.errors import InvalidInput, JournalError
from ray_hpo.journal.damage import BACKUP, check, told_if_unwritable
from ray_hpo.journal.schema import FILE, connect, read_head

DAMAGED = "journal.damaged"  # where a damaged journal goes when its copy takes its place
EVERY_SECONDS = 60.0  # between two copies, at least
_LOCKED = (5, 6)  # SQLITE_BUSY and SQLITE_LOCKED, for which sqlite3 has names from Python 3.11 on
PATIENCE_SECONDS = 5.0  # for a journal that somebody else has locked
SHARE = 0.02  # of the time may go into copies, at most


class Backup:
    """Copies of the journal in `folder`, made now and then while it is written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / BACKUP
        self._due = time.monotonic() + EVERY_SECONDS

    def take_if_due(self) -> None:
        if time.monotonic() >= self._due:
            self.take()

    def take(self) -> None:
        """Copy what is committed. A copy that is damaged, or has no room, never takes the place of a good one."""
        began = time.monotonic()
        unfinished = self._path.with_name(f".{BACKUP}")
        with contextlib.suppress(sqlite3.Error, OSError, JournalError):
            try:
                unfinished.unlink(missing_ok=True)
                _copy(self._path.with_name(FILE), unfinished)
                os.replace(unfinished, self._path)
            finally:
                unfinished.unlink(missing_ok=True)
        took = time.monotonic() - began
        self._due = time.monotonic() + max(EVERY_SECONDS, took / SHARE)


def _copy(source: Path, path: Path) -> None:
    """By a reader of its own, which neither waits for a transaction that is open nor holds one up."""
    with closing(connect(source, write=False)) as read, closing(sqlite3.connect(path, isolation_level=None)) as target:
        target.execute("PRAGMA synchronous = OFF")
        read.backup(target, progress=_Patience())
        target.execute("PRAGMA journal_mode = DELETE").fetchall()  # or readers of it would leave files behind
        check(target, path)


class _Patience:
    """SQLite would wait for ever where a file is locked."""

    def __init__(self) -> None:
        self._give_up = time.monotonic() + PATIENCE_SECONDS

    def __call__(self, status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > self._give_up:
            raise sqlite3.OperationalError("the journal is locked")


def restore(folder: Path) -> str:
    """Put the last good copy in the place of a damaged journal, which is kept as `journal.damaged`; say from when it
    is. Nobody may be at work on it: the caller holds the lock.

    Raises:
        InvalidInput: the journal is whole.
        JournalError: there is no good copy.
    """
    path, copy = folder / FILE, folder / BACKUP
    if _is_whole(path):
        raise InvalidInput(f"{path} is whole: there is nothing to restore")
    if copy.is_symlink() or not copy.is_file():
        raise JournalError(f"{folder} has no {BACKUP}, the copy that is made every minute and at the end of a session")
    if not _is_whole(copy):
        raise JournalError(f"{copy} is damaged, too: put back a copy of the folder, or start a new experiment")
    new = folder / f".{FILE}"
    with told_if_unwritable():
        shutil.copyfile(copy, new)
        if path.exists():
            os.replace(path, folder / DAMAGED)
        for rest in ("-wal", "-shm", "-journal"):  # of the damaged one: its pages must not get into the copy
            path.with_name(f"{FILE}{rest}").unlink(missing_ok=True)
        os.replace(new, path)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(copy.stat().st_mtime))


def _is_whole(path: Path) -> bool:
    try:
        with closing(connect(path, write=False)) as connection:
            check(connection, path)
            read_head(connection, path)
    except JournalError:
        return False
    return True
