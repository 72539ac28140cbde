"""Search spaces as users of this framework give them, with `ray.tune`'s domains among them.

`ray.tune` is not imported (2.5 s): its domains are recognised by the module of their class.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from strategies.domains import (
    Domain,
    Space,
    choice,
    lograndint,
    loguniform,
    qlograndint,
    qloguniform,
    qrandint,
    quniform,
    randint,
    shorten,
    uniform,
)
from strategies.errors import InvalidInput
from strategies.space import SearchSpace
from strategies.space_builder import as_space

_TUNE_DOMAINS = "ray.tune.search.sample"


def to_space(obj: object) -> SearchSpace:
    """The search space that `obj` describes: all that `as_space` accepts, and dicts with `ray.tune` domains.

    `tune.grid_search([...])` becomes `choice([...])`: the strategy, not the space, says what is tried.

    Raises: InvalidInput, naming the parameter, for what has no counterpart (`sample_from`, `randn`).
    """
    if isinstance(obj, Space):
        return as_space(replace(obj, parameters=_converted(obj.parameters, "")))
    if isinstance(obj, Mapping):
        return as_space(_converted(obj, ""))
    return as_space(obj)


def _converted(level: Mapping[Any, Any], prefix: str) -> dict[Any, Any]:
    return {key: _convert(value, f"{prefix}{key}") for key, value in level.items()}


def _convert(value: Any, name: str) -> Any:
    is_grid = isinstance(value, Mapping) and list(value) == ["grid_search"]
    if isinstance(value, Mapping) and not is_grid:
        return _converted(value, f"{name}.")
    if not is_grid and not any(base.__module__.startswith(_TUNE_DOMAINS) for base in type(value).__mro__):
        return value
    try:
        return choice(value["grid_search"]) if is_grid else _domain(value)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None


def _domain(tune: Any) -> Domain:
    """Our domain for one of `ray.tune`'s: integers exclude their upper bound, unless they are quantised."""
    kinds = _class_names(tune)
    if "Function" in kinds:
        raise InvalidInput(
            "tune.sample_from has no fixed set of values; use a domain with .when(...) for a parameter that "
            "depends on another, or compute the value in the trainable"
        )
    if "Categorical" in kinds:
        return choice(tune.categories)
    sampler, q = tune.get_sampler(), None
    if "Quantized" in _class_names(sampler):
        sampler, q = sampler.get_sampler(), sampler.q
    if "Normal" in _class_names(sampler):
        raise InvalidInput(
            "tune.randn has no bounds; use uniform(mean - 2 * sd, mean + 2 * sd), "
            f"here uniform({sampler.mean - 2 * sampler.sd:g}, {sampler.mean + 2 * sampler.sd:g})"
        )
    log, low, high = "LogUniform" in _class_names(sampler), tune.lower, tune.upper
    if "Float" in kinds:
        if q is None:
            return loguniform(low, high) if log else uniform(low, high)
        return qloguniform(low, high, q) if log else quniform(low, high, q)
    if "Integer" in kinds:
        if q is None or q == 1:  # Ray excludes the upper bound for q=1 too
            return lograndint(low, high) if log else randint(low, high)
        return qlograndint(low, high, q) if log else qrandint(low, high, q)
    raise InvalidInput(f"{shorten(tune)} is not a domain this version knows; use those of ray_hpo")


def _class_names(obj: object) -> set[str]:
    return {base.__name__ for base in type(obj).__mro__}
