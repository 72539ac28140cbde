"""What SQLite and Python say of a journal that is broken, or of a disk that is, as one error of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray_hpo.errors import JournalError

BACKUP = "journal.backup"  # the last good copy; see backup.py

_UNREADABLE = (
    sqlite3.DatabaseError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
)  # all but the first of rows that make no sense


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
        raise JournalError(f"{path} cannot be used: {error}{_offer(path)}") from error
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in reason:
            raise JournalError(f"{path} is not a journal of ray_hpo: {reason}{_offer(path)}") from error
        raise JournalError(
            f"{path} is damaged ({type(error).__name__}: {reason}): put back a copy of the folder, or start a new "
            f"experiment; its checkpoints are still there{_offer(path)}"
        ) from error


def _offer(path: Path) -> str:
    """The end of a message about the journal at `path`, where there is a copy."""
    if not (path.parent / BACKUP).is_file():
        return ""
    return f"; `ray-hpo restore {path.parent}` goes back to its last good copy"


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
