"""The search space as searchers see it: points in the unit cube, NaN where a parameter is inactive.

Notation: n points, d parameters (columns), U an `n x d` array in [0, 1] or NaN, K the values of a column.

| column                           | u in [0, 1] means                                | canonical u        |
| -------------------------------- | ------------------------------------------------ | ------------------ |
| float                            | linear, or linear in the logarithm               | u                  |
| K integers, or K multiples of q  | the i-th for u in [i/K, (i+1)/K)                 | (i + 0.5) / K      |
| the same, log                    | rounded, log over [first - 0.5, last + 0.5] * q  | that of the value  |
| categorical, ordinal, constant   | the i-th for u in [i/K, (i+1)/K)                 | (i + 0.5) / K      |

Inside, a column's *code* is what conditions compare: a float's value, k of the multiple k*q, or the index of
a choice. The JSON document that `to_json` returns is the whole truth: it holds the `ConfigurationSpace` in
ConfigSpace's own format, its parameters in the user's order. How users' dicts become one: `space_builder`.
"""

import copy
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Literal, TypeAlias

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from strategies.conditions import Expression, Leaf, Relation, Test, evaluate, from_document, names, render
from strategies.domains import identity, multiples, shorten
from strategies.errors import InvalidInput

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Kind: TypeAlias = Literal["float", "int", "categorical", "ordinal", "constant"]

FORMAT = 1
DECIMALS = 13  # ConfigSpace keeps this many decimals of a float
SIGNIFICANT = 12  # digits of a log-scaled float: coarser than the error of exp(log(x)), so that encode inverts
TRIES = 200_000  # points drawn in a row without an allowed one until a space counts as empty
_KINDS: dict[str, Kind] = {
    "uniform_float": "float",
    "uniform_int": "int",
    "categorical": "categorical",
    "ordinal": "ordinal",
    "constant": "constant",
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Column:
    """One parameter. `n_values` is 0 for a float, unless it has a `q`: then the number of multiples."""

    name: str
    kind: Kind
    n_values: int
    log: bool = False
    lower: float = 0.0
    upper: float = 0.0
    q: float | None = None  # 1 for integers, None for continuous floats and for choices
    values: tuple[Any, ...] = ()  # of a categorical, ordinal or constant
    as_json: bool = False  # ConfigSpace has the JSON text of the values
    first: int = 0  # k of the least multiple of q
    offset: float = 0.0  # a number's code is offset + u * scale, or the exponential of that
    scale: float = 0.0
    decimals: int = 0  # of a continuous, linear float
    index: Mapping[tuple[str, Any], int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_number(self) -> bool:
        """Whether values have bounds, and an order of their own."""
        return self.kind in ("float", "int")

    def codes(self, u: Array) -> Array:
        """Codes, shape (n,), of unit values in [0, 1]; NaN stays NaN."""
        if self.q is None and self.kind == "float":
            t = self.offset + u * self.scale
            values = _significant(np.exp(t)) if self.log else np.round(t, self.decimals)
            return np.clip(values, self.lower, self.upper)
        if self.log:
            return np.clip(np.rint(np.exp(self.offset + u * self.scale)), self.first, self.first + self.n_values - 1)
        return self.first + np.minimum(np.floor(u * self.n_values), self.n_values - 1)

    def units(self, codes: Array) -> Array:
        """Canonical unit values, shape (n,), of codes."""
        if self.log:
            return np.clip((np.log(codes) - self.offset) / self.scale, 0.0, 1.0)
        if self.q is None and self.kind == "float":
            return np.clip((codes - self.offset) / self.scale, 0.0, 1.0)
        return (codes - self.first + 0.5) / self.n_values

    def value(self, code: float) -> Any:
        """The plain Python value of a code."""
        if self.values:
            return copy.deepcopy(self.values[int(code)]) if self.as_json else self.values[int(code)]
        if self.q is None:
            return float(code)
        if self.kind == "int":
            return int(code) * int(self.q)
        return min(max(float(np.round(code * self.q, DECIMALS)), self.lower), self.upper)

    def code(self, value: Any) -> float:
        """The code of a value; InvalidInput, naming the parameter, if the value is not legal."""
        if self.values:
            try:
                return self.index[identity(value.item() if isinstance(value, np.generic) else value)]
            except (KeyError, TypeError):
                choices = shorten(list(self.values))
                raise InvalidInput(f"{self.name}: must be one of {choices}; got {shorten(value)}") from None
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
            raise InvalidInput(f"{self.name}: must be a number; got {shorten(value)}")
        slack = 10.0**-DECIMALS
        if not self.lower - slack <= value <= self.upper + slack:
            raise InvalidInput(f"{self.name}: must be between {self.lower:g} and {self.upper:g}; got {shorten(value)}")
        if self.q is None:
            return min(max(float(value), self.lower), self.upper)
        k = round(float(value) / self.q)
        if not math.isclose(k * self.q, float(value), rel_tol=1e-9, abs_tol=1e-9 * self.q):
            what = "a whole number" if self.q == 1 else f"a multiple of {self.q:g}"
            raise InvalidInput(f"{self.name}: must be {what}; got {shorten(value)}")
        if not self.first <= k < self.first + self.n_values:
            low, high = self.value(self.first), self.value(self.first + self.n_values - 1)
            raise InvalidInput(f"{self.name}: must be between {low} and {high}; got {shorten(value)}")
        return float(k)

    def threshold(self, value: Any) -> float:
        """`value`, which need not be legal, on the scale of the codes, for comparisons."""
        if self.values:
            found = self.index.get(identity(value))
            return -1.0 if found is None else float(found)
        if self.q is None:
            return float(value)
        k = round(value / self.q)
        return float(k) if math.isclose(value / self.q, k, rel_tol=1e-9) else float(value / self.q)

    def describe(self) -> str:
        """The domain as a user would write it."""
        if self.kind == "constant":
            return repr(self.values[0])
        if self.values:
            return f"{'choice' if self.kind == 'categorical' else 'ordinal'}({list(self.values)!r})"
        log = "log" if self.log else ""
        if self.kind == "int":
            low, high = int(self.lower), int(self.upper)
            return f"{log}randint({low}, {high + 1})" if self.q == 1 else f"q{log}randint({low}, {high}, {self.q:g})"
        bounds = f"{self.lower!r}, {self.upper!r}"
        return f"{log}uniform({bounds})" if self.q is None else f"q{log}uniform({bounds}, {self.q!r})"


class SearchSpace:
    """A search space, compiled to arrays. Made by `as_space` or `from_json`; it never changes."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        if document.get("format") != FORMAT:
            raise InvalidInput(
                f"space: format must be {FORMAT}; got {document.get('format')!r}; use the release that wrote it"
            )
        self._document: dict[str, Any] = json.loads(json.dumps(document))
        parts = self._document["config_space"]
        self._paths: dict[str, list[str]] = self._document["paths"]
        self.columns: tuple[Column, ...] = tuple(column_of(hp) for hp in parts["hyperparameters"])
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        self.dim: int = len(self.columns)
        self.free: NDArray[np.intp] = np.array(
            [j for j, column in enumerate(self.columns) if column.n_values != 1], dtype=np.intp
        )
        self._index = {name: j for j, name in enumerate(self.names)}
        self.conditions: dict[str, Expression] = {
            condition["child"]: self._expression(condition) for condition in parts["conditions"]
        }
        self.forbidden: tuple[Expression, ...] = tuple(self._expression(d) for d in parts["forbiddens"])
        # Parents before children: whether a parameter is active depends on whether its parents are.
        graph = TopologicalSorter({child: names(e) for child, e in self.conditions.items()})
        self._order = [(self._index[c], self.conditions[c]) for c in graph.static_order() if c in self.conditions]

    @cached_property
    def config_space(self) -> ConfigurationSpace:
        """The space for ConfigSpace: the same names, ranges, conditions and forbidden clauses."""
        return ConfigurationSpace.from_serialized_dict(copy.deepcopy(self._document["config_space"]))

    # --- points ---

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """n independent allowed points, canonical, shape (n, d): uniform over the cube, then over conditions.

        Raises: InvalidInput if the forbidden clauses leave (next to) nothing of the space.
        """
        found = [np.empty((0, self.dim))]
        missing, batch, in_vain = n, n, 0
        while missing > 0:
            points = self.canonical(rng.random((batch, self.dim)))
            points = points[self.allowed(points)]
            in_vain = 0 if len(points) else in_vain + batch
            if in_vain >= TRIES:
                raise InvalidInput(
                    f"forbidden: none of {in_vain} random points is allowed; loosen one of: "
                    + "; ".join(render(clause) for clause in self.forbidden)
                )
            found.append(points[:missing])
            missing -= len(found[-1])
            batch = min(max(2 * batch, 16), 20_000)
        return np.concatenate(found)

    def canonical(self, U: Array) -> Array:
        """Points, shape (n, d), snapped to legal values, with exactly the inactive parameters NaN.

        Values outside of [0, 1] are clipped; a NaN where a parameter is active becomes 0.5.
        """
        U = np.clip(np.where(np.isnan(U), 0.5, U), 0.0, 1.0)
        codes = self._codes(U)
        for j, column in enumerate(self.columns):
            if column.q is not None or column.values:
                U[:, j] = column.units(codes[:, j])
        for j, condition in self._order:
            inactive = ~self._holds(condition, codes)
            codes[inactive, j] = np.nan
            U[inactive, j] = np.nan
        return U

    def allowed(self, U: Array) -> Mask:
        """Which canonical points, shape (n, d), no forbidden clause matches; shape (n,)."""
        allowed = np.ones(len(U), dtype=np.bool_)
        if self.forbidden:
            codes = self._codes(U)
            for clause in self.forbidden:
                allowed &= ~self._holds(clause, codes)
        return allowed

    def decode(self, u: Array) -> dict[str, Any]:
        """The configuration, flat and with the active parameters only, of a canonical point of shape (d,)."""
        codes = self._codes(np.asarray(u, dtype=np.float64).reshape(1, -1))[0].tolist()
        return {
            column.name: column.value(code) for column, code in zip(self.columns, codes, strict=True) if code == code
        }

    def encode(self, config: Mapping[str, Any]) -> Array:
        """The canonical point, shape (d,), of a flat configuration; constants may be left out.

        Raises: InvalidInput for an unknown name, an illegal value, an active parameter that is missing and
        an inactive one that has a value. Forbidden combinations are `allowed`'s business.
        """
        for name in config:
            if name not in self._index:
                raise InvalidInput(f"{name}: not a parameter of this space; its parameters: {_list(self.names)}")
        u = np.full((1, self.dim), np.nan)
        for j, column in enumerate(self.columns):
            if column.name in config:
                u[0, j] = column.units(np.array([column.code(config[column.name])]))[0]
        point = self.canonical(u)
        for column, value, given in zip(self.columns, point[0], ~np.isnan(u[0]), strict=True):
            active = not np.isnan(value)
            if active and not given and column.n_values != 1:
                raise InvalidInput(f"{column.name}: missing; give a value of {column.describe()}")
            if given and not active:
                condition = render(self.conditions[column.name])
                raise InvalidInput(
                    f"{column.name}: inactive here, since it needs '{condition}'; leave it out; "
                    f"got {shorten(config[column.name])}"
                )
        result: Array = point[0]
        return result

    # --- names ---

    def nest(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat configuration in the nested dicts that the user wrote: what the trainable sees."""
        nested: dict[str, Any] = {}
        for name, value in config.items():
            *groups, last = self._paths.get(name, [name])
            place = nested
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return nested

    def flatten(self, nested: Mapping[str, Any]) -> dict[str, Any]:
        """The flat configuration of a nested one; flat names are accepted too."""
        names_of = {tuple(path): name for name, path in self._paths.items()}
        groups = {path[:depth] for path in names_of for depth in range(1, len(path))}

        def walk(level: Mapping[str, Any], prefix: tuple[str, ...]) -> dict[str, Any]:
            flat: dict[str, Any] = {}
            for key, value in level.items():
                path = (*prefix, key)
                if path in groups and isinstance(value, Mapping):
                    flat |= walk(value, path)
                else:
                    flat[names_of.get(path, ".".join(path))] = value
            return flat

        return walk(nested, ())

    # --- the document ---

    def to_json(self) -> dict[str, Any]:
        """The space as JSON data: the same for the same input, and all that `from_json` needs."""
        return copy.deepcopy(self._document)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "SearchSpace":
        """The space that `to_json` described."""
        return cls(document)

    def difference(self, other: "SearchSpace") -> list[str]:
        """What changed from this space to `other`, a line for each parameter or clause; [] if nothing."""
        old, new = self._descriptions(), other._descriptions()
        lines = [f"{name}: removed" for name in old if name not in new]
        lines += [f"{name}: added" for name in new if name not in old]
        lines += [f"{n}: {old[n]} -> {new[n]}" for n in old if n in new and old[n] != new[n]]
        before, after = ([render(clause) for clause in space.forbidden] for space in (self, other))
        lines += [f"forbidden '{clause}': removed" for clause in before if clause not in after]
        lines += [f"forbidden '{clause}': added" for clause in after if clause not in before]
        if not lines and self.names != other.names:
            lines.append(f"order: {_list(self.names)} -> {_list(other.names)}")
        if not lines and self._paths != other._paths:
            lines.append("nesting: the parameters are in other groups")
        return lines

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "SearchSpace(" + ", ".join(f"{n}={d}" for n, d in self._descriptions().items()) + ")"

    def __reduce__(self) -> tuple[Any, ...]:
        return (SearchSpace.from_json, (self._document,))

    @cached_property
    def _text(self) -> str:
        return json.dumps(self._document, sort_keys=True)

    def _descriptions(self) -> dict[str, str]:
        when = {name: f" when {render(condition)}" for name, condition in self.conditions.items()}
        return {c.name: c.describe() + when.get(c.name, "") for c in self.columns}

    # --- codes and rules ---

    def _codes(self, U: Array) -> Array:
        return np.stack([column.codes(U[:, j]) for j, column in enumerate(self.columns)], axis=1)

    def _expression(self, document: dict[str, Any]) -> Expression:
        """A rule of the document with the values as users know them, not as ConfigSpace has them."""

        def plain(part: dict[str, Any]) -> dict[str, Any]:
            part = {
                key: [plain(p) for p in value] if key in ("conditions", "clauses") else value
                for key, value in part.items()
            }
            name = part.get("parent", part.get("name"))
            if name in self._index and self.columns[self._index[name]].as_json:
                if "value" in part:
                    part["value"] = json.loads(part["value"])
                if "values" in part:
                    part["values"] = [json.loads(text) for text in part["values"]]
            return part

        return from_document(plain(document))

    def _holds(self, expression: Expression, codes: Array) -> Mask:
        """Where the expression holds, shape (n,), for codes of shape (n, d) with NaN where inactive."""

        def leaf(test: Leaf) -> Mask:
            if isinstance(test, Relation):
                return self._related(test, codes)
            return _test(self.columns[self._index[test.name]], test, codes[:, self._index[test.name]])

        holds: Mask = evaluate(expression, leaf)
        return holds

    def _related(self, relation: Relation, codes: Array) -> Mask:
        """Point by point: relations compare values, of any type, and are rare."""
        left, right = self._index[relation.left], self._index[relation.right]
        compare = _COMPARE[relation.op]
        holds = np.zeros(len(codes), dtype=np.bool_)
        for i in np.flatnonzero(~np.isnan(codes[:, left] + codes[:, right])):
            a, b = self.columns[left].value(codes[i, left]), self.columns[right].value(codes[i, right])
            holds[i] = bool(compare(a, b))
        return holds


def _test(column: Column, test: Test, codes: Array) -> Mask:
    if test.op == "in":
        return np.isin(codes, [column.threshold(value) for value in test.value])
    threshold = column.threshold(test.value)
    holds: Mask = _COMPARE[test.op](codes, threshold)
    return holds & ~np.isnan(codes)


def _significant(values: Array) -> Array:
    """Positive values, rounded to SIGNIFICANT digits."""
    decimals = SIGNIFICANT - 1 - np.floor(np.log10(values))
    # Dividing by a power of ten is exact to the last bit, multiplying by its inverse is not.
    small, large = 10.0 ** np.maximum(decimals, 0), 10.0 ** np.maximum(-decimals, 0)
    rounded: Array = np.rint(values * small / large) / small * large
    return rounded


def column_of(hp: Mapping[str, Any]) -> Column:
    """A column from ConfigSpace's JSON for a hyperparameter."""
    meta = hp.get("meta") or {}
    kind = _KINDS[hp["type"]]
    if kind not in ("float", "int"):
        stored = [hp["value"]] if kind == "constant" else hp.get("choices", hp.get("sequence"))
        as_json = bool(meta.get("json"))
        values = tuple(json.loads(text) if as_json else text for text in stored)
        index = {identity(value): i for i, value in enumerate(values)}
        return Column(hp["name"], kind, len(values), values=values, as_json=as_json, index=index)
    log, lower, upper = bool(hp["log"]), hp["lower"], hp["upper"]
    q = meta.get("q", 1 if kind == "int" else None)
    plain = Column(hp["name"], kind, 0, log=log, lower=lower, upper=upper, q=q)
    if q is None:
        offset, end = (math.log(lower), math.log(upper)) if log else (lower, upper)
        # Coarse enough that decode(encode(x)) is x in floating point, fine enough for u within 1e-11.
        step = max(1e-12 * (upper - lower), 1e-14 * max(abs(lower), abs(upper)))
        decimals = min(math.floor(-math.log10(step)), DECIMALS)
        return replace(plain, offset=offset, scale=end - offset, decimals=decimals)
    first, last = multiples(lower, upper, q)
    if first > last:
        raise InvalidInput(f"{hp['name']}: no multiple of q={q:g} lies between {lower:g} and {upper:g}")
    if not log:
        return replace(plain, n_values=last - first + 1, first=first)
    offset, end = math.log(first - 0.5), math.log(last + 0.5)
    return replace(plain, n_values=last - first + 1, first=first, offset=offset, scale=end - offset)


def _list(items: tuple[str, ...]) -> str:
    return ", ".join(items)
