"""Journals of version 1, which had one row a report (trial, step, seq, time, metrics): read as they are, rewritten by a
resume."""

from __future__ import annotations

import json
import sqlite3

from ray_hpo.journal.schema import SCHEMA, VERSION
from ray_hpo.reports import Reports

Batch = tuple[int, float, int, int, float, str]  # a row of `reports`: trial, step, count, seq, time, columns


def batches(
    connection: sqlite3.Connection, *, order: str, where: str = "", values: tuple[int, ...] = ()
) -> list[Batch]:
    """The rows of `reports`, whatever the version of the journal."""
    if not _is_old(connection):
        return connection.execute(f"SELECT * FROM reports {where} ORDER BY {order}", values).fetchall()
    rows = connection.execute(f"SELECT trial, step, seq, time, metrics FROM reports {where} ORDER BY {order}", values)
    return [
        (trial, step, 1, seq, time, Reports(trial, [(step, time, json.loads(metrics))]).columns)
        for trial, step, seq, time, metrics in rows
    ]


def upgrade(connection: sqlite3.Connection) -> None:
    """Make a journal of version 1 one of version 2, all or nothing."""
    if not _is_old(connection):
        return
    rows = batches(connection, order="trial, step")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE reports")
    for statement in filter(str.strip, SCHEMA.split(";")):
        connection.execute(statement)
    connection.executemany("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.execute("UPDATE head SET version = ?", (VERSION,))
    connection.execute("COMMIT")


def _is_old(connection: sqlite3.Connection) -> bool:
    return "metrics" in [column[1] for column in connection.execute("PRAGMA table_info(reports)")]
