"""Snapshots of a journal on remote storage, each a whole SQLite file that tells by its name whether all of it is there.

journal/000003-1f3a9c04-00000017-0123456789abcdef.sqlite

The first number counts the drivers that were at work on the experiment (see lease.py), then comes that driver's token,
the number of its snapshot, and the beginning of the file's SHA-256. Sorted by name the last one that is whole counts: a
driver that was superseded and does not know it yet cannot put anything behind those of its successor. The one before
the last is kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ray_hpo.errors import JournalError, StorageError
from ray_hpo.journal.damage import told_if_unwritable
from ray_hpo.journal.schema import FILE
from ray_hpo.remote.folder import File, RemoteFolder

FOLDER = "journal"
KEPT = 2
LOOKS = 5  # at a folder whose snapshots are replaced faster than they can be read
_NAME = re.compile(r"(\d{6,}-[0-9a-f]{8})-(\d{8,})-([0-9a-f]{16})\.sqlite")


@dataclass(frozen=True)
class Snapshot:
    """driver: number and token of the one that made it.  written: by the clock of the storage."""

    driver: str
    number: int
    digest: str
    size: int = 0
    written: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.driver}-{self.number:08d}-{self.digest}.sqlite"

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}"


def listed(remote: RemoteFolder) -> list[Snapshot]:
    """All snapshots, whole or not, the newest last."""
    found = [(_NAME.fullmatch(file.path.rpartition("/")[2]), file) for file in remote.files(FOLDER)]
    made = [_snapshot(match, file) for match, file in found if match is not None]
    return sorted(made, key=lambda snapshot: (int(snapshot.driver.partition("-")[0]), snapshot.name))


def _snapshot(match: re.Match[str], file: File) -> Snapshot:
    return Snapshot(match[1], int(match[2]), match[3], file.size, file.written)


def copy_of(folder: Path, target: Path) -> str:
    """Copy all that is committed to the journal in `folder` to the file `target`; return the beginning of its SHA-256.

    Raises:
        JournalError: no room is left on this machine.
    """
    target.unlink(missing_ok=True)
    with told_if_unwritable(), closing(sqlite3.connect(folder / FILE, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))
    return digest_of(target)


def digest_of(path: Path) -> str:
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()[:16] if hasattr(hashlib, "file_digest") else _digest(file)
        )


def _digest(file: object) -> str:
    made = hashlib.sha256()
    while chunk := file.read(1 << 20):  # type: ignore[attr-defined]  # Python 3.10 has no file_digest
        made.update(chunk)
    return made.hexdigest()[:16]


def fetch(remote: RemoteFolder, target: Path) -> Snapshot | None:
    """Download the newest snapshot that is whole to the file `target`; None where there is none at all.

    Raises:
        JournalError: there are some, and none is whole.
        StorageError: the storage does not answer.
    """
    for look in range(1, LOOKS + 1):
        found = listed(remote)
        try:
            for snapshot in reversed(found):
                if _fetched(remote, snapshot, target):
                    return snapshot
            break
        except (FileNotFoundError, StorageError):  # a newer one took its place, in the middle of that maybe
            if look == LOOKS:
                raise
    if not found:
        return None
    raise JournalError(f"{remote.uri.bare}/{FOLDER} holds no snapshot that is whole: put back a copy of it")


def _fetched(remote: RemoteFolder, snapshot: Snapshot, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=".fetched-")
    os.close(handle)
    try:
        remote.download(snapshot.path, Path(part))
        whole = digest_of(Path(part)) == snapshot.digest
        if whole:
            os.replace(part, target)
        return whole
    finally:
        Path(part).unlink(missing_ok=True)
