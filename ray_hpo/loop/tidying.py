"""When checkpoints that no trial refers to any more are deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Writer

SYNCS = 3


class Tidying:
    """Has such checkpoints deleted, once the disk knows that they are not needed.

    After a power failure the journal may be as old as its last sync, and checkpoints may lack what was saved in the
    half second before: what is left must be there. So a checkpoint is deleted at the third sync that ends from when it
    was not needed any more: the second knows so, and the disk was asked for the one that took its place with it at the
    latest, half a second before the third.

    discard: told of the path of each.
    """

    def __init__(self, experiment: Experiment, journal: Writer, discard: Callable[[str], None]) -> None:
        self._unneeded = experiment.unneeded  # grows with the fold
        self._journal = journal
        self._discard = discard
        self._doomed: deque[list[str]] = deque()  # what was not needed any more at each of the last syncs
        self._syncs = journal.syncs

    def after_commit(self) -> None:
        if self._journal.syncs != self._syncs:
            self._syncs = self._journal.syncs
            self._doomed.append(self._unneeded.copy())
            self._unneeded.clear()
            if len(self._doomed) == SYNCS:
                self._delete(self._doomed.popleft())

    def at_end(self) -> None:
        """The journal is synced, and nothing follows."""
        for paths in self._doomed:
            self._delete(paths)
        self._doomed.clear()
        self._delete(self._unneeded)
        self._unneeded.clear()

    def _delete(self, paths: list[str]) -> None:
        for path in paths:
            self._discard(path)
