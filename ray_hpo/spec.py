"""What an experiment is: all that `tune_run` was told, validated, as JSON in the journal's head."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strategies.registry import algo_from_json, algo_to_json
from strategies.schedulers.base import Scheduler
from strategies.schedulers.rungs import Fidelity
from strategies.space import SearchSpace
from strategies.strategy import Problem

from ray_hpo.errors import InvalidInput
from ray_hpo.trial import Experiment


@dataclass(frozen=True)
class Spec:
    """An experiment. Budgets are on the fidelity axis, times in seconds.

    fidelity: the metric that tells how far training is; None counts reports.
    resources: of one trial, with Ray's names.  trainable: where to import it from (see trainable_ref.py), or None.
    resumable: whether a trial goes on where it paused rather than from nothing.
    """

    name: str
    space: SearchSpace
    algo: Scheduler
    metric: str
    mode: str
    max_budget: float | None
    min_budget: float | None
    fidelity: str | None
    num_trials: int | None
    time_limit: float | None
    total_budget: float | None
    resources: Mapping[str, float]
    max_concurrent: int | None
    max_failures: int
    isolate: bool
    seed: int
    trainable: Mapping[str, str] | None
    resumable: bool

    def __post_init__(self) -> None:
        if not (isinstance(self.metric, str) and self.metric):
            raise InvalidInput(f"metric must be the name of a reported metric; got metric={self.metric!r}")
        if self.mode not in ("min", "max"):
            raise InvalidInput(f"mode must be 'min' or 'max'; got mode={self.mode!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InvalidInput(f"seed must be a whole number of at least 0; got seed={self.seed!r}")
        for field in ("num_trials", "max_concurrent"):
            _check_count(field, getattr(self, field), least=1)
        _check_count("max_failures", self.max_failures, least=0)
        if not (self.fidelity is None or (isinstance(self.fidelity, str) and self.fidelity)):
            raise InvalidInput(f"fidelity must be the name of a reported metric; got fidelity={self.fidelity!r}")
        fidelity = Fidelity.of(self.max_budget, self.min_budget)
        if self.max_budget is None and self.algo.early_stopping:
            raise InvalidInput(f"algo {self.algo.name} needs max_budget, the budget of a full training (epochs, say)")
        if self.algo.copies and not self.resumable:
            raise InvalidInput(
                f"algo {self.algo.name} needs a trainable that goes on from checkpoints; "
                "train(config, budget) starts from nothing: write train(config), which calls report"
            )
        if self.total_budget is not None:
            if isinstance(self.total_budget, bool) or not isinstance(self.total_budget, (int, float)):
                raise InvalidInput(f"total_budget must be a number; got total_budget={self.total_budget!r}")
            if math.isinf(fidelity.max_budget):
                raise InvalidInput(
                    f"total_budget={self.total_budget} needs max_budget, the budget of one full training"
                )
            if not self.total_budget >= self.algo.rungs(fidelity)[0]:
                raise InvalidInput(f"total_budget={self.total_budget} is not enough for one trial to report")

    def problem(self) -> Problem:
        """What the strategy is to solve."""
        return Problem(self.space, Fidelity.of(self.max_budget, self.min_budget), self.seed)

    def experiment(self) -> Experiment:
        """The fold over this experiment's journal, with nothing folded in yet."""
        max_budget = self.problem().fidelity.max_budget
        return Experiment(self.metric, self.mode, max_budget, self.resumable, self.algo.copies)

    def to_json(self) -> dict[str, Any]:
        body = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**body, "space": self.space.to_json(), "algo": algo_to_json(self.algo)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Spec:
        space, algo = SearchSpace.from_json(body["space"]), algo_from_json(body["algo"])
        return cls(**{**body, "space": space, "algo": algo})


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(time_limit: float | str | None) -> float | None:
    """Seconds of 90, "45s", "30m", "1h30m", "2d"; None stays None.

    Raises:
        InvalidInput: not a duration, or not positive.
    """
    if time_limit is None:
        return None
    seconds = _seconds(time_limit)
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInput(
            f'time_limit must be seconds or a text such as "30m" or "1h30m"; got time_limit={time_limit!r}'
        )
    return seconds


def _seconds(text: float | str) -> float:
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", str(text))
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*([smhd])", "", str(text)).strip():
        return math.nan
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _check_count(field: str, value: int | None, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise InvalidInput(f"{field} must be a whole number of at least {least}; got {field}={value!r}")
