"""`algo="auto"`: which algorithm suits an experiment, and why, as `benchmarks.compare` and `suggest` show it."""

from __future__ import annotations

import math

from strategies.space import SearchSpace

DEFAULT_TRIALS = 100  # of an experiment that nothing limits
MANY_TRIALS = 2_000  # a Gaussian process takes about 30 ms for a suggestion, densities one
MANY_WORKERS = 200


def pick(
    space: SearchSpace, max_budget: float | None, num_trials: int | None, max_concurrent: int | None
) -> tuple[str, str]:
    """The name of a preset, and the reason in words.

    num_trials, max_concurrent: limits; None where nothing limits them.
    """
    stopping = "max_budget allows early stopping" if max_budget else "no max_budget: full trainings only"
    if not max_budget and _product(space) <= (num_trials or DEFAULT_TRIALS):
        return "grid", "all configurations of the space can be tried"
    if space.prior.informed:
        return ("priorband" if max_budget else "tpe"), f"priors; {stopping}"
    if (num_trials or 0) > MANY_TRIALS or (max_concurrent or 0) > MANY_WORKERS:
        return ("bohb" if max_budget else "tpe"), f"so many trials want quick suggestions; {stopping}"
    return ("mobster" if max_budget else "gp"), stopping


def _product(space: SearchSpace) -> float:
    """How many combinations of values there are; inf if a parameter has no list of values."""
    listed = all(column.kind in ("categorical", "ordinal", "constant") for column in space.columns)
    return math.prod(max(1, column.n_values) for column in space.columns) if listed else math.inf
