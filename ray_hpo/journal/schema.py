"""The tables of a journal, and how a connection to one is made."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from ray_hpo.errors import JournalError
from ray_hpo.journal.damage import told_if_damaged
from ray_hpo.journal.rows import spec_body
from ray_hpo.journal.trust import check_tables

FILE = "journal.sqlite"
VERSION = 2
LOG_PAGES = 16_384  # of 4 KiB: should the log ever hold so many, a commit takes them over itself; see syncing.py
READABLE = (1, 2)  # version 1 had one row a report; see upgrade.py

# events: what was decided and what happened, in order: the truth.
# reports: metrics of the trials, a row a batch (see ray_hpo/reports.py); step and time are those of the last report in
# it. The key, and readers that pass over steps that they have seen, make a step that is delivered twice count once.
SCHEMA = """
CREATE TABLE IF NOT EXISTS head (version INTEGER NOT NULL, spec TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, trial INTEGER, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reports (
    trial INTEGER NOT NULL, step REAL NOT NULL, count INTEGER NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL,
    columns TEXT NOT NULL, PRIMARY KEY (trial, step)) WITHOUT ROWID;
"""


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection to the journal at `path`; readers may look while a driver writes.

    Raises:
        JournalError: there is none, or what is there is not all ours.
    """
    if os.path.islink(path):
        raise JournalError(f"{path} is a link: a journal is a file in its experiment's folder")
    if not (write or os.path.isfile(path)):  # False as well for a name that cannot be one
        raise JournalError(f"{path.parent} holds no experiment: there is no {path.name} in it")
    target = str(path) if write else f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(target, uri=not write, isolation_level=None)
    try:
        with told_if_damaged(path):
            check_tables(connection, path, SCHEMA)
    except BaseException:
        connection.close()
        raise
    if write:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # survives the death of any process; see Journal.sync
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def read_head(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """The experiment's spec.

    Raises:
        JournalError: no journal, an unfinished or a damaged one, or one of another version.
    """
    with told_if_damaged(path):
        row = connection.execute("SELECT version, spec FROM head").fetchone()
    if row is None:
        raise JournalError(f"{path} is empty: its experiment never began; remove the folder and start it anew")
    version, spec = row
    if version not in READABLE:
        raise JournalError(
            f"{path} has version {version}, this ray_hpo reads versions up to {VERSION}: use the one that wrote it"
        )
    with told_if_damaged(path):
        return spec_body(spec)
