"""Who refers to which checkpoint: those that nobody refers to any more can be deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from ray_hpo.messages import Checkpoint
from ray_hpo.trial import Trial


class CheckpointUses:
    """Counts references to checkpoints.

    keep: how many trials that completed keep their last checkpoint, the best ones; None: all of them.
    unneeded: paths of checkpoints that no trial refers to any more; whoever deletes them empties it.
    """

    def __init__(self, keep: int | None) -> None:
        self.unneeded: list[str] = []
        self._keep = keep
        self._kept: list[Trial] = []  # completed trials that keep their checkpoints
        self._uses: dict[str, int] = {}  # path -> how often trials refer to it

    @property
    def paths(self) -> Set[str]:
        """Of all checkpoints that trials refer to."""
        return self._uses.keys()

    def refer(self, old: Checkpoint | None, new: Checkpoint | None) -> Checkpoint | None:
        """`new`, which takes the place of `old` in a trial."""
        if new is not None:
            self._uses[new.path] = self._uses.get(new.path, 0) + 1
        if old is not None:
            self._uses[old.path] -= 1
            if not self._uses[old.path]:
                del self._uses[old.path]
                self.unneeded.append(old.path)
        return new

    def stopped(self, row: Trial) -> None:
        """It will not be needed again, and disks fill up."""
        row.at_milestone = self.refer(row.at_milestone, None)
        row.checkpoint = self.refer(row.checkpoint, None)

    def failed(self, row: Trial) -> None:
        """What is left of it may tell why, as long as the disk is not to be kept small."""
        row.at_milestone = self.refer(row.at_milestone, None)
        if self._keep is not None:
            row.checkpoint = self.refer(row.checkpoint, None)

    def completed(self, row: Trial, ranked: Callable[[Iterable[Trial]], list[Trial]]) -> None:
        """Of the trials that completed the worst beyond `keep` loses its checkpoint. ranked: see `Leaders`."""
        row.at_milestone = self.refer(row.at_milestone, None)
        if self._keep is None or row.checkpoint is None:
            return
        self._kept.append(row)
        if len(self._kept) > self._keep:
            without = [trial for trial in self._kept if not trial.has_value]
            worst = without[-1] if without else ranked(self._kept)[-1]
            self._kept.remove(worst)
            worst.checkpoint = self.refer(worst.checkpoint, None)
