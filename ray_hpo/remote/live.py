"""The folders of this machine for experiments on remote storage, in ~/.cache/ray_hpo:

NAME-HASH/            the live journal, while a driver is at work here, and afterwards
NAME-HASH/set-aside-* what a driver of this machine had written and another one, elsewhere, did not know of
read/NAME-HASH/*      a snapshot that was fetched to be looked at
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ray_hpo.errors import InvalidInput, JournalError, RayHpoError, StorageError
from ray_hpo.journal.damage import told_if_damaged
from ray_hpo.journal.lock import FILE as LOCK, is_held
from ray_hpo.journal.schema import FILE, connect
from ray_hpo.place import Hold, Place
from ray_hpo.remote.folder import RemoteFolder
from ray_hpo.remote.snapshots import FOLDER as SNAPSHOTS, fetch, listed
from ray_hpo.remote.uri import Uri

PARTS = "verification-"  # experiments below an experiment
_FETCHED = ".fetched.sqlite"


def home() -> Path:
    """Where they all lie."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"  # where users' caches are, on every Unix
    return Path(cache) / "ray_hpo"


def live_place(uri: Uri) -> Place:
    """Where a driver of this machine has the journal of the experiment at `uri`."""
    return Place(home() / uri.slug, uri)


# ---- a new experiment ----


def new_place(storage: str, name: str) -> Place:
    """The place of a new experiment.

    Raises:
        InvalidInput: storage cannot be used, or an experiment of this name is there already.
    """
    uri = Uri.parse(storage) / name
    remote, probe = RemoteFolder(uri), f".probe-{uuid.uuid4().hex[:8]}"
    try:
        remote.write(probe, b"")
        remote.delete(probe)
        if listed(remote):
            raise InvalidInput(
                f"name={name!r}: {uri.bare} holds an experiment already; "
                f"resume it with `ray-hpo resume {uri.quoted}`, or give another name"
            )
    except OSError as error:
        raise InvalidInput(f"storage={storage!r} cannot be used: {error}") from error
    place = live_place(uri)
    place.folder.mkdir(parents=True, exist_ok=True)
    if (place.folder / FILE).exists():  # of an experiment that is not on the storage any more
        if is_held(place.folder):
            raise InvalidInput(f"name={name!r}: {uri.bare} is in use by a driver on this machine; give another name")
        _set_aside(place.folder)
    return place


# ---- looking at one ----


def reading_place(path: str) -> Place:
    """The experiment at the URI `path`, with the newest of its journal that can be had.

    Raises:
        RayHpoError: there is none.
        StorageError: the storage does not answer.
    """
    uri = Uri.parse(path, "path")
    live = live_place(uri)
    if is_held(live.folder):
        return live
    try:
        place = _fetched(uri)
    except StorageError as error:
        if (live.folder / FILE).is_file():
            raise StorageError(f"{error}; what this machine knows of it: ray-hpo show {live.folder}") from error
        raise
    if place is None:
        if (live.folder / FILE).is_file():
            return live  # its storage has lost it
        raise RayHpoError(f"{uri.bare} holds no experiment: there is no snapshot of a journal; `ray-hpo ls` lists them")
    return place


def _fetched(uri: Uri) -> Place | None:
    """Snapshots in a folder of their own; what was fetched before is not fetched again."""
    remote = RemoteFolder(uri)
    folders = remote.folders()
    newest = [snapshots[-1].name for name in _parts(folders) if (snapshots := listed(remote / name))]
    if not newest or SNAPSHOTS not in folders:
        return None
    parent = home() / "read" / uri.slug
    target = parent / str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(newest)))[:18]
    if not (target / FILE).is_file():
        unfinished = parent / f".{uuid.uuid4().hex}"
        for name in reversed(_parts(folders)):  # the experiment's own comes last
            if fetch(remote / name, unfinished / name / FILE) is None and not name:
                return None
        for folder in parent.iterdir():
            if folder != unfinished:
                _remove_unused(folder)
        try:
            unfinished.rename(target)
        except OSError:  # another process has just fetched it
            shutil.rmtree(unfinished)
    return Place(target, uri, Hold(target))


def _remove_unused(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)


def _parts(folders: list[str]) -> list[str]:
    return ["", *sorted(name for name in folders if name.startswith(PARTS))]


def remote_experiments(storage: str) -> list[Uri]:
    """The experiments below the URI `storage`, the newest first.

    Raises:
        StorageError: the storage does not answer.
    """
    uri = Uri.parse(storage)
    found = []
    for name in RemoteFolder(uri).folders():
        snapshots = listed(RemoteFolder(uri / name))
        if snapshots:
            found.append((-snapshots[-1].written, str(uri / name), uri / name))
    return [each for *_, each in sorted(found)]


# ---- going on with one ----


def reconcile(place: Place, tell: Callable[[str], None]) -> None:
    """Bring the live journal up to the storage's newest snapshot, under the lock of its folder and the lease.

    A live journal that is a continuation of the snapshot is kept: nothing is lost. Any other is of a driver that died
    before another one, on another machine, went on from what was on the storage: the storage is what everybody sees,
    so its snapshot counts; what only the live journal knows is set aside, and `tell` is told where.

    Raises:
        JournalError: there are snapshots, and none is whole.
        StorageError: the storage does not answer.
    """
    assert place.uri is not None
    remote = RemoteFolder(place.uri)
    for name in _parts(remote.folders()):
        folder = place.folder / name
        fetched = folder / _FETCHED
        if fetch(remote / name, fetched) is None:
            continue
        live = folder / FILE
        if live.is_file():
            if _continues(live, fetched):
                fetched.unlink()
                continue
            if not _continues(fetched, live):
                aside = _set_aside(folder)
                tell(
                    f"{place.uri.bare} has gone on elsewhere: this session goes on from there; what only this machine "
                    f"had of it is set aside in {aside}"
                )
        for left in folder.glob(f"{FILE}-*"):  # of SQLite's, and of the journal before
            left.unlink()
        fetched.replace(live)


def _continues(journal: Path, other: Path) -> bool:
    """Whether all of `other` is in `journal`; not so if that cannot be told, since `journal` is damaged."""
    try:
        with closing(connect(journal, write=False)) as connection, told_if_damaged(journal):
            connection.execute("ATTACH ? AS other", (f"{other.absolute().as_uri()}?mode=ro",))
            (same,) = connection.execute("SELECT (SELECT spec FROM head) IS (SELECT spec FROM other.head)").fetchone()
            event = "SELECT seq, time, kind, trial, body FROM {}events ORDER BY seq DESC LIMIT 1"
            last = connection.execute(event.format("other.")).fetchone()
            known = last and connection.execute("SELECT * FROM events WHERE seq = ?", last[:1]).fetchone()
            (missing,) = connection.execute(
                "SELECT COUNT(*) FROM other.reports AS theirs WHERE NOT EXISTS"
                "(SELECT 1 FROM reports WHERE trial = theirs.trial AND step = theirs.step)"
            ).fetchone()
            return bool(same) and known == last and not missing
    except (JournalError, sqlite3.Error):
        return False


def _set_aside(folder: Path) -> Path:
    """Move the journals in `folder`, which nobody uses, to a folder in it."""
    aside = folder / f"set-aside-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
    aside.mkdir()
    for path in (*folder.glob("journal.*"), *folder.glob(f"{PARTS}*")):
        if path.name != LOCK:
            path.rename(aside / path.name)
    return aside


def forget(uri: Uri) -> None:
    """Remove what this machine has of an experiment."""
    for folder in (home() / uri.slug, home() / "read" / uri.slug):
        shutil.rmtree(folder, ignore_errors=True)
