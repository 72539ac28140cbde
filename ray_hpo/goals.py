"""What an experiment is after: which reported metrics to minimise or maximise, and the constraints that must hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from strategies.actions import Reached, minimised
from strategies.domains import shorten

from ray_hpo.errors import InvalidInput

Metric: TypeAlias = str | Sequence[str]
Mode: TypeAlias = str | Sequence[str]  # "min" or "max"

SLIGHT = 1e-12  # the excess of a value that equals a bound which it must not reach

_COMPARISON = re.compile(r"\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A reported metric and what it is compared with."""

    metric: str
    comparison: str
    bound: float
    text: str

    @classmethod
    def of(cls, metric: Any, text: Any) -> Constraint:
        """
        Raises:
            InvalidInput: not a comparison with a number.
        """
        match = _COMPARISON.fullmatch(text) if isinstance(text, str) else None
        bound = _number(match[2]) if match else math.nan
        if not (isinstance(metric, str) and metric and match and math.isfinite(bound)):
            raise InvalidInput(
                "constraints must compare reported metrics with numbers, as in {'params': '<= 5e6'}; "
                f"got constraints={{{shorten(metric)}: {shorten(text)}}}"
            )
        return cls(metric, match[1], bound, f"{match[1]} {match[2]}")

    def excess(self, value: float) -> float:
        """By how much `value` violates it, as a share of the bound; at most 0 where it is met, inf for no number."""
        if not math.isfinite(value):
            return math.inf
        gap = value - self.bound if self.comparison[0] == "<" else self.bound - value
        if gap == 0 and "=" not in self.comparison:
            return SLIGHT
        return gap / (abs(self.bound) or 1.0)

    def __str__(self) -> str:
        return f"{self.metric} {self.text}"


@dataclass(frozen=True)
class Goals:
    """metrics and modes in the user's order; constraints must hold for a trial to be the best."""

    metrics: tuple[str, ...]
    modes: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def of(cls, metric: Any, mode: Any, constraints: Any = ()) -> Goals:
        """From what a user gives; see `tune_run`.

        Raises:
            InvalidInput: no name or no mode, not as many modes as metrics, or no comparison.
        """
        names = [metric] if isinstance(metric, str) or not isinstance(metric, Sequence) else list(metric)
        if not (names and all(isinstance(name, str) and name for name in names)) or len({*names}) < len(names):
            one = "the name of a reported metric" if len(names) == 1 else "a list of different names"
            raise InvalidInput(f"metric must be {one}; got metric={shorten(metric)}")
        several = isinstance(mode, Sequence) and not isinstance(mode, str)
        modes = list(mode) if several else [mode] * len(names)
        if not all(one in ("min", "max") for one in modes):
            raise InvalidInput(f"mode must be 'min' or 'max'; got mode={shorten(mode)}")
        if len(modes) != len(names):
            raise InvalidInput(
                f"mode must be one for all metrics, or one for each of the {len(names)}; got mode={shorten(mode)}"
            )
        if not constraints:
            constraints = {}
        if not isinstance(constraints, Mapping):
            raise InvalidInput(
                "constraints must be a dict from reported metrics to comparisons, as in {'params': '<= 5e6'}; "
                f"got constraints={shorten(constraints)}"
            )
        return cls(tuple(names), tuple(modes), tuple(Constraint.of(*pair) for pair in constraints.items()))

    @property
    def several(self) -> bool:
        """Whether there is more than one metric, so that trials have a front and no best one."""
        return len(self.metrics) > 1

    @cached_property
    def plain(self) -> bool:
        """Whether one number says how good a trial is."""
        return len(self.metrics) == 1 and not self.constraints

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All that a trial must report: metrics, then what constraints are about; each once."""
        return tuple(dict.fromkeys([*self.metrics, *(constraint.metric for constraint in self.constraints)]))

    def minimised(self, measured: Mapping[str, float]) -> tuple[float, ...]:
        """The values of the metrics as strategies see them."""
        return tuple(minimised(measured[metric], mode) for metric, mode in zip(self.metrics, self.modes, strict=True))

    def reached(self, trial: int, fidelity: float, measured: Mapping[str, float]) -> Reached:
        """What a strategy is told when `trial` is at `fidelity`; `measured` has all names."""
        values = self.minimised(measured)
        value = values[0] if all(map(math.isfinite, values)) else math.inf
        excess = tuple(constraint.excess(measured[constraint.metric]) for constraint in self.constraints)
        return Reached(trial, fidelity, value, values if self.several else None, excess or None)

    def range_below(self, value: float) -> tuple[float, float]:
        """Between which values the one metric is, where strategies see less than `value`."""
        return (-math.inf, value) if self.modes[0] == "min" else (-value, math.inf)

    def __str__(self) -> str:
        text = ", ".join(f"{mode} {metric}" for metric, mode in zip(self.metrics, self.modes, strict=True))
        return f"{text}, subject to {', '.join(map(str, self.constraints))}" if self.constraints else text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
