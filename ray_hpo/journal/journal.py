"""The writer's side of the journal: rows gather in memory and become true with one `commit`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ray_hpo.errors import JournalError
from ray_hpo.journal.schema import FILE, SCHEMA, VERSION, connect


class Event(NamedTuple):
    """Something decided (a strategy's record) or something that happened."""

    time: float
    kind: str
    trial: int | None
    body: Mapping[str, Any]


class Journal:
    """Append-only. Nothing may be acted on before the `commit` that holds it.

    folder: where the journal lives; None keeps it in memory, for simulations.
    """

    def __init__(self, folder: Path | None) -> None:
        path = Path(":memory:") if folder is None else folder / FILE
        self._connection = connect(path, write=True)
        self._connection.executescript(SCHEMA)
        self._events: list[tuple[float, str, int | None, str]] = []
        self._reports: list[tuple[int, float, float, str]] = []
        (self._seq,) = self._connection.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()

    def begin(self, spec: Mapping[str, Any]) -> None:
        """Write the head of a new experiment."""
        self._connection.execute("INSERT INTO head VALUES (?, ?)", (VERSION, json.dumps(spec)))

    def event(self, event: Event) -> None:
        body = json.dumps(event.body, separators=(",", ":"))
        self._events.append((event.time, event.kind, event.trial, body))

    def report(self, trial: int, step: float, time: float, metrics: Mapping[str, Any]) -> None:
        """A step that is there already is left as it is."""
        self._reports.append((trial, step, time, json.dumps(metrics, separators=(",", ":"))))

    def commit(self) -> None:
        """Make everything since the last commit durable, all or nothing.

        Raises:
            JournalError: the disk is full, or gone.
        """
        if not (self._events or self._reports):
            return
        seq = self._seq + 1
        reports = [(trial, step, seq, time, metrics) for trial, step, time, metrics in self._reports]
        events = [(seq + i, *event) for i, event in enumerate(self._events)]
        run = self._connection
        try:
            run.execute("BEGIN IMMEDIATE")
            run.executemany("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?)", reports)
            run.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", events)
            run.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"the journal cannot be written: {error}; mend that, then resume") from error
        self._seq += len(events)
        self._events.clear()
        self._reports.clear()

    def close(self) -> None:
        """Close the file; what was not committed is dropped."""
        self._connection.close()
