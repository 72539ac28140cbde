"""Has the disk confirm the journal, in a thread: a disk takes long to say that something is safe.

SQLite commits to a log beside the journal, and takes what is in there over into the journal at a checkpoint. Confirming
the log confirms the commits. After a checkpoint the log begins anew, and the next commit waits for the disk: see "2.2
Checkpointing" of https://sqlite.org/wal.html. So there are few.
"""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from ray_hpo.journal.backup import Backup
from ray_hpo.journal.damage import told_if_unwritable
from ray_hpo.journal.schema import connect

CHECKPOINT_SECONDS = 10.0  # between two, at least


class Syncing:
    """One confirmation at a time of what is committed in the journal at `path`; and now and then a copy of it."""

    def __init__(self, path: Path, backup: Backup) -> None:
        self._path = path
        self._backup = backup
        self._thread = ThreadPoolExecutor(1, "journal")
        self._under_way: Future[None] | None = None
        self._checkpoint_due = time.monotonic() + CHECKPOINT_SECONDS

    def begin(self) -> None:
        """Have all confirmed that is committed by now. None may be under way."""
        self._under_way = self._thread.submit(self._sync)

    def ended(self, wait: bool = False) -> bool:
        """Whether the one that was begun last has just ended. wait: until it has.

        Raises:
            JournalError: the disk is full, or gone.
        """
        if self._under_way is None or not (wait or self._under_way.done()):
            return False
        under_way, self._under_way = self._under_way, None
        under_way.result()
        return True

    @property
    def idle(self) -> bool:
        return self._under_way is None

    def close(self) -> None:
        self._thread.shutdown()

    def _sync(self) -> None:
        with told_if_unwritable():
            if time.monotonic() >= self._checkpoint_due:
                self._checkpoint()
            else:
                self._sync_log()
        self._backup.take_if_due()

    def _checkpoint(self) -> None:
        with closing(connect(self._path, write=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._checkpoint_due = time.monotonic() + CHECKPOINT_SECONDS

    def _sync_log(self) -> None:
        # Where a file system allows no log there is none, and SQLite syncs every commit.
        with contextlib.suppress(FileNotFoundError), open(f"{self._path}-wal", "rb") as log:
            _confirm(log.fileno())


_confirm = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter
