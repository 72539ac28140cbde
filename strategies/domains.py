"""What a parameter may be, as users write it: `uniform(0, 1)`, `choice([...])`, `.when(...)`, `Space`.

Domains are frozen, know nothing of their parameter's name, and check themselves when they are made. Each takes
`prior=`, what is believed of it: a value, or (value, confidence), see `Prior`. The standard library only: workers
import this. `space_builder` turns a dict of domains into a `SearchSpace`.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

from strategies.conditions import Expression, all_of, equals, parse
from strategies.errors import InvalidInput
from strategies.numbers import is_finite

D = TypeVar("D", bound="Domain")

MAX_INT = 2**53  # integers beyond it are not exact as float64, which the unit cube is made of
MAX_FLOAT = 1e100  # far beyond use, and products of two such numbers are still finite
SPREADS = {"low": 0.5, "medium": 0.25, "high": 0.125}  # Mallik et al. 2023, in their code
MIN_SPREAD = 1e-3  # who is surer than this wants a constant


@dataclass(frozen=True)
class Prior:
    """What is believed of a parameter before anything was tried: a value, and how sure one is.

    confidence: a key of `SPREADS`, or a spread in [0.001, 1]. The spread is the standard deviation of a normal around
    the value, as a share of the range (of its logarithm, where the domain is log). Of choices, which have no order, it
    is how likely each other option is, relative to the value.
    """

    value: Any
    confidence: str | float = "medium"

    @property
    def spread(self) -> float:
        return SPREADS[self.confidence] if isinstance(self.confidence, str) else self.confidence


@dataclass(frozen=True)
class Domain:
    """The values that a parameter may take, the condition under which it exists (None: always), and what is believed
    of it (None: nothing).

    A prior may be given as a value, or as a pair (value, confidence): see `Prior`. A tuple is always such a pair.
    """

    condition: Expression | None = dataclasses.field(default=None, kw_only=True)
    prior: Prior | None = dataclasses.field(default=None, kw_only=True)

    def when(self: D, expression: str | None = None, /, **equal: Any) -> D:
        """A copy that is active only if the condition holds too; a list means any of its values.

        `.when(optimizer="sgd")`, `.when(optimizer=["sgd", "rmsprop"])`, `.when("layers > 2 and depth != 4")`.
        In a nested dict a name means the sibling of that name, else the parameter of that full name.
        """
        if expression is None and not equal:
            raise InvalidInput('when: say under which condition, as in .when(optimizer="sgd")')
        parts = [] if self.condition is None else [self.condition]
        parts += [] if expression is None else [parse(expression)]
        parts += [equals(name, _plain_condition(name, value)) for name, value in equal.items()]
        return dataclasses.replace(self, condition=all_of(parts))

    def _take_prior(self, label: str, legal: Callable[[Any], Any]) -> None:
        """Make a `Prior` of what was given; `legal` raises for a value that the parameter cannot have."""
        given: Any = self.prior
        if given is None:
            return
        pair = (given.value, given.confidence) if isinstance(given, Prior) else given
        if not isinstance(pair, tuple):
            pair = (given, "medium")
        if len(pair) != 2:
            raise InvalidInput(
                f"{label}: prior must be a value or a pair (value, confidence); got prior={shorten(given)}"
            )
        object.__setattr__(self, "prior", Prior(legal(pair[0]), _confidence(label, pair[1])))


@dataclass(frozen=True)
class Float(Domain):
    """A float in [low, high]: uniform, or uniform in its logarithm; with `q`, a multiple of q."""

    low: float
    high: float
    log: bool = False
    q: float | None = None

    def __post_init__(self) -> None:
        label = f"{'q' if self.q is not None else ''}{'log' if self.log else ''}uniform"
        low, high = _number(label, "low", self.low), _number(label, "high", self.high)
        _check_range(label, low, high, self.log, MAX_FLOAT)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        if self.q is not None:
            object.__setattr__(self, "q", _number(label, "q", self.q))
            _check_q(label, low, high, self.q)
        self._take_prior(label, lambda value: _believed_float(label, value, self))


@dataclass(frozen=True)
class Int(Domain):
    """An integer in [low, high], both included, and a multiple of q: uniform, or log-uniform."""

    low: int
    high: int
    log: bool = False
    q: int = 1

    def __post_init__(self) -> None:
        low, high = _integer("Int", "low", self.low), _integer("Int", "high", self.high)
        if low != high:  # one value is a range of integers, unlike one of floats
            _check_range("Int", low, high, self.log, MAX_INT)
        elif self.log and low <= 0:
            raise InvalidInput(f"Int: low must be above 0 with log=True; got low={low}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "q", _integer("Int", "q", self.q))
        if self.q != 1:
            _check_q("Int", low, high, self.q)
        label = f"{'q' if self.q != 1 else ''}{'log' if self.log else ''}randint"
        self._take_prior(label, lambda value: _believed_int(label, value, self))


@dataclass(frozen=True)
class Categorical(Domain):
    """One of `choices` (JSON values), which have no order."""

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", _options("choice", self.choices))
        self._take_prior("choice", lambda value: _believed_option("choice", value, self.choices))


@dataclass(frozen=True)
class Ordinal(Domain):
    """One of `sequence` (JSON values), which go from less to more: neighbours are alike."""

    sequence: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequence", _options("ordinal", self.sequence))
        self._take_prior("ordinal", lambda value: _believed_option("ordinal", value, self.sequence))


@dataclass(frozen=True)
class Space:
    """Parameters together with the combinations that are forbidden.

    `Space({"optimizer": choice(["sgd", "adam"]), "lr": uniform(0, 1)},
    forbidden=["optimizer == sgd and lr > 0.5"])`
    """

    parameters: Mapping[str, Any]
    forbidden: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, Mapping):
            raise InvalidInput(f"Space: parameters must be a dict; got {shorten(self.parameters)}")
        clauses = (self.forbidden,) if isinstance(self.forbidden, str) else tuple(self.forbidden)
        for clause in clauses:
            parse(clause)
        object.__setattr__(self, "forbidden", clauses)


def uniform(low: float, high: float, *, prior: Any = None) -> Float:
    """A float, uniform in [low, high]."""
    return Float(low, high, prior=prior)


def quniform(low: float, high: float, q: float, *, prior: Any = None) -> Float:
    """A multiple of q in [low, high], each as likely as any other."""
    return Float(low, high, q=q, prior=prior)


def loguniform(low: float, high: float, *, prior: Any = None) -> Float:
    """A float in [low, high], uniform in its logarithm; low must be above 0."""
    return Float(low, high, log=True, prior=prior)


def qloguniform(low: float, high: float, q: float, *, prior: Any = None) -> Float:
    """A multiple of q in [low, high], log-uniform before rounding; low must be above 0."""
    return Float(low, high, log=True, q=q, prior=prior)


def randint(low: int, high: int, *, prior: Any = None) -> Int:
    """An integer in [low, high): `high` is NOT included, as in `ray.tune` and NumPy."""
    return _exclusive("randint", low, high, log=False, prior=prior)


def qrandint(low: int, high: int, q: int = 1, *, prior: Any = None) -> Int:
    """A multiple of q in [low, high], both included, each as likely as any other."""
    return _inclusive("qrandint", low, high, q, log=False, prior=prior)


def lograndint(low: int, high: int, *, prior: Any = None) -> Int:
    """An integer in [low, high), log-uniform: `high` is NOT included, as in `ray.tune` and NumPy."""
    return _exclusive("lograndint", low, high, log=True, prior=prior)


def qlograndint(low: int, high: int, q: int, *, prior: Any = None) -> Int:
    """A multiple of q in [low, high], both included, log-uniform; low must be above 0."""
    return _inclusive("qlograndint", low, high, q, log=True, prior=prior)


def choice(options: Iterable[Any], *, prior: Any = None) -> Categorical:
    """One of the options, each as likely as any other: JSON values, in a list or another ordered iterable."""
    return Categorical(_options("choice", options), prior=prior)


def ordinal(options: Iterable[Any], *, prior: Any = None) -> Ordinal:
    """One of the options, which are given in their order, from less to more."""
    return Ordinal(_options("ordinal", options), prior=prior)


# --- what the builder and the space share --------------------------------------------------------------


def json_value(value: Any, label: str) -> Any:
    """`value` as plain JSON data: tuples become lists, NumPy scalars Python's.

    Raises: InvalidInput for anything else (functions, classes, non-finite floats).
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [json_value(item, label) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: json_value(item, label) for key, item in value.items()}
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return json_value(value.item(), label)
    raise InvalidInput(
        f"{label}: {shorten(value)} is not a JSON value (string, finite number, bool, None, list, dict); "
        "use a name and look it up in the trainable"
    )


def identity(value: Any) -> tuple[str, Any]:
    """A key that is equal for values that are the same: 1 and 1.0 are, True and 1 are not."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ("number", value)
    return ("json", json.dumps(value, sort_keys=True))


def multiples(low: float, high: float, q: float) -> tuple[int, int]:
    """(first, last): the multiples of q in [low, high] are first*q ... last*q; none if first > last."""

    def index(bound: float, inwards: Any) -> int:
        # 0.3 / 0.1 is 2.9999999999999996: a bound that is a multiple but for rounding counts as one.
        nearest = round(bound / q)
        return nearest if math.isclose(bound / q, nearest, rel_tol=1e-9) else int(inwards(bound / q))

    return index(low, math.ceil), index(high, math.floor)


def shorten(value: Any) -> str:
    """`repr(value)` on one line, cut where it gets long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _exclusive(label: str, low: Any, high: Any, log: bool, prior: Any) -> Int:
    low, high = _integer(label, "low", low), _integer(label, "high", high)
    _check_range(label, low, high, log, MAX_INT)
    return Int(low, high - 1, log=log, prior=prior)


def _inclusive(label: str, low: Any, high: Any, q: Any, log: bool, prior: Any) -> Int:
    low, high, q = _integer(label, "low", low), _integer(label, "high", high), _integer(label, "q", q)
    _check_range(label, low, high, log, MAX_INT)
    _check_q(label, low, high, q)
    return Int(low, high, log=log, q=q, prior=prior)


def _number(label: str, field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not is_finite(value):
        raise InvalidInput(f"{label}: {field} must be a finite number; got {field}={shorten(value)}")
    return float(value)


def _integer(label: str, field: str, value: Any) -> int:
    number = _number(label, field, value)
    if not number.is_integer():
        raise InvalidInput(f"{label}: {field} must be a whole number; got {field}={shorten(value)}")
    return int(value)


def _check_range(label: str, low: float, high: float, log: bool, limit: float) -> None:
    if low >= high:
        raise InvalidInput(f"{label}: low must be below high; got low={low:g}, high={high:g}")
    if log and low <= 0:
        raise InvalidInput(f"{label}: low must be above 0; got low={low:g}")
    if max(abs(low), abs(high)) > limit:
        raise InvalidInput(
            f"{label}: bounds must lie within +-{limit:g}; got low={low:g}, high={high:g}; search log(x)"
        )


def _check_q(label: str, low: float, high: float, q: float) -> None:
    if q <= 0:
        raise InvalidInput(f"{label}: q must be above 0; got q={q:g}")
    if q > (high - low) * (1 + 1e-9) and low != high:
        raise InvalidInput(f"{label}: q must be at most high - low = {high - low:g}; got q={q:g}")
    first, last = multiples(low, high, q)
    if first > last:
        raise InvalidInput(f"{label}: no multiple of q={q:g} lies between low={low:g} and high={high:g}")


def _options(label: str, options: Any) -> tuple[Any, ...]:
    if isinstance(options, (str, Mapping)) or not isinstance(options, Iterable):
        raise InvalidInput(f"{label}: options must be a list; got {shorten(options)}")
    if isinstance(options, (set, frozenset)):
        raise InvalidInput(f"{label}: a set has no order to repeat; use a list; got {shorten(options)}")
    values = tuple(json_value(option, label) for option in options)
    if not values:
        raise InvalidInput(f"{label}: options must not be empty; got []")
    seen: set[tuple[str, Any]] = set()
    for value in values:
        if identity(value) in seen:
            raise InvalidInput(f"{label}: options must differ; got {shorten(value)} twice")
        seen.add(identity(value))
    return values


def _confidence(label: str, confidence: Any) -> str | float:
    if isinstance(confidence, str) and confidence in SPREADS:
        return confidence
    is_number = isinstance(confidence, Real) and not isinstance(confidence, bool)
    if is_number and MIN_SPREAD <= confidence <= 1:
        return float(confidence)
    raise InvalidInput(
        f"{label}: the confidence in a prior must be 'low', 'medium', 'high' or a spread from {MIN_SPREAD:g} to 1; "
        f"got {shorten(confidence)}"
    )


def _believed_float(label: str, value: Any, domain: Float) -> float:
    number = _number(label, "prior", value)
    _check_believed(label, number, domain.low, domain.high, domain.q)
    return number


def _believed_int(label: str, value: Any, domain: Int) -> int:
    number = _integer(label, "prior", value)
    _check_believed(label, number, domain.low, domain.high, None if domain.q == 1 else domain.q)
    return number


def _check_believed(label: str, value: float, low: float, high: float, q: float | None) -> None:
    first, last = (low, high) if q is None else (k * q for k in multiples(low, high, q))
    slack = 0.0 if q is None else 1e-9 * q
    if not first - slack <= value <= last + slack:
        raise InvalidInput(f"{label}: prior must be between {first:g} and {last:g}; got prior={value:g}")
    if q is not None and not math.isclose(round(value / q) * q, value, rel_tol=1e-9, abs_tol=slack):
        raise InvalidInput(f"{label}: prior must be a multiple of q={q:g}; got prior={value:g}")


def _believed_option(label: str, value: Any, options: tuple[Any, ...]) -> Any:
    wanted = json_value(value, f"{label}: prior")
    for option in options:
        if identity(option) == identity(wanted):
            return option
    raise InvalidInput(f"{label}: prior must be one of {shorten(list(options))}; got prior={shorten(value)}")


def _plain_condition(name: str, value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        raise InvalidInput(f"when: {name} must be a value or a list of values; got {shorten(value)}")
    return json_value(value, f"when: {name}")
