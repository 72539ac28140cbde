"""Determined's experiment files: entrypoint, hyperparameters, searcher, resources, max_restarts.

Hyperparameters reach the program by the placeholders in its entrypoint, or as `--name value`. What has no counterpart
is named in a note, or refused where the sweep would be another one without it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strategies.domains import Domain, Float, Int, choice, ordinal
from strategies.registry import algo_to_json, resolve_algo
from strategies.schedulers.asha import Asha, AshaStopping
from strategies.schedulers.base import Scheduler

from ray_hpo.errors import near_matches
from ray_hpo.sweepfile.schema import FieldError

ADAPTIVE = ("adaptive_asha", "async_halving", "asha")
SEARCHERS = ("single", "random", "grid", *ADAPTIVE)
DIVISOR, MAX_RUNGS = 4, 5  # Determined's defaults
_SEARCHER_FIELDS = (
    "name", "metric", "smaller_is_better", "max_length", "max_time", "max_trials", "divisor", "max_rungs", "num_rungs",
    "stop_once", "max_concurrent_trials", "time_metric",
)  # fmt: skip
_KNOWN = ("name", "entrypoint", "hyperparameters", "searcher", "resources", "max_restarts")


def recognises(body: Mapping[str, Any]) -> bool:
    return "searcher" in body and ("hyperparameters" in body or "entrypoint" in body)


def convert(body: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields of a sweep, and notes.

    Raises:
        FieldError: something has no counterpart.
    """
    notes = [f"{path.name}: a Determined experiment; metrics are read from what the program prints"]
    searcher, resources = body["searcher"], body.get("resources") or {}
    left = [key for key in body if key not in _KNOWN]
    left += [f"searcher.{key}" for key in searcher if key not in _SEARCHER_FIELDS]
    left += [f"resources.{key}" for key in resources if key != "slots_per_trial"]
    if left:
        notes.append(f"{path.name}: no counterpart here: {', '.join(left)}")
    if "entrypoint" not in body:
        raise FieldError(("searcher",), "entrypoint is missing: the command to run")
    entry = body["entrypoint"]
    words = shlex.split(entry) if isinstance(entry, str) else [str(word) for word in entry]
    if len(words) == 1 and ":" in words[0] and not words[0].startswith(":"):
        raise FieldError(("entrypoint",), f"entrypoint={entry!r} is a trial class; write the command that trains")
    if "metric" not in searcher:
        raise FieldError(("searcher",), "searcher.metric is missing: what is to be optimised")
    grid = searcher.get("name") == "grid"
    algo, limits = _algo(searcher, words, notes)
    fields: dict[str, Any] = {
        "command": words,
        "parameters": {
            name: _domain(given, ("hyperparameters", name), grid)
            for name, given in (body.get("hyperparameters") or {}).items()
        },
        "metric": searcher["metric"],
        "mode": "min" if searcher.get("smaller_is_better", True) else "max",
        "algo": algo_to_json(algo),
        **limits,
    }
    if "max_restarts" in body:
        fields["max_failures"] = body["max_restarts"]
    if "max_concurrent_trials" in searcher:
        fields["max_concurrent"] = searcher["max_concurrent_trials"] or None
    if resources.get("slots_per_trial"):
        fields["resources"] = {"gpu": resources["slots_per_trial"]}
        notes.append("slots_per_trial is taken as GPUs; without any: --gpu 0 --cpu 1")
    return fields, notes


def _algo(searcher: Mapping[str, Any], words: list[str], notes: list[str]) -> tuple[Scheduler, dict[str, Any]]:
    name = searcher.get("name")
    if name not in SEARCHERS:
        raise FieldError(
            ("searcher", "name"), f"searcher name={name!r} is unknown; {near_matches(str(name), SEARCHERS)}"
        )
    limits: dict[str, Any] = {} if name == "grid" else {"num_trials": searcher.get("max_trials", 1)}
    length = _length(searcher, notes)
    told = any(":budget:" in word for word in words)
    if name not in ADAPTIVE:
        if length is not None and told:
            limits["max_budget"] = length
        return resolve_algo("grid" if name == "grid" else "random"), limits
    if length is None:
        raise FieldError(("searcher",), f"searcher {name} needs max_length or max_time, the length of a full training")
    eta = searcher.get("divisor", DIVISOR)
    rungs = searcher.get("max_rungs", searcher.get("num_rungs", MAX_RUNGS))
    limits |= {"max_budget": length, "min_budget": max(1, math.ceil(length / eta ** (rungs - 1)))}
    pauses = not searcher.get("stop_once") and (told or any(":checkpoint:" in word for word in words))
    if not (pauses or searcher.get("stop_once")):
        notes.append("no :checkpoint: in entrypoint: trials are stopped where they fall behind, and not promoted later")
    return (Asha(eta=eta) if pauses else AshaStopping(eta=eta)), limits


def _length(searcher: Mapping[str, Any], notes: list[str]) -> float | None:
    length = searcher.get("max_time", searcher.get("max_length"))
    if isinstance(length, Mapping):
        (unit, length), *_ = length.items()
        if unit != "epochs":
            notes.append(
                f"max_length is in {unit}: --fidelity names the printed number that counts them; else reports count"
            )
    return None if length is None else float(length)


def _domain(given: Any, where: tuple[str, ...], grid: bool) -> Any:
    if not isinstance(given, Mapping):
        return given
    if "type" not in given:
        return {name: _domain(inner, (*where, name), grid) for name, inner in given.items()}
    try:
        return _typed(given, grid)
    except KeyError as error:
        raise FieldError(where, f"{where[-1]}: {error.args[0]} is missing") from None
    except ValueError as error:
        raise FieldError(where, f"{where[-1]}: {error}") from None


def _typed(given: Mapping[str, Any], grid: bool) -> Any:
    kind = given["type"]
    if kind == "const":
        return given["val"]
    if kind == "categorical":
        return choice(given["vals"])
    if kind not in ("int", "double", "log"):
        raise ValueError(
            f"type {kind!r} is unknown; {near_matches(str(kind), ('const', 'categorical', 'int', 'double', 'log'))}"
        )
    low, high, base = given["minval"], given["maxval"], given.get("base", 10.0)
    if grid:
        return _values(kind, low, high, base, given["count"])
    if kind == "int":
        return Int(low, high)
    return Float(base**low, base**high, log=True) if kind == "log" else Float(low, high)


def _values(kind: str, low: float, high: float, base: float, count: int) -> Domain:
    """`count` evenly spaced values, both ends included, as a grid searcher has them."""
    spaced = [float(value) for value in np.linspace(low, high, max(count, 1))]
    if kind == "int":
        return ordinal(list(dict.fromkeys(round(value) for value in spaced)))
    return ordinal([base**value for value in spaced] if kind == "log" else spaced)
