"""From what users write to a `SearchSpace`: dicts of domains, `Space`, ConfigSpace's `ConfigurationSpace`.

Every way leads to one document in ConfigSpace's JSON format, which `SearchSpace` compiles. Names are
resolved here and values checked, so that each error names the parameter, the value and the way out.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from strategies.columns import DECIMALS, column_of
from strategies.conditions import (
    Expression,
    Leaf,
    Relation,
    Test,
    from_document,
    parse,
    render,
    rewrite,
    to_condition,
    to_forbidden,
)
from strategies.domains import (
    MAX_INT,
    Categorical,
    Domain,
    Float,
    Int,
    Ordinal,
    Space,
    json_value,
    multiples,
    shorten,
)
from strategies.errors import InvalidInput
from strategies.rules import check_cycles, checked, is_number, possible, resolve
from strategies.space import FORMAT, SearchSpace

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

Document = dict[str, Any]

PRIOR_DRAWS = 1000  # of which at least one must be allowed, or the priors contradict the forbidden clauses


@dataclass(frozen=True)
class _Parameter:
    """One entry of the user's dict: where it stands, and what it is."""

    path: tuple[str, ...]
    value: Any  # a Domain, or the JSON value of a constant

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def condition(self) -> Expression | None:
        return self.value.condition if isinstance(self.value, Domain) else None


def as_space(obj: object) -> SearchSpace:
    """The search space that `obj` describes.

    Args:
        obj: a SearchSpace (returned as it is), a ConfigurationSpace, a `Space`, or a dict of domains,
            constants (any JSON value but a list) and dicts of such, whose names become "outer.inner".

    Raises: InvalidInput, naming the parameter, for whatever is wrong with it.
    """
    if isinstance(obj, SearchSpace):
        return obj
    loaded = sys.modules.get("ConfigSpace")  # importing it takes 1 s, and who has one of its spaces has it imported
    if loaded is not None and isinstance(obj, loaded.ConfigurationSpace):
        return _from_config_space(obj)
    space = obj if isinstance(obj, Space) else None
    parameters = space.parameters if space else obj
    if not isinstance(parameters, Mapping):
        raise InvalidInput(f"space: must be a dict of domains, a Space or a ConfigurationSpace; got {shorten(obj)}")
    return _from_parameters(_walk(parameters, ()), space.forbidden if space else ())


# --- dicts of domains ----------------------------------------------------------------------------------


def _walk(level: Mapping[Any, Any], prefix: tuple[str, ...]) -> list[_Parameter]:
    found: list[_Parameter] = []
    for key, value in level.items():
        if not isinstance(key, str) or not key:
            raise InvalidInput(f"space: names must be non-empty strings; got {key!r} in {list(level)!r}")
        path = (*prefix, key)
        name = ".".join(path)
        if isinstance(value, Mapping) and value:
            found += _walk(value, path)
        elif isinstance(value, Domain):
            found.append(_Parameter(path, value))
        elif isinstance(value, (list, tuple)):
            raise InvalidInput(
                f"{name}: a list is not a domain; use choice([...]), or choice([[...]]) for one fixed list; "
                f"got {shorten(value)}"
            )
        else:
            found.append(_Parameter(path, json_value(value, name)))
    return found


def _from_parameters(parameters: list[_Parameter], forbidden: Sequence[str]) -> SearchSpace:
    if not parameters:
        raise InvalidInput("space: must have at least one parameter; got {}")
    by_name = {parameter.name: parameter for parameter in parameters}
    if len(by_name) < len(parameters):
        listed = [parameter.name for parameter in parameters]
        twice = next(name for name in listed if listed.count(name) > 1)
        raise InvalidInput(f"{twice}: named twice, with dots and by nesting; rename one of them")
    hyperparameters = [_hyperparameter(parameter) for parameter in parameters]
    columns = {hp["name"]: column_of(hp) for hp in hyperparameters}
    conditions = {}
    for parameter in parameters:
        if parameter.condition is not None:
            resolved = resolve(parameter.condition, columns, parameter.path[:-1], parameter.name)
            conditions[parameter.name] = possible(resolved, columns, parameter.name)
    check_cycles(conditions)
    clauses = []
    for text in forbidden:
        clause = checked(resolve(parse(text), columns, (), "forbidden"), columns, "forbidden")
        if clause is not None:  # what a constant rules out already needs no clause
            clauses.append(clause)
    return _finished(
        hyperparameters,
        conditions,
        clauses,
        {p.name: list(p.path) for p in parameters if len(p.path) > 1},
    )


def _hyperparameter(parameter: _Parameter) -> Document:
    """ConfigSpace's JSON for the parameter; its default is set later."""
    name, value = parameter.name, parameter.value
    if isinstance(value, (Float, Int)):
        q = value.q if isinstance(value, Float) or value.q != 1 else None
        first, last = multiples(value.low, value.high, q) if q is not None else (0, 1)
        if value.low == value.high or first == last:
            only = value.low if q is None else first * q
            return _constant(name, round(only, DECIMALS) if isinstance(value, Float) else int(only))
        meta = ({} if q is None else {"q": q}) | _believed(value)
        if isinstance(value, Float):
            if q is None:
                low, high = _decimals(value.low, +1), _decimals(value.high, -1)
            else:
                low, high = (float(np.round(k * q, DECIMALS)) for k in (first, last))
            if low >= high or (value.log and q is None and abs(low - value.low) > 1e-3 * value.low):
                raise InvalidInput(
                    f"{name}: bounds are kept to {DECIMALS} decimals; got low={value.low:g}, "
                    f"high={value.high:g}; use a larger unit, or search the exponent"
                )
            return {
                "type": "uniform_float",
                "name": name,
                "lower": low,
                "upper": high,
                "log": value.log,
                "meta": meta,
            }
        return {
            "type": "uniform_int",
            "name": name,
            "lower": value.low,
            "upper": value.high,
            "log": value.log,
            "meta": meta,
        }
    if isinstance(value, Categorical):
        options, meta = _stored(value.choices)
        meta |= _believed(value)
        return {"type": "categorical", "name": name, "choices": options, "weights": None, "meta": meta}
    if isinstance(value, Ordinal):
        options, meta = _stored(value.sequence)
        return {"type": "ordinal", "name": name, "sequence": options, "meta": meta | _believed(value)}
    return _constant(name, value)


def _believed(domain: Domain) -> Document:
    """The meta data of the domain's prior."""
    return {} if domain.prior is None else {"prior": [domain.prior.value, domain.prior.confidence]}


def _constant(name: str, value: Any) -> Document:
    (stored,), meta = _stored((value,))
    return {"type": "constant", "name": name, "value": stored, "meta": meta}


def _stored(values: tuple[Any, ...]) -> tuple[list[Any], Document]:
    """Values as ConfigSpace can hold them, and the meta data that says how.

    It keeps them in a NumPy array, which drops NUL at the end of a string and rounds integers among floats.
    """
    text = all(isinstance(value, str) and not value.endswith("\0") for value in values)
    numbers = all(is_number(value) and abs(value) <= MAX_INT for value in values)
    if text or numbers:
        return list(values), {}
    return [json.dumps(value, sort_keys=True) for value in values], {"json": True}


def _decimals(bound: float, inwards: int) -> float:
    """The nearest bound inwards (+1: up, -1: down) that ConfigSpace keeps as it is, so that no value leaves
    the user's range. ConfigSpace rounds with np.round, which can move a large float by its last bit."""
    step = inwards * max(10.0**-DECIMALS, float(np.spacing(abs(bound))))
    kept = (float(np.round(bound + k * step, DECIMALS)) for k in range(100))
    fixed = (x for x in kept if (x - bound) * inwards >= 0 and np.round(x, DECIMALS) == x)
    return next(fixed, bound)


# --- documents -----------------------------------------------------------------------------------------


def _finished(
    hyperparameters: list[Document],
    conditions: dict[str, Expression],
    forbidden: list[Expression],
    paths: dict[str, list[str]],
) -> SearchSpace:
    """The space, with defaults that ConfigSpace accepts: the middle and first choices, or a random point."""
    as_json = {hp["name"] for hp in hyperparameters if hp["meta"].get("json")}

    def stored(rule: Expression) -> Expression:
        def leaf(test: Leaf) -> Expression:
            if isinstance(test, Relation) or test.name not in as_json:
                return test
            if test.op == "in":
                return Test(test.name, "in", tuple(json.dumps(v, sort_keys=True) for v in test.value))
            return Test(test.name, test.op, json.dumps(test.value, sort_keys=True))

        result = rewrite(rule, leaf)
        assert result is not None
        return result

    parts = {
        "name": None,
        "hyperparameters": hyperparameters,
        "conditions": [to_condition(stored(rule), child) for child, rule in conditions.items()],
        "forbiddens": [to_forbidden(stored(clause)) for clause in forbidden],
        "format_version": 0.4,
    }
    space = SearchSpace({"format": FORMAT, "config_space": parts, "paths": paths})
    start = np.array([0.5 if column.is_number else 0.0 for column in space.columns])
    middle = space.canonical(start[None, :])
    if not space.allowed(middle)[0]:
        middle = space.sample(np.random.default_rng(0), 1)
    config = space.decode(middle[0])
    for hp, column in zip(hyperparameters, space.columns, strict=True):
        if column.kind != "constant":
            code = column.codes(np.array([0.5 if column.is_number else 0.0]))[0]
            value = config.get(column.name, column.value(code))
            hp["default_value"] = json.dumps(value, sort_keys=True) if column.as_json else value
    space = SearchSpace({"format": FORMAT, "config_space": parts, "paths": paths})
    if not (conditions or forbidden):
        return space  # ranges and choices are checked already; ConfigSpace is not asked, for importing it takes 1 s
    try:
        _ = space.config_space
    except Exception as error:  # ConfigSpace has many exceptions; each means that it rejects the space
        reason = " ".join(str(error).split())
        raise InvalidInput(f"space: ConfigSpace rejects it: {reason}") from error
    if space.prior.informed and space.forbidden:
        _check_prior(space)
    return space


def _check_prior(space: SearchSpace) -> None:
    draws = space.prior.warp(np.random.default_rng(0).random((PRIOR_DRAWS, space.dim)))
    if not space.allowed(space.canonical(draws)).any():
        names = ", ".join(column.name for column in space.columns if column.prior)
        raise InvalidInput(
            f"prior: what the priors of {names} make likely is forbidden ({PRIOR_DRAWS} of {PRIOR_DRAWS} draws); "
            "move them, or loosen one of: " + "; ".join(render(clause) for clause in space.forbidden)
        )


def _from_config_space(space: "ConfigurationSpace") -> SearchSpace:
    """The user's own ConfigurationSpace: its order, its names as they are, defaults chosen anew."""
    document = space.to_serialized_dict()
    if not document["hyperparameters"]:
        raise InvalidInput("space: must have at least one parameter; got an empty ConfigurationSpace")
    hyperparameters = [_plain_hyperparameter(hp) for hp in document["hyperparameters"]]
    columns = {hp["name"]: column_of(hp) for hp in hyperparameters}
    conditions = {}
    for part in document["conditions"]:
        rule = from_document(_plain(part))
        conditions[part["child"]] = possible(rule, columns, part["child"])
    forbidden = [checked(from_document(_plain(part)), columns, "forbidden") for part in document["forbiddens"]]
    clauses = [clause for clause in forbidden if clause is not None]
    return _finished(hyperparameters, conditions, clauses, paths={})


def _plain_hyperparameter(hp: Document) -> Document:
    """A hyperparameter of the user's with plain values and without what only ConfigSpace's sampler knows."""
    name, kind = hp["name"], hp["type"]
    meta = {"q": hp["meta"]["q"]} if (hp.get("meta") or {}).get("q") else {}
    if kind == "constant":
        return _constant(name, json_value(hp["value"], name))
    if kind in ("uniform_float", "uniform_int"):
        low, high, log, q = hp["lower"], hp["upper"], bool(hp["log"]), meta.get("q")

        def number(prior: Any) -> Domain:
            if kind == "uniform_float":
                return Float(low, high, log, q, prior=prior)
            return Int(low, high, log, q or 1, prior=prior)

        return {
            "type": kind,
            "name": name,
            "lower": low,
            "upper": high,
            "log": log,
            "meta": meta | _asked(hp, number),
        }
    if kind == "categorical":
        if len(set(hp["weights"] or [])) > 1:
            raise InvalidInput(f"{name}: weights are not supported; leave weights out; got {list(hp['weights'])}")
        options, meta = _stored(Categorical(hp["choices"]).choices)
        meta |= _asked(hp, lambda prior: Categorical(hp["choices"], prior=prior))
        return {"type": kind, "name": name, "choices": options, "weights": None, "meta": meta}
    if kind == "ordinal":
        options, meta = _stored(Ordinal(hp["sequence"]).sequence)
        meta |= _asked(hp, lambda prior: Ordinal(hp["sequence"], prior=prior))
        return {"type": kind, "name": name, "sequence": options, "meta": meta}
    raise InvalidInput(
        f"{name}: {kind} parameters are not supported; use a uniform one (log=True if scales differ) "
        f"over the range of interest"
    )


def _asked(hp: Document, make: Callable[[Any], Domain]) -> Document:
    """The meta data of the prior that a user's hyperparameter asks for: meta={"prior": [value, confidence]}, or the
    value alone. A default value is no prior: every hyperparameter has one."""
    given = (hp.get("meta") or {}).get("prior")
    if given is None:
        return {}
    try:
        return _believed(make(tuple(given) if isinstance(given, list) else given))
    except InvalidInput as error:
        raise InvalidInput(f"{hp['name']}: {error}") from None


def _plain(part: Document) -> Document:
    """A rule of the user's with plain values."""
    plain = {
        key: [_plain(p) for p in value] if key in ("conditions", "clauses") else value for key, value in part.items()
    }
    for key in ("value", "values"):
        if key in plain:
            plain[key] = json_value(plain[key], str(plain.get("parent", plain.get("name"))))
    return plain
