"""What is the same for every trial of an experiment, as workers are told it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ray_hpo.storage import CheckpointStore, TrialStore


@dataclass(frozen=True)
class Setting:
    """What is the same for every trial of an experiment.

    folder: the experiment's.  fidelity: the metric that tells how far training is; None counts reports.
    whole: budgets are whole numbers.  max_budget: that of a full training.
    metric, further: what must be a number wherever it is reported.
    resumable: a trial goes on where it paused, or is never paused; if not, each milestone is trained from nothing.
    copied: others begin from the checkpoint of a trial's last milestone.
    measures_gpu: trials tell how much GPU memory they take.
    remote: the URI of the experiment, where its storage is no folder; `folder` is then the driver's alone.
    """

    folder: Path
    metric: str
    fidelity: str | None = None
    whole: bool = True
    further: tuple[str, ...] = ()
    max_budget: float = math.inf
    resumable: bool = True
    copied: bool = False
    measures_gpu: bool = False
    remote: str | None = None

    @property
    def name(self) -> str:
        """The experiment's folder has its name."""
        return self.folder.name if self.remote is None else self.remote.partition("?")[0].rpartition("/")[2]


def open_store(setting: Setting) -> TrialStore:
    """Where trials keep their files."""
    if setting.remote is None:
        return CheckpointStore(setting.folder)
    from ray_hpo.remote.folder import RemoteFolder  # pyarrow: only where it is needed
    from ray_hpo.remote.store import RemoteStore
    from ray_hpo.remote.uri import Uri

    return RemoteStore(RemoteFolder(Uri.parse(setting.remote)))
