"""The winner verified: the best configurations of a search, trained again from nothing with fresh seeds.

A search takes the least of many noisy values, so that its best value is too good, and its best configuration often not
the best one. A verification is an experiment of its own, in a folder below the search's: its runs are journalled,
retried and resumed like any trials, and neither searcher nor scheduler of the search sees them. It runs when the search
is over, and again for new ones among the best when the search was resumed and grew.

Run k is the k-th of the chosen configurations, which come round in turn: one that is cut off has verified them alike.
In each round all have the same seed, so that they are compared on the same draws where a seed decides about data.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strategies.earlier import Earlier
from strategies.schedulers.fifo import Fifo

from ray_hpo.experiment import Experiment
from ray_hpo.journal.schema import FILE
from ray_hpo.seeds import derived_seed
from ray_hpo.spec import Spec
from ray_hpo.trial import Trial

CONFIDENCE = 0.95
_NAME = "verification-"


@dataclass(frozen=True)
class Verified:
    """A configuration and what its runs gave, in the user's sign.

    trial: its number in the search.  number: the runs with a value that is a number; failed: the others that are over.
    std: with n - 1.  low, high: the 95 % interval of the mean (Student's t); nan for less than two runs.
    """

    trial: int
    config: dict[str, Any]
    mean: float
    std: float
    low: float
    high: float
    number: int
    failed: int

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def verification_folders(folder: Path) -> list[Path]:
    """The verifications of the experiment in `folder`, in the order in which they began."""
    found = [file.parent for file in folder.glob(f"{_NAME}*/{FILE}")]
    ours = [part for part in found if re.fullmatch(rf"{_NAME}[0-9]{{1,9}}", part.name) and not part.is_symlink()]
    return sorted(ours, key=lambda part: int(part.name.removeprefix(_NAME)))


def new_folder(folder: Path, count: int) -> Path:
    """The folder of a verification after `count` others."""
    return folder / f"{_NAME}{count}"


def next_verification(spec: Spec, search: Experiment, before: Sequence[Spec]) -> Spec | None:
    """The experiment that verifies those of the best configurations that none before does; None if all are covered."""
    known = [dict(config) for other in before for config in other.points_to_evaluate]
    chosen = [trial for trial in _best(search, spec.verify_top) if trial.config not in known]
    if not chosen:
        return None
    configs = [trial.config for trial in chosen] * spec.verify_seeds
    return dataclasses.replace(
        spec,
        name=f"{spec.name} {_NAME}{len(before)}",
        algo=Fifo(),
        num_trials=len(configs),
        time_limit=None,
        total_budget=None,
        gpu_hours=None,
        cost=None,
        patience=None,
        seed=derived_seed(spec.seed, "verification", len(before)),
        points_to_evaluate=configs,
        warm_start=(),
        earlier=Earlier(),
        verify_top=0,
        verifies=[trial.number for trial in chosen],
    )


def is_over(spec: Spec, runs: Experiment) -> bool:
    """Whether all runs of a verification have ended."""
    return len(runs.trials) == spec.num_trials and all(run.state in ("completed", "failed") for run in runs.trials)


def verified_configs(parts: Iterable[tuple[Spec, Experiment]]) -> list[Verified]:
    """The configurations that have runs that are over, best mean first, those with a failed run last, and before these
    those that violate constraints."""
    rows: list[tuple[int, float, float, Verified]] = []
    for spec, runs in parts:
        for i, trial in enumerate(spec.verifies):
            ended = [run for run in runs.trials[i :: len(spec.verifies)] if run.state in ("completed", "failed")]
            values = [run.value for run in ended if run.state == "completed" and run.value is not None]
            finite = [value for value in values if math.isfinite(value)]
            if ended:
                row = _verified(trial, spec.space.nest(dict(spec.points_to_evaluate[i])), finite, len(ended))
                worth = row.mean if spec.mode == "min" else -row.mean
                violation = sum(run.violation for run in ended) / len(ended)
                rows.append((row.failed, violation, worth if finite else math.inf, row))
    return [row for *_, row in sorted(rows, key=lambda entry: (*entry[:3], entry[3].trial))]


def _verified(trial: int, config: dict[str, Any], values: Sequence[float], ended: int) -> Verified:
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    std = margin = math.nan
    if n > 1:
        from scipy.special import stdtrit

        std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
        margin = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(n)
    return Verified(trial, config, mean, std, mean - margin, mean + margin, n, ended - n)


def _best(search: Experiment, count: int) -> list[Trial]:
    """The trials with the best `count` different configurations; with one that meets the constraints none that does
    not."""
    chosen: list[Trial] = []
    ranked = search.ranked()
    for trial in [trial for trial in ranked if trial.feasible] or ranked:
        if len(chosen) < count and all(trial.config != other.config for other in chosen):
            chosen.append(trial)
    return chosen
