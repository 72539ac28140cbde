"""What an experiment is: all that `tune_run` was told, validated, as JSON in the journal's head."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from strategies.earlier import Earlier
from strategies.numbers import is_finite
from strategies.registry import algo_from_json, algo_to_json
from strategies.schedulers.base import Scheduler
from strategies.schedulers.rungs import Fidelity
from strategies.space import SearchSpace
from strategies.strategy import Problem

from ray_hpo.errors import InvalidInput, JournalError
from ray_hpo.experiment import Experiment
from ray_hpo.goals import Goals
from ray_hpo.resources import Request, check_on_oom, larger_share
from ray_hpo.seeds import derived_seed


@dataclass(frozen=True)
class Spec:
    """An experiment. Budgets are on the fidelity axis, times in seconds.

    fidelity: the metric that tells how far training is; None counts reports.
    resources: of one trial, as `normalise` gives them; together they are the `request`.
    trainable: where to import it from (see trainable_ref.py), or None.
    resumable: whether a trial goes on where it paused rather than from nothing.
    points_to_evaluate: the first configurations, flat and complete.
    warm_start: where the results are from that the searcher has been told at the beginning.  earlier: these results.
    verify_top, verify_seeds: how many of the best to train again, and how often each; see verification.py.
    keep_checkpoints: of how many completed trials, the best, the last checkpoint is kept; None: of all.
    metric, mode, constraints: as in `tune_run`; together they are the `goals`.
    gpu_hours, cost, price_per_hour, patience: see `Budget`.
    trial_timeout: seconds without a report after which a trial is killed; None: never.
    priority: among the sweeps of one cluster.
    on_oom: "more": a trial whose GPU is out of memory is tried again with a larger share; "fail": that is a failure.
    verifies: in a verification the search's trials whose configurations these are, in turn.
    """

    name: str
    space: SearchSpace
    algo: Scheduler
    metric: str | Sequence[str]
    mode: str | Sequence[str]
    max_budget: float | None
    min_budget: float | None
    fidelity: str | None
    num_trials: int | None
    time_limit: float | None
    total_budget: float | None
    resources: Mapping[str, Any]
    max_concurrent: int | None
    max_failures: int
    isolate: bool
    seed: int
    trainable: Mapping[str, Any] | None
    resumable: bool
    points_to_evaluate: Sequence[Mapping[str, Any]] = ()
    warm_start: Sequence[str] = ()
    earlier: Earlier = dataclasses.field(default_factory=Earlier)
    verify_top: int = 0
    verify_seeds: int = 5
    verifies: Sequence[int] = ()
    gpu_hours: float | None = None
    cost: float | None = None
    price_per_hour: float | None = None
    patience: int | None = None
    keep_checkpoints: int | None = None
    constraints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trial_timeout: float | None = None
    priority: float = 1.0
    on_oom: str = "fail"

    def __post_init__(self) -> None:
        goals = self.goals
        object.__setattr__(self, "constraints", dict(self.constraints or {}))
        if not goals.several:  # of a list of one, what is in it
            object.__setattr__(self, "metric", goals.metrics[0])
            object.__setattr__(self, "mode", goals.modes[0])
        elif self.keep_checkpoints is not None:
            raise InvalidInput(
                f"keep_checkpoints={self.keep_checkpoints!r} needs one metric, by which the best are known; "
                f"got metric={list(goals.metrics)!r}: leave it out"
            )
        elif self.verify_top:
            raise InvalidInput(
                f"verify_top={self.verify_top!r} needs one metric, by which the best are verified; "
                f"got metric={list(goals.metrics)!r}: leave it out, or make all but one of them constraints"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InvalidInput(f"seed must be a whole number of at least 0; got seed={self.seed!r}")
        for field in ("num_trials", "max_concurrent", "patience"):
            check_count(field, getattr(self, field), least=1)
        for field in ("max_failures", "verify_top"):
            check_count(field, getattr(self, field), least=0)
        check_count("keep_checkpoints", self.keep_checkpoints, least=0)
        check_count("verify_seeds", self.verify_seeds, least=2)  # fewer have no interval
        if self.num_trials is not None and self.num_trials < len(self.points_to_evaluate):
            raise InvalidInput(
                f"num_trials={self.num_trials} leaves no room for the {len(self.points_to_evaluate)} configurations of "
                "points_to_evaluate: give at least as many trials"
            )
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

        check_on_oom(self.on_oom, self.request)
        for field in ("gpu_hours", "cost", "price_per_hour", "priority"):
            _check_positive(field, getattr(self, field))
        if self.gpu_hours is not None and not self.request.amount("GPU"):
            raise InvalidInput(f"gpu_hours={self.gpu_hours:g} needs trials with GPUs, as in resources={{'gpu': 1}}")
        if self.request.empty and self.max_concurrent is None:
            raise InvalidInput(
                "resources must ask for something, or the cluster is filled without end: "
                "give cpu or gpu, or max_concurrent"
            )
        if self.request.auto_gpu and (self.trainable or {}).get("command") is not None:
            raise InvalidInput(
                "gpu='auto' cannot measure what a command takes: give its share, as in resources={'gpu': 0.5}"
            )
        for field in ("gpu_hours", "cost"):
            if self.request.auto_gpu and getattr(self, field) is not None:
                raise InvalidInput(
                    f"{field}={getattr(self, field):g} needs a trial's share of a GPU, which gpu='auto' finds out only "
                    "while trials run: give the share, or time_limit"
                )
        if self.cost is not None and self.price_per_hour is None:
            raise InvalidInput(f"cost={self.cost:g} needs price_per_hour, of a GPU, or of a trial's worker without one")

    def problem(self) -> Problem:
        """What the strategy is to solve."""
        fidelity = Fidelity.of(self.max_budget, self.min_budget, self.resumable)
        objectives, constraints = len(self.goals.metrics), len(self.goals.constraints)
        points, earlier = self.points_to_evaluate, self.earlier
        return Problem(self.space, fidelity, self.seed, points, earlier, objectives, constraints)

    @cached_property
    def goals(self) -> Goals:
        return Goals.of(self.metric, self.mode, self.constraints)

    @cached_property
    def request(self) -> Request:
        return Request.of(self.resources)

    def more_gpu(self, share: float | None) -> float | None:
        """The share of a GPU for a trial that ran out of its memory with `share` (None: what all have); None: it has
        failed."""
        return larger_share(self.request, share) if self.on_oom == "more" else None

    def trial_seed(self, number: int) -> int:
        """What `get_context().seed` is in trial `number`."""
        return derived_seed(self.seed, "trial", number // max(1, len(self.verifies)))

    def experiment(self) -> Experiment:
        """The fold over this experiment's journal, with nothing folded in yet."""
        max_budget = self.problem().fidelity.max_budget
        keep = None if self.keep_checkpoints is None else max(self.keep_checkpoints, self.verify_top)
        return Experiment(
            self.metric,
            self.mode,
            max_budget,
            self.resumable,
            self.algo.copies,
            constraints=self.constraints,
            keep_checkpoints=keep,
        )

    def to_json(self) -> dict[str, Any]:
        body = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        parts = {"space": self.space.to_json(), "algo": algo_to_json(self.algo), "earlier": self.earlier.to_json()}
        if not self.constraints:
            del body["constraints"]
        return {**body, **parts}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Spec:
        """The inverse of `to_json`.

        Raises:
            JournalError: `body` is none of ours, or a later version's.
        """
        try:
            space = SearchSpace.from_json(body["space"])
            paths: Mapping[str, Any] = body["space"].get("paths", {})
            if not all(isinstance(name, str) for name in (*space.names, *itertools.chain(*paths.values()))):
                raise ValueError("a parameter has no name")
            parts = {"space": space, "algo": algo_from_json(body["algo"])}
            if "earlier" in body:  # journals of 0.1 may lack it
                parts["earlier"] = Earlier.from_json(body["earlier"])
            return cls(**{**body, **parts})
        except Exception as error:  # whatever it holds: it may be damaged, or made up
            raise JournalError(
                f"what the experiment is cannot be read from its journal ({type(error).__name__}: {error}): it is "
                "damaged, or of a later ray_hpo"
            ) from error


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(duration: float | str | None, field: str = "time_limit") -> float | None:
    """Seconds of 90, "45s", "30m", "1h30m", "2d"; None stays None.

    Raises:
        InvalidInput: not a duration, or not positive.
    """
    if duration is None:
        return None
    seconds = _seconds(duration)
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInput(f'{field} must be seconds or a text such as "30m" or "1h30m"; got {field}={duration!r}')
    return seconds


def _seconds(text: float | str) -> float:
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text) if is_finite(text) else math.nan
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", str(text))
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*([smhd])", "", str(text)).strip():
        return math.nan
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _check_positive(field: str, value: float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (is_finite(value) and value > 0):
        raise InvalidInput(f"{field} must be a number above 0; got {field}={value!r}")


def check_count(field: str, value: int | None, least: int) -> None:
    """
    Raises:
        InvalidInput: not a whole number of at least `least`, or None.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise InvalidInput(f"{field} must be a whole number of at least {least}; got {field}={value!r}")
