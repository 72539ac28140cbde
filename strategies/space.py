"""The search space as searchers see it: points in the unit cube, NaN where a parameter is inactive.

Notation: n points, d parameters (columns), U an `n x d` array in [0, 1] or NaN, K the values of a column.

| column                           | u in [0, 1] means                                | canonical u        |
| -------------------------------- | ------------------------------------------------ | ------------------ |
| float                            | linear, or linear in the logarithm               | u                  |
| K integers, or K multiples of q  | the i-th for u in [i/K, (i+1)/K)                 | (i + 0.5) / K      |
| the same, log                    | rounded, log over [first - 0.5, last + 0.5] * q  | that of the value  |
| categorical, ordinal, constant   | the i-th for u in [i/K, (i+1)/K)                 | (i + 0.5) / K      |

What a column's *code* is: see `columns`. The JSON document that `to_json` returns is the whole truth: it holds the
`ConfigurationSpace` in ConfigSpace's own format, its parameters in the user's order. How users' dicts become one:
`space_builder`.
"""

import copy
import json
import math
import operator
from collections.abc import Callable, Mapping
from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from strategies.columns import Array, Column, column_of
from strategies.conditions import Expression, Leaf, Relation, Test, evaluate, from_document, names, render
from strategies.domains import shorten
from strategies.errors import InvalidInput
from strategies.priors import SpacePrior

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

Mask: TypeAlias = NDArray[np.bool_]

FORMAT = 1
TRIES = 200_000  # points drawn in a row without an allowed one until a space counts as empty
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
        self._flat = all(path == [name] for name, path in self._paths.items())
        self.columns: tuple[Column, ...] = tuple(column_of(hp) for hp in parts["hyperparameters"])
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        self.dim: int = len(self.columns)
        self.free: NDArray[np.intp] = np.array(
            [j for j, column in enumerate(self.columns) if column.n_values != 1], dtype=np.intp
        )
        self._stepped = [(j, column) for j, column in enumerate(self.columns) if column.stepped]
        self._index = {name: j for j, name in enumerate(self.names)}
        self.conditions: dict[str, Expression] = {
            condition["child"]: self._expression(condition) for condition in parts["conditions"]
        }
        self.forbidden: tuple[Expression, ...] = tuple(self._expression(d) for d in parts["forbiddens"])
        self._parents = {name for expression in self.conditions.values() for name in names(expression)}
        # Parents before children: whether a parameter is active depends on whether its parents are.
        graph = TopologicalSorter({child: names(e) for child, e in self.conditions.items()})
        self._order = [(self._index[c], self.conditions[c]) for c in graph.static_order() if c in self.conditions]

    @cached_property
    def config_space(self) -> "ConfigurationSpace":
        """The space for ConfigSpace: the same names, ranges, conditions and forbidden clauses."""
        from ConfigSpace import ConfigurationSpace  # imports scipy.stats: 1 s

        return ConfigurationSpace.from_serialized_dict(copy.deepcopy(self._document["config_space"]))

    # --- points ---

    @cached_property
    def prior(self) -> SpacePrior:
        """What the users' `prior=` say; `prior.informed` is False without any."""
        return SpacePrior.of(self)

    def sample(self, rng: np.random.Generator, n: int, warp: Callable[[Array], Array] | None = None) -> Array:
        """n independent allowed points, canonical, shape (n, d): uniform over the cube, then over conditions.

        warp: makes another distribution over the cube, from points (n, d) of the uniform one.

        Raises: InvalidInput if the forbidden clauses leave (next to) nothing of the space.
        """
        if not self.forbidden:
            points = rng.random((n, self.dim))
            return self.canonical(warp(points) if warp else points)
        found = [np.empty((0, self.dim))]
        missing, batch, in_vain = n, n, 0
        while missing > 0:
            points = rng.random((batch, self.dim))
            points = self.canonical(warp(points) if warp else points)
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
        if len(U) == 1 and not self.conditions:
            return np.array([self._snapped(U[0].tolist())])
        U = np.clip(np.where(np.isnan(U), 0.5, U), 0.0, 1.0)
        codes = np.full_like(U, np.nan)
        for j, column in enumerate(self.columns):
            if column.stepped or column.name in self._parents:
                codes[:, j] = column.codes(U[:, j])
            if column.stepped:
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

    def matching(self, u: Array) -> list[Expression]:
        """The forbidden clauses that match a canonical point of shape (d,)."""
        codes = self._codes(u.reshape(1, -1))
        return [clause for clause in self.forbidden if self._holds(clause, codes)[0]]

    def decode(self, u: Array) -> dict[str, Any]:
        """The configuration, flat and with the active parameters only, of a canonical point of shape (d,)."""
        units = np.asarray(u, dtype=np.float64).tolist()
        return {c.name: c.value(c.code_at(unit)) for c, unit in zip(self.columns, units, strict=True) if unit == unit}

    def encode(self, config: Mapping[str, Any]) -> Array:
        """The canonical point, shape (d,), of a flat configuration; constants may be left out.

        Raises: InvalidInput for an unknown name, an illegal value, an active parameter that is missing and
        an inactive one that has a value. Forbidden combinations are `allowed`'s business.
        """
        for name in config:
            if name not in self._index:
                raise InvalidInput(f"{name}: not a parameter of this space; its parameters: {_list(self.names)}")
        given = [c.unit_at(c.code(config[c.name])) if c.name in config else math.nan for c in self.columns]
        if not self.conditions and len(config) == self.dim:  # all are active, and have a value
            return np.array(self._snapped(given))
        u = np.array([given])
        point = self.canonical(u)
        for column, value, known in zip(self.columns, point[0], ~np.isnan(u[0]), strict=True):
            active = not np.isnan(value)
            if active and not known and column.n_values != 1:
                raise InvalidInput(f"{column.name}: missing; give a value of {column.describe()}")
            if known and not active:
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
        if self._flat:
            return dict(config)
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
                    flat[names_of.get(path, ".".join(map(str, path)))] = value
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

    def _snapped(self, units: list[float]) -> list[float]:
        """The canonical values of all columns for unit values, where there are no conditions."""
        units = [0.5 if u != u else 0.0 if u < 0.0 else 1.0 if u > 1.0 else u for u in units]
        for j, column in self._stepped:
            units[j] = column.unit_at(column.code_at(units[j]))
        return units

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


def _list(items: tuple[str, ...]) -> str:
    return ", ".join(items)
