"""Whether rows of a journal have the form that we give them: it may be damaged, or made by somebody who means harm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

_Test = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return _is_finite(value) or value == "inf"  # how infinity is written


def _is_finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # more digits than a float has
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_limit(value: Any) -> bool:
    return value is None or _is_finite(value)


def _is_config(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(inner, (dict, list)) for inner in value.values())


def _is_resources(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_finite(amount) or amount == "auto" or (name in ("strategy", "labels") and isinstance(amount, (str, dict)))
        for name, amount in value.items()
        if not (name == "bundles" and isinstance(amount, list) and all(map(_is_resources, amount)))
    )


def _is_earlier(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(name), list) for name in ("configs", "results"))
        and all(map(_is_config, value["configs"]))
        and isinstance(value.get("left_out"), dict)
        and all(map(_is_finite, value["left_out"].values()))
    )


_TESTS: Mapping[str, _Test] = {
    **dict.fromkeys(("until", "fidelity", "value", "step"), _is_number),
    **dict.fromkeys(("reason", "text", "cause", "error", "traceback", "path", "host"), _is_text),
    **dict.fromkeys(("bracket", "parent", "replaces", "num_trials", "pid"), _is_count),
    **dict.fromkeys(("values", "excess"), _is_numbers),
    **dict.fromkeys(("time_limit", "total_budget", "gpu_hours", "cost", "patience", "gpus", "price", "gpu"), _is_limit),
    "config": _is_config,
}
_SPEC_TESTS: Mapping[str, _Test] = {
    "name": _is_text,
    **dict.fromkeys(("time_limit", "trial_timeout", "max_budget", "min_budget"), _is_limit),
    **dict.fromkeys(("isolate", "resumable"), lambda value: isinstance(value, bool)),
    "resources": _is_resources,
    "earlier": _is_earlier,
    "trainable": lambda value: value is None or isinstance(value, dict),
    "points_to_evaluate": lambda value: isinstance(value, list) and all(map(_is_config, value)),
    "warm_start": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "verifies": lambda value: isinstance(value, list) and None not in value and all(map(_is_count, value)),
}


def spec_body(text: str) -> dict[str, Any]:
    """The JSON in the head of a journal.

    Raises:
        ValueError: it is none that we would write. `Spec` looks at the rest.
    """
    spec = json.loads(text, parse_int=_int)
    if not isinstance(spec, dict):
        raise ValueError("its head is none of ours")
    for name, test in _SPEC_TESTS.items():
        if name in spec and not test(spec[name]):
            raise ValueError(f"its head has {name}={spec[name]!r}")
    return spec


def _int(text: str) -> int:
    value = int(text)
    if not _is_finite(value):
        raise ValueError(f"a number of {len(text)} digits is none of ours")
    return value


def event_body(time: Any, kind: str, trial: Any, body: str) -> dict[str, Any]:
    """The JSON of an event.

    Raises:
        ValueError: the row is none that we would write.
    """
    fields = json.loads(body)
    if not _is_finite(time) or not _is_count(trial) or not isinstance(fields, dict):
        raise ValueError(f"an event {kind!r} of trial {trial!r} at {time!r} is none of ours")
    for name, value in fields.items():
        test = _TESTS.get(name)
        if test is not None and not test(value):
            raise ValueError(f"event {kind!r} has {name}={value!r}")
    return fields
