"""The files of a trial while it is on this machine: a folder of its own, and how what is in it gets to remote storage.

What the trial prints goes up every few seconds, at each milestone and at the end; other files at milestones and at the
end. What a worker that was killed had not sent, the next trial on that machine sends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TextIO

from ray_hpo.errors import StorageError
from ray_hpo.remote.folder import CHUNK, RemoteFolder, download_target
from ray_hpo.remote.uri import Uri
from ray_hpo.storage import SAVE_NOW

LOGS = ("output.log", "stdout.log", "stderr.log")
LOG_SECONDS = 15.0
KEPT_SECONDS = 7 * 86400.0  # how long a machine keeps what its storage does not take
ASK_SECONDS = 2.0  # how often a trial that can save between two reports looks whether it should
_OWN = ("checkpoint", ".restored")  # folders that are not the trial's output
_LOCK = ".lock"  # held for as long as the folder is in use
_WHERE = ".where"  # names the storage, the trial's path there, and the stamp


class Attempt:
    """One trial's time on this machine.

    path: of the trial, on storage.  goes_on: it was trained before, maybe elsewhere: its files are fetched.
    """

    def __init__(self, remote: RemoteFolder, path: str, goes_on: bool) -> None:
        self._remote = remote
        self._path = path
        self._goes_on = goes_on
        self._stamp = f"{int(time.time() * 1000):013d}-{uuid.uuid4().hex[:4]}"
        self._sent: dict[str, int] = {}  # of each log, how many bytes are up
        self._known: dict[str, tuple[float, int]] = {}  # of each other file that is up, when written and its size
        self._folder: Path | None = None
        self._lock: TextIO | None = None
        self._busy = threading.Lock()
        self._over = threading.Event()
        self._asks = False
        self.asked = False

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder, self._lock = _make_folder(f"{self._remote.uri}\n{self._path}\n{self._stamp}")
            threading.Thread(target=self._keep_sending, name="output", daemon=True).start()
            threading.Thread(target=_rescue, args=(_parent(),), name="rescue", daemon=True).start()
        return self._folder

    def ready(self) -> Path:
        """The folder, with what the trial wrote into it before.

        Raises:
            StorageError: that cannot be fetched.
        """
        folder = self.folder
        if self._goes_on:
            with self._busy:
                for file in self._remote.files(self._path):
                    name = file.path[len(self._path) + 1 :]
                    if not name.startswith("checkpoint_") and name.split("/")[0] not in LOGS:
                        self._remote.download(file.path, download_target(folder, name))
                self._known = {name: _state(path) for name, path in self._others()}
                self._goes_on = False
        return folder

    @property
    def asked_to_save(self) -> bool:
        self._asks = True
        return self.asked

    def flush(self) -> bool:
        """Send what is new; whether all of it is up."""
        if self._folder is None:
            return True
        with self._busy:
            try:
                self._send_logs()
                for name, path in self._others():
                    state = _state(path)
                    if self._known.get(name) != state:
                        self._remote.upload(path, f"{self._path}/{name}")
                        self._known[name] = state
            except (OSError, StorageError):
                return False  # the next time
        return True

    def end(self) -> None:
        """Send what is new, and forget the folder. Storage that does not take it gets it later: see `_rescue`."""
        self._over.set()
        if self._folder is None:
            return
        if self.flush():
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    @classmethod
    def left_behind(cls, folder: Path) -> Attempt:
        """The attempt of a process that is gone."""
        uri, path, stamp = (folder / _WHERE).read_text().split("\n")
        attempt = cls(RemoteFolder(Uri.parse(uri)), path, goes_on=False)
        attempt._folder, attempt._stamp = folder, stamp
        for part in attempt._remote.files(path):
            name, _, rest = part.path[len(path) + 1 :].partition("/")
            if name in LOGS and rest.startswith(stamp):
                end = offset_of(part.path) + part.size
                attempt._sent[name] = max(attempt._sent.get(name, 0), end)
        return attempt

    def _keep_sending(self) -> None:
        due = time.monotonic() + LOG_SECONDS
        while not self._over.wait(ASK_SECONDS):
            with contextlib.suppress(OSError):
                if self._asks and not self.asked:
                    self.asked = self._remote.exists(SAVE_NOW)
                if time.monotonic() >= due:
                    due = time.monotonic() + LOG_SECONDS
                    with self._busy:
                        self._send_logs()

    def _send_logs(self) -> None:
        for name in LOGS:
            path, sent = self.folder / name, self._sent.get(name, 0)
            if not path.is_file() or path.stat().st_size <= sent:
                continue
            with open(path, "rb") as file, self._remote.writing(f"{self._path}/{name}/{self._stamp}-{sent:012d}") as to:
                file.seek(sent)
                while chunk := file.read(CHUNK):
                    to.write(chunk)
                    sent += len(chunk)
            self._sent[name] = sent

    def _others(self) -> list[tuple[str, Path]]:
        """Files that are neither logs nor ours: the name below the folder, and the path."""
        folder = self.folder
        found = []
        for parent, folders, files in os.walk(folder):
            if Path(parent) == folder:
                folders[:] = [name for name in folders if name not in _OWN]
                files = [name for name in files if name not in (*LOGS, _LOCK, _WHERE)]
            found += [(str((Path(parent) / name).relative_to(folder)), Path(parent) / name) for name in files]
        return [(name, path) for name, path in found if path.is_file()]


def offset_of(part: str) -> int:
    """Where in the log of its attempt a part begins. A part that is sent again may overlap the one before."""
    return int(part.rpartition("-")[2])


def _state(path: Path) -> tuple[float, int]:
    status = path.stat()
    return status.st_mtime, status.st_size


def _parent() -> Path:
    parent = Path(tempfile.gettempdir()) / f"ray_hpo-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.stat().st_uid != os.getuid():
        raise PermissionError(f"{parent} belongs to somebody else")
    return parent


def _make_folder(where: str) -> tuple[Path, TextIO]:
    """A new folder for the files of a trial, and its lock."""
    folder = _parent() / uuid.uuid4().hex[:12]
    unborn = folder.with_name(f".{folder.name}")
    unborn.mkdir(mode=0o700)
    (unborn / _WHERE).write_text(where)
    lock = open(unborn / _LOCK, "a")  # noqa: SIM115  # open for as long as the folder is in use
    fcntl.flock(lock, fcntl.LOCK_EX)
    unborn.rename(folder)
    return folder, lock


def _rescue(parent: Path) -> None:
    """Send what processes that are gone have not sent, and remove their folders; no trial waits for that."""
    if not _rescuing.acquire(blocking=False):
        return
    try:
        for left in parent.iterdir():
            if left.name.startswith("."):
                continue
            with contextlib.suppress(OSError, ValueError), open(left / _LOCK, "a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                too_old = time.time() - left.stat().st_mtime > KEPT_SECONDS
                if too_old or Attempt.left_behind(left).flush():
                    shutil.rmtree(left, ignore_errors=True)
    finally:
        _rescuing.release()


_rescuing = threading.Lock()
