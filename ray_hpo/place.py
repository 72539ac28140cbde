"""Where an experiment is: a folder of this machine, or a URI with a folder of this machine for its journal."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ray_hpo.journal.lock import is_held
from ray_hpo.storage import CheckpointStore, TrialStore

if TYPE_CHECKING:
    from ray_hpo.remote.uri import Uri


class Hold:
    """A folder is in use by this process for as long as this lives."""

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def __del__(self) -> None:
        os.close(self._handle)


@dataclass(frozen=True)
class Place:
    """folder: has the journal. uri: where all else is, and snapshots of the journal; None: all is in the folder.

    hold: keeps the folder from being tidied away, where it is a copy to look at.
    """

    folder: Path
    uri: Uri | None = None
    hold: Hold | None = field(default=None, compare=False, repr=False)

    @property
    def shown(self) -> Path | str:
        """As users name it."""
        return self.folder if self.uri is None else str(self.uri)

    def __str__(self) -> str:
        return str(self.shown)

    @property
    def quoted(self) -> str:
        """As it is typed into a shell."""
        return str(self.folder) if self.uri is None else self.uri.quoted

    @property
    def name(self) -> str:
        return self.folder.name if self.uri is None else self.uri.name

    def part(self, name: str) -> Place:
        """An experiment below this one."""
        return Place(self.folder / name, None if self.uri is None else self.uri / name, self.hold)

    def store(self) -> TrialStore:
        """Its trials' files, as the driver and readers see them."""
        if self.uri is None:
            return CheckpointStore(self.folder)
        from ray_hpo.remote.folder import RemoteFolder
        from ray_hpo.remote.store import RemoteStore

        return RemoteStore(RemoteFolder(self.uri), downloads=self.folder / "checkpoints")

    def is_busy(self) -> bool:
        """Whether a driver is at work on it, as far as can be told from here."""
        if self.uri is None or is_held(self.folder):
            return is_held(self.folder)
        from ray_hpo.remote.folder import RemoteFolder
        from ray_hpo.remote.lease import live_driver

        return bool(live_driver(RemoteFolder(self.uri)))
