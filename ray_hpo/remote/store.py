"""Trials' files on remote storage: checkpoints go straight there from the worker, output as it comes.

trials/00017/checkpoint_9-1f3a/            as in ray_hpo/storage.py; a folder has the file `FOLDER_MARK`, written last
trials/00017/output.log/1763735461234-1f3a-0    what the trial printed, in parts: an object cannot be appended to
trials/00017/output/...                    whatever else the trial wrote into its folder
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ray_hpo.errors import StorageError
from ray_hpo.inside import inside
from ray_hpo.remote.attempt import Attempt
from ray_hpo.remote.folder import RemoteFolder, download_target
from ray_hpo.storage import DICT_FILE, SAVE_NOW, Pickled, Savable, checked_folder, pickle_to

FOLDER_MARK = ".ray_hpo_folder"
AT_A_TIME = 4  # files of a folder
LOAD_SECONDS = 600.0  # how long a trial waits for storage to answer before it can go on from its checkpoint
SLOW_SECONDS = 5.0  # after an attempt to save that failed after longer, there is none for as long as it took

T = TypeVar("T")


def trial_path(trial: int) -> str:
    return f"trials/{trial:05d}"


class RemoteStore:
    """What `CheckpointStore` is for folders, for the experiment in `remote`.

    downloads: where folders are put that are loaded; default: beside the files of the trial, with which they go. With
    it this is for people, who do not wait for storage as trials do.
    """

    def __init__(self, remote: RemoteFolder, downloads: Path | None = None) -> None:
        self._remote = remote
        self._downloads = downloads
        self._patience = LOAD_SECONDS if downloads is None else 0.0
        self._attempt: Attempt | None = None
        self._away = False  # whether the last checkpoint could not be saved
        self._away_until = 0.0  # training must not wait for storage all the time

    # ---- checkpoints ----

    def save(self, trial: int, step: float, checkpoint: Savable) -> str:
        """See `CheckpointStore.save`. What an error leaves behind has a name that nobody was told.

        Raises:
            StorageError, TypeError.
        """
        path = f"{trial_path(trial)}/checkpoint_{step:g}-{uuid.uuid4().hex[:8]}"
        began = time.monotonic()
        try:
            if began < self._away_until:
                raise StorageError("storage did not answer a moment ago")
            self._save(checkpoint, path)
        except StorageError as error:  # it would not delete anything now either
            took = time.monotonic() - began
            if took > SLOW_SECONDS:
                self._away_until = time.monotonic() + took
            error.again, self._away = self._away, True
            raise
        except BaseException:
            with contextlib.suppress(OSError):
                self._remote.delete_folder(path)
            raise
        self._away = False
        return path

    def _save(self, checkpoint: Savable, path: str) -> None:
        if isinstance(checkpoint, Pickled):
            self._remote.write(f"{path}/{DICT_FILE}", checkpoint.data)
        elif isinstance(checkpoint, Mapping):
            pickle_to(lambda: self._remote.writing(f"{path}/{DICT_FILE}"), dict(checkpoint))
        else:
            self._upload_folder(Path(checked_folder(checkpoint)), path)

    def sync(self, path: str) -> None:
        """What storage has taken it keeps."""

    def load(self, path: str) -> dict[str, Any] | Path:
        """See `CheckpointStore.load`; waits for storage that does not answer.

        Raises:
            StorageError: it did not answer for long.
            pickle.UnpicklingError, EOFError: the checkpoint is gone, or damaged.
        """
        return patiently(lambda: self._load(_checked(path)), self._patience)

    def delete(self, path: str) -> None:
        self._remote.delete_folder(_checked(path))

    def sweep(self, keep: Iterable[str]) -> None:
        with contextlib.suppress(StorageError):  # the next session does it
            for path in self.unneeded(keep):
                self.delete(path)

    def unneeded(self, keep: Iterable[str]) -> list[str]:
        """Paths of the checkpoints that a crash left behind: all that are not in `keep`."""
        kept = set(keep)
        found = {
            "/".join(file.path.split("/")[:3]) for file in self._remote.files("trials") if "/checkpoint_" in file.path
        }
        return sorted(path for path in found - kept if path.split("/")[2].startswith("checkpoint_"))

    def _upload_folder(self, folder: Path, path: str) -> None:
        files = [file for file in folder.rglob("*") if file.is_file()]
        with ThreadPoolExecutor(AT_A_TIME, "upload") as pool:
            list(pool.map(lambda file: self._remote.upload(file, f"{path}/{file.relative_to(folder)}"), files))
        self._remote.write(f"{path}/{FOLDER_MARK}", b"{}")

    def _load(self, path: str) -> dict[str, Any] | Path:
        found = self._remote.files(path) or self._remote.files(path)  # storage may have been away the first time
        names = [file.path for file in found]
        if f"{path}/{DICT_FILE}" in names:
            with self._remote.reading(f"{path}/{DICT_FILE}") as file:
                loaded: dict[str, Any] = pickle.load(file)
            return loaded
        if f"{path}/{FOLDER_MARK}" not in names:
            raise EOFError("it is not on the storage any more")
        parent = (
            self._downloads or (self._attempt and self._attempt.folder) or Path(tempfile.mkdtemp(prefix="ray_hpo-"))
        )
        target = download_target(parent / ".restored", path.rpartition("/")[2])
        target.mkdir(parents=True, exist_ok=True)
        names.remove(f"{path}/{FOLDER_MARK}")
        with ThreadPoolExecutor(AT_A_TIME, "download") as pool:
            list(
                pool.map(
                    lambda name: self._remote.download(name, download_target(target, name[len(path) + 1 :])), names
                )
            )
        return target

    # ---- the files of the trial that runs here ----

    def trial_folder(self, trial: int) -> Path:
        """A folder on this machine, for as long as the trial is here."""
        if self._attempt is None:
            self.begin(trial, goes_on=False)
        assert self._attempt is not None
        return patiently(self._attempt.ready, self._patience)

    def begin(self, trial: int, goes_on: bool) -> None:
        self.end()
        self._attempt = Attempt(self._remote, trial_path(trial), goes_on)

    def flush(self) -> None:
        if self._attempt is not None and time.monotonic() >= self._away_until:
            self._attempt.flush()

    def end(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.end()

    def ask_to_save(self) -> None:
        self._remote.write(SAVE_NOW, b"")

    def forget_asking(self) -> None:
        with contextlib.suppress(StorageError):
            if self._remote.exists(SAVE_NOW):
                self._remote.delete(SAVE_NOW)

    @property
    def asked_to_save(self) -> bool:
        return self._attempt is not None and self._attempt.asked_to_save


def _checked(path: str) -> str:
    """
    Raises:
        JournalError: `path`, of somebody's journal, is not that of something that belongs to a trial.
    """
    inside(Path("/"), path)
    return path


def patiently(do: Callable[[], T], seconds: float) -> T:
    """`do`, again while the storage does not answer.

    Raises:
        StorageError: it did not for `seconds`.
    """
    give_up, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            return do()
        except StorageError:
            if time.monotonic() + pause > give_up:
                raise
            time.sleep(pause)
            pause = min(2 * pause, 15.0)
