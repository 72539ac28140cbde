"""What a driver does about remote storage while trials run: it keeps its lease, and the storage's snapshots fresh.

In threads of its own: nothing here makes the controller wait. While the storage is away the journal goes on growing on
this machine, and goes up when the storage is back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ray_hpo.errors import ExperimentLocked
from ray_hpo.journal.schema import FILE
from ray_hpo.place import Place
from ray_hpo.remote.folder import RemoteFolder
from ray_hpo.remote.lease import RENEW_SECONDS, Lease
from ray_hpo.remote.snapshots import KEPT, Snapshot, copy_of, listed

SNAPSHOT_SECONDS = 10.0  # how much the loss of this machine may cost
SHARE = 4.0  # and no more often than makes sending take one part of so many of the time
RETRY_SECONDS = (1.0, 30.0)  # the first pause and the longest while the storage is away
END_SECONDS = 60.0  # how long the end of a session waits for storage that is away
DELETIONS = 8  # at a time

_COPY = ".snapshot.sqlite"


class Keeper:
    """From construction, with the lease in hand, until `close`.

    tell: told when the storage goes away and comes back.  on_lost: told when another driver has taken over.
    """

    def __init__(self, place: Place, lease: Lease, tell: Callable[[str], None]) -> None:
        assert place.uri is not None
        self._place = place
        self._remote = RemoteFolder(place.uri)
        self._lease = lease
        self._tell = tell
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.lost: ExperimentLocked | None = None
        self._journals: list[_Journal] = []
        self._unneeded: deque[Callable[[], None]] = deque()
        self._failing: dict[str, str] = {}  # what cannot be done now, and why
        self._telling = threading.Lock()
        self._all_sent = False
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._threads = [
            threading.Thread(target=loop, name=loop.__name__.strip("_"), daemon=True)
            for loop in (self._keep_lease, self._keep_snapshots)
        ]

    def watch(self, place: Place) -> None:
        """Keep snapshots of one more journal: that of the experiment, then of those below it.

        Raises:
            StorageError: the first snapshot of the experiment cannot be sent.
        """
        assert place.uri is not None
        journal = _Journal(place.folder, RemoteFolder(place.uri), self._lease.driver)
        if not self._journals:
            journal.send()
        self._journals.append(journal)
        for thread in self._threads:
            if thread.ident is None:
                thread.start()

    def discard(self, delete: Callable[[], None]) -> None:
        """`delete`, once no snapshot that counts refers any more to what it deletes."""
        self._unneeded.append(delete)

    def close(self) -> str:
        """Send what is left, and give the lease back; why that was not possible, or nothing."""
        self._closing.set()
        give_up = time.monotonic() + END_SECONDS
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, give_up - time.monotonic()))
        if self.lost is not None:
            return str(self.lost)
        if not started:
            self._attempt(self._lease.release)
        elif not self._all_sent:
            self._given_up.set()
            return next(iter(self._failing.values()), "it takes too long")
        return ""

    # ---- threads ----

    def _keep_lease(self) -> None:
        while not self._closing.wait(RENEW_SECONDS) and self.lost is None:
            self._attempt(self._renew)

    def _renew(self) -> None:
        self._lease.check()
        self._lease.renew()

    def _keep_snapshots(self) -> None:
        pause, retry = SNAPSHOT_SECONDS, RETRY_SECONDS[0]
        while self.lost is None and not self._given_up.is_set():
            closing = self._closing.wait(pause)
            began = time.monotonic()
            if self._attempt(self._send):
                if closing:
                    self._all_sent = True
                    self._attempt(self._lease.release)  # else it is outlived
                    return
                pause, retry = max(SNAPSHOT_SECONDS, SHARE * (time.monotonic() - began)), RETRY_SECONDS[0]
            else:
                pause, retry = retry, min(2 * retry, RETRY_SECONDS[1])
            if closing:
                time.sleep(min(pause, RETRY_SECONDS[0]))

    def _send(self) -> None:
        """Bring the snapshots up to date, and delete what the journals had stopped to name before."""
        unneeded = [self._unneeded.popleft() for _ in range(len(self._unneeded))]
        try:
            for journal in self._journals:
                journal.send()
            self._lease.check()
            with ThreadPoolExecutor(DELETIONS, "delete") as pool:
                list(pool.map(lambda delete: delete(), unneeded))
        except BaseException:
            self._unneeded.extend(unneeded)
            raise

    def _attempt(self, do: Callable[[], None]) -> bool:
        """Whether it worked; what is wrong is told once, until nothing is."""
        try:
            do()
        except ExperimentLocked as error:
            self.lost = error
            self.on_lost("taken over by another driver")
            return False
        except Exception as error:  # whatever it is, the next attempt may work; a thread that ended would not try
            with self._telling:
                if not self._failing:
                    where = f"the sweep goes on, its journal is in {self._place.folder}"
                    self._tell(f"storage is not up to date ({error}); {where}")
                self._failing[do.__name__] = str(error)
            return False
        with self._telling:
            if self._failing.pop(do.__name__, "") and not self._failing:
                self._tell("storage is up to date again")
        return True


class _Journal:
    """The snapshots of one journal."""

    def __init__(self, folder: Path, remote: RemoteFolder, driver: str) -> None:
        self._folder = folder
        self._remote = remote
        self._driver = driver
        self._before: list[Snapshot] | None = None  # on the storage, the newest last
        self._number = 0
        self._state: list[tuple[int, int]] = []  # of the files, as of the last snapshot

    def send(self) -> None:
        """Put up a snapshot if the journal has changed, then delete those that it makes superfluous."""
        if self._before is None:
            self._before = listed(self._remote)
        state = self._files()
        if state == self._state:
            return
        copy = self._folder / _COPY
        try:
            self._number += 1
            snapshot = Snapshot(self._driver, self._number, copy_of(self._folder, copy))
            self._remote.upload(copy, snapshot.path)
        finally:
            copy.unlink(missing_ok=True)
        self._before.append(snapshot)
        self._state = state
        while len(self._before) > KEPT:
            self._remote.delete(self._before[0].path)
            self._before.pop(0)

    def _files(self) -> list[tuple[int, int]]:
        paths = [self._folder / FILE, self._folder / f"{FILE}-wal"]
        return [(path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file()]
