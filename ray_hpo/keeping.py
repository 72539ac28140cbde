"""What a session of an experiment needs of its storage: the files of trials, and that what is not needed goes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from ray_hpo.errors import ExperimentLocked
from ray_hpo.place import Place
from ray_hpo.visible import visible

Tell = Callable[[str], None]


class Keeping(Protocol):
    """One driver's hold on the storage of an experiment, and of those below it."""

    on_lost: Callable[[str], None]  # asks the controller to end: the experiment is not this driver's any more

    def watch(self, place: Place) -> None:
        """The experiment at `place` is about to run."""

    def discard(self, delete: Callable[[], None]) -> None:
        """`delete`, in a thread, as soon as nothing refers any more to what it deletes."""


class _Folders:
    """Storage is a folder: nothing to keep, and what the synced journal does not name can be deleted at once."""

    def __init__(self, cleaner: ThreadPoolExecutor) -> None:
        self._cleaner = cleaner  # deleting can be slow on network storage
        self.on_lost: Callable[[str], None] = lambda reason: None

    def watch(self, place: Place) -> None:
        pass

    def discard(self, delete: Callable[[], None]) -> None:
        self._cleaner.submit(delete)


@contextmanager
def keeping(place: Place, tell: Tell | None) -> Iterator[Keeping]:
    """The hold on the storage of `place`, whose folder is locked.

    tell: how users are told of storage that goes away; None: nobody reads along, and the end is a warning.

    Raises:
        ExperimentLocked: another driver is at work on it, or has taken over.
        StorageError: the storage does not answer at the beginning.
    """
    if place.uri is None:
        with ThreadPoolExecutor(1, "discard") as cleaner:
            yield _Folders(cleaner)
        return
    from ray_hpo.remote.folder import RemoteFolder
    from ray_hpo.remote.keeper import Keeper
    from ray_hpo.remote.lease import Lease
    from ray_hpo.remote.live import reconcile

    say: Tell = (lambda text: None) if tell is None else tell
    lease = Lease(RemoteFolder(place.uri), place.folder, say)
    keeper = Keeper(place, lease, say)
    try:
        reconcile(place, say if tell is not None else _warn)
        yield keeper
    finally:
        problem = keeper.close()
        if problem and keeper.lost is None:
            _tell_unsent(place, problem, tell)
    if keeper.lost is not None:
        raise ExperimentLocked(f"{keeper.lost}; what this driver did since is in {place.folder}") from keeper.lost


def _warn(text: str) -> None:
    warnings.warn(visible(text), stacklevel=3)


def _tell_unsent(place: Place, problem: str, tell: Tell | None) -> None:
    text = (
        f"the end of the journal could not be sent to storage ({problem}); nothing is lost: it is in {place.folder}, "
        f"and `ray-hpo resume {place.quoted}` on this machine sends it"
    )
    if tell is None:
        warnings.warn(visible(text), stacklevel=4)
    else:
        tell(text)
