"""What SQLite and Python say of a journal that is broken, or of a disk that is, as one error of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray_hpo.errors import JournalError

_UNREADABLE = (
    sqlite3.DatabaseError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
)  # the latter of rows that make no sense


@contextmanager
def told_if_damaged(path: Path) -> Iterator[None]:
    """Around whatever reads the journal at `path`.

    Raises:
        JournalError: what is there cannot be understood: truncated, overwritten, or not all of it was copied; or the
            disk fails.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise JournalError(f"{path} cannot be used: {error}") from error
    except _UNREADABLE as error:
        raise JournalError(
            f"{path} is damaged ({type(error).__name__}: {error}): put back a copy of the folder, or start a new "
            "experiment; its checkpoints are still there"
        ) from error


@contextmanager
def told_if_unwritable() -> Iterator[None]:
    """Around whatever writes a journal.

    Raises:
        JournalError: the disk is full, or gone.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"the journal cannot be written: {error}; mend that, then resume") from error


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Look through all pages of the journal, before anything is added to it.

    Raises:
        JournalError: it is damaged.
    """
    with told_if_damaged(path):
        found = [text for (text,) in connection.execute("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise ValueError(found[0])
