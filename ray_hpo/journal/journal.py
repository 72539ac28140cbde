"""The writer's side of the journal: rows gather in memory and become true with one `commit`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from strategies.actions import Record, record_to_json

from ray_hpo.journal.backup import Backup
from ray_hpo.journal.damage import check, told_if_damaged, told_if_unwritable
from ray_hpo.journal.schema import FILE, SCHEMA, VERSION, connect
from ray_hpo.journal.syncing import Syncing
from ray_hpo.journal.upgrade import upgrade
from ray_hpo.reports import Reports
from ray_hpo.sync_times import sync_number

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one at every call


class Event(NamedTuple):
    """Something decided (a strategy's record) or something that happened."""

    time: float
    kind: str
    trial: int | None
    body: Mapping[str, Any]


class Writer(Protocol):
    """What a controller asks of a journal: see `Journal`."""

    @property
    def syncs(self) -> int: ...

    def event(self, event: Event) -> None: ...

    def record(self, time: float, record: Record) -> None: ...

    def report(self, reports: Reports) -> None: ...

    def commit(self) -> None: ...

    def sync(self) -> None: ...


class Journal:
    """Append-only. Nothing may be acted on before the `commit` that holds it.

    What is committed survives the death of any process at once, and that of the machine once the disk has confirmed
    it: every half second (see syncing.py and sync_times.py).

    syncs: how often the disk has confirmed all that had been committed when it was asked.

    folder: where the journal lives; None keeps it in memory.

    Raises:
        JournalError: what is there is damaged.
    """

    def __init__(self, folder: Path | None) -> None:
        path = Path(":memory:") if folder is None else folder / FILE
        with told_if_damaged(path):
            self._connection = connect(path, write=True)
            check(self._connection, path)
            upgrade(self._connection)
            self._connection.executescript(SCHEMA)
        self._events: list[tuple[float, str, int | None, str]] = []
        self._reports: list[Reports] = []
        (self._seq,) = self._connection.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()
        self.syncs = 0
        self._backup = None if folder is None else Backup(folder)
        self._syncing = None if self._backup is None else Syncing(path, self._backup)
        self._asked = sync_number()  # when the disk was asked last
        self._has_news = False  # since then
        self._seq_at_open = self._seq

    def begin(self, spec: Mapping[str, Any]) -> None:
        """Write the head of a new experiment.

        Raises:
            JournalError: the disk is full, or gone.
        """
        with told_if_unwritable():
            self._connection.execute("INSERT INTO head VALUES (?, ?)", (VERSION, json.dumps(spec)))

    def event(self, event: Event) -> None:
        self._events.append((event.time, event.kind, event.trial, _encode(event.body) if event.body else "{}"))

    def record(self, time: float, record: Record) -> None:
        """An event that the strategy is told."""
        body = record_to_json(record)
        self.event(Event(time, body.pop("kind"), body.pop("trial", None), body))

    def report(self, reports: Reports) -> None:
        """A batch whose last step is there already is left out."""
        self._reports.append(reports)

    def commit(self) -> None:
        """Make everything since the last commit durable, all or nothing.

        Raises:
            JournalError: the disk is full, or gone.
        """
        if self._events or self._reports:
            self._write()
        if self._syncing is None:
            return
        self.syncs += self._syncing.ended()
        if self._has_news and self._syncing.idle and sync_number() != self._asked:
            self._begin_sync(self._syncing)

    def sync(self) -> None:
        """Have the disk hold all that is committed, and wait for it.

        Raises:
            JournalError: the disk is full, or gone.
        """
        if self._syncing is not None:
            self._syncing.ended(wait=True)
            self._begin_sync(self._syncing)
            self.syncs += self._syncing.ended(wait=True)

    def _begin_sync(self, syncing: Syncing) -> None:
        self._has_news, self._asked = False, sync_number()
        syncing.begin()

    def close(self) -> None:
        """Close the file; what was not committed is dropped. A last copy is made if anything was written.

        Nothing is left beside it, unless somebody reads it just now: a reader of a file in WAL mode would make two
        files that it may not remove.
        """
        if self._syncing is not None:
            self._syncing.close()
        if self._backup is not None and self._seq > self._seq_at_open:
            self._backup.take()
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        self._connection.close()

    def _write(self) -> None:
        seq = self._seq + 1
        reports = [(r.trial, r.step, r.count, seq, r.time, r.columns) for r in self._reports]
        events = [(seq + i, *event) for i, event in enumerate(self._events)]
        run = self._connection
        with told_if_unwritable():
            run.execute("BEGIN IMMEDIATE")
            if reports:
                run.executemany("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?)", reports)
            if events:
                run.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", events)
            run.execute("COMMIT")
        self._seq += len(events)
        self._events.clear()
        self._reports.clear()
        self._has_news = True
