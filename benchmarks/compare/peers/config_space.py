"""The neutral format as a ConfigurationSpace, for the peers that take one. Ordinals become integers: their index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ConfigSpace import (
    CategoricalHyperparameter,
    ConfigurationSpace,
    EqualsCondition,
    InCondition,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from benchmarks.compare.task import Config


def configuration_space(space_format: Sequence[Mapping[str, Any]], seed: int) -> ConfigurationSpace:
    space = ConfigurationSpace(seed=seed)
    parameters = {parameter["name"]: _hyperparameter(parameter) for parameter in space_format}
    space.add(*parameters.values())
    for parameter in space_format:
        if condition := parameter.get("condition"):
            child, parent = parameters[parameter["name"]], parameters[condition["parent"]]
            values = list(condition["values"])
            space.add(
                EqualsCondition(child, parent, values[0]) if len(values) == 1 else InCondition(child, parent, values)
            )
    return space


def _hyperparameter(parameter: Mapping[str, Any]) -> Any:
    name, log = parameter["name"], bool(parameter.get("log"))
    match parameter["type"]:
        case "categorical":
            return CategoricalHyperparameter(name, list(parameter["choices"]))
        case "ordinal":
            return UniformIntegerHyperparameter(name, 0, len(parameter["choices"]) - 1)
        case "int":
            return UniformIntegerHyperparameter(name, parameter["lower"], parameter["upper"], log=log)
        case _:
            return UniformFloatHyperparameter(name, parameter["lower"], parameter["upper"], log=log)


def to_plain(space_format: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> Config:
    """Plain Python values from a peer's, which may be NumPy's; what is not there is left out."""
    return {p["name"]: _plain(p, values[p["name"]]) for p in space_format if values.get(p["name"]) is not None}


def _plain(parameter: Mapping[str, Any], value: Any) -> Any:
    match parameter["type"]:
        case "categorical":
            return parameter["choices"][list(parameter["choices"]).index(value)]
        case "ordinal":
            return parameter["choices"][int(value)]
        case "int":
            return int(value)
        case _:
            return min(max(float(value), parameter["lower"]), parameter["upper"])


def from_plain(space_format: Sequence[Mapping[str, Any]], config: Config) -> Config:
    """The inverse of `to_plain`."""
    ordinals = {p["name"]: list(p["choices"]) for p in space_format if p["type"] == "ordinal"}
    return {name: ordinals[name].index(value) if name in ordinals else value for name, value in config.items()}
