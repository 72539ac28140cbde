"""What a journal may hold, in case that it is somebody else's: our tables, and nothing that SQLite would carry out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ray_hpo.errors import JournalError

# Of version 1.
_OLD_REPORTS = """
CREATE TABLE reports (
    trial INTEGER NOT NULL, step REAL NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (trial, step)) WITHOUT ROWID
"""


def check_tables(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    """Look what is in the file at `path` before any of it is used: views, triggers and computed columns are programs.

    schema: the statements that made the tables.

    Raises:
        JournalError: there is something else.
    """
    connection.execute("PRAGMA trusted_schema = OFF")
    known = {_plain(statement) for statement in [*schema.split(";"), _OLD_REPORTS]}
    for kind, name, statement in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if not (kind == "index" and statement is None) and _plain(statement or "") not in known:
            raise JournalError(
                f"{path} holds a {kind} {name!r} that no journal has: it is a later ray_hpo's, or was tampered with; "
                "do not use it"
            )


def _plain(statement: str) -> str:
    """A statement without what SQLite leaves out when it keeps it, in one spelling."""
    return " ".join(statement.replace("IF NOT EXISTS", "").replace("(", " ( ").split())
