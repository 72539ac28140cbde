"""Who may write an experiment on remote storage: one driver, which shows again and again that it lives.

drivers/000003-1f3a9c04.json says who: pid, host, since when, where its journal is. Its age, by the clock of the
storage, says whether the driver is alive. A driver that finds another one alive gives way; so of two that begin in the
same moment one goes on, or none. That rests on storage that shows at once what was written (S3, Google Cloud Storage
and Azure do), and on no conditional writes, which pyarrow.fs does not have.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from ray_hpo.errors import ExperimentLocked, StorageError
from ray_hpo.remote.folder import File, RemoteFolder
from ray_hpo.remote.snapshots import listed

FOLDER = "drivers"
RENEW_SECONDS = 10.0
DEAD_SECONDS = 40.0  # without a sign of life
LOOK_SECONDS = 2.0
_NAME = re.compile(r"(\d{6,})-[0-9a-f]{8}\.json")


class Lease:
    """Held from construction until `release`; `renew` at least every `RENEW_SECONDS`.

    driver: number and token of this one, which its snapshots have in their names.
    folder: where its journal is. Its lock is held: another lease with this folder, on this machine, is a dead one's.
    tell: told that it takes a while to find out whether another driver lives.

    Raises:
        ExperimentLocked: another driver is at work.
        StorageError: the storage does not answer, or cannot be written.
    """

    def __init__(self, remote: RemoteFolder, folder: Path, tell: Callable[[str], None] = lambda text: None) -> None:
        self._remote = remote
        self._home = {"machine": _machine(), "folder": str(folder)}
        numbers = [int(snapshot.driver.partition("-")[0]) for snapshot in listed(remote)]
        numbers += [int(_number(file)) for file in _leases(remote)]
        self.driver = f"{max(numbers, default=0) + 1:06d}-{uuid.uuid4().hex[:8]}"
        self._path = f"{FOLDER}/{self.driver}.json"
        self._since = time.strftime("%Y-%m-%d %H:%M:%S")
        self._holds = False  # so far it only asks
        self.renew()
        try:
            self._outlive_others(tell)
            self._holds = True
            self.renew()
        except BaseException:
            with contextlib.suppress(StorageError):
                self.release()
            raise

    def renew(self) -> None:
        """Show that this driver lives."""
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._since, **self._home}
        holder["holds"] = self._holds
        self._remote.write(self._path, json.dumps(holder).encode())

    def check(self) -> None:
        """
        Raises:
            ExperimentLocked: another driver has taken the experiment over.
            StorageError: the storage does not answer.
        """
        leases = _leases(self._remote)
        for file in leases:
            if self._is_later(_number(file)) and _holder(self._remote, file).get("holds"):
                raise ExperimentLocked(f"{self._remote.uri.bare} was taken over by {describe(self._remote, file)}")
        if any(file.path == self._path for file in leases):
            return
        # It is lost with the rest of the storage, or was deleted by a successor.
        if any(self._is_later(snapshot.driver.partition("-")[0]) for snapshot in listed(self._remote)):
            raise ExperimentLocked(f"{self._remote.uri.bare} was taken over by a driver that has ended since")

    def _is_later(self, number: str) -> bool:
        return int(number) > int(self.driver.partition("-")[0])

    def release(self) -> None:
        self._remote.delete(self._path)

    def _outlive_others(self, tell: Callable[[str], None]) -> None:
        """Go on once no other driver has given a sign of life for long; then nobody needs their leases."""
        first: dict[str, float] = {}
        while True:
            leases = {file.path: file for file in _leases(self._remote)}
            now = leases[self._path].written
            others = [file for path, file in leases.items() if path != self._path and not self._is_dead(file)]
            fresh = [file for file in others if now - file.written < DEAD_SECONDS]
            if not fresh:
                for path in leases.keys() - {self._path}:
                    self._remote.delete(path)
                return
            newest = max(fresh, key=lambda file: file.written)
            who = describe(self._remote, newest)
            if newest.written != first.get(newest.path, newest.written) or newest.path > self._path:
                raise ExperimentLocked(f"{self._remote.uri.bare} is in use by {who}: wait for it, or stop it first")
            if not first:
                tell(f"waiting up to {DEAD_SECONDS:.0f}s for a sign of life of {who}")
            first.setdefault(newest.path, newest.written)
            time.sleep(LOOK_SECONDS)
            self.renew()

    def _is_dead(self, file: File) -> bool:
        holder = _holder(self._remote, file)
        return self._home.items() <= holder.items()


def _machine() -> str:
    """This machine since it was last started, and what it numbers its processes in."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip() if boot.is_file() else socket.gethostname()} {_namespace()}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def live_driver(remote: RemoteFolder) -> str:
    """Who is at work on the experiment, as far as this machine's clock can tell; empty if nobody is."""
    alive = [file for file in _leases(remote) if abs(time.time() - file.written) < DEAD_SECONDS]
    return describe(remote, alive[-1]) if alive else ""


def describe(remote: RemoteFolder, file: File) -> str:
    holder = _holder(remote, file)
    return f"the driver with pid {holder.get('pid')} on {holder.get('host')} (since {holder.get('since')})"


def _leases(remote: RemoteFolder) -> list[File]:
    return [file for file in remote.files(FOLDER) if _NAME.fullmatch(file.path.rpartition("/")[2])]


def _number(file: File) -> str:
    return file.path.rpartition("/")[2].partition("-")[0]


def _holder(remote: RemoteFolder, file: File) -> dict[str, object]:
    """What its lease says of a driver; nothing if it is gone."""
    try:
        try:
            text = remote.read(file.path)
        except StorageError:  # it was renewed, or deleted, in the middle of that
            text = remote.read(file.path)
        holder = json.loads(text)
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}
