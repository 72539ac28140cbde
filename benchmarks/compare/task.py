"""A task of the comparison: a deterministic objective, always minimised, and what training costs, in simulated seconds.

The rules (ladder, clipping, cost, resuming, reference values) are those of the protocol in the README's benchmark
section.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.domains import Categorical, Domain, Float, Int, Ordinal

ETA = 3
RUNGS = 4  # the ladder R/27, R/9, R/3, R
REFERENCE_SAMPLE = 20_000
REFERENCE_SEED = 20240229
BUDGET = 6  # of setting A, in mean costs of a full-fidelity random configuration
COST_FLOOR = 1e-4  # of that mean cost: no job is cheaper

Config = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """What random search tells of a task: regret is (y - y_best_sample) / (y_median_random - y_best_sample)."""

    y_best_sample: float
    y_median_random: float
    mean_full_cost: float
    ceiling: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Reference:
        return cls(**{name: body[name] for name in ("y_best_sample", "y_median_random", "mean_full_cost", "ceiling")})


class Task(ABC):
    """One task. `space_format` is the list of parameters in the neutral format.

    resumable: trained budget is not paid again (epochs, steps); else each job is paid in full (sample fractions).
    whole: budgets are whole numbers.
    """

    def __init__(
        self, name: str, space_format: Sequence[Mapping[str, Any]], max_budget: float, resumable: bool
    ) -> None:
        self.name = name
        self.space_format = parents_first(space_format)
        self.resumable = self.whole = resumable
        self.max_budget = max_budget
        levels = [max_budget / ETA**k for k in range(RUNGS - 1, -1, -1)]
        self.levels = [max(1.0, float(round(level))) for level in levels] if self.whole else levels
        self._reference: Reference | None = None
        self._known: dict[str, tuple[Values, Values]] = {}

    @property
    def family(self) -> str:
        return self.name.split("/")[0]

    @property
    def space(self) -> dict[str, Domain]:
        """The space in ray_hpo's own domains."""
        return {parameter["name"]: domain_of(parameter) for parameter in self.space_format}

    @property
    def reference(self) -> Reference:
        """Of 20,000 random configurations, drawn when first asked for."""
        if self._reference is None:
            self.use(self._sample_reference())
        assert self._reference is not None
        return self._reference

    def use(self, reference: Reference) -> None:
        """Take reference values instead of drawing them."""
        self._reference = reference
        self._known.clear()

    @property
    def time_budget(self) -> float:
        """Setting A's, in simulated seconds."""
        return BUDGET * self.reference.mean_full_cost

    def evaluate(self, config: Config, budget: float) -> tuple[dict[str, float], float]:
        """({"y": value}, seconds of a training from nothing to `budget`)."""
        y, cost = self._on_ladder(config)
        level = int(np.argmin(np.abs(np.array(self.levels) - budget)))
        if abs(self.levels[level] - budget) > 1e-6 * budget:
            raise ValueError(f"{self.name}: budget {budget:g} is not on the ladder {self.levels}")
        return {"y": float(y[level])}, max(float(cost[level]), COST_FLOOR * self.reference.mean_full_cost)

    def final_value(self, config: Config) -> float:
        """The value at full fidelity."""
        return float(self._on_ladder(config)[0][-1])

    @abstractmethod
    def raw(self, configs: Sequence[Config], budget: float) -> tuple[Values, Values]:
        """Values (n,), minimised, NaN if diverged, and seconds from nothing (n,)."""

    def optimum(self) -> float:
        """The best value there is, where it is known; else inf."""
        return np.inf

    def ceiling(self) -> float | None:
        """What diverged and worse values count as; None where nothing is clipped."""
        return None

    def _on_ladder(self, config: Config) -> tuple[Values, Values]:
        key = json.dumps(config, sort_keys=True)
        if key not in self._known:
            pairs = [self.raw([config], level) for level in self.levels]
            y = np.array([pair[0][0] for pair in pairs], dtype=float)
            cost = np.maximum.accumulate(np.array([pair[1][0] for pair in pairs], dtype=float))
            top = self.reference.ceiling
            if top is not None:
                y = np.where(np.isfinite(y), np.minimum(y, top), top)
            self._known[key] = y, cost
        return self._known[key]

    def _sample_reference(self) -> Reference:
        rng = np.random.default_rng(REFERENCE_SEED)
        configs = [draw(self.space_format, rng) for _ in range(REFERENCE_SAMPLE)]
        parts = [self.raw(configs[i : i + 500], self.max_budget) for i in range(0, len(configs), 500)]
        y, cost = (np.concatenate([part[k] for part in parts]).astype(float) for k in (0, 1))
        y = np.where(np.isfinite(y), y, np.inf)
        best = float(min(y.min(), self.optimum()))
        return Reference(best, float(np.median(y)), float(cost[np.isfinite(cost)].mean()), self.ceiling())


def split_of(name: str) -> str:
    """Which half of all tasks one belongs to, by its name alone: "tune" or "test"."""
    return "test" if hashlib.sha256(name.encode()).digest()[-1] % 2 else "tune"


def parents_first(space_format: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Parents before their children, otherwise in the order of the file."""
    todo, done = list(space_format), []
    while todo:
        seen = {parameter["name"] for parameter in done}
        ready = next(p for p in todo if not p.get("condition") or p["condition"]["parent"] in seen)
        todo.remove(ready)
        done.append(ready)
    return done


def domain_of(parameter: Mapping[str, Any]) -> Domain:
    """A parameter of the neutral format as a domain."""
    domain: Domain
    match parameter["type"]:
        case "float":
            domain = Float(float(parameter["lower"]), float(parameter["upper"]), log=bool(parameter.get("log")))
        case "int":
            domain = Int(int(parameter["lower"]), int(parameter["upper"]), log=bool(parameter.get("log")))
        case "ordinal":
            domain = Ordinal(tuple(parameter["choices"]))
        case "categorical":
            domain = Categorical(tuple(parameter["choices"]))
        case kind:
            raise ValueError(f"{parameter['name']}: unknown type {kind!r}")
    condition = parameter.get("condition")
    return domain.when(**{condition["parent"]: list(condition["values"])}) if condition else domain


def active(parameter: Mapping[str, Any], config: Config) -> bool:
    """Whether a parameter is there, given its parents."""
    condition = parameter.get("condition")
    return not condition or config.get(condition["parent"]) in condition["values"]


def without_inactive(space_format: Sequence[Mapping[str, Any]], config: Config) -> Config:
    """The active parameters of a configuration, parents before children."""
    kept: Config = {}
    for parameter in space_format:
        if active(parameter, kept):
            kept[parameter["name"]] = config[parameter["name"]]
    return kept


def draw(space_format: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Config:
    """One draw from the prior, as the protocol draws its reference sample."""
    config: Config = {}
    for parameter in space_format:
        if not active(parameter, config):
            continue
        if parameter["type"] in ("categorical", "ordinal"):
            config[parameter["name"]] = parameter["choices"][int(rng.integers(len(parameter["choices"])))]
        else:
            config[parameter["name"]] = _number(parameter, rng.random())
    return config


def _number(parameter: Mapping[str, Any], u: float) -> float | int:
    low, high, whole = float(parameter["lower"]), float(parameter["upper"]), parameter["type"] == "int"
    log = bool(parameter.get("log"))
    a, b = (low - 0.5, high + 0.5) if whole else (low, high)
    if whole and log:
        a = max(a, 0.5)
    x = float(np.exp(np.log(a) + u * (np.log(b) - np.log(a)))) if log else a + u * (b - a)
    return round(min(max(x, low), high)) if whole else min(max(x, low), high)
