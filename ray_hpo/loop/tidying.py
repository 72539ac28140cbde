"""When checkpoints that no trial refers to any more are deleted."""

from __future__ import annotations

from collections.abc import Callable

from ray_hpo.experiment import Experiment
from ray_hpo.journal.journal import Writer


class Tidying:
    """Has such checkpoints deleted, once the disk knows that they are not needed.

    After a power failure the journal may be as old as its last sync, and checkpoints may lack what was saved in the
    half second before: what is left must be there. So a checkpoint is deleted at the second sync from when it was not
    needed any more: that knows so, and was begun half a second after the first.

    discard: told of the path of each.
    """

    def __init__(self, experiment: Experiment, journal: Writer, discard: Callable[[str], None]) -> None:
        self._unneeded = experiment.unneeded  # grows with the fold
        self._journal = journal
        self._discard = discard
        self._doomed: list[str] = []  # those that were not needed any more when the journal was last synced
        self._syncs = journal.syncs

    def after_commit(self) -> None:
        if self._journal.syncs != self._syncs:
            self._syncs = self._journal.syncs
            self._delete(self._doomed)
            self._doomed = self._unneeded.copy()
            self._unneeded.clear()

    def at_end(self) -> None:
        """The journal is synced, and nothing follows."""
        self._delete(self._doomed)
        self._delete(self._unneeded)

    def _delete(self, paths: list[str]) -> None:
        for path in paths:
            self._discard(path)
        paths.clear()
