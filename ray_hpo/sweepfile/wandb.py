"""W&B sweep files: program, method, metric, parameters with their distributions, early_terminate, command, run_cap.

What has no counterpart is named in a note, or refused where the sweep would be another one without it.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strategies.domains import Domain, Float, Int, Prior, choice, ordinal
from strategies.registry import algo_to_json, resolve_algo
from strategies.schedulers.asha import AshaStopping
from strategies.schedulers.base import Scheduler

from ray_hpo.errors import near_matches
from ray_hpo.sweepfile.schema import FieldError

METHODS = {"grid": "grid", "random": "random", "bayes": "gp"}
GOALS = {"minimize": "min", "maximize": "max"}
RUNGS = 4  # above min_iter, where a file says nothing of the end
_ELSEWHERE = ("project", "entity", "description", "imageuri", "job", "image_uri", "controller", "apiVersion", "kind")
_KNOWN = ("program", "method", "metric", "parameters", "early_terminate", "command", "run_cap", "name")


def recognises(body: Mapping[str, Any]) -> bool:
    return "method" in body and "parameters" in body


def convert(body: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields of a sweep, and notes.

    Raises:
        FieldError: something has no counterpart.
    """
    notes = [f"{path.name}: a W&B sweep; metrics are read from what the program prints, wandb.log is not seen"]
    for key in body:
        if key in _ELSEWHERE:
            notes.append(f"{path.name}: {key} has no counterpart here")
        elif key not in _KNOWN:
            raise FieldError((key,), f"{key!r} is unknown; {near_matches(str(key), _KNOWN)}")
    method = body["method"]
    if method not in METHODS:
        raise FieldError(("method",), f"method={method!r} is unknown; {near_matches(str(method), METHODS)}")
    parameters = _parameters(body["parameters"], ("parameters",), method == "grid", notes)
    algo, budgets = _algo(body, method, notes)
    metric = body.get("metric") or {}
    if "name" not in metric:
        raise FieldError(("metric",), "metric.name is missing: what is to be optimised")
    goal = metric.get("goal", "minimize")
    if goal not in GOALS:
        raise FieldError(("metric", "goal"), f"goal={goal!r} is unknown; {near_matches(str(goal), GOALS)}")
    notes += [f"{path.name}: metric.{key} has no counterpart here" for key in metric if key not in ("name", "goal")]
    fields: dict[str, Any] = {
        "command": _command(body, parameters),
        "parameters": parameters,
        "metric": metric["name"],
        "mode": GOALS[goal],
        "algo": algo_to_json(algo),
        **budgets,
    }
    if "run_cap" in body:
        fields["num_trials"] = body["run_cap"]
    return fields, notes


def _command(body: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    command = body.get("command", ["${env}", "${interpreter}", "${program}", "${args}"])
    words: list[str] = []
    for word in shlex.split(command) if isinstance(command, str) else map(str, command):
        if word == "${program}" and "program" not in body:
            raise FieldError(("command",), "program is missing: the script to run")
        macros = {
            "${env}": [],
            "${interpreter}": ["python"],
            "${program}": [str(body.get("program"))],
            "${args}": [f"--{name}=:{name}:" for name in parameters],
            "${args_no_hyphens}": [f"{name}=:{name}:" for name in parameters],
        }
        if word.startswith("${") and word not in macros:
            raise FieldError(("command",), f"the macro {word} has no counterpart; these have: {', '.join(macros)}")
        words += macros.get(word, [word])
    return words


def _algo(body: Mapping[str, Any], method: str, notes: list[str]) -> tuple[Scheduler, dict[str, Any]]:
    chosen = resolve_algo(METHODS[method])
    stopping = body.get("early_terminate")
    if not stopping:
        return chosen, {}
    where = ("early_terminate",)
    if stopping.get("type") != "hyperband":
        raise FieldError(
            (*where, "type"), f"early_terminate type={stopping.get('type')!r} is unknown; known: hyperband"
        )
    eta = stopping.get("eta", 3)
    if "max_iter" in stopping:
        most = stopping["max_iter"]
        least = max(1, most // eta ** stopping.get("s", 2))
    elif "min_iter" in stopping:
        least = stopping["min_iter"]
        most = least * eta**RUNGS
        notes.append(f"early_terminate says nothing of the end: taken as {most:g} reports; --max-budget sets it")
    else:
        raise FieldError(where, "early_terminate needs min_iter or max_iter")
    if "strict" in stopping:
        notes.append("early_terminate.strict has no counterpart here: the best 1/eta of a rung train on")
    return AshaStopping(eta=eta, searcher=chosen.searcher), {"min_budget": least, "max_budget": most}


def _parameters(body: Mapping[str, Any], where: tuple[str, ...], grid: bool, notes: list[str]) -> dict[str, Any]:
    """Flat: nested parameters get dotted names."""
    found: dict[str, Any] = {}
    for name, given in body.items():
        at = (*where, name)
        if not isinstance(given, Mapping):
            raise FieldError(at, f"parameter {name}: write value, values, or min and max; got {given!r}")
        if "parameters" in given:
            inner = _parameters(given["parameters"], (*at, "parameters"), grid, notes)
            found |= {f"{name}.{key}": value for key, value in inner.items()}
            continue
        try:
            found[name] = _domain(name, given, grid, notes)
        except FieldError as error:
            raise FieldError(at, str(error)) from None
        except KeyError as error:
            raise FieldError(at, f"parameter {name}: {error.args[0]} is missing") from None
        except ValueError as error:
            raise FieldError(at, f"parameter {name}: {error}") from None
    return found


def _domain(name: str, given: Mapping[str, Any], grid: bool, notes: list[str]) -> Any:
    kind = given.get("distribution") or _implied(name, given)
    q = given.get("q", 1)
    match kind:
        case "constant":
            return _text(given["value"])
        case "categorical" | "categorical_w_probabilities":
            if "probabilities" in given:
                notes.append(f"parameter {name}: probabilities have no counterpart; all values are as likely")
            return choice([_text(value) for value in given["values"]])
        case "int_uniform":
            low, high = given["min"], given["max"]
            return ordinal(list(range(low, high + 1))) if grid and high > low else Int(low, high)
        case "uniform":
            return Float(given["min"], given["max"])
        case "q_uniform":
            return _stepped(given["min"], given["max"], q, log=False)
        case "log_uniform":
            return Float(math.exp(given["min"]), math.exp(given["max"]), log=True)
        case "log_uniform_values":
            return Float(given["min"], given["max"], log=True)
        case "q_log_uniform":
            return _stepped(math.exp(given["min"]), math.exp(given["max"]), q, log=True)
        case "q_log_uniform_values":
            return _stepped(given["min"], given["max"], q, log=True)
        case "normal" | "q_normal" | "log_normal" | "q_log_normal":
            return _normal(name, kind, given, notes)
    raise FieldError(
        (), f"parameter {name}: distribution {kind!r} has no counterpart; {near_matches(str(kind), DISTRIBUTIONS)}"
    )


DISTRIBUTIONS = (
    "constant", "categorical", "int_uniform", "uniform", "q_uniform", "log_uniform", "log_uniform_values",
    "q_log_uniform", "q_log_uniform_values", "normal", "q_normal", "log_normal", "q_log_normal",
)  # fmt: skip


def _implied(name: str, given: Mapping[str, Any]) -> str:
    """The distribution that W&B takes where none is named."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    if "min" in given and "max" in given:
        return "int_uniform" if isinstance(given["min"], int) and isinstance(given["max"], int) else "uniform"
    raise FieldError((), f"parameter {name}: write value, values, or min and max; got {dict(given)!r}")


def _stepped(low: float, high: float, q: float, log: bool) -> Domain:
    if all(float(number).is_integer() for number in (low, high, q)):
        return Int(int(low), int(high), log=log, q=int(q))
    return Float(low, high, log=log, q=q)


def _normal(name: str, kind: str, given: Mapping[str, Any], notes: list[str]) -> Domain:
    """Within two standard deviations; the density is a prior, which some algorithms use."""
    mean, deviation = given.get("mu", 0.0), given.get("sigma", 1.0)
    low, high = mean - 2 * deviation, mean + 2 * deviation
    notes.append(f"parameter {name}: {kind} is taken within two standard deviations of its mean, with a prior there")
    q = given.get("q", 1) if kind.startswith("q_") else None
    if "log" in kind:
        return Float(math.exp(low), math.exp(high), log=True, q=q, prior=None if q else Prior(math.exp(mean), 0.25))
    return Float(low, high, q=q, prior=None if q else Prior(mean, 0.25))


def _text(value: Any) -> Any:
    """Booleans reach the program as W&B writes them."""
    return str(value) if isinstance(value, bool) else value
