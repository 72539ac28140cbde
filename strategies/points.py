"""Configurations that are given, not suggested: checked against the space, and completed where they are partial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from strategies.conditions import render
from strategies.domains import shorten
from strategies.errors import InvalidInput
from strategies.history import Array
from strategies.space import SearchSpace

BATCHES = (1, 16, 1_000, 20_000)  # draws, until what is given can be no part of any configuration
POINTS = 1  # what sets these draws apart from those of the suggestions of the same number


def first_points(space: SearchSpace, points: object, seed: int) -> tuple[dict[str, Any], ...]:
    """The configurations, flat and complete, of `points_to_evaluate`, a sequence of nested dicts.

    What a point leaves out is drawn uniformly from what the space allows beside it: for point k with
    default_rng([seed, k, POINTS]), whatever the searcher is.

    Raises:
        InvalidInput: naming the point and the parameter, for an unknown name, an illegal value, a parameter that is
        inactive in every configuration with the others, and a forbidden combination.
    """
    if isinstance(points, (str, bytes, Mapping)) or not isinstance(points, Sequence):
        raise InvalidInput(f"points_to_evaluate must be a list of configurations; got {shorten(points)}")
    return tuple(_first_point(space, point, seed, k) for k, point in enumerate(points))


def completions(space: SearchSpace, config: Mapping[str, Any], rng: np.random.Generator, n: int) -> Array:
    """n canonical points (n, d) with the values of the flat `config` where these are active, the others drawn.

    Raises:
        InvalidInput: an unknown name or an illegal value.
    """
    for name in config:
        if name not in space.names:
            raise InvalidInput(f"{name}: not a parameter of this space; its parameters: {', '.join(space.names)}")
    U = rng.random((n, space.dim))
    for j, column in enumerate(space.columns):
        if column.name in config:
            U[:, j] = column.units(np.array([column.code(config[column.name])]))[0]
    return space.canonical(U)


def _first_point(space: SearchSpace, point: object, seed: int, k: int) -> dict[str, Any]:
    field = f"points_to_evaluate[{k}]"
    if not isinstance(point, Mapping):
        raise InvalidInput(f"{field} must be a dict as the space is; got {shorten(point)}")
    try:
        row = _complete(space, space.flatten(point), np.random.default_rng([seed, k, POINTS]))
    except InvalidInput as error:
        raise InvalidInput(f"{field}: {error}") from None
    return space.decode(row)


def _complete(space: SearchSpace, config: Mapping[str, Any], rng: np.random.Generator) -> Array:
    """The first of many completions in which all of `config` is active, and that is allowed."""
    given = [j for j, name in enumerate(space.names) if name in config]
    for n in BATCHES:
        rows = completions(space, config, rng, n)
        active = ~np.isnan(rows[:, given])
        fit = active.all(axis=1) & space.allowed(rows)
        if fit.any():
            row: Array = rows[np.argmax(fit)]
            return row
    for i, j in enumerate(given):
        name = space.names[j]
        if not active[:, i].any():
            raise InvalidInput(
                f"{name}: inactive here, since it needs '{render(space.conditions[name])}'; leave it out; "
                f"got {shorten(config[name])}"
            )
    if not active.all(axis=1).any():
        raise InvalidInput(f"{', '.join(config)}: never active together; leave some out")
    clauses = "; ".join(render(clause) for clause in space.matching(rows[active.all(axis=1)][0]))
    raise InvalidInput(f"forbidden by '{clauses}'; change one of its values; got {shorten(dict(config))}")
